"""What the tests of sources share: a scripted origin server, and names that resolve as a test says."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tests.sources.origin_server import Origin


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    found = Origin()
    server = await found.start()
    yield found
    server.close()
    await server.wait_closed()


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses by name; other names do not resolve."""
    told: dict[str, list[str]] = {}

    async def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in told:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in told[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    return told
