"""Web: feeds a second beside Starlette's bare hello-world in the same process, 200 readers at once; and sign-up answers by address."""

import asyncio
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlencode, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from paperround import wiring
from paperround.config import load_settings
from paperround.models import Source, SourceId, SourceKind
from paperround.web.app import create_app
from paperround.web.guards import Guards
from paperround.web.services import from_parts

READERS, WORKS, CONNECTIONS, SECONDS, ROUNDS, SIGN_UPS = 200, 40, 32, 2.0, 3, 120
KEYS = (b"a key for this measurement alone",)
SETTINGS = {"PAPERROUND_EMBEDDING_MODEL": "hashing", "PAPERROUND_TRANSPORT": "directory:mail"}
STATES = ("new", "pending", "active", "suppressed")


# ---------------------------------------------------------------- the server, a process of its own


def words(seed: int, count: int) -> str:
    """The same invented words for the same seed, and others for another."""
    chance = random.Random(seed)
    return " ".join("".join(chance.choices("abdeilnorstu", k=chance.randint(4, 9))) for _ in range(count))


async def fill(folder: Path) -> list[str]:
    """An installation whose readers have an issue each; the paths of their feeds."""
    items = [
        {"id": str(n), "url": f"https://example.org/{n}", "title": f"Work number {n}", "content_text": words(n, 120)} for n in range(WORKS)
    ]
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "All", "items": items}
    (folder / "all.json").write_text(json.dumps(feed), encoding="utf-8")
    settings, now = load_settings(folder / "paperround.toml", SETTINGS), datetime.now(UTC)
    paths = []
    async with wiring.open_parts(settings, now=now - timedelta(days=2), keys=KEYS) as parts:
        for n in range(READERS):
            values = {
                "name": f"Reader {n}",
                "interests": [words(n % WORKS, 12)],
                "max_items": 20,
                "min_score": 0.0,
                "schedule": "daily 01:00",
            }
            reader = await parts.actions.sign_up_for_feed(values, way="page")
            paths.append(urlsplit(parts.actions.feed_addresses(reader)[0]).path)
        place = str(folder / "all.json")
        await parts.storage.add_source(Source(id=SourceId(0), location=place, kind=SourceKind.FEED, name="All", added_at=now))
        await parts.steps.read()
        await parts.actions.add("active@example.org", {}, active=True)
        await parts.actions.suppress("suppressed@example.org", reason="bounced", evidence="")
    async with wiring.open_parts(settings, now=now, keys=KEYS) as parts:
        await parts.steps.compose()
    return paths


async def serve(folder: Path, ports: Sequence[int]) -> None:
    paths = await fill(folder)

    async def hello(_request: object) -> PlainTextResponse:
        return PlainTextResponse("Hello, world!")

    async with wiring.open_parts(load_settings(folder / "paperround.toml", SETTINGS), keys=KEYS, serving=True) as parts:
        services = from_parts(parts)
        object.__setattr__(services, "guards", Guards(sign_ups_per_network=10**6, sign_ups=10**6, searches=0))
        apps = create_app(services), Starlette(routes=[Route("/", hello)])
        servers = [
            uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_config=None, access_log=False))
            for app, port in zip(apps, ports, strict=True)
        ]
        print(json.dumps(paths), flush=True)
        await asyncio.gather(*(server.serve() for server in servers))


# ---------------------------------------------------------------- the readers


class Asker(asyncio.Protocol):
    """Sends the same request again whenever an answer, of known length, is complete: costs as little as can be."""

    def __init__(self, request: bytes, length: int) -> None:
        self.request, self.length, self.read, self.answers = request, length, 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.read += len(data)
        while self.read >= self.length:
            self.read -= self.length
            self.answers += 1
            self.transport.write(self.request)


