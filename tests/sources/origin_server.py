"""A scripted origin server on loopback: it answers each path as it is told, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came over the wire."""

    path: str
    headers: Mapping[str, bytes]  # names in lower case, values byte for byte
    at: float


Answer = bytes | Callable[[Asked], bytes | AsyncIterator[bytes]]


def response(status: int = 200, body: bytes = b"", **headers: str | bytes) -> bytes:
    """An answer with its length; `etag="…"` becomes ETag, `retry_after=…` Retry-After."""
    lines = [f"HTTP/1.1 {status} Told".encode()]
    for name, value in {"content_length": str(len(body)), "connection": "close", **headers}.items():
        lines.append(name.replace("_", "-").encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    return b"\r\n".join([*lines, b"", body])


@dataclass
class Origin:
    """`answers` by path; a path that is not there is a 404."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    at_once: int = 0
    most_at_once: int = 0

    def url(self, path: str = "/feed", host: str = "localhost") -> str:
        return f"http://{host}:{self.port}{path}"

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._talk, ["127.0.0.1"], 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._answer(await reader.readuntil(b"\r\n\r\n"), writer)
        finally:
            self.at_once -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = raw.strip().split(b"\r\n")
        pairs = (line.split(b": ", 1) for line in lines)
        told = {name.decode().lower(): value for name, value in pairs}
        asked = Asked(first.split()[1].decode(), told, asyncio.get_running_loop().time())
        self.asked.append(asked)
        answer = self.answers.get(asked.path, response(404))
        given = answer if isinstance(answer, bytes) else answer(asked)
        if isinstance(given, bytes):
            writer.write(given)
        else:
            async for part in given:
                writer.write(part)
                await writer.drain()
        await writer.drain()
