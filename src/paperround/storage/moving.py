"""Moving: everything from one database into another, for the day of growing from SQLite to PostgreSQL, and back."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Integer, Row, Table, delete, func, select, tuple_
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from paperround.errors import StorageError
from paperround.storage import database
from paperround.storage.database import Database, add_rows
from paperround.storage.schema import instance, metadata

Progress = Callable[[int, int], None]  # rows done, of all
ROWS = 500  # copied in one transaction: a kill loses no more, and vectors of so many works fit into memory
MOVED = [table for table in metadata.sorted_tables if table is not instance]  # who is pointed at comes first


async def move_database(source: str, target: str, progress: Progress | None = None) -> dict[str, int]:
    """Copy all rows, compare them, and only then give the target the name of the installation: until that it cannot be used. After a
    kill the same call goes on where it stopped. Returns the rows by table. The program must stand still meanwhile.

    Raises StorageError: no such source, a target that holds anything else, or a copy that is not equal."""
    refuse_missing(source)
    async with opened(source) as old, opened(target) as new:
        await database.prepare(old, upgrade=False)
        await make_room(new)
        async with snapshot(old) as reading:
            counts = {table.name: await count(reading, table) for table in MOVED}
            told = Steps(progress, 2 * sum(counts.values()))
            for table in MOVED:
                await copy(reading, new, table, told)
            for table in MOVED:
                await compare(reading, new, table, told)
            await hand_over(reading, new)
    return counts


def refuse_missing(url: str) -> None:
    """Opening would make it. Raises StorageError."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise StorageError(f"{url}: there is no such database")


class Steps:
    """Tells how far it is: every row is copied and compared."""

    def __init__(self, progress: Progress | None, of_all: int) -> None:
        self.progress, self.of_all, self.done = progress, of_all, 0

    def add(self, rows: int) -> None:
        self.done += rows
        if self.progress:
            self.progress(self.done, self.of_all)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    db = Database(database.create_engine(url, 2), make_url(url).render_as_string(hide_password=True), str.casefold)
    try:
        yield db
    finally:
        await db.close()


async def make_room(new: Database) -> None:
    """A target of this version without a name: one that is empty, or one that a move has begun to fill. Raises StorageError."""
    async with new.writing() as connection:
        await connection.run_sync(database.migrate, new.shown, False)
        named = (await connection.execute(select(instance.c.id))).first()
        if named and any([await count(connection, table) for table in MOVED]):
            raise StorageError(f"{new.shown}: holds data already; name an empty database")
        await connection.execute(delete(instance))


@asynccontextmanager
async def snapshot(old: Database) -> AsyncIterator[AsyncConnection]:
    """One moment of a database, for as long as it is read."""
    with old.explained():
        async with old.engine.connect() as connection:
            if old.sqlite:
                await connection.exec_driver_sql("BEGIN")
            else:
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection


async def count(connection: AsyncConnection, table: Table) -> int:
    return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def pages(connection: AsyncConnection, table: Table, skipped: int = 0) -> AsyncIterator[Sequence[Row[Any]]]:
    """The rows in the order of their key, without the first so many."""
    key = list(table.primary_key)
    ordered = select(table).order_by(*key).limit(ROWS)
    rows = (await connection.execute(ordered.offset(skipped))).all()
    while rows:
        yield rows
        last = tuple(getattr(rows[-1], column.name) for column in key)
        rows = (await connection.execute(ordered.where(tuple_(*key) > last))).all()


async def copy(reading: AsyncConnection, new: Database, table: Table, told: Steps) -> None:
    async with new.reading() as connection:
        there = await count(connection, table)  # by an earlier call, in the same order
    told.add(there)
    async for rows in pages(reading, table, there):
        async with new.writing() as connection:
            await add_rows(connection, table, [dict(row._mapping) for row in rows])
        told.add(len(rows))


async def compare(reading: AsyncConnection, new: Database, table: Table, told: Steps) -> None:
    """Raises StorageError unless both hold the same rows."""
    async with snapshot(new) as copied:
        before, after = await checksum(reading, table, told), await checksum(copied, table)
    if before != after:
        raise StorageError(
            f"{new.shown}: {table.name} differs from its source ({before[0]} rows there, {after[0]} here): stop the program that "
            "writes to the source, and move into an empty database"
        )


async def checksum(connection: AsyncConnection, table: Table, told: Steps | None = None) -> tuple[int, int]:
    """How many rows, and the sum of their hashes: databases sort text each in its own way, and a sum does not mind."""
    rows, total = 0, 0
    async for page in pages(connection, table):
        rows += len(page)
        total += sum(fingerprint(row) for row in page)
        if told:
            told.add(len(page))
    return rows, total % 2**64


def fingerprint(row: Sequence[Any]) -> int:
    whole = json.dumps(list(row), sort_keys=True, default=plain)
    return int.from_bytes(hashlib.blake2b(whole.encode(), digest_size=8).digest(), "big")


def plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else bytes(value).hex()  # type: ignore[call-overload]  # LargeBinary


async def hand_over(reading: AsyncConnection, new: Database) -> None:
    """New ids follow those that were copied, and the target becomes the installation."""
    named = (await reading.execute(select(instance))).one()
    async with new.writing() as connection:
        if not new.sqlite:
            for table in MOVED:
                for column in table.primary_key:
                    if isinstance(column.type, Integer):  # also BigInteger
                        sequence = func.pg_get_serial_sequence(table.name, column.name)
                        await connection.execute(select(func.setval(sequence, select(func.max(column)).scalar_subquery())))
        await connection.execute(instance.insert().values(**named._mapping))
