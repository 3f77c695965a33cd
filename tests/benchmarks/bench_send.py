"""Sending: mails a second from stored digests to accepted by a server (claim, render, message, SMTP, commit), on one and two processes.

Beside it, into the same `smtp-sink` in the same run: Postfix's `smtp-source` with messages of the same size, and the naive way (MJML
compiled for each mail, `email.message`, one connection). Also: peak memory with a short and a long queue, and what is left of a
permitted rate where every reply of the relay takes 200 ms.
"""

import asyncio
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
READERS, ITEMS, WORKS = 1_000, 20, 300
SHORT, LONG = 10_000, 200_000
SECONDS, NAIVE = 12.0, 40
RATE, LATENCY = 20.0, 0.2
NOW = datetime(2099, 3, 2, 8, tzinfo=UTC)
PATHS = os.environ["PATH"] + os.pathsep + "/usr/sbin"


def run() -> list[dict[str, Any]]:
    if not shutil.which("smtp-sink", path=PATHS):
        print("no smtp-sink: sending is not measured; it comes with the package postfix", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="paperround-send-") as folder, sink() as port:
        Path(folder).chmod(0o755)
        short, long = prepare(Path(folder), port)
        (one,) = engines(short, port, 1)
        two = engines(long, port, 2)
        (far,) = engines(long, port, 1)
        size = round(one["bytes"] / one["sent"])
        source = smtp_source(port, size)
        naive = asyncio.run(naive_way(port))
        both = sum(each["sent"] for each in two) / max(each["seconds"] for each in two)
        distant = behind_a_slow_relay(long)
    return [
        {
            "name": "send",
            "value": both,
            "unit": "mails/s",
            "beside": {"smtp_source": source, "naive": naive, "one_process": one["sent"] / one["seconds"]},
            "ratio": both / source,
            "ratios": {
                "smtp_source": both / source,
                "naive": both / naive,
                "one_process_to_smtp_source": one["sent"] / one["seconds"] / source,
            },
            "peak_mb_10k": one["peak_mb"],
            "peak_mb_200k": max(each["peak_mb"] for each in (far, *two)),
            "long_queue": far["sent"] / far["seconds"],
            "far_relay": distant,
            "note": f"two processes, {size / 1024:.0f} KB each; ×{both / naive:.0f} naive; one process from a queue of {LONG:,}: "
            f"{far['sent'] / far['seconds']:.0f}/s; memory {one['peak_mb']:.0f} and {max(each['peak_mb'] for each in (far, *two)):.0f} MB; "
            f"{distant:.0%} of {RATE:.0f}/s kept where each reply takes {LATENCY} s",
        }
    ]


# ---------------------------------------------------------------- servers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sink() -> Iterator[int]:
    """Postfix's server that takes everything and keeps nothing."""
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([found("smtp-sink"), *user, f"127.0.0.1:{port}", "200"]) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()


def found(program: str) -> str:
    place = shutil.which(program, path=PATHS)
    assert place is not None
    return place


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def smtp_source(port: int, size: int, count: int = 8_000) -> float:
    """Its mails a second, four connections that are kept."""
    words = ["-d", "-s", "4", "-m", str(count), "-l", str(size), "-f", "a@example.org", "-t", "b@example.org"]
    rates = []
    for _ in range(2):
        started = time.perf_counter()
        subprocess.run([found("smtp-source"), *words, f"127.0.0.1:{port}"], check=True)
        rates.append(count / (time.perf_counter() - started))
    return max(rates)


# ---------------------------------------------------------------- a home with mails to send


def prepare(folder: Path, port: int) -> tuple[Path, Path]:
    """Two homes: stored digests of as many readers, and outboxes of 10,000 and 200,000 mails of them."""
    short, long = folder / "short", folder / "long"
    short.mkdir()
    (short / "paperround.key").write_text("k" * 64, encoding="ascii")
    asyncio.run(stored(f"sqlite:///{short}/paperround.db"))
    multiply(short / "paperround.db", SHORT)
    shutil.copytree(short, long)
    multiply(long / "paperround.db", LONG)
    return short, long


async def stored(database: str) -> None:
    """Stored digests of READERS readers, and a mail of each in the outbox."""
    import bench_render as render

    from paperround.models import ConsentEvent, ConsentState, Entry, MailKind, Profile, Source, SourceId, SourceKind
    from paperround.records import NewDelivery, NewDigest
    from paperround.sources import identity
    from paperround.storage.sql_storage import open_storage
    from paperround.subscribers.signed_links import fold_address

    chance = random.Random(7)
    storage = await open_storage(database, fold=fold_address)
    source = await storage.add_source(Source(id=SourceId(0), location="https://a.example/f", kind=SourceKind.FEED, name="A", added_at=NOW))
    drafts = [render.work(chance, number) for number in range(WORKS)]
    entries = [
        Entry(title=each.title, summary=each.abstract, url=each.url, authors=each.authors, guid=each.url, source_url="https://a.example/f")
        for each in drafts
    ]
    await storage.record_entries(
        source, entries, seen_at=NOW, place=identity.place, keys=identity.keys_of, material_change=identity.material_change, quiet=False
    )
    works = await storage.works_seen(NOW - timedelta(days=1), NOW)
    event = ConsentEvent(at=NOW, kind="file", state=ConsentState.ACTIVE, way="file")
    decided = []
    for number in range(READERS):
        issue = render.issue(chance, number, works)
        email, profile = f"reader{number}@domain{number % 40}.example", Profile(name=f"Reader {number}")
        reader = await storage.add_subscriber(
            email=email, public_id=f"{number:032x}", profile=profile, event=event, next_due_at=NOW + timedelta(days=1)
        )
        mail = NewDelivery(
            kind=MailKind.ISSUE, subscriber_id=reader.id, recipient=email, message_id=f"{number}.first@example.org", values={}
        )
        digest = replace(issue.digest, id=0, subscriber_id=reader.id)
        decided.append(NewDigest(digest=digest, delivery=mail, next_due_at=NOW + timedelta(days=1)))
    for start in range(0, READERS, 200):
        await storage.record_digests(decided[start : start + 200])
    await storage.close()


