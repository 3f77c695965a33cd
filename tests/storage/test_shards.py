"""Composing in shards, on both databases: together they give what one run gives, and a shard that is run twice changes nothing."""

import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import case, delete, select, update

from paperround.matching.scoring import AUTOMATIC_THRESHOLD
from paperround.models import SubscriberId
from paperround.pipeline.compose import ComposeRules, compose
from paperround.storage.schema import deliveries, digests, subscribers
from paperround.storage.sql_storage import SqlStorage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import population

READERS, SHARD = 60, 13
RULES = ComposeRules(model=population.embedder().model, message_domain="example.org", automatic_threshold=AUTOMATIC_THRESHOLD)


@pytest.fixture
async def peopled(url: str, storage: SqlStorage) -> SqlStorage:
    await population.build(url, READERS, earlier=250, day=60)
    return storage


async def issues(storage: SqlStorage) -> tuple[list[Any], list[float]]:
    """All of everybody's latest issue, and its figures by themselves: products of matrices of another size differ in the last digits."""
    whole, figures = [], []
    for number in range(1, READERS + 1):
        (each,) = await storage.digests_of(SubscriberId(number), limit=5)
        items = [
            (item.work.id, item.role, item.number, item.reason.text, item.reason.sentence, item.excerpt, item.also) for item in each.items
        ]
        whole.append((number, each.period, each.number, each.since, each.candidates, each.kind, items))
        figures += [figure for item in each.items for figure in (item.score, item.strength, item.reason.share)]
    return whole, figures


async def forget_issues(storage: SqlStorage) -> None:
    """As if the latest issue of each had never been."""
    row = subscribers.c
    cutoff = select(digests.c.since).where(digests.c.subscriber_id == row.id).scalar_subquery()
    values = {"next_due_at": population.DUE, "issues": row.issues - 1, "last_cutoff": case((row.issues > 1, cutoff), else_=None)}
    async with storage.db.writing() as connection:
        await connection.execute(update(subscribers).values(**values))
        await connection.execute(delete(deliveries))
        await connection.execute(delete(digests))


async def test_shards_give_together_what_one_run_gives(peopled: SqlStorage) -> None:
    shards = await peopled.due_shards(population.NOW, SHARD)
    assert len(shards) == 5
    parts = [await compose(peopled, RULES, now=population.NOW, first=first, last=last) for first, last in reversed(shards)]
    assert sorted(part.due for part in parts) == [8, 13, 13, 13, 13]
    in_shards, figures = await issues(peopled)
    await forget_issues(peopled)
    assert (await compose(peopled, RULES, now=population.NOW)).due == READERS
    at_once, same = await issues(peopled)
    assert at_once == in_shards
    assert same == pytest.approx(figures, abs=1e-3)
    assert len(figures) > 3 * 3 * READERS


async def test_a_shard_that_is_composed_again_changes_nothing(peopled: SqlStorage) -> None:
    ((first, last), *_) = await peopled.due_shards(population.NOW, SHARD)
    assert (await compose(peopled, RULES, now=population.NOW, first=first, last=last)).due == SHARD
    assert (await compose(peopled, RULES, now=population.NOW, first=first, last=last)).due == 0
    assert sum((await peopled.count_deliveries()).values()) <= SHARD
    assert len(await peopled.due_subscribers(population.NOW, after=None, limit=READERS)) == READERS - SHARD
