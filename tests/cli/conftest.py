"""The program in a folder of its own: in this process, as its shell runs it, without the seconds of a process each."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from paperround.bundled_files import bundled
from paperround.cli import app


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


Run = Callable[..., Done]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, a model that is none, and mails that go to files."""
    settle(monkeypatch, tmp_path)
    return tmp_path


def settle(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name, value in {
        "PAPERROUND_EMBEDDING_MODEL": "hashing",
        "PAPERROUND_TRANSPORT": "directory:mails",
        "XDG_CACHE_HOME": str(home / ".cache"),
        "COLUMNS": "200",
    }.items():
        patch.setenv(name, value)
    patch.delenv("PAPERROUND_CONFIG", raising=False)
    patch.chdir(home)


@pytest.fixture
def run(house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(words…)` → what came out; `status` is what it must exit with, None where that is the machine's to say."""

    def program(*words: str, status: int | None = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["paperround", *words])
        with pytest.raises(SystemExit) as ended:
            app.run()
        said = capsys.readouterr()
        done = Done(int(ended.value.code or 0), said.out, said.err)
        assert status in (None, done.returncode), done
        return done

    return program


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with the sample read, one reader, one mail sent: made once, to be copied."""
    home = tmp_path_factory.mktemp("prepared")
    ada = ["--interest", "octopus minds", "--schedule", "daily 07:30", "--min-score", "0", "--active"]
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, home)
        for words in (
            ["init"],
            ["sources", "add", str(bundled("sample"))],
            ["subscribers", "add", "ada@example.org", *ada],
            ["run", "--now", "2099-03-02T08:00:00Z"],
        ):
            patch.setattr(sys, "argv", ["paperround", *words])
            with pytest.raises(SystemExit) as ended:
                app.run()
            assert ended.value.code in (0, None)
    return home


@pytest.fixture
def full(prepared: Path, house: Path, run: Run) -> Run:
    """`run` in such an installation."""
    shutil.copytree(prepared, house, dirs_exist_ok=True)
    return run


def commands() -> Iterator[tuple[str, Any]]:
    """Every command there is, by its words."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            yield " ".join(words), command
        for name, each in getattr(command, "commands", {}).items():
            yield from walk(each, (*words, name))

    return walk(typer.main.get_command(app.app), ())