def multiply(database: Path, wanted: int) -> None:
    """As many mails as wanted, of the digests that are there."""
    with closing(sqlite3.connect(database)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(deliveries)") if row[1] not in ("id", "message_id")]
        names = ", ".join(f'"{name}"' for name in columns)
        (present,) = connection.execute("SELECT count(*) FROM deliveries").fetchone()
        times = (wanted - present) // READERS
        connection.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times}) "
            f"INSERT INTO deliveries (message_id, {names}) SELECT '{wanted}.' || i || '.' || message_id, {names} "
            f"FROM n, (SELECT * FROM deliveries ORDER BY id LIMIT {READERS})"
        )
        connection.commit()


# ---------------------------------------------------------------- our way, in processes of its own


def engines(home: Path, port: int, count: int, seconds: float = SECONDS, **settings: str) -> list[dict[str, float]]:
    """That many engines on one outbox for so long, begun together; what each came to."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PAPERROUND_CONFIG": str(home / "paperround.toml"),
        "PAPERROUND_TRANSPORT": f"smtp://127.0.0.1:{port}?starttls=never",
        "PAPERROUND_EMBEDDING_MODEL": "hashing",
        "PAPERROUND_DELIVERY_CONNECTIONS": "8",
        **settings,
    }
    (home / "paperround.toml").touch()
    words = [sys.executable, str(Path(__file__).resolve()), str(seconds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen(words, **pipes) for _ in range(count)]  # type: ignore[call-overload]
    for each in processes:
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        each.stdin.write("go\n")
        each.stdin.flush()
    told = [json.loads(each.communicate()[0]) for each in processes]
    assert all(not each["fault"] for each in told), told
    return told


async def engine(seconds: float) -> None:
    """One process: warm up, wait for the word, deliver for so long or until nothing is left."""
    from paperround.config import load_settings
    from paperround.wiring import open_parts

    async with open_parts(load_settings(None, os.environ), now=NOW) as parts:
        made, build = 0, parts.messages.envelope

        def counted(*given: Any) -> Any:
            nonlocal made
            envelope = build(*given)
            made += len(envelope.message)
            return envelope

        parts.messages.envelope = counted  # type: ignore[method-assign]
        assert parts.messages.templates
        print("ready", flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        delivering = asyncio.create_task(parts.steps.deliver())
        await asyncio.wait([delivering], timeout=seconds)
        await parts.steps.stop_delivering()
        done = await delivering
        spent = time.perf_counter() - started
    print(json.dumps({"sent": done.sent, "seconds": spent, "peak_mb": peak_mb(), "bytes": made, "fault": done.fault}))


def peak_mb() -> float:
    """Of this process; what getrusage tells is that of the process it was forked from, where that was larger."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def behind_a_slow_relay(home: Path) -> float:
    """The share of the permitted rate that is kept."""
    words = [sys.executable, str(HERE.parent / "delivery" / "smtp_server.py"), "--latency", str(LATENCY)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[1])
            limits = {"PAPERROUND_DELIVERY_PER_SECOND": str(RATE), "PAPERROUND_DELIVERY_CONNECTIONS": "32"}
            (told,) = engines(home, port, 1, seconds=20.0, **limits)
        finally:
            process.terminate()
    return told["sent"] / told["seconds"] / RATE


# ---------------------------------------------------------------- the naive way


async def naive_way(port: int) -> float:
    import aiosmtplib
    import bench_render as render

    chance = random.Random(8)
    works = [render.work(chance, number) for number in range(WORKS)]
    issues = [render.issue(chance, number, works) for number in range(NAIVE)]
    templates = render.TemplateLoader([render.bundled("templates")]).load()
    texts = [render.content(templates, each).text for each in issues]
    started = time.perf_counter()
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
        for each, text in zip(issues, texts, strict=True):
            message = EmailMessage(policy=SMTP)
            message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", f"Issue {each.digest.id}"
            message.set_content(text)
            message.add_alternative(render.compiled_each_time(each).decode(), subtype="html")
            await client.send_message(message)
    return NAIVE / (time.perf_counter() - started)


if __name__ == "__main__":
    asyncio.run(engine(float(sys.argv[1])))
