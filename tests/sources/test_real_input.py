"""The parsers on input that nobody here wrote: every record of it, and what must never come out of it."""

import json
import random
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from paperround.bundled_files import bundled
from paperround.errors import ParseError
from paperround.models import Entry, SourceKind
from paperround.sources import daily_papers, identity, recognition
from paperround.sources.dates import parse_date
from paperround.sources.feed_parser import clean_html, html_to_text, parse_feed

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def pages(shared: Path) -> list[Path]:
    return sorted((shared / "corpora/digests").glob("*.txt"))


def test_the_four_pages_give_every_entry_and_nothing_of_their_own_text(shared: Path) -> None:
    entries = [entry for path in pages(shared) for entry in daily_papers.parse_page(path.read_text(), url=str(path), now=NOW)]
    assert len(entries) == 352
    assert len(identity.place(entries, {}).groups) == 323
    assert all(entry.summary and entry.published is None and entry.page_date for entry in entries)
    own = {"new", "subscribe", "daily papers", "get trending papers in your email inbox!", "byak and the research community"}
    assert not [entry.title for entry in entries if entry.title.casefold() in own or re.fullmatch(r"[A-Z][a-z]{2} \d{1,2}", entry.title)]


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(shared: Path) -> None:
    path = pages(shared)[0]
    text = path.read_text()
    plain = daily_papers.parse_page(text, url="x", now=NOW)
    windows = recognition.decoded(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert daily_papers.parse_page(windows, url="x", now=NOW) == plain


def test_a_missing_abstract_costs_no_other_entry(shared: Path) -> None:
    text = pages(shared)[0].read_text()
    entries = daily_papers.parse_page(text, url="x", now=NOW)
    without = daily_papers.parse_page(text.replace(entries[3].summary, ""), url="x", now=NOW)
    assert [entry.title for entry in without] == [entry.title for entry in entries]
    assert without[3].summary == ""
    assert without[4].summary == entries[4].summary


@pytest.mark.parametrize(
    ("now", "line", "seen"),
    [
        (NOW, "Mar 13", date(2026, 3, 13)),
        (NOW, "Dec 24", date(2025, 12, 24)),
        (NOW, "Nov 21", date(2026, 11, 21)),
        (NOW, "Feb 29", date(2024, 2, 29)),
        (NOW, "Mar 13, 2024", date(2024, 3, 13)),
    ],
)
def test_the_date_of_a_page_is_the_latest_such_day_that_is_not_to_come(now: datetime, line: str, seen: date) -> None:
    assert daily_papers.page_date(line, now) == seen


def test_the_day_a_page_was_seen_can_be_said(shared: Path) -> None:
    entries = daily_papers.parse_page(pages(shared)[0].read_text(), url="x", now=NOW, as_of=date(2025, 3, 13))
    assert {entry.page_date for entry in entries} == {date(2025, 3, 13)}


@pytest.mark.parametrize("month", ["2023-05", "2024-06", "2024-10", "2024-12", "2025-02", "2025-07"])
def test_every_record_of_a_month_of_daily_papers_is_read_and_is_one_work_an_arxiv_number(shared: Path, month: str) -> None:
    body = (shared / f"corpora/daily_papers/daily_papers_{month}.json").read_bytes()
    entries = daily_papers.parse_json(body, url="x")
    assert len(entries) == len(json.loads(body))
    assert not [entry.title for entry in entries if re.search(r"[\r\n]", entry.title) or not entry.title]
    random.Random(month).shuffle(entries)
    assert len(identity.place(entries, {}).groups) == len({entry.arxiv_id for entry in entries})


def test_a_withdrawn_paper_says_so(shared: Path) -> None:
    entries = daily_papers.parse_json((shared / "corpora/daily_papers/daily_papers_2024-10.json").read_bytes(), url="x")
    assert len(entries) == 482
    assert sum(entry.withdrawn for entry in entries) == 1


def feeds(shared: Path) -> list[tuple[Path, Path]]:
    found = sorted((shared / "corpora/feeds/feed-rs").glob("*/*.serde.json"))
    return [
        (next(path for path in judged.parent.glob(judged.name.replace("serde.json", "*")) if path != judged), judged) for judged in found
    ]


def test_titles_links_and_dates_are_those_of_an_independent_parser(shared: Path) -> None:
    wrong = []
    for path, judged in feeds(shared):
        expected = json.loads(judged.read_text())["entries"]
        entries = parse_feed(path.read_bytes(), url="https://example.com/blog/feed.xml").entries
        for entry, told in zip(entries, expected, strict=True):
            wrong += [(path.name, *each) for each in differences(entry, told)]
    assert wrong == []


def differences(entry: Entry, told: dict) -> list[tuple[str, object, object]]:
    found: list[tuple[str, object, object]] = []
    title = (told.get("title") or {}).get("content")
    if title and html_to_text(title) != entry.title:
        found.append(("title", entry.title, title))
    links = [link["href"] for link in told["links"] if link["rel"] in (None, "alternate")] or [link["href"] for link in told["links"]]
    if links and not (entry.url or "").endswith(links[0]):  # theirs keeps relative addresses as they stand
        found.append(("link", entry.url, links[0]))
    moment, ours = told.get("published") or told.get("updated"), entry.published or entry.updated
    if moment and (ours is None or abs(ours - datetime.fromisoformat(moment)).total_seconds() >= 1):
        found.append(("date", ours, moment))
    return found


@pytest.mark.parametrize("folder", ["illformed", "encoding"])
def test_hard_cases_give_their_text_or_a_clear_error(shared: Path, folder: str) -> None:
    errors: list[str] = []
    for path in sorted((shared / "corpora/feeds" / folder).iterdir()):
        body = path.read_bytes()
        expected = re.search(rb"Expect:\s*(.*)", body)
        try:
            feed = parse_feed(body, url="https://example.com/feed")
        except ParseError as error:
            errors.append(str(error))
            continue
        wanted = expected[1].decode("utf-8", "replace") if expected else ""
        if found := re.search(r"feed\['title'\] == '(.*?)'", wanted):
            assert feed.title == found[1].encode().decode("unicode_escape"), path.name
        if found := re.search(r"entries\[0\]\.link == '(.*?)'", wanted):
            assert feed.entries[0].url == found[1], path.name
    assert all(error.startswith("https://example.com/feed: ") for error in errors)


def test_every_odd_date_is_read(shared: Path) -> None:
    odd = json.loads((shared / "corpora/feeds/odd_dates.json").read_text())
    assert [text for text in odd if parse_date(text) is None] == []
    assert parse_date("mar., 01 déc. 2020 16:11:02 +0000") == datetime(2020, 12, 1, 16, 11, 2, tzinfo=UTC)
    assert parse_date("Mon, November 16, 2020, 11:12 PM EST") == datetime(2020, 11, 17, 4, 12, tzinfo=UTC)


def test_a_day_of_arxiv_that_was_cut_off_gives_its_whole_entries(shared: Path) -> None:
    feed = parse_feed((shared / "corpora/arxiv/arxiv_cs_full_atom.xml").read_bytes(), url="https://rss.arxiv.org/atom/cs")
    whole = [entry for entry in feed.entries if entry.summary]
    assert len(whole) >= 86
    assert all(re.fullmatch(r"\d{4}\.\d{5}", entry.arxiv_id or "") for entry in whole)
    assert all(not entry.summary.startswith("arXiv:") and len(entry.authors) >= 1 for entry in whole)


def test_no_injected_script_lives_and_cleaning_twice_changes_nothing(shared: Path) -> None:
    vectors = json.loads((shared / "corpora/xss/vectors.json").read_text())
    assert len(vectors) == 241
    for vector in vectors:
        clean = clean_html(vector, base_url="https://example.com/")
        assert clean_html(clean, base_url="https://example.com/") == clean
        tags = "".join(re.findall(r"<[^>]*>", clean))
        assert not re.search(r"<(?:script|iframe|object|embed|svg|math|style|form|input|link|meta|base)\b|\son\w+=|style=", tags, re.I), (
            clean
        )
        assert not re.search(r"(?:href|src)=\"(?!https?:|mailto:)", tags, re.I), clean


BOMBS = """
import re, sys, time
from pathlib import Path
from paperround.errors import FetchError, ParseError
from paperround.sources.feed_parser import parse_feed
from paperround.sources.fetcher import Decoder

def read(path):
    body = path.read_bytes()
    if path.suffix == ".gz":
        size = 0
        decoder = Decoder("gzip", 10_000_000)
        for start in range(0, len(body), 65536):
            for part in decoder.decode(body[start : start + 65536]):
                size += len(part)
                if size > 10_000_000:
                    raise FetchError("too large")
    return parse_feed(body, url="https://example.com/feed")

def highest():  # in kB; what getrusage says would begin at the parent's
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

for path in map(Path, sys.argv[1:]):
    Path("/proc/self/clear_refs").write_text("5")
    used, clock = highest(), time.process_time()
    try:
        told = repr(read(path))
    except (FetchError, ParseError) as error:
        told = str(error)
    print(path.name, (highest() - used) // 1024, round(time.process_time() - clock, 2), len(told), "root:" in told or "\\n" in told)
"""


def test_bombs_take_little_memory_and_open_no_file(shared: Path) -> None:
    bombs = sorted((shared / "corpora/bombs").iterdir())
    ran = subprocess.run([sys.executable, "-c", BOMBS, *map(str, bombs)], capture_output=True, text=True, check=True, timeout=60)
    figures = [line.split() for line in ran.stdout.splitlines()]
    print(ran.stdout)  # name, MB more, seconds, length of what came out, whether a file showed
    assert [name for name, *_ in figures] == [path.name for path in bombs]
    assert max(int(memory) for _, memory, *_ in figures) < 50
    assert {leaked for *_, leaked in figures} == {"False"}


def test_the_bundled_sample_is_read_whole() -> None:
    entries: list[Entry] = []
    for path in sorted(bundled("sample").iterdir()):
        body = path.read_bytes()
        kind = recognition.guess_kind(body)
        assert kind is (SourceKind.FEED if path.suffix == ".xml" else SourceKind.DAILY_PAPERS)
        entries += recognition.read_source(body, url=str(path), kind=kind, now=NOW).entries
    assert len(entries) == 80
    assert len(identity.place(entries, {}).groups) == 68
