"""One day for a million subscribers: composed on PostgreSQL by two processes on shards, and a sample of the mails sent to a server.

`make bench-million`, with SUBSCRIBERS=1000000, SAMPLE=100000 mails to send, MINUTES=120 after which it says how far it came. Everything
stands in out/million/ (PostgreSQL's files and result.json): what was loaded, composed and sent stays, and the same command goes on.
The readers and works are those of `population`; the cost at COMPARED subscribers is measured in the same run, in a database beside.
Processor time counts the composing processes and PostgreSQL's, so that it says something on a machine that does other work too."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bench_compose
import bench_send
import population
import psutil
import psycopg

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "out" / "million"
COMPARED, PROCESSES, PORTION, ROUND = 10_000, 2, 50_000, 600.0
TABLES = ("subscribers", "consent_events", "interest_texts", "votes", "digests", "digest_items", "deliveries")
Figures = dict[str, float]


def run() -> list[dict[str, Any]]:
    """What the latest `make bench-million` measured."""
    kept = HOME / "result.json"
    return json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []


class Report:
    """What is said and kept: the notes of a database stand in a table of its own, so that they survive an interruption with the rows."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        self.connection.execute("CREATE SCHEMA IF NOT EXISTS bench")  # ours alone: Paperround refuses a database with other tables
        self.connection.execute("CREATE TABLE IF NOT EXISTS bench.notes (step text, figures json)")

    def note(self, step: str, **figures: float) -> None:
        self.connection.execute("INSERT INTO bench.notes VALUES (%s, %s)", [step, json.dumps(figures)])
        print(f"  {step}: " + ", ".join(f"{name} {value:,.2f}".removesuffix(".00") for name, value in figures.items()), flush=True)

    def total(self, step: str) -> Figures:
        """All notes of a step: counts and seconds added up, of a peak the highest."""
        sums: Figures = {}
        for (figures,) in self.connection.execute("SELECT figures FROM bench.notes WHERE step = %s", [step]):
            for name, value in figures.items():
                sums[name] = max(sums.get(name, 0), value) if name.startswith("peak") else sums.get(name, 0) + value
        return sums

    def count(self, query: str) -> int:
        row = self.connection.execute(query).fetchone()  # type: ignore[arg-type]  # queries of our own
        return int(row[0]) if row and row[0] is not None else 0


class Deadline:
    def __init__(self, minutes: float) -> None:
        self.at = time.monotonic() + minutes * 60

    @property
    def left(self) -> float:
        return self.at - time.monotonic()

    def check(self, how_far: str) -> None:
        if self.left <= 0:
            print(f"The time is up: {how_far}. The same command goes on from here; MINUTES=… gives it more time.")
            raise SystemExit(0)


def server_seconds(server: str) -> float:
    """Processor time of PostgreSQL so far: its processes that ended are counted by their parent."""
    pid = int(Path(server).read_text(encoding="ascii").split()[0])
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        times = parent.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system) + alive(parent)
    return 0.0


def alive(parent: psutil.Process) -> float:
    total = 0.0
    for child in parent.children():
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total


# ---------------------------------------------------------------- the steps


def load(url: str, report: Report, wanted: int, deadline: Deadline) -> None:
    """Readers by COPY, a portion at a time, in processes of their own: what they take of memory is gone before anything is measured."""
    build(url, 0)  # the works
    while (there := report.count("SELECT max(id) FROM subscribers")) < wanted:
        deadline.check(f"{there:,} of {wanted:,} subscribers are loaded")
        started, until = time.perf_counter(), min(wanted, there + PORTION)
        build(url, until)
        report.note("load", subscribers=until - there, seconds=time.perf_counter() - started)


def build(url: str, count: int) -> None:
    subprocess.run([sys.executable, population.__file__, url, str(count)], check=True)


def compose(url: str, report: Report, pid_file: str, deadline: Deadline) -> None:
    """Two processes on every second shard of those who are still due, in rounds: each note is one round of both."""
    while due := report.count(f"SELECT count(*) FROM subscribers WHERE state = 'active' AND next_due_at <= '{population.NOW}'"):
        done = report.count("SELECT count(*) FROM digests")
        deadline.check(f"{done:,} of {done + due:,} subscribers have their issue")
        before, started = server_seconds(pid_file), time.perf_counter()
        seconds = max(1.0, min(ROUND, deadline.left))
        told = [bench_compose.result(each) for each in [bench_compose.start(url, seconds, part, PROCESSES) for part in range(PROCESSES)]]
        report.note(
            "compose",
            subscribers=sum(each["due"] for each in told),
            seconds=time.perf_counter() - started,
            cpu_ours=sum(each["cpu"] for each in told),
            cpu_server=server_seconds(pid_file) - before,
            peak_mb=max(each["peak_mb"] for each in told),
        )


