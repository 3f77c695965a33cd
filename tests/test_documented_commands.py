"""What the documentation says to type is typed here: every command block of README and tutorial, and every link of every page."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120  # for one command
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
FEED = """<rss version="2.0"><channel><title>Feed {name}</title><link>https://example.org/</link>
<item><title>Speculative decoding of speech in noise, for robots</title><link>https://arxiv.org/abs/2410.01234</link>
<description>Small language models learn by watching. Robots hear better.</description></item></channel></rss>"""
# What stands in the documents for something out there, and what is asked here instead.
ELSEWHERE = {"https://example.org/feed.xml": "1", "arxiv:cs.CL": "2", "arxiv:cs.RO": "3", "hf:daily-papers": "4"}


class Feed(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(FEED.format(name=self.path[1:]).encode())

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def feeds() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Feed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def checkout(tmp_path: Path, feeds: str) -> dict[str, str]:
    """A folder that looks like a checkout that is set up; what is written goes there. The environment to type in."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PAPERROUND_")}
    return {
        **clean,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "PAPERROUND_EMBEDDING_MODEL": "hashing",
        "PAPERROUND_ALLOW_PRIVATE_HOSTS": "127.0.0.1",
        "PAPERROUND_WEB_PORT": str(port),
        "FEEDS": feeds,
        "HERE": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }


def typed(name: str) -> list[str]:
    """The commands of a document in their order: blocks of shell, and in other blocks what stands after a $ or begins with our name."""
    found = []
    for language, block in BLOCK.findall((ROOT / name).read_text(encoding="utf-8")):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith(("$ ", "paperround ", "make "))]
        found += [line for line in lines if language in ("", "sh") and line.strip() and not line.startswith("#")]
    return [line for line in found if line.partition("  #")[0].strip() != "make test"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model"), [("README.md", "all-MiniLM-L6-v2"), ("docs/tutorial.md", "hashing")])
def test_every_command_of_the_document_does_what_it_should(checkout: dict[str, str], name: str, model: str) -> None:
    here, environment = checkout["HERE"], {**checkout, "PAPERROUND_EMBEDDING_MODEL": model}
    lines = typed(name)
    assert len(lines) >= 7
    for line in lines:
        for place, feed in ELSEWHERE.items():
            line = line.replace(place, f"{checkout['FEEDS']}/{feed}")
        if line.partition("#")[0].strip() == "paperround serve":
            serve(here, environment)
            continue
        make = 'make() { command make -o .venv/.run-ready "$@"; }'  # what is set up is not set up again
        script = f"{make}\ncd '{here}'\n{line}\npwd > '{checkout['HERE']}/.where'"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        here = Path(checkout["HERE"], ".where").read_text(encoding="utf-8").strip()


def serve(here: str, environment: dict[str, str]) -> None:
    """It answers, and stops when it is asked to."""
    with subprocess.Popen(
        ["paperround", "serve"], cwd=here, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        for _ in range(SECONDS):
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{environment['PAPERROUND_WEB_PORT']}/health", timeout=5) as answer,
            ):
                assert answer.status == 200
                break
            time.sleep(1)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0, told


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_documentation_leads_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text(encoding="utf-8"))
    assert [target for target, _ in targets if target and not (path.parent / target).exists()] == []


def test_every_page_is_two_clicks_from_the_index() -> None:
    def links(path: Path) -> set[Path]:
        found = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
        return {(path.parent / each).resolve() for each in found if each.endswith(".md")}

    index = ROOT / "docs" / "README.md"
    once = links(index)
    twice = set[Path]().union(*(links(each) for each in once if each.exists()))
    assert {path.resolve() for path in (ROOT / "docs").rglob("*.md")} - once - twice - {index} == set()