def request(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", "")).encode()


async def answer(port: int, asked: bytes, streams: Any = None) -> tuple[bytes, bytes]:
    """Head and body of one answer."""
    reader, writer = streams or await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")), 0)
    body = await reader.readexactly(length)
    if not streams:
        writer.close()
    return head, body


async def rate(port: int, asked: bytes) -> float:
    """Answers a second over CONNECTIONS connections."""
    head, body = await answer(port, asked)
    loop = asyncio.get_running_loop()
    open_ = [await loop.create_connection(lambda: Asker(asked, len(head) + len(body)), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    started = perf_counter()
    await asyncio.sleep(SECONDS)
    took, answers = perf_counter() - started, sum(asker.answers for _, asker in open_)
    for transport, _ in open_:
        transport.close()
    return answers / took


async def rights(port: int, paths: Sequence[str]) -> int:
    """How many of the readers, all at once, get their own feed, then 304 for it, five times over."""

    async def right(number: int, path: str) -> bool:
        streams = await asyncio.open_connection("127.0.0.1", port)
        good = True
        for _ in range(5):
            head, body = await answer(port, request(path, "Accept-Encoding: identity"), streams)
            tag = next(line.partition(b": ")[2].decode() for line in head.splitlines() if line.lower().startswith(b"etag"))
            again, nothing = await answer(port, request(path, f"If-None-Match: {tag}"), streams)
            own = f"Reader {number}<".encode() in body and path.encode() in body
            good = good and b" 200 " in head[:16] and own and b" 304 " in again[:16] and not nothing
        streams[1].close()
        return good

    return sum(await asyncio.gather(*(right(number, path) for number, path in enumerate(paths))))


async def sign_ups(port: int) -> dict[str, float]:
    """Median milliseconds to the answer, by what is known of the address; in random order."""
    times: dict[str, list[float]] = {state: [] for state in STATES}
    for number, state in enumerate(random.Random(1).sample(STATES * SIGN_UPS, len(STATES) * SIGN_UPS)):
        email = f"new{number}@example.org" if state == "new" else f"{state}@example.org"
        body = urlencode({"email": email, "interests": "graphs"})
        head = (
            f"POST /subscribe HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}"
        )
        streams = await asyncio.open_connection("127.0.0.1", port)
        started = perf_counter()
        await answer(port, f"{head}\r\n\r\n{body}".encode(), streams)
        times[state].append((perf_counter() - started) * 1000)
        streams[1].close()
        await asyncio.sleep(0.01)  # the work behind the answer
    return {state: statistics.median(several[1:]) for state, several in times.items()}


async def measure(ports: Sequence[int], paths: Sequence[str]) -> list[dict[str, Any]]:
    site, bare = ports
    gzip = request(paths[0], "Accept-Encoding: gzip")
    head, body = await answer(site, gzip)
    tag = next(line.partition(b": ")[2].decode() for line in head.splitlines() if line.lower().startswith(b"etag"))
    asked = {
        "hello": (bare, request("/")),
        "304": (site, request(paths[0], "Accept-Encoding: gzip", f"If-None-Match: {tag}")),
        "200": (site, gzip),
        "plain": (site, request(paths[0], "Accept-Encoding: identity")),
    }
    best = dict.fromkeys(asked, 0.0)
    for _ in range(ROUNDS):
        for name, (port, text) in asked.items():
            best[name] = max(best[name], await rate(port, text))
    right = await rights(site, paths)
    times = await sign_ups(site)
    _, plain = await answer(site, asked["plain"][1])
    hello = best["hello"]
    size = f"20 items, {len(plain):,} bytes, {len(body):,} zipped"
    return [
        entry("feed.304", best["304"], hello, f"{right} of {READERS} readers at once got their own, then 304"),
        entry("feed.200", best["200"], hello, f"{size}; to those who take no gzip {best['plain']:,.0f}/s"),
        {
            "name": "sign-up",
            "value": times["new"],
            "unit": "ms to the answer",
            "beside": {state: times[state] for state in STATES[1:]},
            "ratio": max(times.values()) / min(times.values()),
            "note": f"medians of {SIGN_UPS}; ratio: slowest to fastest of the four kinds of address",
        },
    ]


def entry(name: str, value: float, hello: float, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "requests/s", "beside": {"hello": hello}, "ratio": value / hello, "note": note}


def run() -> list[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = [each.getsockname()[1] for each in (one, two)]
        one.close()
        two.close()
        (Path(folder) / "paperround.toml").touch()
        program = [sys.executable, __file__, folder, *map(str, ports)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                paths = json.loads(server.stdout.readline())
                return asyncio.run(measured(ports, paths))
            finally:
                server.terminate()


async def measured(ports: Sequence[int], paths: Sequence[str]) -> list[dict[str, Any]]:
    for port in ports:
        for _ in range(200):
            try:
                await answer(port, request("/"))
                break
            except OSError:
                await asyncio.sleep(0.05)
    return await measure(ports, paths)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), list(map(int, sys.argv[2:]))))
