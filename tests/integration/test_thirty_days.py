"""Thirty days of the scheduler's ticks on a clock of our own: every issue once, nothing grows, and what was planted is told, no more."""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from paperround import serving
from paperround.config import load_settings
from paperround.delivery.pacing import Lanes, PaceRules
from paperround.digests import due_dates
from paperround.errors import EmbeddingError, FetchError
from paperround.models import (
    ConsentEvent,
    ConsentState,
    Envelope,
    Fetched,
    Interest,
    Profile,
    SendResult,
    SmtpPhase,
    Source,
    SourceId,
    SourceKind,
)
from paperround.operation.alerts import RULES
from paperround.pipeline.messages import Letter
from paperround.pipeline.watch import Finding
from paperround.scheduler import tick_once
from paperround.testing import FixedClock, HashingEmbedder
from paperround.wiring import Parts, open_parts

START, DAY, HOUR = datetime(2026, 3, 2, 0, 30, tzinfo=UTC), timedelta(days=1), timedelta(hours=1)  # a Monday; both summer times begin in it
STEP, EVERY = 2, {"prune": 12, "pauses": 12}  # hours between two ticks: of all, and of some
READERS, SOURCES, DAYS = 500, 40, 30
ADMIN = "root@example.org"
CONFIG = f"""
embedding.model = "hashing"
list.admin_address = "{ADMIN}"
polling.interval = "6h"
delivery.connections = 16
[retention]
entries = "8d"
sentences = "8d"
mails = "8d"
"""
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "America/Los_Angeles")
SCHEDULES = ("weekdays 07:30", "weekly monday 07:30", "daily 07:30", "weekly fri 17:30", "monthly 31 07:30")
TOPICS = ("robots and gestures", "weather forecasts in words", "token pruning", "speculative decoding", "protein folding")
LATER = SendResult(accepted=False, phase=SmtpPhase.RCPT, code=450, reply="450 later")
ANSWERS = {  # what happens to whose mail from which day on, and for how many
    "r0@d0.example.org": (8, 1, SendResult(accepted=False, phase=SmtpPhase.RCPT, code=550, enhanced="5.1.1", reply="no such user")),
    "r2@d2.example.org": (10, 6, LATER),
    "r4@d4.example.org": (11, 1, SendResult(accepted=False, phase=SmtpPhase.DOT, reply="connection lost")),
}
SILENT = 22  # a Tuesday on which no site publishes anything
REFUSED = SendResult(accepted=False, phase=SmtpPhase.AUTH, code=535, reply="535 who are you?")


