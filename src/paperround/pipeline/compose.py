"""Compose: decide the issue of every subscriber who is due, and record it together with its delivery before anything is sent."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from paperround.digests import due_dates, exploration, selection, source_notes
from paperround.matching import profile_vectors, reasons, scoring
from paperround.matching.background import Background
from paperround.models import (
    Channel,
    Digest,
    DigestId,
    DigestItem,
    ItemRole,
    MailKind,
    Match,
    Source,
    Subscriber,
    SubscriberId,
    Work,
    WorkId,
)
from paperround.pipeline.interfaces import Storage
from paperround.pipeline.readers import Shelf, load_background, load_readers
from paperround.records import NewDelivery, NewDigest

BATCH = 250  # subscribers decided and recorded together: twice as many take 50 MB more and save a thirtieth of the time
# How many days back pools of works reach: as far as daily, weekday, weekly and monthly readers look, and a little more.
WINDOWS = (1.25, 3.25, 7.25, 14.25, 31.25)
CANDIDATES_PER_ITEM = 6  # matches handed to selection for each item of an issue: room for duplicates and fairness


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeRules:
    """What composing needs of the configuration."""

    model: str  # whose vectors are used
    message_domain: str  # right side of Message-IDs
    automatic_threshold: float
    any_age: bool = False  # also works published long before they were seen (decision 2 has 30 days)


@dataclass(slots=True, kw_only=True)
class Composed:
    """Counts of one run. An issue is skipped when its day was empty and the reader asked for silence then."""

    due: int = 0
    digests: int = 0
    skipped: int = 0
    recorded: list[Digest] = field(default_factory=list)  # only when asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The works that are new to somebody who looks so far back, and their vectors; loaded once a run."""

    works: dict[WorkId, Work]
    block: scoring.WorkBlock
    seen: NDArray[np.float64]  # when first seen (or last changed), as timestamps
    sources: tuple[frozenset[str], ...]  # names and tags that carried each
    background: Background
    regions: exploration.Regions | None  # None where there is no work
    shelf: Shelf
    troubled: tuple[Source, ...] = ()  # those that an issue has to admit something of

    @property
    def vectors(self) -> dict[WorkId, NDArray[np.float32]]:
        return dict(zip(self.block.ids, self.block.vectors, strict=True))


async def load_pool(storage: Storage, rules: ComposeRules, shelf: Shelf, *, since: datetime, now: datetime) -> Pool:
    """Every work first seen or materially changed after `since`, embedded, published at most 30 days before it was seen."""
    found = {work.id: work for work in await storage.works_seen(since, now) if rules.any_age or selection.fresh(work)}
    ids, vectors = await storage.work_vectors(rules.model, list(found))
    works = {work_id: found[work_id] for work_id in ids}
    sources = await storage.sources()
    tags = {source.id: frozenset((source.name, *source.tags)) for source in sources}
    return Pool(
        works=works,
        block=scoring.WorkBlock.of(list(works.values()), vectors),
        seen=np.array([max(work.first_seen_at, work.changed_at or work.first_seen_at).timestamp() for work in works.values()]),
        sources=tuple(
            frozenset().union(*(tags.get(mention.source_id, frozenset({mention.source_name})) for mention in work.mentions))
            for work in works.values()
        ),
        regions=exploration.Regions.of(ids, vectors) if ids else None,
        background=await load_background(storage, rules.model, vectors.shape[1] if len(ids) else 0),
        shelf=shelf,
        troubled=source_notes.troubled(sources, now),
    )


def window_of(since: datetime, now: datetime) -> float:
    """How many days back the pool of a reader goes who looks back to `since`. It hangs on nobody else's, so that shards agree."""
    days = (now - since) / timedelta(days=1)
    window = next((each for each in WINDOWS if each >= days), WINDOWS[-1])
    while window < days:
        window *= 2
    return window


class Pools:
    """The pools of one run."""

    def __init__(self, storage: Storage, rules: ComposeRules, now: datetime) -> None:
        self.storage, self.rules, self.now, self.shelf = storage, rules, now, Shelf(storage, rules.model)
        self._ready: dict[float, Pool] = {}

    async def of(self, days: float) -> Pool:
        if days not in self._ready:
            self._ready[days] = await load_pool(self.storage, self.rules, self.shelf, since=self.now - timedelta(days=days), now=self.now)
        return self._ready[days]


