"""Evaluation: how well the matcher chooses on a dataset of readers, and how fast it learns from votes (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperround.matching import affinity
from paperround.matching.background import Background, Readings
from paperround.matching.calibration import PRIOR, Calibration, fit, strengths
from paperround.matching.profile_vectors import Example, ProfileVectors, build_profile_vectors
from paperround.matching.scoring import WORDS, strength_word
from paperround.matching.sentences import text_of_work
from paperround.models import Interest, Profile, SubscriberId, WorkId

ISSUE, SHOWN, RANKED = 200, 5, 100  # new items a batch, items shown of each, length of a ranking
HELD_OUT = 5  # every fifth old item plays a new one when strengths are calibrated
CALIBRATED_ON = 2000  # readers
FEWEST_LIKED = 5.0  # liked works a reader, on average, below which leaving some out says nothing: the prior stays
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # nothing in a dataset has a date
GAIN = 1 / np.log2(np.arange(2, RANKED + 2))
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    id: str
    liked: Ints  # places of items
    profile: Profile
    relevant: Ints  # places among the new items; only ever used to score


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """`texts`: those of the items in their order, then what the readers typed; embed them all, in this order."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    new: Ints  # places of the new items, in order of arrival
    readers: tuple[Reader, ...]

    @property
    def old(self) -> Ints:
        return np.setdiff1d(np.arange(len(self.ids)), self.new)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """`figures` by name (contract: a matching dataset); `rankings`: a line a reader, ready for JSON."""

    figures: dict[str, Any]
    rankings: list[dict[str, object]]


def parse_dataset(items: Sequence[str], new_items: Sequence[str], users: Sequence[str]) -> Dataset:
    """From the lines of items.jsonl, new_items.txt and users.jsonl. Raises ValueError naming file and line."""
    rows = _objects("items.jsonl", items)
    place = {str(row["id"]): number for number, row in enumerate(rows)}
    new = _places("new_items.txt", [line.strip() for line in new_items if line.strip()], place)
    column = {number: arrival for arrival, number in enumerate(new.tolist())}
    readers = []
    for row in _objects("users.jsonl", users):
        relevant = _places("users.jsonl", row["relevant"], place).tolist()
        if strange := [number for number in relevant if number not in column]:
            raise ValueError(f"users.jsonl: {row['id']}: relevant {rows[strange[0]]['id']!r} is not among the new items")
        readers.append(
            Reader(
                id=str(row["id"]),
                liked=_places("users.jsonl", row["liked"], place),
                profile=Profile(interests=tuple(Interest(text=str(text)) for text in row["interests"])),
                relevant=np.array([column[number] for number in relevant], dtype=np.int64),
            )
        )
    typed = dict.fromkeys(text for reader in readers for text in reader.profile.own_words)
    texts = (*(text_of_work(str(row["title"]), str(row.get("text") or "")) for row in rows), *typed)
    return Dataset(ids=tuple(place), texts=texts, new=new, readers=tuple(readers))


def _objects(name: str, lines: Sequence[str]) -> list[dict[str, list[str]]]:
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            raise ValueError(f"{name}, line {number}: no JSON") from None
        wanted = ("id", "title") if name == "items.jsonl" else ("id", "liked", "interests", "relevant")
        if not isinstance(row, dict) or any(key not in row for key in wanted):
            raise ValueError(f"{name}, line {number}: needs {', '.join(wanted)}")
        rows.append(row)
    return rows


def _places(name: str, ids: Sequence[str], place: Mapping[str, int]) -> Ints:
    try:
        return np.array([place[str(each)] for each in ids], dtype=np.int64)
    except KeyError as unevidence:
        raise ValueError(f"{name}: no item has the id {unevidence}") from None


