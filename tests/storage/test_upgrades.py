"""A database of every earlier schema comes up to date with all that it holds, and one of a later version is left alone."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from made_rows import DAY, NOW, add_source, entry, record
from sqlalchemy import JSON, Boolean, Connection, Date, DateTime, Float, Integer, LargeBinary, MetaData, Table, insert, select, text

from paperround.errors import StorageError
from paperround.storage.database import MIGRATIONS, Database, create_engine, revisions
from paperround.storage.sql_storage import open_storage

EARLIER = sorted(revisions())[:-1]
VALUES: list[tuple[Any, Any]] = [
    (Boolean, True),
    (Integer, 1),
    (Float, 0.5),
    (DateTime, NOW),
    (Date, date(2026, 3, 2)),
    (LargeBinary, b"\0\1"),
]
Rows = dict[str, list[dict[str, Any]]]


def migrate_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def value(column: Any) -> Any:
    """One of the column's kind; 1 wherever rows point to each other."""
    if isinstance(column.type, JSON):
        return {"x": [1, None, "ü"]}
    return next(
        (made for kind, made in VALUES if isinstance(column.type, kind)), f"{column.name} ü"[: getattr(column.type, "length", None)]
    )


def fill(connection: Connection) -> None:
    """A row in every table as the database itself describes them: this test must not know what columns came later."""
    found = MetaData()
    found.reflect(connection)
    for table in found.sorted_tables:
        if table.name not in ("alembic_version", "instance"):
            connection.execute(insert(table).values({column.name: value(column) for column in table.columns}))


def rows_of(connection: Connection, tables: list[str]) -> Rows:
    found = {name: Table(name, MetaData(), autoload_with=connection) for name in tables}
    return {name: [dict(row._mapping) for row in connection.execute(select(table))] for name, table in found.items()}


async def old_database(url: str, revision: str) -> Rows:
    """One as that migration left it, with a row in each table; and what stands in it."""
    engine = create_engine(url)
    database = Database(engine, url, str.casefold)
    async with database.writing() as connection:
        await connection.run_sync(migrate_to, revision)
        await connection.run_sync(fill)
        found = MetaData()
        await connection.run_sync(found.reflect)
        rows = await connection.run_sync(rows_of, sorted(set(found.tables) - {"alembic_version"}))
    await engine.dispose()
    return rows


@pytest.mark.parametrize("revision", EARLIER)
async def test_every_earlier_schema_comes_up_to_date_with_what_it_holds(url: str, revision: str) -> None:
    before = await old_database(url, revision)
    with pytest.raises(StorageError, match="older version; back it up, then run `paperround db upgrade`"):
        await open_storage(url)
    storage = await open_storage(url, upgrade=True)
    async with storage.db.reading() as connection:
        after = await connection.run_sync(rows_of, list(before))
    for name, rows in before.items():
        assert [{key: row[key] for key in old} for old, row in zip(rows, after[name], strict=True)] == rows, name
    assert storage.instance_id == before["instance"][0]["id"]
    assert await storage.check() == []
    await storage.close()


async def test_a_database_of_a_newer_version_is_refused_in_one_line_and_left_alone(url: str) -> None:
    storage = await open_storage(url)
    await storage.db.write(text("UPDATE alembic_version SET version_num = '9999'"))
    for upgrade in (False, True):
        with pytest.raises(StorageError, match=r"newer version of paperround; install that version$") as told:
            await open_storage(url, upgrade=upgrade)
        assert "\n" not in str(told.value)
    assert (await storage.db.rows(text("SELECT version_num FROM alembic_version")))[0][0] == "9999"
    await storage.close()


MIGRATE = """
import asyncio, sys
from paperround.storage.sql_storage import open_storage
print("begun", flush=True)
asyncio.run(open_storage(sys.argv[1], upgrade=True))
print("done", flush=True)
"""


async def killed(after: float, script: str, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    await process.stdout.readline()
    await asyncio.sleep(after)
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.mark.slow
async def test_a_kill_during_the_migration_leaves_the_old_schema_or_the_new_one(new_url: Callable[[str], Awaitable[str]]) -> None:
    for kind in ("sqlite", "postgresql"):
        url = await new_url(kind)
        before = await old_database(url, EARLIER[0])
        for tenth in range(4):
            await killed(tenth * 0.15, MIGRATE, url)
        storage = await open_storage(url, upgrade=True)
        async with storage.db.reading() as connection:
            after = await connection.run_sync(rows_of, list(before))
        assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
        assert await storage.check() == []
        await storage.close()


PRUNE = """
import asyncio, sys
from datetime import UTC, datetime
from paperround.records import Outdated
from paperround.storage.sql_storage import open_storage
async def main():
    storage = await open_storage(sys.argv[1])
    print("begun", flush=True)
    late = datetime(2030, 1, 1, tzinfo=UTC)
    while max((await storage.prune(Outdated(works=late, sentences=late, digests=late, deliveries=late, model="m"), limit=5)).values()):
        pass
asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_kill_during_pruning_leaves_nothing_half_removed(url: str) -> None:
    storage = await open_storage(url)
    source = await add_source(storage)
    await record(storage, source, [entry(number) for number in range(600)])
    for tenth in range(4):
        await killed(tenth * 0.05, PRUNE, url)
        assert await storage.check() == []
        counts = {each.name: each.rows for each in await storage.sizes()}
        assert counts["works"] == counts["mentions"]
    assert len(await storage.sources()) == 1
    assert len(await storage.works_seen(NOW - DAY, NOW)) < 600
    await storage.close()