async def compose(
    storage: Storage,
    rules: ComposeRules,
    *,
    now: datetime,
    first: SubscriberId | None = None,
    last: SubscriberId | None = None,
    keep: bool = False,
) -> Composed:
    """Decide and record the issues of all who are due at `now`, in batches; a batch is one transaction.

    `first` and `last`: only of the subscribers from and to these ids; shards together give what one run gives, and may be run twice."""
    result, pools = Composed(), Pools(storage, rules, now)
    after = SubscriberId(first - 1) if first is not None else None
    while subscribers := await storage.due_subscribers(now, after=after, limit=BATCH, last=last):
        after = subscribers[-1].id
        by_window: dict[float, list[Subscriber]] = {}
        for subscriber in subscribers:
            by_window.setdefault(window_of(selection.since_for(subscriber, now), now), []).append(subscriber)
        decided = [each for days, some in by_window.items() for each in await decide(storage, rules, await pools.of(days), some, now=now)]
        recorded = await storage.record_digests(sorted(decided, key=lambda each: each.digest.subscriber_id))
        silent = {subscriber.id for subscriber in subscribers if subscriber.profile.empty == "skip"}
        skipped = sum(digest.empty and digest.subscriber_id in silent for digest in recorded)
        result.due += len(subscribers)
        result.skipped += skipped
        result.digests += len(recorded) - skipped
        if keep:
            result.recorded += recorded
    return result


async def decide(
    storage: Storage,
    rules: ComposeRules,
    pool: Pool,
    subscribers: Sequence[Subscriber],
    *,
    now: datetime,
    since: datetime | None = None,
) -> list[NewDigest]:
    """The issues of these subscribers, decided and not yet recorded. `since` overrides each one's own window (previews)."""
    readers = await load_readers(storage, rules.model, subscribers, pool.background, now=now, shelf=pool.shelf)
    issued = await storage.issued_works([each.id for each in subscribers], among=known_before(pool, subscribers))
    windows = [since or selection.since_for(subscriber, now) for subscriber in subscribers]
    allowed = allowed_works(pool, subscribers, windows, issued)
    matches = scoring.match_profiles(
        readers,
        pool.block,
        pool.background,
        allowed=allowed,
        top=[CANDIDATES_PER_ITEM * each.profile.max_items + 10 for each in subscribers],
        brief=scoring.Brief([selection.threshold(each.profile, rules.automatic_threshold) for each in subscribers], selection.LOOKED_AT),
    )
    vectors = pool.vectors
    chosen = [
        choose(rules, pool, vectors, subscriber, readers[row], found, allowed[row], seed=seed_of(subscriber, now))
        for row, (subscriber, found) in enumerate(zip(subscribers, matches, strict=True))
    ]
    shown = sorted({item.match.work_id for each in chosen for item in each.items if item.role is not ItemRole.BELOW})
    sentences = await storage.sentence_vectors(rules.model, shown)
    decided = []
    for row, (subscriber, picked) in enumerate(zip(subscribers, chosen, strict=True)):
        items = numbered(pool, picked, readers[row], sentences)
        digest = issue(
            subscriber, items, since=windows[row], now=now, candidates=int(allowed[row].sum()), trending=not readers[row].has_interests
        )
        digest = replace(digest, notes=notes(pool, subscriber, now)) if pool.troubled else digest
        decided.append(planned(rules, storage.instance_id, subscriber, digest, now=now))
    return decided


def known_before(pool: Pool, subscribers: Sequence[Subscriber]) -> list[WorkId]:
    """The works of the pool that an earlier issue of one of these can have held: those that some source had carried by its cutoff. Nearly
    always none, and nobody has to look through a year of issues."""
    latest = max((each.last_cutoff for each in subscribers if each.last_cutoff), default=None)
    return [work.id for work in pool.works.values() if latest and min((each.seen_at for each in work.mentions), default=latest) <= latest]


def allowed_works(
    pool: Pool,
    subscribers: Sequence[Subscriber],
    windows: Sequence[datetime],
    issued: Mapping[SubscriberId, Mapping[WorkId, datetime]],
) -> NDArray[np.bool_]:
    """(subscribers, works): first seen in the reader's window, never in an issue of theirs, from a source they take (decision 2)."""
    position = {work_id: column for column, work_id in enumerate(pool.block.ids)}
    by_sources: dict[tuple[str, ...], NDArray[np.bool_]] = {}
    allowed = pool.seen[None, :] > np.array([window.timestamp() for window in windows])[:, None]
    for row, subscriber in enumerate(subscribers):
        wanted = subscriber.profile.sources
        if wanted:
            if wanted not in by_sources:
                by_sources[wanted] = np.array([not names.isdisjoint(wanted) for names in pool.sources], dtype=bool)
            allowed[row] &= by_sources[wanted]
        for work_id, when in issued.get(subscriber.id, {}).items():
            column = position.get(work_id)
            if column is not None and not selection.may_return(pool.works[work_id], when):
                allowed[row, column] = False
    return allowed


