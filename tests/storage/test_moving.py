"""Everything moves from one database to another and is the same there, also when the move is killed on its way."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_rows import DAY, ENGINE, MODEL, NOW, add_reader, add_source, entry, queued, record
from sqlalchemy import select

from paperround.errors import StorageError
from paperround.models import DeliveryState, Vote
from paperround.records import Layer, WorkVectors
from paperround.storage.moving import MOVED, move_database
from paperround.storage.schema import sources
from paperround.storage.sql_storage import SqlStorage, open_storage

NewUrl = Callable[[str], Awaitable[str]]
SQLITE, POSTGRESQL = "sqlite", pytest.param("postgresql", marks=pytest.mark.database)


async def fill(storage: SqlStorage) -> None:
    """Rows in every table that a day of work fills."""
    (reader, *_), (mail, *_) = await queued(storage, 3)
    await storage.mark_sending([mail.id], NOW)
    wanted = await storage.works_to_embed(MODEL, limit=9)
    ones = np.ones(4, np.float16)
    vectors = [
        WorkVectors(work_id=each.work_id, content_hash=each.content_hash, vector=ones, sentences=("Ünïcode — 一",), sentence_vectors=ones)
        for each in wanted
    ]
    await storage.save_work_vectors(MODEL, vectors)
    await storage.save_text_vectors(MODEL, {"small robots": ones})
    await storage.save_background(MODEL, {"a": ones}, now=NOW)
    await storage.save_layers(reader.id, [Layer(layer="reader", key="interests", value=[["a", 0.1]], changed_at=NOW)])
    await storage.save_layers(reader.id, [Layer(layer="file", key="name", value=None, changed_at=NOW)])
    await storage.save_vote(reader.id, Vote(work_id=wanted[0].work_id, value=1, at=NOW, way="mail", title="T"))
    await storage.suppress("Z@example.org", reason="bounced", evidence="550", now=NOW)
    await storage.suppress("a-b@example.org", reason="bounced", evidence="550", now=NOW + timedelta(microseconds=3))


async def fill_up(storage: SqlStorage) -> None:
    await record(storage, await add_source(storage, "/b", "B"), [entry(number) for number in range(10, 1400)])


async def content(storage: SqlStorage) -> dict[str, list[tuple[Any, ...]]]:
    rows = {table.name: await storage.db.rows(select(table)) for table in MOVED}
    return {name: sorted(map(tuple, found), key=repr) for name, found in rows.items()} | {"instance": [(storage.instance_id,)]}


@pytest.mark.parametrize("target", [SQLITE, POSTGRESQL])
async def test_all_that_was_remembered_is_in_the_other_database_and_work_goes_on_there(url: str, target: str, new_url: NewUrl) -> None:
    old, place = await open_storage(url), await new_url(target)
    await fill(old)
    told: list[tuple[int, int]] = []
    counts = await move_database(url, place, lambda done, of_all: told.append((done, of_all)))
    assert told[-1][0] == told[-1][1] == 2 * sum(counts.values())
    new = await open_storage(place)
    assert await content(new) == await content(old)
    assert (counts["works"], counts["deliveries"]) == (3, 3)
    await add_reader(new, "another@example.org")
    assert (await record(new, await new.find_source("A"), [entry(99)])) == 1
    assert await new.claim(ENGINE, NOW, limit=9, until=NOW + DAY) == []
    assert (await new.count_deliveries())[DeliveryState.SENDING] == 1
    await old.close()
    await new.close()


@pytest.mark.parametrize("target", [SQLITE, POSTGRESQL])
async def test_a_move_that_was_killed_goes_on_where_it_stopped(url: str, target: str, new_url: NewUrl) -> None:
    old, place = await open_storage(url), await new_url(target)
    await fill(old)
    await fill_up(old)
    script = (
        "import asyncio, os, signal, sys\n"
        "from paperround.storage.moving import move_database\n"
        "kill = lambda done, of_all: done > 2000 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(move_database(sys.argv[1], sys.argv[2], kill))\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, url, place)
    assert await process.wait() == -9
    with pytest.raises(StorageError, match="db move"):
        await open_storage(place)
    told: list[int] = []
    await move_database(url, place, lambda done, _: told.append(done))
    assert any(step >= 500 for step in told)
    new = await open_storage(place)
    assert await content(new) == await content(old)
    await old.close()
    await new.close()


async def test_a_target_that_holds_anything_is_refused(url: str, new_url: NewUrl) -> None:
    old, place = await open_storage(url), await new_url("sqlite")
    await add_source(old)
    await move_database(url, place)
    with pytest.raises(StorageError, match="holds data already"):
        await move_database(url, place)
    await old.close()


async def test_a_source_that_changes_meanwhile_is_noticed(url: str, new_url: NewUrl) -> None:
    old, place = await open_storage(url), await new_url("sqlite")
    await add_source(old)

    def interrupted(done: int, _of_all: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await move_database(url, place, interrupted)
    await old.db.write(sources.update().values(name="renamed"))
    with pytest.raises(StorageError, match="sources differs"):
        await move_database(url, place)
    await old.close()


async def test_a_source_that_is_not_there_is_told(tmp_path: Path, new_url: NewUrl) -> None:
    with pytest.raises(StorageError, match="no such database"):
        await move_database(f"sqlite:///{tmp_path}/nothing.db", await new_url("sqlite"))
    assert not (tmp_path / "nothing.db").exists()
