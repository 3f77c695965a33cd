"""Several programs on one database at once, and a database that goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from made_rows import DAY, ENGINE, NOW, add_reader, issue, queued, works
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from paperround.errors import StorageError
from paperround.models import EngineId
from paperround.storage.sql_storage import SqlStorage, open_storage

OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"


async def test_of_those_that_start_at_once_one_makes_the_tables(url: str) -> None:
    opened = await asyncio.gather(*(open_storage(url) for _ in range(4)))
    assert len({each.instance_id for each in opened}) == 1
    assert await opened[0].check() == []
    for each in opened:
        await each.close()


async def test_engines_that_claim_at_the_same_time_share_what_is_due(url: str, storage: SqlStorage) -> None:
    _, mails = await queued(storage, 40)
    await storage.stop_engine(ENGINE)
    names = [EngineId(f"engine{number}") for number in range(4)]
    opened = [await open_storage(url) for _ in names]
    for one, name in zip(opened, names, strict=True):
        await one.start_engine(name, NOW)
    claims = [one.claim(name, NOW, limit=5, until=NOW + DAY) for one, name in zip(opened, names, strict=True) for _ in range(3)]
    got = [[each.id for each in claimed] for claimed in await asyncio.gather(*claims)]
    for one in opened:
        await one.close()
    assert max(map(len, got)) <= 5
    taken = [each for claimed in got for each in claimed]
    assert len(taken) == len(set(taken))
    rest = await storage.claim(ENGINE, NOW, limit=100, until=NOW + DAY)
    assert sorted([*taken, *(each.id for each in rest)]) == sorted(each.id for each in mails)


@asynccontextmanager
async def administrator(postgres: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(postgres, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


on_postgresql = pytest.mark.parametrize("url", [pytest.param("postgresql", marks=pytest.mark.database)], indirect=True)


def name_of(url: str) -> str:
    return make_url(url).database or ""


@on_postgresql
async def test_connections_that_were_cut_are_replaced_before_they_are_used(url: str, postgres: str, storage: SqlStorage) -> None:
    await asyncio.gather(*(storage.count_works() for _ in range(4)))
    async with administrator(postgres) as master:
        await master.execute(text(OTHERS.format(name_of(url))))
    assert await asyncio.gather(*(storage.count_works() for _ in range(4))) == [0, 0, 0, 0]


@on_postgresql
async def test_a_database_that_goes_away_in_the_middle_is_told_in_one_line_and_nothing_is_half_written(
    postgres: str, storage: SqlStorage, url: str
) -> None:
    reader, chosen = await add_reader(storage), await works(storage)
    async with administrator(postgres) as master:

        async def cut(*_: object) -> None:
            await master.execute(text(f"ALTER DATABASE {name_of(url)} ALLOW_CONNECTIONS false"))
            await master.execute(text(OTHERS.format(name_of(url))))

        failing = await open_storage(url)
        failing.db.on_commit_work = cut
        for away in (failing, storage):
            with pytest.raises(StorageError) as told:
                await away.record_digests([issue(reader, chosen)])
            assert "\n" not in str(told.value)
        await master.execute(text(f"ALTER DATABASE {name_of(url)} ALLOW_CONNECTIONS true"))
    await failing.close()
    assert await storage.count_deliveries() == {}
    assert len(await storage.record_digests([issue(reader, chosen)])) == 1


@on_postgresql
async def test_a_process_keeps_no_more_connections_than_it_is_given(postgres: str, url: str) -> None:
    storage = await open_storage(url, connections=2)
    assert await asyncio.gather(*(storage.count_works() for _ in range(20))) == [0] * 20
    async with administrator(postgres) as master:
        open_now = await master.execute(text(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name_of(url)}'"))
        assert 0 < open_now.scalar_one() <= 2
    await storage.close()
