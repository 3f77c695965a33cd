"""The laws of sources: errors, identity, polling."""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.errors import FetchError, ParseError
from paperround.models import Entry, Fetched, ParsedFeed, Source, SourceId, SourceKind, SourceState, WorkId
from paperround.records import KnownWork
from paperround.sources import identity, polling, recognition
from paperround.sources.feed_parser import parse_feed
from paperround.sources.polling import PollingRules

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
RULES = PollingRules()
SOURCE = Source(id=SourceId(1), location="https://example.org/feed", kind=SourceKind.FEED, name="x", added_at=NOW - timedelta(days=90))
WORDS = "Nine Gestures for Small Robots in a Field"
ABSTRACT = "Robots that share a language of nine gestures finish their work sooner, and survive when half are replaced."


@given(st.binary(max_size=400))
def test_whatever_the_bytes_only_a_parse_error_comes_out(body: bytes) -> None:
    with contextlib.suppress(ParseError):
        assert parse_feed(body, url="https://example.org/feed").entries is not None


PIECES = [
    *("<rss>", "<channel>", "<item>", "</item>", "<title>", "</title>", "<link>http://[", "<feed xmlns='http://www.w3.org/2005/Atom'>"),
    *(
        "<entry>",
        "<link href='http://a:b@:99999/'/>",
        "<updated>2026-13-45T99:99:99+99:99</updated>",
        "<pubDate>0</pubDate>",
        "<id/>",
        "\x00",
    ),
    *(
        "<pubDate>Mon, 99 Foo 99999999999 25:61:61 +9999</pubDate>",
        "<published>-1</published>",
        "<ttl>x</ttl>",
        "<skipHours><hour>99</hour>",
    ),
    *(
        "<rdf:RDF xmlns:rdf='x'>",
        "<![CDATA[",
        "]]>",
        "<!DOCTYPE x [<!ENTITY a '&a;'>]>",
        "&a;",
        "&#xd800;",
        "&#99999999;",
        "é",
        "<content type='xhtml'>",
    ),
    *(
        "<?xml version='1.0' encoding='utf-7'?>",
        "<?xml encoding='nonsense'?>",
        "<summary type='text/html' mode='base64'>====",
        "<author><name>",
        "<category/>",
    ),
    *(
        '{"items":[',
        '{"id":[1],"url":{},"tags":[null]}',
        '{"date_published":"9999-99-99","authors":[{"name":1}]}',
        ",",
        "]}",
        '{"version":1,"items":[{}]}',
    ),
]


@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=20),
    st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-32-be"]),
)
def test_whatever_a_feed_is_pieced_together_from_only_a_parse_error_comes_out(pieces: list[str], encoding: str) -> None:
    body = "".join(pieces).encode(encoding, "replace")
    with contextlib.suppress(ParseError):
        for entry in parse_feed(body, url="https://example.org/feed", headers={"Content-Type": f"text/xml; charset={encoding}"}).entries:
            assert "\n" not in entry.title


def test_a_body_that_is_the_name_of_a_file_reads_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "feed.xml"
    secret.write_text("<rss><channel><title>secret</title><item><title>secret</title></item></channel></rss>")
    with pytest.raises(ParseError):
        parse_feed(str(secret).encode(), url="https://example.org/feed")


WIDE = "<a " + " ".join(f'a{number}="1"' for number in range(100_000)) + ">word</a>"
ITEM = "<rss><channel><title>t</title><item><title>i</title><description>{}</description></item></channel></rss>"


def test_a_tag_with_attributes_by_the_thousand_is_refused_in_a_feed_and_taken_away_in_its_html() -> None:
    with pytest.raises(ParseError, match="by the thousand"):
        parse_feed(ITEM.format(WIDE).encode(), url="https://example.org/feed")
    (entry,) = parse_feed(ITEM.format(WIDE.replace("<", "&lt;")).encode(), url="https://example.org/feed").entries
    assert (entry.summary, entry.content) == ("word", "word")


def test_relative_addresses_are_joined_to_the_base_they_stand_under_else_to_the_feed() -> None:
    entry = '<entry><id>{0}</id><title>{0}</title><link href="{0}"/><content type="html"{1}>&lt;a href="x"&gt;x&lt;/a&gt;</content></entry>'
    body = f"""<feed xmlns="http://www.w3.org/2005/Atom" xml:base="/blog/"><title>t</title><link href="home"/>
        {entry.format("one", "")}{entry.format("/two", ' xml:base="https://cdn.example.org/in/"')}</feed>"""
    feed = parse_feed(body.encode(), url="https://example.org/feeds/all.xml")
    assert feed.link == "https://example.org/blog/home"
    assert [each.url for each in feed.entries] == ["https://example.org/blog/one", "https://example.org/two"]
    assert [re.findall('href="(.*?)"', each.content) for each in feed.entries] == [
        ["https://example.org/blog/x"],
        ["https://cdn.example.org/in/x"],
    ]


@pytest.mark.parametrize(("body", "told"), [(b"", "empty"), (b"  \n", "empty"), (b"<html><p>hello</p></html>", "HTML page")])
def test_what_is_no_feed_is_told_apart(body: bytes, told: str) -> None:
    with pytest.raises(ParseError, match=told):
        recognition.read_source(body, url="https://example.org/feed", kind=SourceKind.FEED, now=NOW)


def test_an_html_page_names_the_feeds_it_announces() -> None:
    page = b'<html><head><link rel="alternate" type="application/atom+xml" href="/news.atom"></head><body>x</body></html>'
    with pytest.raises(ParseError, match=r"https://example.org/news.atom"):
        recognition.read_source(page, url="https://example.org/", kind=SourceKind.FEED, now=NOW)


# ---------------------------------------------------------------- identity

