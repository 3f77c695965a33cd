"""Database: opens the one database of an installation, SQLite or PostgreSQL, and gives the others their transactions."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, Row, Table, event, inspect, select, text
from sqlalchemy import create_engine as create_plain_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import JSON

from paperround.errors import StorageError
from paperround.storage import job_queue, schema

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATING = text("SELECT pg_advisory_xact_lock(hashtext('paperround migrations'))")
VERSION = text("SELECT version_num FROM alembic_version")
PARAMETERS = 5_000  # values bound in one statement at the most: SQLite takes 32,766, PostgreSQL 65,535

Value = TypeVar("Value")
Work = Callable[[AsyncConnection, str, Sequence[int]], Awaitable[None]]
"""What must become known with the rows themselves, or not at all: called inside the writing transaction, before it commits, with a kind
and ids: "deliveries" (queued), "works" (new or with new words), "texts" (the subscriber whose words changed)."""


class Database:
    """An engine and its transactions."""

    on_commit_work: Work | None = None  # where a queue wants to know

    def __init__(self, engine: AsyncEngine, shown: str, fold: Callable[[str], str]) -> None:
        """`shown`: how errors name it, without password. `fold`: one spelling for all that reach the same mailbox."""
        self.engine, self.shown, self.fold = engine, shown, fold
        self.sqlite = engine.dialect.name == "sqlite"
        self.plain = plain_engine(engine) if self.sqlite else None
        self.instance_id, self.version = "", ""

    async def close(self) -> None:
        await self.engine.dispose()
        if self.plain:
            self.plain.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads. Raises StorageError."""
        with self.explained():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes, committed at its end. Raises StorageError.

        On SQLite it takes the write lock at once: one that reads first and writes later fails with "locked" whatever the timeout."""
        with self.explained():
            async with self.engine.connect() as connection:
                await (connection.exec_driver_sql("BEGIN IMMEDIATE") if self.sqlite else connection.begin())
                yield connection
                await connection.commit()

    async def at_once(self, work: Callable[[Connection], Value]) -> Value:
        """A writing transaction of statements that wait for nothing in between. Raises StorageError.

        On SQLite in a thread of its own: the lock, for which other processes wait, is held while the statements run, and not until a
        busy event loop comes back to each of them."""
        with self.explained():
            if self.plain:
                return await asyncio.to_thread(_in_one_go, self.plain, work)
            async with self.engine.begin() as connection:
                return await connection.run_sync(work)

    async def rows(self, query: Any) -> Sequence[Row[Any]]:
        """All that one query finds."""
        async with self.reading() as connection:
            return (await connection.execute(query)).all()

    async def value(self, query: Any) -> Any:
        """The one value that a query finds; None for none."""
        async with self.reading() as connection:
            return (await connection.execute(query)).scalar()

    async def rows_among(self, values: Iterable[Any], column: Any, query: Any) -> AsyncIterator[Row[Any]]:
        """As `among`, in a transaction of its own."""
        async with self.reading() as connection:
            async for row in among(connection, values, column, query):
                yield row

    async def announce(self, connection: AsyncConnection, kind: str, ids: Sequence[int]) -> None:
        """Rows that somebody must work on, in the transaction that writes them."""
        if self.on_commit_work and ids:
            await self.on_commit_work(connection, kind, ids)

    async def write(self, statement: Any) -> int:
        """One statement as a transaction of its own; returns how many rows it touched."""
        return await self.at_once(lambda connection: connection.execute(statement).rowcount)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what the driver raises into one line that names the database."""
        try:
            yield
        except (SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            raise StorageError(f"{self.shown}: {reason(error)}") from error

    def insert(self, table: Table) -> Any:
        """The dialect's INSERT, which knows ON CONFLICT."""
        return sqlite.insert(table) if self.sqlite else postgresql.insert(table)

    def upsert(self, table: Table, key: Sequence[str], again: Iterable[str]) -> Any:
        """An INSERT that, where the key is there already, writes the columns `again` over its row."""
        new = self.insert(table)
        return new.on_conflict_do_update(index_elements=key, set_={name: new.excluded[name] for name in again})


def reason(error: Exception) -> str:
    """What is wrong, in words that say what to do where we know it."""
    told = str(error.orig) if isinstance(error, DBAPIError) and error.orig else str(error)
    told = told.strip().splitlines()[0] if told.strip() else type(error).__name__
    if "locked" in told or "QueuePool limit" in told:
        return "the database is locked by another program"
    if "full" in told or "disk" in told.lower():
        return f"the disk is full or cannot be written: {told}"
    if "not a database" in told:
        return "this file is no database"
    return told


def batches(values: Iterable[Value], size: int = PARAMETERS) -> Iterator[list[Value]]:
    """Lists of at most `size`, for IN."""
    everything = list(values)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]


def fields_of(row: Row[Any], noun: type) -> dict[str, Any]:
    """The columns that are called as the fields of a noun."""
    values = row._mapping
    return {name: values[name] for name in noun.__dataclass_fields__}  # type: ignore[attr-defined]  # of a dataclass


async def among(connection: AsyncConnection, values: Iterable[Any], column: Any, query: Any) -> AsyncIterator[Row[Any]]:
    """What a query finds where the column holds one of many values, asked for in batches."""
    for batch in batches(values):
        for row in await connection.execute(query.where(column.in_(batch))):
            yield row


