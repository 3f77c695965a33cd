"""Fetching: parsing beside plain feedparser on the same bytes, and collecting five hundred sources from a server on this machine."""

import asyncio
import gc
import io
import multiprocessing
import re
import socket
import tempfile
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import feedparser

from paperround.bundled_files import bundled
from paperround.errors import ParseError
from paperround.models import Source, SourceId, SourceKind
from paperround.pipeline.collect import collect
from paperround.sources.feed_parser import parse_feed
from paperround.sources.fetcher import HttpFetcher
from paperround.sources.polling import PollingRules
from paperround.storage.sql_storage import open_storage

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"
SOURCES, ENTRIES, FRESH, ROUNDS = 500, 20, 2, 3
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def run() -> list[dict[str, Any]]:
    return [parsing(), asyncio.run(collecting())]


# ---------------------------------------------------------------- parsing


def bodies() -> list[bytes]:
    """Feeds that nobody here wrote; the bundled one where those are absent."""
    found = [*sorted(CORPORA.glob("arxiv/*.xml")), *sorted(CORPORA.glob("feeds/feed-rs/*/*.xml"))] or sorted(
        bundled("sample").glob("*.xml")
    )
    return [body for path in found if b"serde" not in (body := path.read_bytes())]


def plain(body: bytes) -> None:
    feedparser.parse(io.BytesIO(body))


def ours(body: bytes) -> None:
    with suppress(ParseError):
        parse_feed(body, url="https://example.org/feed")


def seconds(parse: Callable[[bytes], None], several: list[bytes]) -> float:
    """Of the processor: other programs on the machine do not count."""
    start = process_time()
    for body in several:
        parse(body)
    return process_time() - start


def parsing() -> dict[str, Any]:
    several = bodies()
    for each in (plain, ours):
        seconds(each, several[-5:])
    taken = [(seconds(ours, several), seconds(plain, several)) for _ in range(7)]  # in turn, so that both meet the same machine
    mine, theirs = (min(column) for column in zip(*taken, strict=True))
    return {
        "name": "parse",
        "value": round(mine, 3),
        "unit": "s",
        "beside": {"feedparser": round(theirs, 3)},
        "ratio": round(mine / theirs, 3),
        "note": f"{len(several)} feeds, {sum(map(len, several)) / 1e6:.1f} MB; with cleaning, texts and identifiers; the best of seven",
    }


# ---------------------------------------------------------------- collecting


def page(number: int, turn: int) -> bytes:
    """One source's feed: twenty entries, of which two are new each time."""
    items = "".join(
        f"<item><title>Work {entry} of source {number}</title><link>https://example.org/{number}/{entry}</link>"
        f"<description>&lt;p&gt;{f'What entry {entry} of {number} is about, in some words. ' * 18}&lt;/p&gt;</description></item>"
        for entry in range(turn * FRESH, turn * FRESH + ENTRIES)
    )
    return f'<rss version="2.0"><channel><title>Source {number}</title>{items}</channel></rss>'.encode()


def serve(listening: socket.socket) -> None:
    """A server in a process of its own: what it costs is not ours."""
    turns: dict[int, int] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = int((await reader.readuntil(b"\r\n\r\n")).split()[1][1:])
        turns[number] = turns.get(number, -1) + 1
        body = page(number, turns[number])
        writer.write(
            b'HTTP/1.1 200 OK\r\nETag: "%d"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' % (turns[number], len(body)) + body
        )
        await writer.drain()
        writer.close()

    async def forever() -> None:
        await (await asyncio.start_server(answer, sock=listening)).serve_forever()

    asyncio.run(forever())


def memory(name: str) -> float:
    """MB of this process: VmRSS now, VmHWM at most since it was last cleared."""
    found = re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def resolve(_host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


async def collecting() -> dict[str, Any]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listening.getsockname()[1]
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listening,), daemon=True)
    server.start()
    asyncio.get_running_loop().getaddrinfo = resolve  # type: ignore[method-assign,assignment]  # five hundred hosts, all of them here
    hosts = [f"s{number}.test" for number in range(SOURCES)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            storage = await open_storage(f"sqlite:///{folder}/bench.db", fold=str)
            for number, host in enumerate(hosts):
                await storage.add_source(
                    Source(id=SourceId(0), location=f"http://{host}:{port}/{number}", kind=SourceKind.FEED, name=host, added_at=NOW)
                )
            async with aclosing(HttpFetcher(user_agent="Paperround bench", allow_private_hosts=hosts)) as fetcher:
                rounds = [await one_round(storage, fetcher, NOW + turn * timedelta(days=2)) for turn in range(ROUNDS)]
            works = await storage.count_works()
            await storage.close()
    finally:
        server.kill()
        server.join()
        listening.close()
    first, *later = [taken for taken, _ in rounds]
    return {
        "name": "collect",
        "value": round(SOURCES / min(later), 1),
        "unit": "sources/s",
        "beside": {"first_round": round(SOURCES / first, 1), "works": works},
        "note": f"{SOURCES} hosts, {ENTRIES} entries each; MB held after each round: {', '.join(f'{held:.0f}' for _, held in rounds)}",
    }


async def one_round(storage: Any, fetcher: HttpFetcher, now: datetime) -> tuple[float, float]:
    """Seconds for all sources, and MB held afterwards."""
    start = perf_counter()
    done = await collect(storage, fetcher, now=now, rules=PollingRules())
    taken = perf_counter() - start
    assert done.fetched == SOURCES, done.failures[:2]
    gc.collect()
    return taken, memory("VmRSS")


if __name__ == "__main__":
    print(run())