def choose(
    rules: ComposeRules,
    pool: Pool,
    vectors: Mapping[WorkId, NDArray[np.float32]],
    subscriber: Subscriber,
    reader: profile_vectors.ProfileVectors,
    matches: Sequence[Match],
    allowed: NDArray[np.bool_],
    *,
    seed: int,
) -> selection.Selection:
    """The items of one issue: by the profile, or what trends where there is none."""
    if not reader.has_interests:
        candidates = [pool.works[work_id] for work_id, may in zip(pool.block.ids, allowed, strict=True) if may]
        return selection.trending(candidates, vectors=vectors, max_items=subscriber.profile.max_items)
    return selection.select(
        matches,
        works=pool.works,
        vectors=vectors,
        profile=subscriber.profile,
        automatic_threshold=rules.automatic_threshold,
        seed=seed,
        outside=exploration.Outside(pool.regions, allowed, reader.likes, reader.dislikes) if pool.regions else None,
    )


def seed_of(subscriber: Subscriber, now: datetime) -> int:
    """Chance that is the same when an issue is decided twice."""
    return int.from_bytes(
        hashlib.blake2b(f"{subscriber.public_id} {subscriber.next_due_at or now}".encode(), digest_size=8).digest(), "big"
    )


def numbered(
    pool: Pool,
    picked: selection.Selection,
    reader: profile_vectors.ProfileVectors,
    sentences: Mapping[WorkId, tuple[tuple[str, ...], NDArray[np.float32]]],
) -> tuple[DigestItem, ...]:
    """The selection as items with numbers, and with the sentences that matter for this reader."""
    items, number = [], 0
    for each in picked.items:
        work, reason = pool.works[each.match.work_id], each.match.reason
        excerpt: tuple[str, ...] = ()
        best: int | None = None
        if each.role is not ItemRole.BELOW:
            number += 1
            if work.id in sentences:
                excerpt, best = reasons.excerpt(each.match, reader, *sentences[work.id])
                reason = replace(reason, sentence=excerpt[best] if best is not None else None)
        items.append(
            DigestItem(
                work=work,
                role=each.role,
                number=0 if each.role is ItemRole.BELOW else number,
                score=each.match.score,
                strength=each.match.strength,
                reason=reason,
                excerpt=excerpt,
                best=best,
                also=each.also,
            )
        )
    return tuple(items)


def issue(
    subscriber: Subscriber, items: tuple[DigestItem, ...], *, since: datetime, now: datetime, candidates: int, trending: bool
) -> Digest:
    due_at = subscriber.next_due_at or now
    return Digest(
        id=DigestId(0),
        subscriber_id=subscriber.id,
        period=due_dates.period_of(due_at, subscriber.profile.timezone),
        number=subscriber.issues + 1,
        due_at=due_at,
        since=since,
        cutoff=now,
        created_at=now,
        candidates=candidates,
        items=items,
        kind="trending" if trending else "matched",
    )


def notes(pool: Pool, subscriber: Subscriber, now: datetime) -> tuple[str, ...]:
    """What the issue admits of the sources that this subscriber takes."""
    profile = subscriber.profile
    taken = [each for each in pool.troubled if not profile.sources or not {each.name, *each.tags}.isdisjoint(profile.sources)]
    return source_notes.source_notes(taken, now=now, timezone=profile.timezone, language=profile.language)


def planned(rules: ComposeRules, instance_id: str, subscriber: Subscriber, digest: Digest, *, now: datetime) -> NewDigest:
    """The issue with its delivery, if it gets one, and the time of the next."""
    profile = subscriber.profile
    mailed = subscriber.may_be_mailed and Channel.EMAIL in profile.channels and not skips(digest, subscriber)
    delivery = None
    if mailed and subscriber.email:
        delivery = NewDelivery(
            kind=MailKind.ISSUE,
            subscriber_id=subscriber.id,
            recipient=subscriber.email,
            message_id=message_id(instance_id, subscriber, digest.period, rules.message_domain),
            values={},
        )
    return NewDigest(
        digest=digest,
        delivery=delivery,
        next_due_at=due_dates.next_after_issue(profile.schedule, profile.timezone, digest.due_at, now),
    )


def skips(digest: Digest, subscriber: Subscriber) -> bool:
    """Whether this issue is recorded without a mail: nothing fits, and the reader asked for silence then."""
    return digest.empty and subscriber.profile.empty == "skip"


def message_id(instance_id: str, subscriber: Subscriber, period: date, domain: str) -> str:
    """Derived, so that every try of a delivery carries the same one (RFC 5322 section 3.6.4)."""
    name = hashlib.sha256(f"{instance_id} {subscriber.public_id} {period}".encode()).hexdigest()[:32]
    return f"{name}@{domain}"


async def preview(storage: Storage, rules: ComposeRules, subscriber: Subscriber, *, now: datetime, days: float | None = None) -> Digest:
    """The next issue of one subscriber as it would be now; nothing is recorded."""
    since = now - timedelta(days=days) if days is not None else selection.since_for(subscriber, now)
    pool = await Pools(storage, rules, now).of(window_of(since, now))
    (decided,) = await decide(storage, rules, pool, [subscriber], now=now, since=since)
    return decided.digest