async def insert_many(connection: AsyncConnection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """One executemany; nothing for no rows."""
    if rows:
        await connection.execute(statement, rows)


async def add_rows(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Many new rows that name the same columns: by COPY on PostgreSQL, which takes a third of the time of an executemany."""
    if connection.dialect.name == "sqlite" or not rows:
        await insert_many(connection, table.insert(), rows)
        return
    driver: Any = (await connection.get_raw_connection()).driver_connection
    names = list(rows[0])
    documents = {name for name in names if isinstance(table.c[name].type, JSON)}
    quoted = ", ".join(f'"{name}"' for name in names)
    async with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({quoted}) FROM STDIN") as copy:
        for row in rows:
            await copy.write_row([json.dumps(row[name]) if name in documents else row[name] for name in names])


# ---------------------------------------------------------------- opening


# libpq's own words for noticing that a server has gone: an address may say otherwise
POSTGRESQL = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
SQLITE = {"timeout": 30, "isolation_level": None}
OPTIONS: dict[str, Any] = {"json_deserializer": from_json, "hide_parameters": True}  # a tenth of json's time; errors are logged


def create_engine(url: str, connections: int = 10) -> AsyncEngine:
    """`connections`: how many to PostgreSQL are kept open; at a peak as many more. Raises StorageError for an address that is none."""
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        raise StorageError("the database's address is none: write sqlite:///PATH or postgresql+psycopg://…") from None
    if parsed.get_backend_name() != "sqlite":
        patient = parsed.set(query={**POSTGRESQL, **parsed.query})
        # A connection is tried before it is used: after the database went away and came back, the next use finds a living one.
        return create_async_engine(patient, pool_pre_ping=True, pool_size=connections, max_overflow=connections, **OPTIONS)
    refuse_other_files(Path(parsed.database or ""))
    engine = create_async_engine(parsed.set(drivername="sqlite+aiosqlite"), connect_args=SQLITE, **OPTIONS)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def plain_engine(engine: AsyncEngine) -> Engine:
    """To the same SQLite file, for threads; one connection, since one at a time may write."""
    plain = create_plain_engine(engine.url.set(drivername="sqlite"), connect_args=SQLITE, pool_size=1, max_overflow=0, **OPTIONS)
    event.listen(plain, "connect", _prepare_sqlite)
    event.listen(plain, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return plain


def _in_one_go(plain: Engine, work: Callable[[Connection], Value]) -> Value:
    with plain.begin() as connection:
        return work(connection)


def refuse_other_files(path: Path) -> None:
    """Make the folder of the database file; look at a file that is there before the driver does. Raises StorageError, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise StorageError(f"{path}: is a folder, not a database")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(16)
        if start and start != b"SQLite format 3\0":
            raise StorageError(f"{path}: this file is no database")
    elif path.name != ":memory:":
        path.touch(mode=0o600)  # addresses and interests are its owner's to read; SQLite gives the journal the same mode


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    _keep_a_log(cursor)
    for pragma in ("foreign_keys=ON", "synchronous=NORMAL", "busy_timeout=30000", "secure_delete=ON", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _keep_a_log(cursor: Any) -> None:
    """Write-ahead logging. Of two that begin it at once one is refused, whatever the timeout."""
    for patience in (0.1,) * 50:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(patience)
    cursor.execute("PRAGMA journal_mode=WAL")


async def prepare(database: Database, *, upgrade: bool) -> None:
    """Bring an empty database to this version, refuse one of another version unless `upgrade`. Raises StorageError.

    Of several that come at once one migrates, in one transaction; the others wait and find it done."""
    async with database.writing() as connection:
        if not database.sqlite:
            await connection.execute(MIGRATING)
        await connection.run_sync(migrate, database.shown, upgrade)
        named = (await connection.execute(select(schema.instance.c.id))).scalar()
        if named is None:
            raise StorageError(f"{database.shown}: a move into it has not come to its end; run the same `paperround db move` again")
        database.instance_id = named
        database.version = (await connection.execute(VERSION)).scalar_one()


def revisions() -> set[str]:
    """The migrations that this version knows."""
    return {path.name[:4] for path in MIGRATIONS.glob("versions/0*.py")}


def migrate(connection: Connection, shown: str, upgrade: bool) -> None:
    """Inside the caller's transaction. Raises StorageError. Alembic is loaded where there is something to do: it is large and slow to
    import, and nearly always there is nothing."""
    tables, known = inspect(connection).get_table_names(), revisions()
    current = connection.execute(VERSION).scalar() if "alembic_version" in tables else None
    scripts = [] if connection.dialect.name == "sqlite" else job_queue.missing(connection)
    if current == max(known) and not scripts:
        return
    if current is None and set(tables) - {"alembic_version"}:
        raise StorageError(f"{shown}: holds tables that are not ours; name another database")
    if current is not None and current not in known:
        raise StorageError(f"{shown}: was written by a newer version of paperround; install that version")
    if current is not None and not upgrade:
        raise StorageError(f"{shown}: is of an older version; back it up, then run `paperround db upgrade`")
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    job_queue.bring_up_to_date(connection, scripts)
