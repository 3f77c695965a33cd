"""A fresh database for each test, on SQLite and on a real PostgreSQL that is started from a wheel once a run."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers.signed_links import fold_address

sys.path.insert(0, str(Path(__file__).parent))  # made_rows, which several tests begin with


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Awaitable[str]]:
    """Makes an empty database of a kind, sqlite or postgresql, and gives its address."""

    async def make(kind: str) -> str:
        name = f"test_{uuid4().hex}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{name}.db"
        server: str = request.getfixturevalue("postgres")
        engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        await engine.dispose()
        return server.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.database)])
async def url(request: pytest.FixtureRequest, new_url: Callable[[str], Awaitable[str]]) -> str:
    """The address of an empty database."""
    return await new_url(request.param)


@pytest.fixture
async def storage(url: str) -> AsyncIterator[SqlStorage]:
    opened = await open_storage(url, fold=fold_address)
    yield opened
    await opened.close()
