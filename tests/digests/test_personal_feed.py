"""A reader's feed in three forms, parsed back."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as Xml

import feedparser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperround.digests.personal_feed import MEDIA_TYPES, MOST_BYTES, render_feed
from paperround.models import Digest, DigestItem, ItemRole

Pairs = Sequence[tuple[Digest, DigestItem]]


@pytest.fixture
def feed(samples: ModuleType) -> Any:
    def render(form: str, items: Pairs | None = None, **given: Any) -> bytes:
        digest = samples.digest()
        values = {
            "items": [(digest, item) for item in digest.items] if items is None else items,
            "identity": samples.identity(),
            "self_url": f"https://paperround.example/f/x.{form}",
            "home_url": "https://paperround.example/p/x",
            "reader_name": "Ada",
            "instance_id": "0f1e2d3c",
            "updated": samples.NOW,
            "links_of": lambda _: samples.links(),
            "strength_word": samples.strength_word,
        }
        return render_feed(form, **{**values, **given})

    return render


def read(form: str, body: bytes) -> list[dict[str, Any]]:
    """id, title, url, when, content of every item, as a reader's program finds them."""
    if form == "json":
        return [
            {
                "id": item["id"],
                "title": item["title"],
                "url": item.get("url"),
                "when": datetime.fromisoformat(item["date_published"]).timetuple()[:6],
                "content": item["content_html"],
            }
            for item in json.loads(body)["items"]
        ]
    found = feedparser.parse(io.BytesIO(body), sanitize_html=False)
    assert not found.bozo
    return [
        {
            "id": entry.id,
            "title": entry.title,
            "url": entry.get("link"),
            "when": tuple(entry.published_parsed)[:6],
            "content": entry.content[0].value if form == "atom" else entry.summary,
        }
        for entry in found.entries
    ]


def test_the_three_forms_have_the_same_items_order_ids_and_dates(feed: Any) -> None:
    rss, atom, other = (read(form, feed(form)) for form in ("rss", "atom", "json"))
    assert rss == atom == other
    assert len(rss) == 6


def test_items_are_what_the_issue_chose_in_its_order(feed: Any, samples: ModuleType) -> None:
    shown = [item for item in samples.items() if item.role is not ItemRole.BELOW]
    found = read("json", feed("json"))
    assert [item["title"] for item in found] == [item.work.title for item in shown]
    assert [item["url"] for item in found] == [item.work.url for item in shown]
    assert [item["when"] for item in found] == sorted((item["when"] for item in found), reverse=True)


def test_the_reason_and_the_votes_stand_in_the_content(feed: Any, samples: ModuleType) -> None:
    for form in MEDIA_TYPES:
        first = read(form, feed(form))[0]
        assert "Very strong, because it is close to “Fewer Tokens, Earlier Exits”, which you liked on 3 November." in first["content"]
        assert f'<a href="{samples.links().votes[1][0]}">More like this</a>' in first["content"]
        assert "<em>At one eighth of the tokens" in first["content"]
    silent = read("rss", feed("rss", links_of=None, strength_word=None))[0]
    assert "More like this" not in silent["content"]
    assert "<p>Because it is close to" in silent["content"]


def test_ids_outlive_titles_ranks_tokens_and_hosts(feed: Any, samples: ModuleType) -> None:
    digest = samples.digest()
    turned = [(digest, replace(item, number=9 - item.number, work=replace(item.work, title="New title"))) for item in digest.items[:5]]
    before = {item["id"] for item in read("rss", feed("rss"))[:5]}
    after = read("rss", feed("rss", turned, self_url="https://elsewhere.example/f/y.rss", identity=samples.identity(name="Other")))
    assert {item["id"] for item in after} == before
    assert all(re.fullmatch(r"tag:paperround\.invalid,2026:0f1e2d3c/work/\d+", each) for each in before)


def test_the_same_values_give_the_same_bytes(feed: Any) -> None:
    assert [feed(form) for form in MEDIA_TYPES] == [feed(form) for form in MEDIA_TYPES]


def test_a_work_that_returned_stands_once_by_its_latest_issue(feed: Any, samples: ModuleType) -> None:
    item = samples.items()[0]
    old = samples.digest([item], created_at=samples.NOW - timedelta(days=9))
    new = samples.digest([item])
    (found,) = read("atom", feed("atom", [(old, item), (new, item)]))
    assert found["when"] == (samples.NOW - timedelta(seconds=1)).timetuple()[:6]


def test_each_form_has_what_its_standard_asks_for(feed: Any) -> None:
    rss = Xml.fromstring(feed("rss"))
    assert rss.attrib["version"] == "2.0"
    assert all(rss.find(f"channel/{name}") is not None for name in ("title", "link", "description"))
    assert rss.find("channel/{http://www.w3.org/2005/Atom}link").attrib["rel"] == "self"  # type: ignore[union-attr]
    assert {guid.attrib["isPermaLink"] for guid in rss.iter("guid")} == {"false"}
    atom = Xml.fromstring(feed("atom"))
    name = "{http://www.w3.org/2005/Atom}"
    assert {link.attrib["rel"]: link.attrib["href"] for link in atom.findall(f"{name}link")}["self"].endswith("x.atom")
    assert all(entry.find(f"{name}{part}") is not None for entry in atom.iter(f"{name}entry") for part in ("id", "title", "updated"))
    updated = [entry.findtext(f"{name}updated") for entry in atom.iter(f"{name}entry")]
    assert len(set(updated)) == len(updated)
    other = json.loads(feed("json"))
    assert other["version"] == "https://jsonfeed.org/version/1.1"
    assert other["feed_url"].endswith("x.json")


def test_a_feed_without_items_is_a_feed(feed: Any) -> None:
    assert [read(form, feed(form, [])) for form in MEDIA_TYPES] == [[], [], []]


def test_a_hundred_items_and_512_kilobytes_at_most(feed: Any, samples: ModuleType) -> None:
    item = samples.items()[0]
    many = [(samples.digest(), replace(item, number=n, work=replace(item.work, id=n))) for n in range(1, 131)]
    heavy = [(digest, replace(each, excerpt=("long " * 3000,))) for digest, each in many]
    for form in MEDIA_TYPES:
        assert len(read(form, feed(form, many))) == 100
        body = feed(form, heavy)
        found = read(form, body)
        assert len(body) <= MOST_BYTES
        assert 20 < len(found) < 100
        assert found[0]["id"].endswith("/work/1")


hostile = st.text(alphabet="<>&\"']]>abc \x00\x08\x0b\x1f\x7f\x9f\ufffe\uffff\ud800\u202e\U0001f389\u0627日\n", max_size=120)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hostile, hostile)
def test_hostile_words_leave_every_form_well_formed_and_the_same(feed: Any, samples: ModuleType, title: str, name: str) -> None:
    item = samples.items()[0]
    work = replace(item.work, title=title, authors=(name, "B"), categories=(name,), url="https://e.example/ü?a=1&b=2")
    pairs = [(samples.digest(), replace(item, work=work, excerpt=(title, name), also=(name,)))]
    found = [read(form, feed(form, pairs, reader_name=name)) for form in MEDIA_TYPES]
    assert found[0] == found[1] == found[2]
    (entry,) = found[0]
    assert entry["url"] == "https://e.example/%C3%BC?a=1&b=2"
    tags = set(re.findall(r"</?(\w+)", entry["content"]))
    assert tags <= {"p", "small", "em", "a"}
