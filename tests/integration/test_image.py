"""The image without a container engine: what deploy/Containerfile copies and runs to install, done in a fresh environment, is a program.

The instructions of the first stage are followed word for word, but for the folders. Borrowed from the environment that runs the tests, by
links, are only the largest packages (BORROWED), so that it takes under a minute and does not write 1.6 GB. pip still holds their versions
against constraints.txt, and it finds, builds and installs everything else for real, with its own cache and the index that the machine
names. The sources are gone before the program runs, as in the second stage.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from tests.test_deploy import ROOT, instructions

BORROWED = ("torch", "triton", "nvidia", "transformers", "scipy", "scikit-learn", "sympy")
PROGRAM, SOURCES = "/opt/paperround", "/source"

pytestmark = pytest.mark.slow


def bare_environment() -> dict[str, str]:
    """Ours without what points at the checkout or configures the program; `python` is the one that runs this, as in the image."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PAPERROUND_", "PYTHON", "VIRTUAL_ENV"))}
    quick = {"PIP_NO_COMPILE": "0"}  # how pip wants `--no-compile` said: what is imported is compiled then, and not ten thousand files
    return kept | quick | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


def copied(names: list[str], target: Path) -> None:
    """What COPY brings into the build: what git knows, less what .dockerignore names."""
    listed = subprocess.run(["git", "ls-files", "-z", *names], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    unwanted = [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split()]
    for path in map(PurePosixPath, filter(None, listed.split("\0"))):
        if not any(each.match(pattern) for each in (path, *path.parents) for pattern in unwanted):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target / path)


def lend(home: Path) -> None:
    """Put the largest packages on the path of an environment, by one .pth line: only their own folders, not the checkout's."""
    shelf = home / "borrowed"
    shelf.mkdir()
    for package in importlib.metadata.distributions():
        if package.name.startswith(BORROWED):
            for name in {file.parts[0] for file in package.files or () if file.parts[0] != ".."}:
                (shelf / name).symlink_to(Path(str(package.locate_file(name))))
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(f"{shelf}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """pip reaches an index that holds what the build of the wheel needs."""
    words = ["download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "10", "--dest", str(tmp_path_factory.mktemp("probe"))]
    asked = subprocess.run([sys.executable, "-m", "pip", *words, "hatchling"], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"pip reaches no index: {asked.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def installed(index: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the programs, as the first stage leaves it."""
    root = tmp_path_factory.mktemp("image")
    home, sources = root / "program", root / "source"
    sources.mkdir()
    found = instructions("Containerfile")
    stages = [number for number, (word, _) in enumerate(found) if word == "FROM"]
    for word, rest in found[stages[0] : stages[1]]:
        if word == "COPY":
            copied(rest.split()[:-1], sources)
        if word == "RUN":
            line = re.sub(rf"{PROGRAM}\b", str(home), rest)
            done = subprocess.run(["sh", "-ec", line], cwd=sources, env=bare_environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            if "-m venv" in rest:
                lend(home)
    shutil.rmtree(sources)
    yield home / "bin"
    shutil.rmtree(root)  # most of a gigabyte, which pytest would keep three times


def told(program: Path, *words: str, cwd: Path) -> str:
    done = subprocess.run([program, *words], cwd=cwd, env=bare_environment(), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sources_stand_where_the_instructions_say() -> None:
    places = [rest for word, rest in instructions("Containerfile") if word == "WORKDIR"]
    assert places[0] == SOURCES
    assert {rest.split()[-1] for word, rest in instructions("Containerfile") if word == "COPY" and "--from" not in rest} == {"./"}
    assert f"--from=build {PROGRAM} {PROGRAM}" in [rest for word, rest in instructions("Containerfile") if word == "COPY"]


def test_the_package_holds_the_program_its_bundle_and_its_licence_and_no_tests(installed: Path, tmp_path: Path) -> None:
    ask = "import importlib.metadata as m; print(*m.files('paperround'), sep='\\n')"
    names = told(installed / "python", "-c", ask, cwd=tmp_path).splitlines()
    for wanted in ("paperround/py.typed", "paperround/bundled/templates/", "paperround/bundled/subscribers/", "/licenses/LICENSE"):
        assert any(wanted in name for name in names), wanted
    assert not [name for name in names if "/tests/" in name or "benchmarks" in name]


def test_the_checkout_is_out_of_reach(installed: Path, tmp_path: Path) -> None:
    where = told(installed / "python", "-c", "import paperround, sys; print(paperround.__file__, *sys.path, sep='\\n')", cwd=tmp_path)
    place, *path = where.splitlines()
    assert Path(place).is_relative_to(installed.parent)
    assert [each for each in path if Path(each).is_relative_to(ROOT)] == []


def test_what_was_installed_is_told_sets_up_a_list_and_reads_its_configuration(installed: Path, tmp_path: Path) -> None:
    program = installed / "paperround"
    assert re.fullmatch(r"paperround \d+\.\d+\.\d+\n", told(program, "--version", cwd=tmp_path))
    assert "wrote paperround.toml" in told(program, "init", cwd=tmp_path)
    assert (tmp_path / "subscribers" / "example.toml.sample").is_file()
    found = json.loads(told(program, "config", "show", "--json", cwd=tmp_path))
    assert found["database"] == {"value": f"sqlite:///{tmp_path}/paperround.db", "from": "paperround.toml"}
    assert told(program, "doctor", cwd=tmp_path).endswith("all is well\n")
    assert "psycopg" in told(installed / "python", "-c", "import procrastinate, psycopg; print(psycopg.__name__)", cwd=tmp_path)


def test_what_was_installed_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    counts = json.loads(told(installed / "paperround", "demo", "--out", "issues", "--json", cwd=tmp_path))
    assert counts["digests"] + counts["skipped"] == counts["subscribers"] > 0
    assert "<html" in (tmp_path / "issues" / "index.html").read_text(encoding="utf-8")
    for kind in ("mail/*.eml", "preview/*.html", "feeds/*.rss", "feeds/*.atom", "feeds/*.json"):
        assert list((tmp_path / "issues").glob(kind)), kind