def deliver(url: str, report: Report, sample: int, deadline: Deadline) -> None:
    """Two engines until about so many mails are accepted."""
    if not bench_send.shutil.which("smtp-sink", path=bench_send.PATHS):
        print("no smtp-sink: nothing is sent; it comes with the package postfix")
        return
    (HOME / "paperround.key").write_text("k" * 64, encoding="ascii")
    with bench_send.sink() as port:
        while (sent := report.total("deliver").get("mails", 0)) < min(sample, report.count("SELECT count(*) FROM deliveries")):
            deadline.check(f"{sent:,.0f} of {sample:,} mails are sent")
            seconds = max(5.0, min(60.0, deadline.left))
            told = bench_send.engines(HOME, port, PROCESSES, seconds, PAPERROUND_DATABASE=url)
            report.note(
                "deliver",
                mails=sum(each["sent"] for each in told),
                seconds=max(each["seconds"] for each in told),
                bytes=sum(each["bytes"] for each in told),
                peak_mb=max(each["peak_mb"] for each in told),
            )


def sizes(report: Report, count: int) -> Figures:
    """Bytes a subscriber, by table with its indexes."""
    return {table: report.count(f"SELECT pg_total_relation_size('{table}')") / count for table in TABLES}


# ---------------------------------------------------------------- the whole


def cost(report: Report) -> Figures:
    """Milliseconds a subscriber: of processors, and of the clock times the processes."""
    total = report.total("compose")
    cpu = (total["cpu_ours"] + total["cpu_server"]) / total["subscribers"] * 1e3
    return {
        "cpu_ms": cpu,
        "server_ms": total["cpu_server"] / total["subscribers"] * 1e3,
        "clock_ms": total["seconds"] * PROCESSES / total["subscribers"] * 1e3,
        "seconds": total["seconds"],
        "peak_mb": total["peak_mb"],
    }


def entries(report: Report, small: Report, wanted: int) -> list[dict[str, Any]]:
    mine, compared, mails, loaded = cost(report), cost(small), report.total("deliver"), report.total("load")
    by_table = sizes(report, wanted)
    result = {
        "name": "million",
        "value": mine["seconds"],
        "unit": "s",
        "subscribers": wanted,
        "beside": {"cpu_ms": mine["cpu_ms"], "server_ms": mine["server_ms"], f"cpu_ms_{COMPARED // 1000}k": compared["cpu_ms"]},
        "ratio": mine["cpu_ms"] / compared["cpu_ms"],
        "ratio_clock": mine["clock_ms"] / compared["clock_ms"],
        "peak_mb": mine["peak_mb"],
        "bytes_per_subscriber": {**by_table, "all": report.count("SELECT pg_database_size(current_database())") / wanted},
        "load_seconds": loaded["seconds"],
        "note": f"{wanted:,} subscribers, {population.DAY} works, {PROCESSES} processes: {mine['cpu_ms']:.2f} ms of processors each, "
        f"{compared['cpu_ms']:.2f} at {COMPARED:,}; peak {mine['peak_mb']:.0f} MB; {sum(by_table.values()):,.0f} bytes each, of them "
        f"{by_table['digests'] + by_table['digest_items'] + by_table['deliveries']:,.0f} for the day's issue",
    }
    if not mails:
        return [result]
    sending = {
        "name": "million.send",
        "value": mails["mails"] / mails["seconds"],
        "unit": "mails/s",
        "peak_mb": mails["peak_mb"],
        "note": f"{mails['mails']:,.0f} mails of {mails['bytes'] / mails['mails'] / 1024:.0f} KB, {PROCESSES} processes",
    }
    return [result, sending]


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """Its address and the file that tells its process."""
    folder = HOME / "postgres"
    folder.mkdir(parents=True, exist_ok=True)
    with bench_compose.postgres(folder) as address:
        yield address, str(folder / "postmaster.pid")


def main() -> None:
    wanted, sample = (int(os.environ.get(name) or usual) for name, usual in (("SUBSCRIBERS", 1_000_000), ("SAMPLE", 100_000)))
    deadline = Deadline(float(os.environ.get("MINUTES") or 120))
    with server() as (address, pid_file):
        reports = []
        for count in (COMPARED, wanted):
            name = "compared" if count == COMPARED and not reports else f"of_{wanted}"
            url = bench_compose.database(address, name)
            print(f"{count:,} subscribers, in the database {name}", flush=True)
            report = Report(url)
            load(url, report, count, deadline)
            compose(url, report, pid_file, deadline)
            reports.append(report)
        deliver(url, reports[1], sample, deadline)
        results = entries(reports[1], reports[0], wanted)
    (HOME / "result.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for each in results:
        print(json.dumps(each, indent=1))


if __name__ == "__main__":
    sys.exit(main())
