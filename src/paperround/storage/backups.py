"""Backups: one file that holds a moment of the database, taken while others write, and brought back into a new place."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from paperround.errors import StorageError
from paperround.storage.database import reason, revisions
from paperround.storage.schema import instance, metadata

SQLITE, POSTGRESQL = b"SQLite format 3\0", b"PGDMP"  # how the files begin: a database of SQLite, an archive of pg_dump


def backup_suffix(url: str) -> str:
    return ".db" if make_url(url).get_backend_name() == "sqlite" else ".dump"


def back_up(url: str, file: Path) -> None:
    """The file is there whole or not at all, and only its owner may read it. Raises StorageError."""
    parsed, unfinished = make_url(url), file.with_name(f"{file.name}.unfinished")
    if file.exists():
        raise StorageError(f"{file}: is there already; name another file")
    with explained(str(file)):
        make_private(unfinished)
        try:
            copy(Path(parsed.database or ""), unfinished) if backup_suffix(url) == ".db" else dump(parsed, unfinished)
            put(unfinished, file)
        finally:
            unfinished.unlink(missing_ok=True)


def restore(url: str, file: Path, *, force: bool) -> str | None:
    """Bring a backup back into the database of that address, which must hold no data unless `force`. Returns where the data lies that was
    replaced, where it is kept. After a kill either the old data is there or the new. Raises StorageError."""
    parsed = make_url(url)
    wanted = SQLITE if backup_suffix(url) == ".db" else POSTGRESQL
    with explained(str(file)):
        with file.open("rb") as opened:
            start = opened.read(16)
        if not start.startswith(wanted):
            other = "is a backup of the other kind of database: restore it into one of its kind, then `paperround db move`"
            raise StorageError(f"{file}: {other if start.startswith((SQLITE, POSTGRESQL)) else 'is no backup'}")
        if not force and holds_data(parsed):
            shown = parsed.render_as_string(hide_password=True)
            raise StorageError(f"{shown}: holds data already; restore into a new place, or say --force")
        if wanted == SQLITE:
            return replace_file(Path(parsed.database or ""), file)
        undump(parsed, file)
    return None


@contextmanager
def explained(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        told = (error.strerror or error) if isinstance(error, OSError) else reason(error)
        raise StorageError(f"{place}: {told}") from error


def make_private(path: Path) -> None:
    """An empty file that only its owner may read."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def put(unfinished: Path, file: Path) -> None:
    """On the disk before it has its name."""
    for path in (unfinished, None):
        descriptor = os.open(path or file.parent, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        if path:
            path.replace(file)


def holds_data(parsed: URL) -> bool:
    """Whether anything stands in tables: a database that was only just made may be replaced."""
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return False
    engine = create_engine(parsed)
    try:
        with engine.connect() as connection:
            ours = {table.name for table in metadata.sorted_tables}
            found = set(inspect(connection).get_table_names())
            foreign = {name for name in found - ours - {"alembic_version"} if not name.startswith(("procrastinate_", "sqlite_"))}
            filled = (connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first() for name in sorted(found & ours - {instance.name}))  # noqa: S608 - names of our own schema
            return bool(foreign) or any(filled)
    finally:
        engine.dispose()


# ---------------------------------------------------------------- SQLite


def copy(source: Path, target: Path) -> None:
    """One read of the whole file: others go on writing to the log beside it, and the copy knows nothing of that."""
    address = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        examine(new, target)


def examine(database: sqlite3.Connection, file: Path) -> None:
    """Raises StorageError for one that is damaged, of another program or of a newer version."""
    if (told := database.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
        raise StorageError(f"{file}: is damaged: {told}")
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in tables or instance.name not in tables:
        raise StorageError(f"{file}: is no database of paperround")
    refuse_newer(str(file), [row[0] for row in database.execute("SELECT version_num FROM alembic_version")])


def refuse_newer(place: str, found: list[str]) -> None:
    if not found or not revisions().issuperset(found):
        raise StorageError(f"{place}: was written by a newer version of paperround; install that version")


def replace_file(path: Path, file: Path) -> str | None:
    """The old file is kept under another name; nobody may be using it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        make_private(unfinished)
        copy(file, unfinished)
        kept = set_aside(path) if path.exists() else None
        put(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return str(kept) if kept else None


def set_aside(path: Path) -> Path:
    """A second name for what is there, its log written into it first: a log left behind would be read into the file that comes."""
    try:
        with closing(sqlite3.connect(path, timeout=0)) as old:
            if old.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
                raise sqlite3.OperationalError("locked")
    except sqlite3.OperationalError as error:
        raise StorageError(f"{path}: is in use; stop the program first ({error})") from None
    kept = next(each for number in range(1, 1_000_000) if not (each := path.with_name(f"{path.name}.replaced-{number}")).exists())
    os.link(path, kept)
    return kept


# ---------------------------------------------------------------- PostgreSQL


def dump(parsed: URL, target: Path) -> None:
    run(parsed, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--file", str(target))


def undump(parsed: URL, file: Path) -> None:
    """In one transaction; what stands in tables of the same names goes with it."""
    listed = run(parsed, "pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(file))
    refuse_newer(str(file), [line for line in listed.splitlines() if line.isdigit()])
    as_it_was = ("--single-transaction", "--clean", "--if-exists", "--no-owner", "--no-privileges")
    run(parsed, "pg_restore", *as_it_was, f"--dbname={bare(parsed)}", str(file))


def bare(parsed: URL) -> str:
    """The address for libpq; the password goes by the environment, where no list of processes shows it."""
    return parsed.set(drivername="postgresql", password=None).render_as_string(hide_password=False)


def run(parsed: URL, program: str, *words: str) -> str:
    """One of PostgreSQL's own programs. Raises StorageError with what it says is wrong."""
    if shutil.which(program) is None:
        raise StorageError(f"{program} is not on the path: install PostgreSQL's client programs (postgresql-client)")
    place = [f"--dbname={bare(parsed)}"] if program == "pg_dump" else []
    environment = {**os.environ, **({"PGPASSWORD": parsed.password} if parsed.password else {})}
    done = subprocess.run([program, *place, *words], env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        said = [line.partition(": ")[2] for line in done.stderr.splitlines() if ": error: " in line or ": detail: " in line]
        raise StorageError(f"{program}: {'; '.join(said[:2]) or f'ended with status {done.returncode}'}")
    return done.stdout
