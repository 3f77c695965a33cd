"""Collect: ask every source that is due, read what it gives, and remember each entry with the work it belongs to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from paperround.errors import FetchError, ParseError
from paperround.models import Entry, Fetched, ParsedFeed, Source
from paperround.pipeline.interfaces import Fetcher, Storage
from paperround.sources import identity, polling, recognition, shortcuts


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOutcome:
    """What one source brought; `error` None when it was read."""

    source: str
    location: str
    entries: int = 0
    new_entries: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    outcomes: tuple[SourceOutcome, ...]

    @property
    def fetched(self) -> int:
        return sum(outcome.error is None for outcome in self.outcomes)

    @property
    def new_entries(self) -> int:
        return sum(outcome.new_entries for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[SourceOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.error)


async def collect(
    storage: Storage,
    fetcher: Fetcher,
    *,
    now: datetime,
    rules: polling.PollingRules,
    sources: Sequence[Source] | None = None,
    at_once: int = 16,
) -> Collected:
    """Poll the sources that are due (or the given ones), at most `at_once` side by side; one bad source never stops the others."""
    due = list(sources) if sources is not None else await storage.due_sources(now)
    gate = asyncio.Semaphore(at_once)

    async def one(source: Source) -> SourceOutcome:
        async with gate:
            return await collect_source(storage, fetcher, source, now=now, rules=rules)

    # It waits for each, also when stopped: one left behind would hold its connection while storage closes.
    outcomes: list[SourceOutcome] = []
    for outcome in await asyncio.gather(*map(one, due), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        outcomes.append(outcome)
    return Collected(outcomes=tuple(outcomes))


async def collect_source(
    storage: Storage, fetcher: Fetcher, source: Source, *, now: datetime, rules: polling.PollingRules
) -> SourceOutcome:
    """Poll one source. The poll is stored whatever it came to, so that a restart asks nothing early."""
    jitter = Random(f"{source.id} {now.timestamp()}").random()  # noqa: S311 - spreads polls, guards nothing
    try:
        location = shortcuts.dated(source.location, now)
        fetched = await fetcher.fetch(location, etag=source.etag, last_modified=source.last_modified)
        feed = await asyncio.to_thread(read, source, fetched, now)
    except (FetchError, ParseError) as error:
        poll = polling.after_failure(source, error, now=now, rules=rules, jitter=jitter)
        await storage.save_poll(source.id, poll)
        return SourceOutcome(source=source.name, location=source.location, error=str(error))
    entries = feed.entries if feed else ()
    new = await record(storage, source, entries, now)
    poll = polling.after_success(source, fetched, feed, new_entries=new, now=now, rules=rules, jitter=jitter)
    await storage.save_poll(source.id, poll)
    return SourceOutcome(source=source.name, location=source.location, entries=len(entries), new_entries=new, error=poll.error)


def read(source: Source, fetched: Fetched, now: datetime) -> ParsedFeed | None:
    """The entries of an answer; None when there is nothing to read (304, 410). Raises ParseError."""
    if fetched.status in (304, 410):
        return None
    return recognition.read_source(fetched.body, url=fetched.url, kind=source.kind, headers=fetched.headers, now=now, as_of=source.as_of)


async def record(storage: Storage, source: Source, entries: Sequence[Entry], now: datetime) -> int:
    """Remember the entries; says how many the source had not carried before. Of a feed's first poll only the newest `backlog` count as new
    to readers: the rest stood there before us."""
    new = len(entries) if source.last_success_at or source.backlog is None else source.backlog
    results = [
        await storage.record_entries(
            source, part, seen_at=now, place=identity.place, keys=identity.keys_of, material_change=identity.material_change, quiet=quiet
        )
        for part, quiet in ((entries[new:], True), (entries[:new], False))
        if part
    ]
    return sum(results)