MENTIONS = (
    Entry(title=WORDS, summary=ABSTRACT, authors=("Ada Wren",), arxiv_id="2603.00001", version=1, url="https://arxiv.org/abs/2603.00001v1"),
    Entry(title=WORDS.upper(), summary=ABSTRACT, guid="page"),
    Entry(title="Another title", url="http://www.arxiv.org/abs/2603.00001v2/", arxiv_id="2603.00001", version=2),
    Entry(title="Doi only, by its number", doi="10.1000/x", url="https://doi.org/10.1000/x"),
    Entry(title="The same by its number", doi="10.1000/x", authors=("Ben Oak",)),
    Entry(title="Something else altogether", summary="It shares nothing with the others, and says so in a long enough sentence."),
)


def united(entries: Sequence[Entry]) -> set[frozenset[str]]:
    placement = identity.place(entries, {})
    return {frozenset(f"{entries[each].title} {entries[each].guid}" for each in members) for members in placement.groups}


@given(st.permutations(MENTIONS))
def test_which_entries_are_one_work_does_not_depend_on_their_order(entries: list[Entry]) -> None:
    assert united(entries) == united(MENTIONS)
    assert len(identity.place(entries, {}).groups) == 3


def test_an_entry_that_shares_keys_with_two_stored_works_unites_them_under_the_older() -> None:
    entry = MENTIONS[0]
    keys = sorted(identity.keys_of(entry))
    known = {
        keys[0]: KnownWork(id=WorkId(9), keys=frozenset({keys[0]}), title="", abstract="", version=None),
        keys[1]: KnownWork(id=WorkId(4), keys=frozenset({keys[1]}), title="", abstract="", version=None),
    }
    assert identity.place([entry], known).works == ((WorkId(4), WorkId(9)),)


def test_a_front_page_that_many_entries_name_makes_them_no_one_work() -> None:
    entries = [Entry(title=f"Story number {n}", url="https://example.org/", summary=f"{n} {ABSTRACT}") for n in "abc"]
    assert len(identity.place(entries, {}).groups) == 3


def test_a_change_is_material_when_its_figures_change_and_not_when_it_is_polished() -> None:
    told = identity.material_change("We are 2.1 × faster on nine tasks.", "We are 2.6 × faster on nine tasks.")
    assert told is not None
    assert "2.6 ×" in told
    assert identity.material_change(ABSTRACT, ABSTRACT.replace("sooner,", "sooner")) is None


# ---------------------------------------------------------------- polling


@given(
    st.floats(0, 0.999),
    st.integers(0, 50),
    st.sampled_from(["", "max-age=60", "max-age=86400", "max-age=99999999", "no-store"]),
    st.sampled_from([{}, {"ttl": "90"}, {"skip_hours": "9 10 11"}, {"update_period": "weekly"}, {"skip_days": "Monday Tuesday"}]),
)
def test_no_source_is_asked_again_within_the_hour(jitter: float, new: int, cache: str, hints: dict[str, str]) -> None:
    fetched = Fetched(status=200, url=SOURCE.location, headers={"cache-control": cache})
    feed = ParsedFeed(title="x", entries=(), hints=hints)
    poll = polling.after_success(SOURCE, fetched, feed, new_entries=new, now=NOW, rules=RULES, jitter=jitter)
    assert poll.next_poll_at is not None
    assert timedelta(hours=1) <= poll.next_poll_at - NOW <= timedelta(days=9)
    assert poll.next_poll_at.strftime("%A") not in hints.get("skip_days", "")


def test_gone_stops_a_source_and_a_fortnight_of_failures_pauses_it() -> None:
    assert polling.after_failure(SOURCE, FetchError("gone", status=410), now=NOW, rules=RULES, jitter=0).state is SourceState.STOPPED
    failing = replace(SOURCE, failing_since=NOW - timedelta(days=14), failures=20)
    poll = polling.after_failure(failing, FetchError("down"), now=NOW, rules=RULES, jitter=0)
    assert (poll.state, poll.next_poll_at) == (SourceState.PAUSED, None)


def test_failures_back_off_and_retry_after_is_obeyed() -> None:
    waits = [
        polling.after_failure(replace(SOURCE, failures=n), FetchError("down"), now=NOW, rules=RULES, jitter=0).next_poll_at
        for n in range(6)
    ]
    assert waits == sorted(waits, key=lambda moment: moment or NOW)
    told = polling.after_failure(SOURCE, FetchError("busy", status=429, retry_after=7200), now=NOW, rules=RULES, jitter=0)
    assert told.next_poll_at == NOW + timedelta(hours=2)


def test_retry_after_is_read_in_both_forms() -> None:
    assert polling.retry_after("120", NOW) == 120
    assert polling.retry_after("Mon, 02 Mar 2026 08:05:00 GMT", NOW) == 300
    assert polling.retry_after("soon", NOW) is None


def test_a_moved_source_moves_at_the_second_same_answer() -> None:
    fetched = Fetched(status=304, url="https://example.org/new", permanent_redirect="https://example.org/new")
    first = polling.after_success(SOURCE, fetched, None, new_entries=0, now=NOW, rules=RULES, jitter=0)
    assert (first.location, first.redirect) == (None, "https://example.org/new")
    again = replace(SOURCE, redirect=first.redirect)
    assert polling.after_success(again, fetched, None, new_entries=0, now=NOW, rules=RULES, jitter=0).location == "https://example.org/new"


def test_files_are_read_at_every_collect() -> None:
    file = replace(SOURCE, location="/tmp/page.txt")
    poll = polling.after_success(
        file, Fetched(status=200, url="x"), ParsedFeed(title="", entries=()), new_entries=0, now=NOW, rules=RULES, jitter=0
    )
    assert poll.next_poll_at is None