def profiles_of(dataset: Dataset, vectors: NDArray[np.float32], without: frozenset[int] = frozenset()) -> list[ProfileVectors]:
    """A profile of liked works and interests alone, a reader; `without` leaves liked items out."""
    texts = {text: vectors[number] for number, text in enumerate(dataset.texts) if number >= len(dataset.ids)}
    return [
        build_profile_vectors(
            SubscriberId(number),
            reader.profile,
            text_vectors=texts,
            examples=[
                Example(work_id=WorkId(item), title="", text=dataset.texts[item], vector=vectors[item], value=1, at=None)
                for item in reader.liked.tolist()
                if item not in without
            ],
            now=EPOCH,
        )
        for number, reader in enumerate(dataset.readers)
    ]


@dataclass(slots=True)
class _Scored:
    """What the scores of one pass came to, reader by reader."""

    ranked: list[Ints] = field(default_factory=list)  # columns, best first
    issues: list[list[Ints]] = field(default_factory=list)  # columns shown of each batch
    scores: list[list[NDArray[np.float32]]] = field(default_factory=list)
    evidence: list[float] = field(default_factory=list)


def _background(dataset: Dataset, vectors: NDArray[np.float32], places: Ints) -> Background:
    return Background.from_vectors(vectors[places]).with_words([dataset.texts[place] for place in places.tolist()])


def _score(
    profiles: Sequence[ProfileVectors], dataset: Dataset, vectors: NDArray[np.float32], arriving: Ints, known: Background
) -> _Scored:
    words = known.lexicon.works([dataset.texts[place] for place in arriving.tolist()])
    prepared = affinity.prepare(profiles, known, words=words is not None)
    result = _Scored()
    for block in affinity.blocks(prepared, known.read(vectors[arriving]), known, words):
        for scores, evidence in zip(block.scores, block.evidence.tolist(), strict=True):
            shown = [start + best_columns(scores[start : start + ISSUE], SHOWN) for start in range(0, len(scores), ISSUE)]
            result.ranked.append(best_columns(scores, RANKED))
            result.issues.append(shown)
            result.scores.append([scores[columns] for columns in shown])
            result.evidence.append(evidence)
    return result


def best_columns(scores: NDArray[np.float32], most: int) -> Ints:
    """The best of a row, best first; equals in order of arrival."""
    columns = np.argpartition(-scores, most - 1)[:most] if len(scores) > most else np.arange(len(scores))
    return columns[np.lexsort((columns, -scores[columns]))]


def evaluate(dataset: Dataset, vectors: NDArray[np.float32], *, clock: Callable[[], float] = lambda: 0.0) -> Evaluated:
    """The contract's figures. `vectors` (texts, dimension) in the order of `dataset.texts`; `clock` counts seconds."""
    background = _background(dataset, vectors, dataset.old)
    started = clock()
    everybody = profiles_of(dataset, vectors)
    rows = [row for row, profile in enumerate(everybody) if len(profile.likes)]
    profiled = clock()
    scored = _score([everybody[row] for row in rows], dataset, vectors, dataset.new, background)
    matched = clock()
    calibration = calibrate(dataset, vectors)
    likely = [
        [strengths(scores, np.float32(evidence), calibration) for scores in issues]
        for issues, evidence in zip(scored.scores, scored.evidence, strict=True)
    ]
    figures = _figures([dataset.readers[row] for row in rows], scored, likely, len(dataset.readers))
    seconds = {"profile_seconds": profiled - started, "match_seconds": matched - profiled}
    return Evaluated({**figures, **seconds}, list(_rankings(dataset, rows, scored, likely)))


