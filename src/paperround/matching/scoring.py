"""Scoring: profiles × works → ranked, calibrated matches. A score depends on reader, work and background alone (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paperround.matching.background import Background
from paperround.matching.profile_vectors import ProfileVectors
from paperround.models import Match, Reason, ReasonKind, Work, WorkId

SECOND = 0.15  # how much the other rows that fit add to the best one
AVOID = 0.9  # how much of a fit to an avoided topic is taken off …
AVOID_FROM = 0.35  # … where it is closer than this, so that neighbours stay
# Strength is a logistic of the score: 0.35 is where a reader would keep every second one. Set by hand on the invented sample.
MIDDLE, STEEPNESS = 0.40, 12.0
WORDS = ((0.75, "very strong"), (0.5, "strong"), (0.25, "fair"))
AUTOMATIC_THRESHOLD = 0.25  # below "fair" a thin day stays thin
BLOCK = 4_000_000  # profile rows × works scored at once: 16 MB
_STOP = frozenset(
    [
        "about",
        "after",
        "against",
        "also",
        "among",
        "and",
        "any",
        "are",
        "based",
        "between",
        "both",
        "but",
        "can",
        "does",
        "for",
        "from",
        "has",
        "have",
        "into",
        "its",
        "more",
        "most",
        "new",
        "not",
        "one",
        "only",
        "other",
        "our",
        "over",
        "paper",
        "show",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "these",
        "they",
        "this",
        "those",
        "through",
        "towards",
        "two",
        "under",
        "using",
        "via",
        "was",
        "were",
        "what",
        "when",
        "which",
        "while",
        "with",
        "without",
        "work",
    ]
)


@dataclass(frozen=True, slots=True)
class WorkBlock:
    """Works to be scored: `vectors` (n, dimension), rows of length 1; `texts` with authors for must and never ("" = not needed)."""

    ids: tuple[WorkId, ...]
    vectors: NDArray[np.float32]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, works: Sequence[Work], vectors: NDArray[np.float32]) -> WorkBlock:
        texts = tuple(" ".join((work.title, work.abstract, *work.authors)) for work in works)
        return cls(tuple(work.id for work in works), vectors, texts)

    @classmethod
    def bare(cls, ids: Sequence[WorkId], vectors: NDArray[np.float32]) -> WorkBlock:
        """Without texts: must, never and words in common find nothing."""
        return cls(tuple(ids), vectors, ("",) * len(ids))


def match_profiles(
    profiles: Sequence[ProfileVectors],
    works: WorkBlock,
    background: Background,
    *,
    allowed: NDArray[np.bool_] | None,
    top: int,
) -> list[list[Match]]:
    """For each profile its best `top` works, best first. `allowed` (profiles, works): who may get what; None = everyone everything.

    Works that hold a `must` word come first, those with a `never` word not at all. A profile without interests gets none."""
    results: list[list[Match]] = [[] for _ in profiles]
    if not len(works.ids):
        return results
    centred = background.centred(works.vectors)
    start = 0
    while start < len(profiles):
        stop, rows = start, 0
        while stop < len(profiles) and (stop == start or (rows + len(profiles[stop].likes)) * len(works.ids) <= BLOCK):
            rows += len(profiles[stop].likes)
            stop += 1
        for row, each in enumerate(
            _match_block(profiles[start:stop], works, centred, background, None if allowed is None else allowed[start:stop], top)
        ):
            results[start + row] = each
        start = stop
    return results


def _match_block(
    profiles: Sequence[ProfileVectors],
    works: WorkBlock,
    centred: NDArray[np.float32],
    background: Background,
    allowed: NDArray[np.bool_] | None,
    top: int,
) -> list[list[Match]]:
    likes = _stacked([each.likes for each in profiles], background, centred.shape[1])
    dislikes = _stacked([each.dislikes for each in profiles], background, centred.shape[1])
    fits, misfits = likes @ centred.T, dislikes @ centred.T
    results, like, dislike = [], 0, 0
    for row, profile in enumerate(profiles):
        mine = slice(like, like + len(profile.likes))
        against = slice(dislike, dislike + len(profile.dislikes))
        like, dislike = mine.stop, against.stop
        may = np.ones(len(works.ids), dtype=bool) if allowed is None else allowed[row]
        results.append(_match_one(profile, works, fits[mine], misfits[against], may, top) if profile.has_interests else [])
    return results


def _stacked(parts: Sequence[NDArray[np.float32]], background: Background, dimension: int) -> NDArray[np.float32]:
    rows = [each for each in parts if len(each)]
    return background.centred(np.concatenate(rows)) if rows else np.zeros((0, dimension), dtype=np.float32)


def _match_one(
    profile: ProfileVectors,
    works: WorkBlock,
    fits: NDArray[np.float32],
    misfits: NDArray[np.float32],
    may: NDArray[np.bool_],
    top: int,
) -> list[Match]:
    """`fits` (likes, works), `misfits` (dislikes, works): centred cosines."""
    count = len(works.ids)
    weighted = fits * profile.weights[:, None] if len(fits) else np.zeros((1, count), dtype=np.float32)
    best = weighted.argmax(axis=0)
    fit = weighted[best, np.arange(count)]
    others = np.partition(weighted, -2, axis=0)[-2] if len(weighted) > 1 else np.zeros(count, dtype=np.float32)
    more = SECOND * np.clip(others, 0, None) * np.clip(1 - fit, 0, 1)
    avoided = (
        (AVOID * (np.clip(misfits - AVOID_FROM, 0, None) * profile.dislike_weights[:, None]).max(axis=0))
        if len(misfits)
        else np.zeros(count)
    )
    score = fit + more - avoided
    wanted = _holds(works.texts, profile.must)
    may = may & ~_holds(works.texts, profile.never)
    order = np.where(may, score + 10 * wanted, -np.inf)
    chosen = np.argpartition(-order, min(top, count) - 1)[:top] if count > top else np.arange(count)
    chosen = chosen[np.lexsort((np.asarray(works.ids)[chosen], -order[chosen]))]
    return [
        _match(profile, works, column, int(best[column]), fit[column], more[column], avoided[column], must=bool(wanted[column]))
        for column in chosen[np.isfinite(order[chosen])].tolist()
    ]


def _match(
    profile: ProfileVectors, works: WorkBlock, column: int, best: int, fit: float, more: float, avoided: float, *, must: bool
) -> Match:
    text, score = works.texts[column], float(fit + more - avoided)
    parts = {"best fit": float(fit), "other fits": float(more), "avoid": -float(avoided)}
    if must:
        word = next(each for each in profile.must if _holds((text,), (each,))[0])
        reason = Reason(kind=ReasonKind.MUST, text=word)
    else:
        reason = profile.reasons[best]
        share = max(0.0, float(fit)) / max(1e-9, float(fit + more)) if fit > 0 else 0.0
        reason = replace(reason, share=share, words=common_words(profile.texts[best], text))
    return Match(work_id=works.ids[column], score=score, strength=strength(score), reason=reason, parts=parts)


def _holds(texts: Sequence[str], words: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts hold one of the words (or names) as whole words, whatever their case."""
    if not words:
        return np.zeros(len(texts), dtype=bool)
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?!\w)", re.I)
    return np.array([pattern.search(text) is not None for text in texts], dtype=bool)


def common_words(interest: str, text: str, most: int = 4) -> tuple[str, ...]:
    """Words of the interest that stand in the text too."""
    there = {word.casefold() for word in re.findall(r"[^\W\d_]{3,}", text)}
    mine = dict.fromkeys(word.casefold() for word in re.findall(r"[^\W\d_]{3,}", interest))
    return tuple(word for word in mine if word in there and word not in _STOP)[:most]


def strength(score: float) -> float:
    """0…1: of a hundred such items this reader would keep about so many."""
    return float(1 / (1 + np.exp(-STEEPNESS * (score - MIDDLE))))


def strength_word(value: float) -> str:
    """One of four words."""
    return next((word for least, word in WORDS if value >= least), "weak")
