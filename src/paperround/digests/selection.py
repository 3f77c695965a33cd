"""Room: selection. Which matches make one issue: threshold, never twice, near-duplicates, fairness, diversity, the cap (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from paperround.digests.due_dates import first_window_days
from paperround.digests.exploration import Outside, Regions
from paperround.models import ItemRole, Match, Profile, Reason, ReasonKind, Subscriber, Work, WorkId

Vectors = Mapping[WorkId, NDArray[np.float32]]  # each of length 1

FRESH = timedelta(days=30)  # published at most so long before we saw it
LONGEST_AFTER_PAUSE = timedelta(days=14)
NEAR_DUPLICATE = 0.92  # cosine from which two works say the same to a reader
# What is wholly like an item that is in the issue already counts exp(-DIVERSITY) of its strength. Chosen on a fold of the old items of a
# real library data set (citeulike-a): the mean cosine of five shown titles falls by 7.6 %, nDCG@5 by 0.3 %; at 1.2 it costs 1 %.
DIVERSITY = 0.8
FAINTEST = 1e-9  # strengths below are equals
FIRST, LATER = 1e3, 1e2  # put what holds a must word before, an interest that has had its share behind everything else
FRONT = 3  # interests whose best match opens the issue
BELOW = 3  # titles shown just below the cut
LOOKED_AT = 2 * BELOW  # matches below the cut that are looked at for them


@dataclass(frozen=True, slots=True)
class Selected:
    """One item of an issue. `also`: names of other sources, then titles of near-duplicates left out in its favour."""

    match: Match
    role: ItemRole
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    items: tuple[Selected, ...] = ()


# ---------------------------------------------------------------- which works are new to a reader


def since_for(subscriber: Subscriber, now: datetime) -> datetime:
    """Works first seen after this are new to the subscriber (design, decision 2)."""
    period = timedelta(days=first_window_days(subscriber.profile.schedule))
    if subscriber.last_cutoff is None:
        return now - period
    since = subscriber.last_cutoff
    if subscriber.resumed_at is not None and subscriber.resumed_at > since:
        since = max(since, now - max(LONGEST_AFTER_PAUSE, period))
    return min(since, now)


def fresh(work: Work) -> bool:
    """Published at most 30 days before we first saw it, or nobody knows when."""
    return work.published is None or work.first_seen_at - work.published <= FRESH


def may_return(work: Work, issued_at: datetime) -> bool:
    """Whether a work that was in an issue of the reader's then may come again: only when its abstract changed materially since."""
    return work.changed_at is not None and work.changed_at > issued_at


def eligible(work: Work, since: datetime, cutoff: datetime, issued: Mapping[WorkId, datetime]) -> bool:
    """Whether a work is a candidate for an issue over (since, cutoff]; `issued` says when which work was in an issue of the reader's."""
    moments = [work.first_seen_at] if work.changed_at is None else [work.first_seen_at, work.changed_at]
    if work.withdrawn or not fresh(work) or not any(since < moment <= cutoff for moment in moments):
        return False
    return work.id not in issued or may_return(work, issued[work.id])


# ---------------------------------------------------------------- which of them make the issue


def threshold(profile: Profile, automatic: float) -> float:
    """The strength that lets a work into this reader's issue."""
    return automatic if profile.min_score is None else profile.min_score