def calibrate(dataset: Dataset, vectors: NDArray[np.float32]) -> Calibration:
    """How strengths follow from scores, learned from old items alone: a fifth of them play new ones and leave
    profiles and background."""
    if np.mean([len(reader.liked) for reader in dataset.readers]) < FEWEST_LIKED:
        return PRIOR
    played = dataset.old[::HELD_OUT]
    background = _background(dataset, vectors, np.setdiff1d(dataset.old, played))
    out = frozenset(played.tolist())
    column = {item: number for number, item in enumerate(played.tolist())}
    kept = [frozenset(column[item] for item in reader.liked.tolist() if item in out) for reader in dataset.readers]
    profiles = profiles_of(dataset, vectors, out)
    rows = [row for row, profile in enumerate(profiles) if len(profile.likes)]
    rows = rows[:: max(1, len(rows) // CALIBRATED_ON)]
    scored = _score([profiles[row] for row in rows], dataset, vectors, played, background)
    return fit(
        np.concatenate([scores for issues in scored.scores for scores in issues]),
        np.concatenate(
            [np.full(sum(map(len, issues)), evidence) for issues, evidence in zip(scored.scores, scored.evidence, strict=True)]
        ).astype(np.float32),
        np.array(
            [
                column in kept[row]
                for row, issues in zip(rows, scored.issues, strict=True)
                for columns in issues
                for column in columns.tolist()
            ]
        ),
    )


def _figures(readers: Sequence[Reader], scored: _Scored, likely: Sequence[Sequence[NDArray[np.float64]]], count: int) -> dict[str, Any]:
    sums = dict.fromkeys(("recall@20", "recall@50", "recall@100", "ndcg@10", "mrr"), 0.0)
    issues: list[tuple[float, float]] = []
    batches = 0
    claims: list[NDArray[np.float64]] = []
    hits: list[NDArray[np.bool_]] = []
    for reader, ranked, shown, claimed in zip(readers, scored.ranked, scored.issues, likely, strict=True):
        for name, value in ranking_figures(ranked, reader.relevant).items():
            sums[name] += value
        issues += issue_figures(shown, reader.relevant)
        claims += claimed
        hits += [np.isin(columns, reader.relevant) for columns in shown]
    batches = max(1, len(issues))
    figures: dict[str, Any] = {"users": count, **{name: value / max(1, count) for name, value in sums.items()}}
    figures |= {"issue_recall@5": sum(each[0] for each in issues) / batches, "issue_ndcg@5": sum(each[1] for each in issues) / batches}
    return figures | (calibration_figures(np.concatenate(claims), np.concatenate(hits)) if claims else {})


def ranking_figures(ranked: Ints, relevant: Ints) -> dict[str, float]:
    """Recall at 20, 50 and 100, nDCG at 10, reciprocal rank of the first hit; of one reader."""
    hits = np.isin(ranked, relevant)
    count = max(1, len(relevant))
    first = np.flatnonzero(hits)
    ideal = GAIN[: min(10, count)].sum()
    return {
        **{f"recall@{most}": float(hits[:most].sum() / count) for most in (20, 50, 100)},
        "ndcg@10": float((hits[:10] * GAIN[: len(hits[:10])]).sum() / ideal),
        "mrr": float(1 / (first[0] + 1)) if len(first) else 0.0,
    }


def issue_figures(shown: Sequence[Ints], relevant: Ints) -> list[tuple[float, float]]:
    """(recall, nDCG) at 5 of each batch that holds something relevant."""
    wanted = np.bincount(relevant // ISSUE, minlength=len(shown))
    figures = []
    for columns, count in zip(shown, wanted.tolist(), strict=True):
        if count:
            hits = np.isin(columns, relevant)
            figures.append((float(hits.sum() / count), float((hits * GAIN[: len(hits)]).sum() / GAIN[: min(SHOWN, count)].sum())))
    return figures


def calibration_figures(claimed: NDArray[np.float64], kept: NDArray[np.bool_]) -> dict[str, Any]:
    """Ten bins of equal count, and the Brier score against the constant rate of what was shown; for each word of strength the rate that was
    kept and of how many."""
    bins = np.array_split(np.argsort(claimed, kind="stable"), 10)
    error = sum(len(each) * abs(claimed[each].mean() - kept[each].mean()) for each in bins if len(each)) / len(claimed)
    constant = float(((kept.mean() - kept) ** 2).mean())
    skill = 1 - float(((claimed - kept) ** 2).mean()) / constant if constant else 0.0
    words = np.array([strength_word(strength) for strength in claimed.tolist()])
    rates = {word: words == word for _, word in (*WORDS, (0, "weak"))}
    by_word = {f"kept, {word}": (float(kept[rows].mean()), int(rows.sum())) for word, rows in rates.items() if rows.any()}
    return {"calibration_error": float(error), "brier_skill": skill, **by_word}


def _rankings(
    dataset: Dataset, rows: Sequence[int], scored: _Scored, likely: Sequence[Sequence[NDArray[np.float64]]]
) -> Iterator[dict[str, object]]:
    names = [dataset.ids[place] for place in dataset.new.tolist()]
    for row, ranked, shown, claimed in zip(rows, scored.ranked, scored.issues, likely, strict=True):
        issues = [
            [[names[column], round(strength, 4)] for column, strength in zip(columns.tolist(), strong.tolist(), strict=True)]
            for columns, strong in zip(shown, claimed, strict=True)
        ]
        yield {"user": dataset.readers[row].id, "ranked": [names[column] for column in ranked.tolist()], "issues": issues}


# ---------------------------------------------------------------- learning from votes


def simulate_feedback(
    dataset: Dataset, vectors: NDArray[np.float32], *, readers: int = 300, issues: int = 60, shown: int = 10, begin: int = 3, seed: int = 1
) -> dict[str, Any]:
    """Readers begin with three works, see the top ten of each issue of 200 and vote up what they hold in their library; beside them
    the same readers without votes. Recall at ten over the last quarter of the issues, where it holds anything relevant."""
    chance = np.random.default_rng(seed)
    background = Background.from_vectors(vectors[dataset.old])
    readings = background.read(vectors[: len(dataset.ids)])
    libraries = [
        np.concatenate([reader.liked, dataset.new[reader.relevant]]) for reader in dataset.readers if len(reader.liked) >= 4 * begin
    ]
    chosen = [libraries[each] for each in chance.permutation(len(libraries))[:readers].tolist()]
    arrivals = chance.permutation(len(dataset.ids))[: issues * ISSUE]
    beginnings = [chance.permutation(np.setdiff1d(library, arrivals))[:begin] for library in chosen]
    pairs = [(library, first) for library, first in zip(chosen, beginnings, strict=True) if len(first) == begin]
    learning = _recalls(pairs, readings, background, arrivals, shown, learn=True)
    static = _recalls(pairs, readings, background, arrivals, shown, learn=False)
    return {"readers": len(pairs), "learning": learning, "static": static, "ratio": learning / static if static else 0.0}


def _recalls(
    pairs: Sequence[tuple[Ints, Ints]], readings: Readings, background: Background, arrivals: Ints, shown: int, *, learn: bool
) -> float:
    likes = [first for _, first in pairs]
    recalls: list[float] = []
    starts = range(0, len(arrivals), ISSUE)
    for number, start in enumerate(starts):
        batch = arrivals[start : start + ISSUE]
        profiles = [_bare(len(each)) for each in likes]
        groups = [affinity.grouped(rows, profile) for rows, profile in zip(likes, profiles, strict=True)]
        prepared = affinity.Prepared(profiles, readings, None, groups, [np.zeros(0, np.int64)] * len(likes))
        for block in affinity.blocks(prepared, readings.take(batch), background):
            for place, scores in enumerate(block.scores):
                row = block.start + place
                relevant = np.isin(batch, pairs[row][0])
                best = best_columns(scores, shown)
                if relevant.any() and 4 * number >= 3 * len(starts):
                    recalls.append(float(relevant[best].sum() / relevant.sum()))
                if learn:
                    likes[row] = np.concatenate([likes[row], batch[best[relevant[best]]]])
    return float(np.mean(recalls)) if recalls else 0.0


def _bare(count: int) -> ProfileVectors:
    """A profile of so many likes of equal weight, whose readings are elsewhere."""
    nothing = np.zeros((0, 0), np.float32)
    return ProfileVectors(
        subscriber_id=SubscriberId(0),
        likes=np.zeros((count, 0), np.float32),
        weights=np.ones(count, np.float32),
        reasons=(),
        dislikes=nothing,
        dislike_weights=np.zeros(0, np.float32),
        dislike_names=(),
        texts=(),
    )
