"""Scoring: profiles × works → ranked, calibrated matches. A score depends on reader, work and background alone (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from paperround.matching import affinity
from paperround.matching.background import Background, Readings
from paperround.matching.calibration import Calibration, strengths
from paperround.matching.lexicon import Words
from paperround.matching.profile_vectors import ProfileVectors
from paperround.matching.sentences import text_of_work
from paperround.models import Match, Reason, ReasonKind, Work, WorkId

WORDS = ((0.75, "very strong"), (0.45, "strong"), (0.25, "fair"))  # so that what each brings is kept a third oftener than the next
AUTOMATIC_THRESHOLD = 0.25  # below "fair" a thin day stays thin
FAR = Reason(kind=ReasonKind.INTEREST)  # of a match too weak for anybody to ask why
NAMED = 3  # likes named among the parts of a match; the others are summed
ALWAYS = np.float32(1e4)  # puts what holds a must word before everything else
_STOP = frozenset(
    (  # noqa: SIM905  # one word a line would be sixty lines
        "about after against also among and any are based between both but can does for from has have into its more most new not one "
        "only other our over paper show such than that the their them then these they this those through towards two under using via "
        "was were what when which while with without work "
    ).split()
)


@dataclass(frozen=True, slots=True)
class WorkBlock:
    """Works to be scored: `vectors` (n, dimension), rows of length 1; `texts` with authors for must and never ("" = not needed)."""

    ids: tuple[WorkId, ...]
    vectors: NDArray[np.float32]
    texts: tuple[str, ...]
    prose: tuple[str, ...] = ()  # title and abstract, to be read by their words; () = vectors alone
    _read: list[tuple[Background, Readings, Words | None]] = field(default_factory=list, repr=False, compare=False)  # the latest reading

    @classmethod
    def of(cls, works: Sequence[Work], vectors: NDArray[np.float32]) -> WorkBlock:
        texts = tuple(" ".join((work.title, work.abstract, *work.authors)) for work in works)
        return cls(tuple(work.id for work in works), vectors, texts, tuple(text_of_work(work.title, work.abstract) for work in works))

    @classmethod
    def bare(cls, ids: Sequence[WorkId], vectors: NDArray[np.float32]) -> WorkBlock:
        """Without texts: must, never and words in common find nothing."""
        return cls(tuple(ids), vectors, ("",) * len(ids))

    def read(self, background: Background) -> tuple[Readings, Words | None]:
        """Made once, however many batches of readers are matched."""
        if not self._read or self._read[0][0] is not background:
            self._read[:] = [(background, background.read(self.vectors), background.lexicon.works(self.prose))]
        return self._read[0][1:]


@dataclass(frozen=True, slots=True)
class Brief:
    """What an issue needs of matches: the reasons of those that reach each reader's strength, and of the next few; no parts."""

    strengths: Sequence[float]  # a profile
    beside: int

    def of(self, row: int) -> tuple[float, int]:
        return self.strengths[row], self.beside


def match_profiles(
    profiles: Sequence[ProfileVectors],
    works: WorkBlock,
    background: Background,
    *,
    allowed: NDArray[np.bool_] | None,
    top: int | Sequence[int],
    brief: Brief | None = None,
) -> list[list[Match]]:
    """For each profile its best `top` works, best first. `allowed` (profiles, works): who may get what; None = everyone everything.

    Works that hold a `must` word come first, those with a `never` word not at all. A profile without interests gets none. `brief`: what
    nobody will look at is left out."""
    most = [top] * len(profiles) if isinstance(top, int) else top
    results: list[list[Match]] = [[] for _ in profiles]
    if not works.ids:
        return results
    scored = [row for row, profile in enumerate(profiles) if len(profile.likes)]
    for row, profile in enumerate(profiles):
        if profile.must and not len(profile.likes):
            results[row] = _must_alone(profile, works, _may(profile, works, allowed, row), most[row])
    readings, words = works.read(background)
    prepared = affinity.prepare([profiles[row] for row in scored], background, words=words is not None)
    for block in affinity.blocks(prepared, readings, background, words):
        for place in range(len(block.scores)):
            row = scored[block.start + place]
            may = _may(profiles[row], works, allowed, row)
            columns = _ranked(np.where(may, block.scores[place] + ALWAYS * _holds(works.texts, profiles[row].must), -np.inf), most[row])
            if len(columns):
                results[row] = _told(profiles[row], works, block, place, columns, background.calibration, brief.of(row) if brief else None)
    return results


