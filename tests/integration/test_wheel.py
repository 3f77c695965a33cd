"""The wheel alone, in an environment where the checkout does not exist, does the main job.

What the wheel depends on is borrowed from the environment that runs the tests, by one .pth line: installing it anew would download
400 MB. A .pth line puts the folder on the path without the .pth files inside it, so the editable checkout stays out of reach.
"""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds the wheel."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, env=bare_environment())
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def bare_environment() -> dict[str, str]:
    """Ours without what points at the checkout or configures the program or pip."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PAPERROUND_", "PYTHON", "PIP_"))}


def test_the_wheel_holds_the_program_its_bundle_and_its_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "paperround/py.typed",
        "paperround/bundled/templates/",
        "paperround/bundled/subscribers/",
        ".dist-info/licenses/LICENSE",
    ):
        assert any(wanted in name for name in names), wanted
    assert not [name for name in names if "/tests/" in name or "benchmarks" in name or "__pycache__" in name]


def test_the_checkout_is_out_of_reach(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [installed, "-c", "import paperround; print(paperround.__file__)"],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed.parents[1])


def test_the_wheel_alone_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    program = installed.with_name("paperround")
    done = subprocess.run(
        [program, "demo", "--out", "issues", "--json"],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["digests"] + counts["skipped"] == counts["subscribers"] > 0
    index = (tmp_path / "issues" / "index.html").read_text(encoding="utf-8")
    assert "<html" in index
    for kind in ("mail/*.eml", "preview/*.html", "feeds/*.rss", "feeds/*.atom", "feeds/*.json"):
        assert list((tmp_path / "issues").glob(kind)), kind
