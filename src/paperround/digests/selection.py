"""Room: selection. Which matches make one issue: threshold, never twice, near-duplicates, fairness, exploration, the cap (pure)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from paperround.digests.due_dates import first_window_days
from paperround.models import ItemRole, Match, Profile, Reason, ReasonKind, Subscriber, Work, WorkId

Vectors = Mapping[WorkId, NDArray[np.float32]]  # each of length 1

FRESH = timedelta(days=30)  # published at most so long before we saw it
LONGEST_AFTER_PAUSE = timedelta(days=14)
NEAR_DUPLICATE = 0.92  # cosine from which two works say the same to a reader
FRONT = 3  # interests whose best match opens the issue
_LOT = 8  # works from outside of which the best known is shown
BELOW = 3  # titles shown just below the cut


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


def select(
    matches: Sequence[Match],
    *,
    works: Mapping[WorkId, Work],
    vectors: Vectors,
    profile: Profile,
    automatic_threshold: float,
    seed: int,
    candidates: Sequence[WorkId] = (),
) -> Selection:
    """The items of one issue from a reader's matches, best first.

    `profile.min_score` and `automatic_threshold` are strengths (0…1). What holds a `must` word is always let in. Every interest with
    good matches gets its share of `max_items`; the best of each comes first. `candidates`: all works that may come to this reader; where
    `matches` are but the best of them, the item from outside is one of the others. `seed` decides nothing but that item."""
    threshold = automatic_threshold if profile.min_score is None else profile.min_score
    kept = _Distinct(works, vectors)
    ranked = [match for match in matches if match.work_id in works and kept.add(match)]
    good = [match for match in ranked if match.strength >= threshold or match.reason.kind is ReasonKind.MUST]
    chosen = _arranged(_fair(good, profile.max_items))
    taken = {match.work_id for match in chosen}
    rest = [match for match in ranked if match.work_id not in taken]
    below, outside = rest[:BELOW], rest[BELOW:]
    explored: list[Match] = []
    if chosen and profile.explore:
        matched = {match.work_id for match in matches}
        explored = _unmatched(candidates, matched, works, profile, seed) or _outside(outside, works, threshold, seed)
    roles = [(ItemRole.CHOSEN, chosen), (ItemRole.EXPLORE, explored), (ItemRole.BELOW, below)]
    return Selection(tuple(Selected(match, role, kept.also(match.work_id)) for role, several in roles for match in several))


def trending(
    works: Iterable[Work], *, max_items: int, vectors: Vectors | None = None, issued: Mapping[WorkId, datetime] | None = None
) -> Selection:
    """The issue of a reader who named no interest: by upvotes where known, then by how many sources carry a work, then by its place on
    the page, then the newest. Nothing in it is a judgement of taste, so strengths are 0."""
    gone = issued or {}
    by_id = {work.id: work for work in works if not work.withdrawn and (work.id not in gone or may_return(work, gone[work.id]))}
    ranked = sorted(by_id.values(), key=_popularity)
    kept = _Distinct(by_id, vectors or {})
    reason = Reason(kind=ReasonKind.TRENDING)
    matches = [Match(work_id=work.id, score=1 / place, strength=0.0, reason=reason) for place, work in enumerate(ranked, 1)]
    chosen: list[Match] = []
    for match in matches:  # beyond the cap only near-duplicates of what is shown are of interest, and those rank beside it
        if len(chosen) == max_items:
            break
        if kept.add(match):
            chosen.append(match)
    return Selection(tuple(Selected(match, ItemRole.CHOSEN, kept.also(match.work_id)) for match in chosen))


def _popularity(work: Work) -> tuple[float, ...]:
    positions = [mention.position for mention in work.mentions if mention.position is not None]
    return (-(work.upvotes or 0), -len(_source_names(work)), min(positions, default=1_000), -work.first_seen_at.timestamp(), work.id)


def _source_names(work: Work) -> list[str]:
    return list(dict.fromkeys(mention.source_name for mention in work.mentions))


@dataclass(slots=True)
class _Distinct:
    """The works shown so far, and what each of them stands for."""

    works: Mapping[WorkId, Work]
    vectors: Vectors
    shown: list[WorkId] = field(default_factory=list)
    twins: dict[WorkId, list[WorkId]] = field(default_factory=dict)

    def add(self, match: Match) -> bool:
        """True when the work says something new; else it is remembered as a twin of the one that came before it."""
        twin = self._twin(match.work_id)
        if twin is None:
            self.shown.append(match.work_id)
        else:
            self.twins.setdefault(twin, []).append(match.work_id)
        return twin is None

    def _twin(self, work_id: WorkId) -> WorkId | None:
        vector = self.vectors.get(work_id)
        others = [other for other in self.shown if other == work_id or other in self.vectors]
        if work_id in others or vector is None or not others:
            return work_id if work_id in others else None
        nearness = np.stack([self.vectors[other] for other in others]) @ vector
        nearest = int(np.argmax(nearness))
        return others[nearest] if nearness[nearest] >= NEAR_DUPLICATE else None

    def also(self, work_id: WorkId) -> tuple[str, ...]:
        twins = [self.works[twin].title for twin in self.twins.get(work_id, []) if twin != work_id]
        return (*_source_names(self.works[work_id])[1:], *(f"“{title}”" for title in twins))


def _interest(match: Match) -> tuple[str, str]:
    """What an item stands under in an issue: an interest by its words; all that is near to liked works together."""
    kind = match.reason.kind
    return (kind, "" if kind is ReasonKind.LIKED else match.reason.text)


def _grouped(matches: Iterable[Match]) -> dict[tuple[str, str], list[Match]]:
    groups: dict[tuple[str, str], list[Match]] = {}
    for match in matches:
        groups.setdefault(_interest(match), []).append(match)
    return groups


def _fair(good: Sequence[Match], most: int) -> list[Match]:
    """At most `most`, must words first, then an equal share for every interest, then whatever is best; in the order given."""
    must = [match for match in good if match.reason.kind is ReasonKind.MUST]
    groups = _grouped(match for match in good if match.reason.kind is not ReasonKind.MUST)
    share = max(1, (most - len(must)) // max(1, len(groups)))
    shares = [match for place in range(share) for group in groups.values() for match in group[place : place + 1]]
    taken = {match.work_id for match in [*must, *shares, *good][:most]}
    if len(must) + len(shares) < most:
        firm = {match.work_id for match in [*must, *shares]}
        spare = [match.work_id for match in good if match.work_id not in firm][: most - len(firm)]
        taken = firm | set(spare)
    return [match for match in good if match.work_id in taken]


def _arranged(chosen: Sequence[Match]) -> list[Match]:
    """The best of each of the first interests opens the issue; then follow the interests in turn, that of the last opener first, so that
    what belongs together stands together."""
    groups = list(_grouped(chosen).values())
    openers = groups[:FRONT]
    front = [group[0] for group in openers]
    turns = [*openers[-1:], *openers[:-1], *groups[FRONT:]]
    return front + [match for group in turns for match in (group[1:] if group in openers else group)]


def _outside(rest: Sequence[Match], works: Mapping[WorkId, Work], threshold: float, seed: int) -> list[Match]:
    """One item from outside the profile: by lot among the better known of those that fit least."""
    weak = [match for match in rest if match.strength < threshold]
    far = weak[len(weak) // 2 :]
    known = sorted(far, key=lambda match: _popularity(works[match.work_id]))[: max(3, len(far) // 3)]
    lots = sorted(known, key=lambda match: hashlib.blake2b(f"{seed} {match.work_id}".encode(), digest_size=8).digest())
    return [replace(match, reason=Reason(kind=ReasonKind.EXPLORE, sentence=match.reason.sentence)) for match in lots[:1]]


def _unmatched(
    candidates: Sequence[WorkId], matched: set[WorkId], works: Mapping[WorkId, Work], profile: Profile, seed: int
) -> list[Match]:
    """The best known of a few works that did not even come near the profile; by lot, at a cost that does not grow with the day."""
    count, few = len(candidates), []
    for place in range(min(count, 4 * _LOT + len(matched))):
        work = works.get(candidates[(seed + place) % count])
        if work is not None and work.id not in matched and not _unwelcome(work, profile):
            few.append(work)
        if len(few) == _LOT:
            break
    best = sorted(few, key=_popularity)[:1]
    return [Match(work_id=work.id, score=0.0, strength=0.0, reason=Reason(kind=ReasonKind.EXPLORE)) for work in best]


def _unwelcome(work: Work, profile: Profile) -> bool:
    """Whether the work's words are those of something the reader avoids or never wants."""
    text = " ".join((work.title, work.abstract, *work.authors)).casefold()
    phrases = [phrase.casefold() for phrase in (*profile.avoid, *profile.never)]
    return any(phrase in text or all(word in text for word in phrase.split()) for phrase in phrases)
