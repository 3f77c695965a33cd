"""At rest it is small: what `serve` holds while nothing is due, what an installation takes on the disk; and a lab's day on one core."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from paperround import wiring
from paperround.config import load_settings
from paperround.models import Source, SourceId, SourceKind

REST = 25.0  # seconds until the first ticks are over and two more of each have come
LIMIT_MB, LIMIT_SECONDS = 120, 120.0
READERS, ENTRIES = 100, 500
SUBJECTS = ("speech", "robots", "proteins", "weather", "language models", "vision", "privacy", "graphs", "music", "law")
COMMON = """model data method results learning training new paper large task performance approach show learn language propose network time
different problem system based study image using work two first while which better than both without more across existing present small
real improve test state high user human space open further used over code many several available evaluate introduce analysis context
reasoning structure level quality memory attention scale benchmark domain question answer search policy reward agent token layer"""
WORDS = COMMON.split()
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


def run() -> list[dict[str, Any]]:
    return [idle(), installed(), day()]


# ---------------------------------------------------------------- at rest


def idle() -> dict[str, Any]:
    """Resident memory of `serve` with its default model configured and not loaded; of it, what is its own."""
    with tempfile.TemporaryDirectory() as folder:
        program, clean = [sys.executable, "-m", "paperround"], {k: v for k, v in os.environ.items() if not k.startswith("PAPERROUND_")}
        clean |= {"PAPERROUND_WEB_PORT": "0", "PAPERROUND_TRANSPORT": "directory:mail"}
        for command in ("init", "status"):  # so that the database is there, as on every day but the first
            subprocess.run([*program, command], cwd=folder, env=clean, check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen([*program, "serve"], cwd=folder, env=clean, stderr=subprocess.DEVNULL) as serving:
            time.sleep(REST)
            status = dict(line.split(":", 1) for line in Path(f"/proc/{serving.pid}/status").read_text().splitlines())
            serving.send_signal(signal.SIGTERM)
    resident, own = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    note = f"{own:.0f} MB of its own; {LIMIT_MB} allowed; no model loaded"
    return {"name": "idle", "value": round(resident, 1), "unit": "MB", "note": note}


def installed() -> dict[str, Any]:
    """What this environment's packages take on the disk, with the largest of them."""
    sizes = {each.name: sum(_size(each.locate_file(file)) for file in each.files or ()) for each in distributions()}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    beside = {name: round(sizes[name] / 2**20) for name in largest}
    note = "this environment, tools of development included"
    return {"name": "idle.install", "value": round(sum(sizes.values()) / 2**20), "unit": "MB", "beside": beside, "note": note}


def _size(place: Any) -> int:
    with contextlib.suppress(OSError):
        return Path(place).stat().st_size
    return 0


# ---------------------------------------------------------------- a day


def day() -> dict[str, Any]:
    """From reading to mails in a folder, with the real model loaded anew, on one core."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, folder]
        one_core = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        begun = os.times()
        done = subprocess.run(command, env={**os.environ, **one_core}, check=True, capture_output=True, text=True)
        ended = os.times()
    cpu = ended.children_user + ended.children_system - begun.children_user - begun.children_system
    note = f"of one core; {READERS} readers, {ENTRIES} entries with abstracts; {LIMIT_SECONDS:.0f} s allowed; steps by the clock"
    return {"name": "idle.day", "value": round(cpu, 1), "unit": "s", "beside": json.loads(done.stdout.splitlines()[-1]), "note": note}


async def live_a_day(folder: Path) -> dict[str, Any]:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    chance = random.Random(7)
    items = [
        {"id": str(n), "url": f"https://e.example/{n}", "title": said(chance, 9), "content_text": said(chance, 180)} for n in range(ENTRIES)
    ]
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "All", "items": items}
    (folder / "all.json").write_text(json.dumps(feed), encoding="utf-8")
    (folder / "paperround.toml").write_text('transport = "directory:mail"\n', encoding="utf-8")
    settings = load_settings(folder / "paperround.toml", {})
    async with wiring.open_parts(settings, now=NOW - timedelta(days=1), keys=(b"k" * 32,)) as parts:
        for number in range(READERS):
            values = {"interests": [said(chance, 6) for _ in range(3)], "schedule": "daily 08:00", "min_score": 0.0}
            await parts.actions.add(f"r{number}@e.example", values, active=True)
        place = str(folder / "all.json")
        await parts.storage.add_source(Source(id=SourceId(0), location=place, kind=SourceKind.FEED, name="All", added_at=NOW))
    begun, took = time.perf_counter(), {}
    async with wiring.open_parts(settings, now=NOW, keys=(b"k" * 32,)) as parts:
        for name in ("collect", "embed", "compose", "deliver"):
            start = time.perf_counter()
            done = await getattr(parts.steps, name)()
            took[name] = round(time.perf_counter() - start, 1)
    assert done.sent == READERS, done
    return {**took, "seconds": round(time.perf_counter() - begun, 1)}


def said(chance: random.Random, count: int) -> str:
    """Words about something, in sentences."""
    subject = chance.choice(SUBJECTS)
    words = [subject if chance.random() < 0.1 else chance.choice(WORDS) for _ in range(count)]
    return ". ".join(" ".join(words[at : at + 18]).capitalize() for at in range(0, count, 18))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(live_a_day(Path(sys.argv[1])))))
