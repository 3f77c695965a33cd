"""The crash test of delivery on one machine: `kill -9` at random moments, over and over; nothing may go out twice, nothing may be lost.

The last line is JSON: deliveries, kills, connections, lost, twice, in_doubt, in_doubt_arrived.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START = "2099-03-02T08:00:00Z"  # after any due time of readers who are added now
CONNECTIONS = 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prepare(home: Path, deliveries: int, port: int, database: str) -> dict[str, str]:
    """A home with one source, that many readers, and their composed issues in the outbox."""
    environment = settle(home, deliveries, port, database, schedule="daily 00:00")
    for step in ("collect", "embed", "compose"):
        cli(environment, step, "--now", START)
    return environment


def settle(home: Path, readers: int, port: int, database: str, *, schedule: str) -> dict[str, str]:
    """A home with one source and that many readers; returns the environment of its commands."""
    environment = {
        **os.environ,
        "PAPERROUND_CONFIG": str(home / "paperround.toml"),
        "PAPERROUND_TRANSPORT": f"smtp://127.0.0.1:{port}?starttls=never",
        "PAPERROUND_DATABASE": database,
        "PAPERROUND_EMBEDDING_MODEL": "hashing",
        "PAPERROUND_DELIVERY_CONNECTIONS": str(CONNECTIONS),
        "PAPERROUND_DELIVERY_SILENT_AFTER": "3",
    }
    cli(environment, "init", str(home))
    (home / "page.txt").write_text(page(), encoding="utf-8")
    (home / "readers.csv").write_text(
        "email,schedule\n" + "".join(f"reader{n}@example.org,{schedule}\n" for n in range(readers)),
        encoding="utf-8",
    )
    cli(environment, "sources", "add", str(home / "page.txt"))
    cli(environment, "subscribers", "import", str(home / "readers.csv"), "--active")
    return environment


def page() -> str:
    works = (
        (
            "Listening Twice",
            "A speech recogniser hears each sentence in two passes. The second pass repairs what the first one missed in noise.",
        ),
        ("Words for Weather", "Language models describe forecasts in plain words. Readers understood the sentences better than the maps."),
        ("Grammar of Small Robots", "Robots that share a language of gestures finish their work sooner. The grammar has nine rules."),
    )
    return "Daily Papers\n\nbyAK and the research community\n\nMar 1\n\n" + "".join(f"{title}\n\n{text}\n\n" for title, text in works)


def cli(environment: dict[str, str], *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "paperround", *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"paperround {' '.join(words)}: {done.stderr.strip()[-400:]}")


def deliver_under_fire(environment: dict[str, str], log: Path, kills: int, engines: int, chance: random.Random, longest: float) -> int:
    """Keep that many engines delivering, kill one of them at a random moment, again; returns how many kills hit a living process."""
    processes: list[subprocess.Popen[bytes]] = []
    hit = 0
    for _ in range(kills):
        before = size(log)
        processes = [each for each in processes if each.poll() is None]
        while len(processes) < engines:
            processes.append(engine(environment))
        ends = time.monotonic() + 10
        while size(log) == before and time.monotonic() < ends and any(each.poll() is None for each in processes):
            time.sleep(0.01)  # a kill before the first mail proves nothing
        time.sleep(chance.random() * longest)
        victim = chance.choice(processes)
        if victim.poll() is None:
            victim.send_signal(signal.SIGKILL)
            hit += 1
        victim.wait()
    for each in processes:
        each.wait()
    return hit


def engine(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "paperround", "deliver", "--now", START]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def finish(environment: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    """Deliver in peace until the outbox is empty; returns state and the server's last reply by Message-ID."""
    for _ in range(40):
        cli(environment, "deliver", "--now", START)
        rows = asyncio.run(outbox(environment["PAPERROUND_DATABASE"]))
        if not any(state in ("queued", "sending") for state, _ in rows.values()):
            return rows
        time.sleep(1)
    return rows


async def outbox(database: str) -> dict[str, tuple[str, str | None]]:
    from sqlalchemy import text

    from paperround.storage.database import create_engine

    opened = create_engine(database)
    async with opened.connect() as connection:
        rows = (await connection.execute(text("SELECT message_id, state, reply FROM deliveries"))).all()
    await opened.dispose()
    return {row.message_id: (row.state, row.reply) for row in rows}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--deliveries", type=int, default=2000)
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--longest", type=float, default=0.8, help="seconds a process may live after mails began to flow")
    arguments.add_argument("--engines", type=int, default=1, help="processes that deliver at the same time, of which one is killed")
    arguments.add_argument("--database", help="its address; default: a SQLite file of its own")
    arguments.add_argument("--latency", type=float, default=0.01, help="seconds before each reply, so that kills hit mails under way")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="paperround-kill-") as folder:
        home, port = Path(folder), free_port()
        log = home / "accepted.log"
        words = [str(ROOT / "tests/delivery/smtp_server.py"), "--port", str(port), "--log", str(log), "--latency", str(given.latency)]
        server = subprocess.Popen([sys.executable, *words])
        try:
            environment = prepare(home, given.deliveries, port, given.database or f"sqlite:///{home}/paperround.db")
            kills = deliver_under_fire(environment, log, given.kills, given.engines, random.Random(given.seed), given.longest)
            rows = finish(environment)
        finally:
            server.terminate()
            server.wait()
        print(json.dumps(count(rows, log.read_text(encoding="utf-8").split(), kills)))


def count(rows: dict[str, tuple[str, str | None]], accepted: list[str], kills: int) -> dict[str, int]:
    """The figures: `twice` and `lost` must be 0, `in_doubt` at most connections × kills."""
    times = Counter(each.strip("<>") for each in accepted)
    for name, (state, reply) in rows.items():
        if not times[name] and state not in ("in-doubt", "failed"):
            print(f"lost: {name} is {state}: {reply}", file=sys.stderr)
    in_doubt = [name for name, (state, _) in rows.items() if state == "in-doubt"]
    return {
        "deliveries": len(rows),
        "kills": kills,
        "connections": CONNECTIONS,
        "lost": sum(times[name] == 0 and state not in ("in-doubt", "failed") for name, (state, _) in rows.items()),
        "twice": sum(each > 1 for each in times.values()),
        "in_doubt": len(in_doubt),
        "in_doubt_arrived": sum(times[name] > 0 for name in in_doubt),
    }


if __name__ == "__main__":
    main()