@dataclass
class World:
    """What stands outside: the clock, sites, a relay, a model; and everything that goes wrong there, by day."""

    clock: FixedClock = field(default_factory=lambda: FixedClock(START))
    sent: list[Envelope] = field(default_factory=list)
    polls: int = 0

    def day(self) -> float:
        return (self.clock.now() - START) / DAY

    def within(self, first: float, last: float) -> bool:
        return first <= self.day() < last

    async def fetch(self, location: str, *, etag: str | None = None, last_modified: str | None = None) -> Fetched:
        number, self.polls = int(location.rpartition("/")[2]), self.polls + 1
        if number == 0 and self.day() >= 9:
            raise FetchError("gone", status=410)
        if (number == 1 and self.day() >= 4.6) or (number == 5 and self.within(7, 7.3)):
            raise FetchError("the server answered 503", status=503)
        if number == 3 and self.within(12, 14):
            return Fetched(status=200, url=location, body=b"<html>Under construction</html>")
        last = int(min(self.day(), 17.9 if number == 2 else self.day()))
        day = max(day for day in range(last + 1) if day % 7 < 5 and day != SILENT)
        if etag == f'"{day}"':
            return Fetched(status=304, url=location)
        item = f"<item><title>{title(number, day)}</title><link>https://e.org/{number}/{day}</link></item>"
        rss = f"<rss version='2.0'><channel><title>s{number}</title>{item}</channel></rss>"
        return Fetched(status=200, url=location, body=rss.encode(), headers={"etag": f'"{day}"'})

    async def send(self, envelope: Envelope, *, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        if self.within(15.4, 15.6):
            return REFUSED
        if not await before_mail():
            return None
        since, span, answer = ANSWERS.get(envelope.recipient, (99, 0, LATER))
        if self.within(since, since + span):
            return answer
        self.sent.append(envelope)
        return SendResult(accepted=True, code=250)

    async def close(self) -> None:
        """Nothing is open."""


class Model(HashingEmbedder):
    """A model that cannot be loaded for some hours of one day."""

    def __init__(self, world: World) -> None:
        super().__init__(dimension=64)
        self.world = world

    async def embed(self, texts: Sequence[str], **options: Any) -> Any:
        if self.world.within(17.0, 17.3):
            raise EmbeddingError("the model cannot be loaded")
        return await super().embed(texts, **options)


def title(source: int, day: int) -> str:
    return f"{TOPICS[(source + day) % len(TOPICS)]}, study {source * 100 + day} of site {source}"


@asynccontextmanager
async def installation(folder: Path, world: World) -> AsyncIterator[Parts]:
    """The real parts over a real database, with the world's clock, sites, relay and model."""
    (folder / "paperround.toml").write_text(CONFIG)
    async with open_parts(load_settings(folder / "paperround.toml", {}), keys=(b"k" * 32,)) as parts:
        steps = parts.steps
        steps.clock = steps.wall = parts.actions.clock = world.clock
        steps._lanes = Lanes(PaceRules(most_refusals=10**6))  # their rests are by the machine's clock
        steps.fetcher, steps.open_transport, steps.embedder = world, lambda: world, Model(world)
        steps.rules = replace(steps.rules, compose=replace(steps.rules.compose, model=steps.embedder.model))
        parts.messages.envelope = written  # type: ignore[method-assign]  # what a mail looks like is tried elsewhere
        yield replace(parts, clock=world.clock, watch=replace(parts.watch, clock=world.clock, model=steps.embedder.model))


def written(letter: Letter, now: datetime) -> Envelope:
    delivery = letter.delivery
    message = json.dumps(dict(delivery.values)).encode()
    return Envelope(sender="paper@example.org", recipient=delivery.recipient, message=message, message_id=delivery.message_id)


async def people_and_sites(parts: Parts) -> dict[int, tuple[str, Profile]]:
    for number in range(SOURCES):
        location = f"https://site{number}.example.org/{number}"
        new = Source(id=SourceId(0), location=location, kind=SourceKind.FEED, name=f"s{number}", added_at=START - DAY)
        await parts.storage.add_source(new)
    readers = {}
    for number in range(READERS):
        profile = Profile(
            timezone=ZONES[number % len(ZONES)],
            schedule=SCHEDULES[number // len(ZONES) % len(SCHEDULES)] if number > 5 else "daily 07:30",
            interests=(Interest(text=TOPICS[number % len(TOPICS)]),),
            min_score=0.0,
            max_items=3,
            explore=False,
        )
        reader = await parts.storage.add_subscriber(
            email=f"r{number}@d{number}.example.org",
            public_id=f"{number:032x}",
            profile=profile,
            event=ConsentEvent(at=START, kind="file", state=ConsentState.ACTIVE, way="file"),
            next_due_at=due_dates.next_due(profile.schedule, profile.timezone, START),
        )
        readers[int(reader.id)] = (reader.email or "", profile)
    return readers


async def live(parts: Parts, world: World, told: list[str], notes: list[tuple[int, int, int]]) -> None:
    """Tick by tick, hours at a time; on some days a ticker is lost, or the whole program is down."""

    def alert(new: Sequence[Finding], standing: Sequence[Finding]) -> Any:
        told.extend(each.key for each in new)
        return RULES.alert(new, standing)

    parts = replace(parts, watch=replace(parts.watch, judgement=replace(RULES, alert=alert)))
    lost = {"compose": (28.2, 28.9), "deliver": (21.4, 21.7)}  # tickers that do not tick for some hours
    table = [each for each in serving.tickers(parts, scheduler=True, delivery=True, inbox=False) if each.name != "profiles"]
    good, other = parts.steps.rules, replace(parts.steps.rules.compose, model="another model")
    for hour in range(0, DAYS * 24, STEP):
        parts.steps.rules = replace(good, compose=other) if world.within(24.28, 26.3) else good  # of which there are no vectors
        for ticker in table if not world.within(19.0, 19.25) else ():
            if hour % EVERY.get(ticker.name, STEP) == 0 and not world.within(*lost.get(ticker.name, (99, 99))):
                await tick_once(ticker)
        if world.within(27.0, 27.03):
            for number in range(2):
                await parts.actions.suppress(f"r{100 + number}@d{100 + number}.example.org", reason="complained", evidence="test")
        if hour % 24 == 24 - STEP:
            notes.append(held(parts))
        world.clock.advance(hours=STEP)


def held(parts: Parts) -> tuple[int, int, int]:
    """MB of memory, open files, and bytes of the database."""
    pages, files = int(Path("/proc/self/statm").read_text().split()[1]), len(list(Path("/proc/self/fd").iterdir()))
    return pages * os.sysconf("SC_PAGESIZE") // 2**20, files, Path(parts.settings.database.removeprefix("sqlite:///")).stat().st_size


def periods(profile: Profile) -> list[str]:
    """The dates on which somebody with this profile was due in all."""
    found, moment = [], START
    while (due := due_dates.next_due(profile.schedule, profile.timezone, moment)) and due <= START + DAYS * DAY - STEP * HOUR:
        found.append(str(due_dates.period_of(due, profile.timezone)))
        moment = due
    return found


# What was planted, by reader, source or step (numbers from 1), and how often it is told: what stands is told again after a week.
PLANTED = Counter(
    {
        "mail-failed:1": 1,  # no such user
        "mail-stuck:3": 1,  # a server that says later for six days …
        "mail-failed:3": 1,  # … and what had to be given up after four
        "mail-doubtful:5": 1,
        "step:deliver": 1,  # the relay refuses our login
        "step:embed": 1,
        "queue:mails": 1,  # delivery does not tick
        "no-issue:all": 1,  # composing does not
        "source-ended:1": 3,  # gone
        "source-failing:2": 2,  # 503 from day 4 on …
        "source-ended:2": 2,  # … until it is given up
        "source-failing:4": 1,  # no feed for two days
        "source-silent:3": 1,
        "nothing-new:all": 1,
        "empty-issues:all": 1,  # the model was changed, and nothing is embedded by the new one
        "complaints:worrying": 1,
    }
)


@pytest.mark.slow
async def test_thirty_days(tmp_path: Path) -> None:
    world, told, notes = World(), list[str](), list[tuple[int, int, int]]()
    async with installation(tmp_path, world) as parts:
        readers = await people_and_sites(parts)
        await live(parts, world, told, notes)
        made: dict[int, list[str]] = {number: [] for number in readers}
        for number, period in await rows(parts, "SELECT subscriber_id, period FROM digests ORDER BY period"):
            made[number].append(period)
        assert [number for number, (_, profile) in readers.items() if made[number] != periods(profile)] == []
        sent = Counter(envelope.message_id for envelope in world.sent)
        assert max(sent.values()) == 1
        assert await kept_too_long(parts) == [0, 0, 0]
    memory, files, sizes = zip(*notes, strict=True)
    assert len(set(files[1:])) == 1
    assert memory[-1] - memory[9] < 40
    assert sizes[-1] - sizes[19] < 1.3 * (sizes[19] - sizes[9]), "no faster than the issues that are kept"
    assert Counter(told) == PLANTED
    mails = [json.loads(each.message)["subject"] for each in world.sent if each.recipient == ADMIN]
    assert sum("this week" in subject for subject in mails) == 4
    assert 0 < len(mails) - 4 <= DAYS


async def kept_too_long(parts: Parts) -> list[int]:
    """Works in no issue, their vectors, and mails that are over, a day or more beyond what the retention says."""
    before = f"'{START + (DAYS - 9) * DAY:%Y-%m-%d}'"
    free = f"SELECT id FROM works WHERE first_seen_at < {before} AND id NOT IN (SELECT work_id FROM digest_items)"
    wanted = (
        f"SELECT count(*) FROM ({free})",
        f"SELECT count(*) FROM work_vectors WHERE work_id IN ({free})",
        f"SELECT count(*) FROM deliveries WHERE finished_at < {before} AND state <> 'in-doubt'",
    )
    return [(await rows(parts, query))[0][0] for query in wanted]


async def rows(parts: Parts, query: str) -> list[tuple[Any, ...]]:
    storage: Any = parts.storage
    return [tuple(row) for row in await storage.db.rows(text(query))]
