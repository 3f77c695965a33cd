"""The demo on real input with the real model: what the first two minutes promise."""

import email
import email.policy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TASTES = {
    "sequences": ["sequential recommendation from user behaviour"],
    "lips": ["lip reading in several languages"],
    "both": ["sequential recommendation from user behaviour", "lip reading in several languages"],
}


def demo(out: Path, *words: str) -> dict[str, object]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PAPERROUND_")}
    program = [sys.executable, "-m", "paperround", "demo", "--out", str(out), "--json", *words]
    done = subprocess.run(program, env=bare, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> tuple[dict[str, object], Path]:
    """One demo over the four real pages, for three readers whose tastes are known and one who likes little."""
    folder, out = tmp_path_factory.mktemp("readers"), tmp_path_factory.mktemp("out")
    for name, interests in TASTES.items():
        (folder / f"{name}.toml").write_text(f'email = "{name}@example.org"\nmin_score = 0\ninterests = {json.dumps(interests)}\n')
    (folder / "few.toml").write_text('email = "few@example.org"\nempty = "note"\ninterests = ["medieval bookbinding"]\n')
    return demo(out, "--source", str(shared / "corpora/digests"), "--subscribers", str(folder)), out


def titles(out: Path, name: str) -> list[str]:
    feed = json.loads((out / "feeds" / f"{name}.json").read_text(encoding="utf-8"))
    return [item["title"] for item in feed["items"]]


def test_every_entry_of_the_pages_is_read_and_each_work_counts_once(pages: tuple[dict[str, object], Path]) -> None:
    counts, _ = pages
    assert {key: counts[key] for key in ("sources", "entries", "works", "duplicates", "subscribers")} == {
        "sources": 4,
        "entries": 352,
        "works": 323,
        "duplicates": 29,
        "subscribers": 4,
    }
    assert int(str(counts["digests"])) + int(str(counts["skipped"])) == 4
    assert int(str(counts["digests"])) >= 3


def test_each_taste_gets_its_work_first_and_two_tastes_get_both(pages: tuple[dict[str, object], Path]) -> None:
    _, out = pages
    assert "BERT4Rec" in titles(out, "sequences")[0]
    assert "Lip Reading" in titles(out, "lips")[0]
    first_three = " ".join(titles(out, "both")[:3])
    assert "BERT4Rec" in first_three
    assert "Lip Reading" in first_three


def test_mails_previews_feeds_and_the_index_are_written(pages: tuple[dict[str, object], Path]) -> None:
    _, out = pages
    assert len(list((out / "preview").glob("*.html"))) == 4
    assert sorted(path.name for path in (out / "feeds").iterdir()) == sorted(
        f"{name}.{form}" for name in (*TASTES, "few") for form in ("rss", "atom", "json")
    )
    assert "lips" in (out / "index.html").read_text(encoding="utf-8")
    for path in (out / "mail").glob("*.eml"):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_the_checks_from_outside_pass_on_mails_of_real_papers(tmp_path: Path, shared: Path) -> None:
    source = tmp_path / "papers.json"
    records = json.loads((shared / "corpora/daily_papers/daily_papers_2024-10.json").read_text(encoding="utf-8"))
    source.write_text(json.dumps(records[:60]), encoding="utf-8")
    counts = demo(tmp_path / "out", "--source", str(source))
    assert counts["entries"] == 60
    check = [sys.executable, str(shared / "checks/mail_bytes.py"), str(tmp_path / "out/mail")]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
