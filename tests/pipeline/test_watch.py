"""The administrator is told once of each matter, at most once a day, and weekly of the sources."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from paperround.digests.mail_content import render_short
from paperround.digests.template_loader import TemplateLoader
from paperround.models import DeliveryState, ListIdentity, Source, SourceId, SourceKind
from paperround.operation.alerts import RULES
from paperround.pipeline.watch import Watch
from paperround.records import Poll, Run
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.testing import FixedClock

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


@dataclass
class Post:
    """An installation with a source, and what its administrator got."""

    storage: SqlStorage
    clock: FixedClock
    watch: Watch

    async def fault(self, step: str) -> None:
        await self.storage.record_run(Run(step=step, at=self.clock.now(), seconds=1.0, count=0, fault="no"))

    async def mails(self) -> list[dict[str, Any]]:
        rows = await self.storage.db.rows(text('SELECT "values" FROM deliveries ORDER BY id'))
        return [json.loads(row[0]) for row in rows]

    async def subjects(self) -> list[str]:
        return [mail["subject"] for mail in await self.mails()]

    async def hours(self, count: int, *faulty: str) -> None:
        """That many hours, with a look each and those steps failing all the while."""
        for _ in range(count):
            for step in faulty:
                await self.fault(step)
            await self.watch.tick()
            await self.storage.db.write(text("UPDATE deliveries SET state = 'sent'"))
            self.clock.advance(hours=1)


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    storage, clock = await open_storage(f"sqlite:///{tmp_path}/p.db"), FixedClock(NOW)
    await storage.add_source(Source(id=SourceId(0), location="/a", kind=SourceKind.FEED, name="A", added_at=NOW - timedelta(days=60)))
    (source,) = await storage.sources()
    await storage.save_poll(source.id, Poll(at=NOW, ok=True, next_poll_at=None))
    yield Post(storage, clock, Watch(storage=storage, clock=clock, model="m", judgement=RULES, admin="root@example.org", domain="e.org"))
    await storage.close()


async def test_a_matter_is_told_once_and_again_after_a_week(post: Post) -> None:
    await post.hours(7 * 24, "deliver")
    assert len([subject for subject in await post.subjects() if "deliver" in subject]) == 1
    await post.hours(1, "deliver")
    assert len([subject for subject in await post.subjects() if "deliver" in subject]) == 2


async def test_what_was_over_and_comes_back_is_told_again(post: Post) -> None:
    await post.hours(1, "deliver")
    await post.hours(48)
    assert set(await post.storage.matters()) == {"mail:daily", "mail:weekly"}
    await post.hours(1, "deliver")
    assert len(await post.mails()) == 2


async def test_one_mail_a_day_collects_what_is_new_and_names_what_still_stands(post: Post) -> None:
    await post.hours(1, "deliver")
    await post.hours(23, "deliver", "embed", "compose")
    assert len(await post.mails()) == 1
    await post.hours(1, "deliver", "embed", "compose")
    second = (await post.mails())[1]
    assert second["subject"] == "Paperround needs you: 2 matters"
    assert [heading for heading, _, _ in second["groups"]] == ["Steps that were stopped", "Told before, and still so"]


async def test_two_processes_that_look_at_once_tell_once(post: Post) -> None:
    await post.fault("deliver")
    other = replace(post.watch, clock=FixedClock(NOW + timedelta(seconds=1)))
    told = await asyncio.gather(post.watch.tick(), other.tick())
    assert len(list(filter(None, told))) == 1
    assert await post.storage.count_deliveries() == {DeliveryState.QUEUED: 1}


async def test_every_week_the_sources_are_told_of(post: Post) -> None:
    await post.hours(15 * 24)
    assert await post.subjects() == ["Paperround's sources this week: all sources are well"] * 2


async def test_without_an_address_it_is_said_to_whoever_ticks_and_remembered(post: Post) -> None:
    silent = replace(post.watch, admin=None)
    await post.fault("deliver")
    assert "deliver was stopped" in str(await silent.tick())
    assert await silent.tick() is None
    assert await post.storage.count_deliveries() == {}


async def test_the_mail_is_readable_in_both_its_parts(post: Post) -> None:
    await post.hours(1, "deliver", "embed")
    (values,) = await post.mails()
    templates = TemplateLoader([Path(__file__).parents[2] / "templates"]).load()
    content = render_short(templates, "notice", values, ListIdentity(), "en")
    for part in (content.html, content.text):
        assert part.count("stopped once in a day by: no") == 2
        assert "paperround doctor" in part
