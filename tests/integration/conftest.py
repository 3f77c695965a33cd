"""A home with a configuration, the command line as a subprocess, and a real SMTP server beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).resolve().parents[2]
LATER = "2099-03-02T08:00:00Z"  # after the due time of every reader who is added while the tests run

PAGE = """new

Get trending papers in your email inbox!

Subscribe

byAK and the research community

Mar 1

Two Passes of Listening: Speech Recognition That Reads Its Own Mind

A speech recogniser hears each sentence twice. The second pass repairs what the first one missed in noise,
and words that were guessed are marked.
On four languages errors fall by a third.

Words for Weather

Language models describe forecasts in plain words. Readers understood the sentences better than the maps, above all when the storm was near.
The model is small enough for a phone.

A Grammar for Small Robots

Robots that share a language of nine gestures finish their work sooner. The grammar was learned without any teacher in two days of play.
It survives when half of the robots are replaced.
"""


@dataclass
class Home:
    """One installation in a folder of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "paperround", *words]
        done = subprocess.run(program, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
        assert status is None or done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", status=status).stdout)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *words: str) -> subprocess.Popen[str]:
        with (self.folder / "stderr.txt").open("a") as log:
            program = [sys.executable, "-m", "paperround", *words]
            return subprocess.Popen(program, env=self.environment, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=log, text=True)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Initialised, with one page as its source and no reader yet; mails go to a folder and no model is loaded."""
    return home_in(tmp_path)


def home_in(folder: Path, **environment: str) -> Home:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PAPERROUND_")}
    ours = {"PAPERROUND_EMBEDDING_MODEL": "hashing", "PAPERROUND_TRANSPORT": "directory:mails", **environment}
    made = Home(folder, {**clean, **ours})
    made.run("init")
    made.write("page.txt", PAGE)
    made.run("sources", "add", "page.txt")
    return made


@dataclass
class Relay:
    """A real SMTP server as a process, and the Message-IDs that it answered 250 to."""

    url: str
    log: Path

    @property
    def accepted(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").split() if self.log.exists() else []


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    log = tmp_path / "accepted.log"
    program = [sys.executable, str(ROOT / "tests/delivery/smtp_server.py"), "--port", "0", "--log", str(log)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split()[-1]
        yield Relay(f"smtp://127.0.0.1:{port}?starttls=never", log)
        process.terminate()


@pytest.fixture
def many(tmp_path: Path, postgres: str) -> Home:
    return home_on(postgres, tmp_path)


def home_on(postgres: str, folder: Path) -> Home:
    """A home on a PostgreSQL database of its own whose steps are done by workers, with a Maildir for what comes in."""
    import psycopg

    name = f"home_{uuid4().hex}"
    with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address = postgres.replace("/postgres?", f"/{name}?")
    made = home_in(folder, PAPERROUND_DATABASE=address, PAPERROUND_ENGINE="queue", PAPERROUND_INBOX_MAILDIR="inbox")
    for part in ("new", "cur", "tmp"):
        (folder / "inbox" / part).mkdir(parents=True)
    return made