def likely_works(query: ProfileVectors, vectors: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Rows of the `most` nearest of very many works (n, dimension) by plain cosine: what a search reads closely."""
    if len(vectors) <= most or not len(query.likes):
        return np.arange(len(vectors))
    nearness = (vectors @ query.likes.T).max(axis=1)
    return np.sort(np.argpartition(-nearness, most)[:most])


def _may(profile: ProfileVectors, works: WorkBlock, allowed: NDArray[np.bool_] | None, row: int) -> NDArray[np.bool_]:
    may = np.ones(len(works.ids), dtype=bool) if allowed is None else allowed[row]
    return may & ~_holds(works.texts, profile.never) if profile.never else may


def _told(
    profile: ProfileVectors,
    works: WorkBlock,
    block: affinity.Block,
    place: int,
    columns: NDArray[np.int64],
    by: Calibration,
    brief: tuple[float, int] | None,
) -> list[Match]:
    """Matches of these works, best first, with reasons and parts; in brief only with the reasons of those that come into question."""
    scores = block.scores[place, columns]
    likely, wanted = (
        strengths(scores, block.evidence[place], by, profile.leaning),
        _holds([works.texts[each] for each in columns], profile.must),
    )
    told = columns
    if brief:
        fits = np.flatnonzero((likely >= brief[0]) | wanted)
        told = columns[: (fits[-1] + 1 if len(fits) else 0) + brief[1]]
    added, fallen = block.parts(place, told)
    positive = np.maximum(np.clip(added, 0, None).sum(axis=0), np.float32(1e-30))
    rows = fallen.argmax(axis=0)
    shares = np.clip(added[rows, np.arange(len(told))] / positive, 0, 1).tolist()
    matches = [
        Match(
            work_id=works.ids[column],
            score=score,
            strength=strength,
            reason=_must(profile, works.texts[column]) if must else _reason(profile, row, share, works.texts[column]),
            parts={} if brief else _named(profile, added[:, each], score, float(block.avoided[place, column])),
        )
        for each, (column, score, strength, must, row, share) in enumerate(
            zip(told.tolist(), scores.tolist(), likely.tolist(), wanted.tolist(), rows.tolist(), shares, strict=False)
        )
    ]
    return matches + [
        Match(work_id=works.ids[columns[each]], score=float(scores[each]), strength=float(likely[each]), reason=FAR)
        for each in range(len(told), len(columns))
    ]


def _ranked(order: NDArray[np.float32], top: int) -> NDArray[np.int64]:
    """Columns of the best, best first; equals by place. What is -inf is out."""
    columns = np.argpartition(-order, top - 1)[:top] if len(order) > top else np.arange(len(order))
    columns = columns[np.lexsort((columns, -order[columns]))]
    return columns[np.isfinite(order[columns])]


def _reason(profile: ProfileVectors, row: int, share: float, text: str) -> Reason:
    reason = profile.reasons[row]
    return Reason(kind=reason.kind, text=reason.text, share=share, words=common_words(profile.texts[row], text), liked_at=reason.liked_at)


def _named(profile: ProfileVectors, parts: NDArray[np.float32], score: float, avoided: float) -> dict[str, float]:
    """The parts of a score by name; their sum is the score."""
    named: dict[str, float] = {}
    for row in np.argsort(-parts)[:NAMED].tolist():
        name = f"{profile.reasons[row].kind}: {profile.reasons[row].text}"
        named[name] = named.get(name, 0.0) + float(parts[row])
    if len(parts) > NAMED:
        named["the other likes"] = float(parts.sum()) - sum(named.values())
    if avoided:
        named["avoid"] = -avoided
    named["what any work gets"] = score - sum(named.values())
    return named


def _must(profile: ProfileVectors, text: str) -> Reason:
    return Reason(kind=ReasonKind.MUST, text=next(each for each in profile.must if _holds((text,), (each,))[0]))


def _must_alone(profile: ProfileVectors, works: WorkBlock, may: NDArray[np.bool_], top: int) -> list[Match]:
    """A reader of nothing but must words."""
    columns = np.flatnonzero(may & _holds(works.texts, profile.must))[:top].tolist()
    return [Match(work_id=works.ids[column], score=0.0, strength=0.0, reason=_must(profile, works.texts[column])) for column in columns]


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?!\w)", re.I)


def _holds(texts: Sequence[str], words: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts hold one of the words (or names) as whole words, whatever their case."""
    if not words:
        return np.zeros(len(texts), dtype=bool)
    pattern = _pattern(tuple(words))
    return np.array([pattern.search(text) is not None for text in texts], dtype=bool)


@lru_cache(maxsize=16_384)  # titles and interests of many readers
def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in re.findall(r"[^\W\d_]{3,}", text.casefold()) if word not in _STOP))


@lru_cache(maxsize=4096)
def _word_set(text: str) -> frozenset[str]:
    return frozenset(_words(text))


def common_words(interest: str, text: str, most: int = 4) -> tuple[str, ...]:
    """Words of the interest that stand in the text too."""
    there = _word_set(text)
    return tuple(word for word in _words(interest) if word in there)[:most]


def strength_word(value: float) -> str:
    """One of four words."""
    for least, word in WORDS:  # a generator takes three times as long, and every item of every mail asks
        if value >= least:
            return word
    return "weak"