def select(
    matches: Sequence[Match],
    *,
    works: Mapping[WorkId, Work],
    vectors: Vectors,
    profile: Profile,
    automatic_threshold: float,
    seed: int,
    candidates: Sequence[WorkId] = (),
    outside: Outside | None = None,
) -> Selection:
    """The items of one issue from a reader's matches, best first.

    `profile.min_score` and `automatic_threshold` are strengths (0…1). What holds a `must` word is always let in. Every interest with
    good matches gets its share of `max_items`; the best of each comes first. `outside`: the works that may come to this reader, ready to be
    explored; without it that is made of `candidates`, for one reader. `seed` decides nothing but the item from outside."""
    least = threshold(profile, automatic_threshold)
    matches = [match for match in matches if match.work_id in works]
    fits = [match.strength >= least or match.reason.kind is ReasonKind.MUST for match in matches]
    near = matches[: max((place + 1 for place, fit in enumerate(fits) if fit), default=0) + LOOKED_AT]  # the others can only be far
    likeness = _likeness([match.work_id for match in near], vectors)
    kept, twins = _distinct(likeness)
    good = [place for place in kept if fits[place]]
    picked = {good[each] for each in _fair([near[place] for place in good], likeness[good][:, good], profile.max_items)}
    chosen = _arranged([near[place] for place in good if place in picked])
    below = [near[place] for place in kept if place not in picked][:BELOW]
    explored: list[Match] = []
    if chosen and profile.explore:
        outside = outside or _outside_of(candidates or [match.work_id for match in matches], vectors)
        weak = [match.work_id for match, fit in zip(matches, fits, strict=True) if not fit][BELOW:]
        explored = _from_outside(outside, matches, weak[len(weak) // 2 :], works, profile, seed)
    also = {near[place].work_id: [works[near[twin].work_id].title for twin in several] for place, several in twins.items()}
    roles = [(ItemRole.CHOSEN, chosen), (ItemRole.EXPLORE, explored), (ItemRole.BELOW, below)]
    return Selection(
        tuple(
            Selected(match, role, _also(works[match.work_id], also.get(match.work_id, ()))) for role, several in roles for match in several
        )
    )


def trending(
    works: Iterable[Work], *, max_items: int, vectors: Vectors | None = None, issued: Mapping[WorkId, datetime] | None = None
) -> Selection:
    """The issue of a reader who named no interest: by upvotes where known, then by how many sources carry a work, then by its place on
    the page, then the newest. Nothing in it is a judgement of taste, so strengths are 0."""
    gone = issued or {}
    may = [work for work in works if not work.withdrawn and (work.id not in gone or may_return(work, gone[work.id]))]
    ranked = sorted(may, key=_popularity)[: 4 * max_items + BELOW]  # near-duplicates of what is shown rank beside it
    kept, twins = _distinct(_likeness([work.id for work in ranked], vectors or {}))
    reason = Reason(kind=ReasonKind.TRENDING)
    return Selection(
        tuple(
            Selected(
                Match(work_id=ranked[place].id, score=1 / (place + 1), strength=0.0, reason=reason),
                ItemRole.CHOSEN,
                _also(ranked[place], [ranked[twin].title for twin in twins.get(place, ())]),
            )
            for place in kept[:max_items]
        )
    )


def _popularity(work: Work) -> tuple[float, ...]:
    positions = [mention.position for mention in work.mentions if mention.position is not None]
    return (-(work.upvotes or 0), -len(_source_names(work)), min(positions, default=1_000), -work.first_seen_at.timestamp(), work.id)


def _source_names(work: Work) -> list[str]:
    return list(dict.fromkeys(mention.source_name for mention in work.mentions))


def _also(work: Work, twins: Iterable[str]) -> tuple[str, ...]:
    return (*_source_names(work)[1:], *(f"“{title}”" for title in twins))


# ---------------------------------------------------------------- near-duplicates


def _likeness(ids: Sequence[WorkId], vectors: Vectors) -> NDArray[np.float32]:
    """(n, n) cosines; a work without a vector is like nothing else."""
    if not vectors or not ids:
        return np.zeros((len(ids), len(ids)), np.float32)
    nothing = np.zeros_like(next(iter(vectors.values())))
    rows = np.concatenate([vectors.get(work_id, nothing) for work_id in ids]).reshape(len(ids), -1)
    likeness: NDArray[np.float32] = rows @ rows.T
    return likeness


def _distinct(likeness: NDArray[np.float32]) -> tuple[list[int], dict[int, list[int]]]:
    """Places in order without those that say the same as one before them, and those left out by the place that stands for them."""
    twins: dict[int, list[int]] = {}
    gone: set[int] = set()
    same = likeness >= NEAR_DUPLICATE
    if np.count_nonzero(same) <= len(same):  # each with itself: nearly always so, and cheaply known
        return list(range(len(same))), twins
    for first, second in np.argwhere(np.triu(same, 1)).tolist():
        if first not in gone and second not in gone:
            twins.setdefault(first, []).append(second)
            gone.add(second)
    return [place for place in range(len(likeness)) if place not in gone], twins


# ---------------------------------------------------------------- fairness and diversity


def _interest(match: Match) -> tuple[str, str]:
    """What an item stands under in an issue: an interest by its words; all that is near to liked works together."""
    kind = match.reason.kind
    return (kind, "" if kind is ReasonKind.LIKED else match.reason.text)


def _by_interest(matches: Sequence[Match]) -> dict[tuple[str, str], list[int]]:
    """Places of what stands together."""
    groups: dict[tuple[str, str], list[int]] = {}
    for place, match in enumerate(matches):
        groups.setdefault(_interest(match), []).append(place)
    return groups


def _fair(good: Sequence[Match], likeness: NDArray[np.float32], most: int) -> list[int]:
    """Places of at most `most`: must words first, then an equal share for every interest, then whatever is best; within that one after
    the other whose strength, less its likeness to the nearest that is in already, is greatest (maximal marginal relevance)."""
    if len(good) <= most:
        return list(range(len(good)))
    groups = _by_interest(good)
    must = [place for (kind, _), places in groups.items() if kind == ReasonKind.MUST for place in places]
    several = sum(kind != ReasonKind.MUST for kind, _ in groups)
    room = dict.fromkeys(groups, max(1, (most - len(must)) // max(1, several)))
    worth = np.log(np.maximum([match.strength for match in good], FAINTEST))
    worth[must] += FIRST
    alike = np.zeros(len(good), np.float32)
    chosen: list[int] = []
    for _ in range(most):
        best = int((worth - alike).argmax())
        chosen.append(best)
        worth[best] = -np.inf
        interest = _interest(good[best])
        room[interest] -= 1
        if not room[interest]:
            worth[groups[interest]] -= LATER
        np.maximum(alike, DIVERSITY * likeness[best], out=alike)
    return chosen


def _arranged(chosen: Sequence[Match]) -> list[Match]:
    """The best of each of the first interests opens the issue; what is left of them follows by interest, so that none comes up a third
    time."""
    groups = list(_by_interest(chosen).values())
    places = [group[0] for group in groups[:FRONT]]
    places += [place for number, group in enumerate(groups) for place in group[number < FRONT :]]
    return [chosen[place] for place in places]


# ---------------------------------------------------------------- from outside


def _outside_of(ids: Sequence[WorkId], vectors: Vectors) -> Outside | None:
    """All of the works, for a reader of whom nothing else is known."""
    embedded = [work_id for work_id in ids if work_id in vectors]
    if not embedded:
        return None
    regions = Regions.of(embedded, np.stack([vectors[work_id] for work_id in embedded]))
    nothing = np.zeros((0, 0), np.float32)
    return Outside(regions, np.ones(len(embedded), dtype=bool), nothing, nothing)


def _from_outside(
    outside: Outside | None, matches: Sequence[Match], weak: Sequence[WorkId], works: Mapping[WorkId, Work], profile: Profile, seed: int
) -> list[Match]:
    """One item from outside the profile: none of the matches, or where nothing else came one of the `weak` that fit least."""
    if outside is None:
        return []
    place, among = outside.regions.place, outside.allowed.copy()
    among[[place[match.work_id] for match in matches if match.work_id in place]] = False
    if not among.any():
        among[[place[work_id] for work_id in weak if work_id in place]] = True
    for central in outside.regions.teaching(among, outside.likes, outside.dislikes, seed):
        for work in sorted((works[work_id] for work_id in central if work_id in works), key=_popularity):
            if not _unwelcome(work, profile):
                return [Match(work_id=work.id, score=0.0, strength=0.0, reason=Reason(kind=ReasonKind.EXPLORE))]
    return []


def _unwelcome(work: Work, profile: Profile) -> bool:
    """Whether the work's words are those of something the reader avoids or never wants."""
    text = " ".join((work.title, work.abstract, *work.authors)).casefold()
    phrases = [phrase.casefold() for phrase in (*profile.avoid, *profile.never)]
    return any(phrase in text or all(word in text for word in phrase.split()) for phrase in phrases)
