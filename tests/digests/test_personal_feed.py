"""A reader's feed in three forms: every line of what feeds must be, asked of the bytes by parsers that are not ours."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html.entities import html5
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as Xml

import feedparser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperround.digests.personal_feed import MEDIA_TYPES, MOST_BYTES, render_feed
from paperround.models import Digest, DigestId, DigestItem, ItemRole, WorkId

Pairs = Sequence[tuple[Digest, DigestItem]]
HOSTILE = (
    "<script>alert(1)</script> & <b>bold</b> &lt;i&gt; &#x3c;u&#62; &amp; &nbsp;",
    "]]> <![CDATA[ x ]]> <!-- c --> <?xml version='1.0'?>",
    "line\nbreak\ttab\x00\x08\x0b\x1f\x7f\x85\x9f \ufffe\uffff\ufdd0 end",
    "lone \ud800 and \udfff surrogates, \U0001f389 and \U00010000",
    "\u202eright-to-left override\u202c \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "long " * 400,
    "\"quotes' and AT&T, a<b, x > y, <unk> tokens",
    " \n ",
    "\ufdd0",
)


@pytest.fixture
def feed(samples: ModuleType) -> Any:
    def render(form: str, items: Pairs | None = None, **given: Any) -> bytes:
        digest = samples.digest()
        values = {
            "items": [(digest, item) for item in digest.items] if items is None else items,
            "subscriber": samples.subscriber(),
            "identity": samples.identity(),
            "self_url": f"https://paperround.example/f/x.{form}",
            "home_url": "https://paperround.example/",
            "instance_id": "0f1e2d3c",
            "updated": samples.NOW,
            "links_of": lambda _: samples.links(),
            "strength_word": samples.strength_word,
        }
        return render_feed(form, **{**values, **given})

    return render


@pytest.fixture
def hostile(samples: ModuleType) -> Any:
    """An issue whose every text is one of the given ones."""

    def issue(texts: Sequence[str]) -> Pairs:
        item = samples.items()[0]
        found = [
            replace(
                item,
                number=number,
                work=replace(
                    item.work,
                    id=WorkId(number),
                    title=text,
                    abstract=text,
                    authors=(text, "B. Good"),
                    categories=(text, "cs.CV"),
                    url=f"https://e.example/{text}?a=1&b=2",
                    links=replace(item.work.links, code=text, pdf=f"javascript:{text}"),
                ),
                excerpt=(text, "A sentence."),
                best=0,
                also=(text,),
                reason=replace(item.reason, text=text, sentence=text),
            )
            for number, text in enumerate(texts, 1)
        ]
        digest = samples.digest(found)
        return [(digest, each) for each in found]

    return issue


# ---------------------------------------------------------------- what a validator would say

ATOM, DC = "{http://www.w3.org/2005/Atom}", "{http://purl.org/dc/elements/1.1/}"
WITHOUT_FAULT: dict[str, list[str]] = {form: [] for form in MEDIA_TYPES}
KNOWN = {  # element: how often, at most
    "channel": {"title": 1, "link": 1, "description": 1, "language": 1, "lastBuildDate": 1, "generator": 1, f"{ATOM}link": 9, "item": 999},
    "item": {"title": 1, "link": 1, "description": 1, "guid": 1, "pubDate": 1, f"{DC}creator": 999, "category": 999},
    f"{ATOM}feed": {"id": 1, "title": 1, "subtitle": 1, "updated": 1, "author": 9, "link": 9, "generator": 1, "entry": 999},
    f"{ATOM}entry": {"id": 1, "title": 1, "updated": 1, "published": 1, "author": 999, "link": 9, "category": 999, "content": 1},
}
LEGAL = re.compile("[\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]*")


class Markup(HTMLParser):
    """Faults of an item's HTML: unbalanced, unsafe, relative."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is left open" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag not in ("p", "small", "em", "a", "h3") or {name for name, _ in attrs} - {"href"}:
            self.faults.append(f"<{tag} {attrs}>")
        self.faults += [f"{name}={value}" for name, value in attrs if not absolute(value or "")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}>")


def absolute(url: str) -> bool:
    """An http(s) URI by the grammar of RFC 3986."""
    letter = r"(?:[\w.~?!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
    return bool(re.fullmatch(rf"https?://[\w.-]+(?::\d+)?(?:/{letter})?(?:\?{letter})?(?:#{letter})?", url, re.ASCII))


def markup_like(text: str) -> bool:
    """By which W3C's validator warns of HTML in a title, and feedparser takes it for some."""
    entities = re.findall(r"&(#?\w+);", text)
    return bool(re.search(r"</\w+>", text)) or any(f"{name};" in html5 or not name.isalpha() for name in entities)


def text_faults(parent: str, texts: Sequence[str | None]) -> list[str]:
    return [f"{parent}: {text!r}" for text in texts if not (text or "").strip() or markup_like(text or "") or "\n" in (text or "")]


def counted(element: Xml.Element) -> list[str]:
    """Unknown children, and those that stand there too often."""
    space = ATOM if element.tag.startswith(ATOM) else ""
    known = {name if name.startswith("{") else f"{space}{name}": most for name, most in KNOWN[element.tag].items()}
    tags = [child.tag for child in element]
    return [f"{element.tag}: {tag}" for tag in set(tags) if tags.count(tag) > known.get(tag, 0)]


def rss_faults(body: bytes) -> list[str]:
    root = Xml.fromstring(body)
    (channel,) = root
    faults = counted(channel) if (root.tag, root.attrib) == ("rss", {"version": "2.0"}) else ["not RSS 2.0"]
    faults += text_faults("channel", [channel.findtext(name) for name in ("title", "description", "generator")])
    faults += [f"{name} is missing" for name in ("title", "link", "description", "language") if channel.find(name) is None]
    faults += [f"{name}: {text}" for name in ("link",) if not absolute(text := channel.findtext(name) or "")]
    own = [link.attrib for link in channel.findall(f"{ATOM}link") if link.get("rel") == "self"]
    faults += [] if [set(each) for each in own] == [{"rel", "type", "href"}] and absolute(own[0]["href"]) else ["no atom:link to itself"]
    faults += [] if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", channel.findtext("language") or "") else ["language"]
    for item in channel.findall("item"):
        faults += counted(item) + Markup(item.findtext("description") or "").faults
        faults += text_faults("item", [child.text for child in item if child.tag in ("title", "category", f"{DC}creator")])
        faults += [f"link: {link.text}" for link in item.findall("link") if not absolute(link.text or "")]
        faults += [f"guid: {guid.attrib}" for guid in item.findall("guid") if guid.attrib != {"isPermaLink": "false"}]
        faults += [f"{name} is missing" for name in ("title", "guid", "pubDate", "description") if item.find(name) is None]
    for date in [*channel.iter("lastBuildDate"), *channel.iter("pubDate")]:
        at = parsedate_to_datetime(date.text or "")
        faults += [] if at.strftime("%a, %d %b %Y %H:%M:%S GMT") == date.text else [f"date: {date.text}"]
    guids = [guid.text for guid in channel.iter("guid")]
    return faults + (["a guid twice"] if len(set(guids)) < len(guids) else [])


def atom_faults(body: bytes) -> list[str]:
    root = Xml.fromstring(body)
    entries = root.findall(f"{ATOM}entry")
    faults = counted(root) if root.tag == f"{ATOM}feed" else ["not Atom"]
    rels = sorted(link.get("rel", "") for link in root.findall(f"{ATOM}link"))
    faults += [] if rels == ["alternate", "self"] and root.find(f"{ATOM}author/{ATOM}name") is not None else [f"feed: {rels}"]
    for element in (root, *entries):
        faults += counted(element) if element is not root else []
        texts = [element.findtext(f"{ATOM}{name}") for name in ("id", "title", "updated")]
        names = [author.findtext(f"{ATOM}name") for author in element.findall(f"{ATOM}author")]
        faults += text_faults(element.tag, [*texts, *names, *(each.get("term") for each in element.findall(f"{ATOM}category"))])
        faults += [f"link: {link.attrib}" for link in element.findall(f"{ATOM}link") if not absolute(link.get("href", ""))]
    for entry in entries:
        content = entry.find(f"{ATOM}content")
        html = content.text or "" if content is not None and content.attrib == {"type": "html"} else "<none>"
        faults += Markup(html).faults
        faults += ["two ways on"] if len(entry.findall(f"{ATOM}link")) > 1 else []
    for date in [*root.iter(f"{ATOM}updated"), *root.iter(f"{ATOM}published")]:
        faults += [] if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", date.text or "") else [f"date: {date.text}"]
    ids = [each.text for each in root.iter(f"{ATOM}id")]
    times = [entry.findtext(f"{ATOM}updated") for entry in entries]
    faults += [f"id: {each}" for each in ids if urlsplit(each or "").scheme != "tag"]
    return faults + [what for what, all_of in (("an id", ids), ("a time", times)) if len(set(all_of)) < len(all_of)]


def json_faults(body: bytes) -> list[str]:
    root = json.loads(body)
    faults = [] if root["version"] == "https://jsonfeed.org/version/1.1" else ["not JSON Feed 1.1"]
    own = {"version", "title", "home_page_url", "feed_url", "description", "language", "authors", "items"}
    faults += [f"unknown: {set(root) - own}"] if set(root) - own else []
    faults += text_faults("feed", [root["title"], root["description"]])
    faults += [f"{root[name]}" for name in ("home_page_url", "feed_url") if not absolute(root[name])]
    for item in root["items"]:
        unknown = set(item) - {"id", "url", "title", "content_html", "date_published", "authors", "tags"}
        faults += [f"unknown: {unknown}"] if unknown else []
        faults += Markup(item["content_html"]).faults + ([] if absolute(item.get("url", "https://e.example/")) else [item["url"]])
        faults += text_faults(
            "item", [item["id"], item["title"], *item.get("tags", []), *(each["name"] for each in item.get("authors", []))]
        )
        faults += [] if datetime.fromisoformat(item["date_published"]).tzinfo else ["a date without a zone"]
    ids = [item["id"] for item in root["items"]]
    return faults + (["an id twice"] if len(set(ids)) < len(ids) else [])


FAULTS = {"rss": rss_faults, "atom": atom_faults, "json": json_faults}


def faults(form: str, body: bytes) -> list[str]:
    """What is wrong with a feed by its standard and by W3C's validator; illegal characters first."""
    text = body.decode("utf-8")
    illegal = (
        []
        if LEGAL.fullmatch(text) and LEGAL.fullmatch(json.dumps(json.loads(text), ensure_ascii=False) if form == "json" else "")
        else ["illegal"]
    )
    return illegal + FAULTS[form](body)


def read(form: str, body: bytes) -> list[dict[str, Any]]:
    """id, title, url, when, content, authors of every item, as a reader's program finds them."""
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
    found = feedparser.parse(io.BytesIO(body))
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


# ---------------------------------------------------------------- the forms


@pytest.mark.parametrize("by_issue", [False, True])
def test_the_three_forms_are_without_fault_and_have_the_same_items_order_ids_and_dates(feed: Any, by_issue: bool) -> None:
    bodies = {form: feed(form, by_issue=by_issue) for form in MEDIA_TYPES}
    assert {form: faults(form, body) for form, body in bodies.items()} == WITHOUT_FAULT
    rss, atom, other = (read(form, body) for form, body in bodies.items())
    assert rss == atom == other
    assert len(rss) == (1 if by_issue else 6)


def test_the_checks_see_what_is_wrong(feed: Any) -> None:
    spoilt = {
        "rss": [
            ('isPermaLink="false"', ""),
            ("<title>", "<title>&lt;/b&gt;"),
            ("Fri, 20", "Thu, 20"),
            ('rel="self"', 'rel="me"'),
            ("href=", "on="),
        ],
        "atom": [("tag:", ""), ("T06:29:58", "T06:29:59"), ('type="html"', 'type="text"'), ("<entry><id>", "<entry><x/><id>")],
        "json": [("1.1", "1"), ('"id"', '"guid"'), ("<p>", "<p><script>"), ("https://papers", "//papers")],
    }
    for form, changes in spoilt.items():
        for old, new in changes:
            text = feed(form).decode()
            assert old in text
            try:
                found = faults(form, text.replace(old, new).encode())
            except KeyError:
                found = ["a field is missing"]
            assert found, (form, old)


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
    silent = read("rss", feed("rss", links_of=lambda _: samples.bare_links()))[0]
    assert "More like this" not in silent["content"]


def test_by_issue_each_issue_is_one_entry_that_leads_to_its_page(feed: Any, samples: ModuleType) -> None:
    digests = [samples.digest(id=DigestId(77 - days), created_at=samples.NOW - timedelta(days=days)) for days in range(3)]
    pairs = [(digest, item) for digest in digests for item in digest.items]
    found = read("atom", feed("atom", pairs, by_issue=True))
    assert [item["id"].rpartition("/")[2] for item in found] == ["77", "76", "75"]
    assert found[0]["url"] == samples.links().archive
    assert found[0]["title"].startswith("Half the Tokens")
    assert all(item.work.title in found[0]["content"] for item in samples.items() if item.number)
    assert f'<a href="{samples.links().votes[2][1]}">Less like 2</a>' in found[0]["content"]


def test_a_feed_speaks_the_readers_language(feed: Any, samples: ModuleType) -> None:
    body = feed("rss", subscriber=samples.subscriber(language="de"))
    assert faults("rss", body) == []
    assert Xml.fromstring(body).findtext("channel/language") == "de"
    assert "More like this" not in body.decode()
    assert "because" not in body.decode()


# ---------------------------------------------------------------- ids and bytes


def test_ids_outlive_titles_ranks_tokens_and_hosts(feed: Any, samples: ModuleType) -> None:
    digest = samples.digest()
    turned = [replace(item, number=6 - item.number, work=replace(item.work, title="New title")) for item in digest.items[:5]]
    later = samples.digest(turned)
    elsewhere = {
        "self_url": "https://elsewhere.example/f/y.rss",
        "home_url": "https://elsewhere.example/",
        "identity": samples.identity(name="Other"),
        "links_of": lambda _: samples.bare_links(),
    }
    for by_issue in (False, True):
        before = {item["id"] for item in read("rss", feed("rss", [(digest, item) for item in digest.items[:5]], by_issue=by_issue))}
        after = {item["id"] for item in read("rss", feed("rss", [(later, item) for item in turned], by_issue=by_issue, **elsewhere))}
        assert after == before
        assert all(re.fullmatch(r"tag:paperround\.invalid,2026:0f1e2d3c/(work|issue)/\d+", each) for each in before)


def test_the_same_values_give_the_same_bytes(feed: Any) -> None:
    assert [feed(form) for form in MEDIA_TYPES] == [feed(form) for form in MEDIA_TYPES]


def test_a_work_that_returned_stands_once_by_its_latest_issue(feed: Any, samples: ModuleType) -> None:
    item = samples.items()[0]
    old = samples.digest([item], id=DigestId(70), created_at=samples.NOW - timedelta(days=9))
    new = samples.digest([item])
    (found,) = read("atom", feed("atom", [(old, item), (new, item)]))
    assert found["when"] == (samples.NOW - timedelta(seconds=1)).astimezone(UTC).timetuple()[:6]


def test_a_feed_without_items_is_a_feed(feed: Any) -> None:
    for form in MEDIA_TYPES:
        body = feed(form, [])
        assert faults(form, body) == []
        assert read(form, body) == []


def test_a_hundred_items_and_512_kilobytes_at_most(feed: Any, samples: ModuleType) -> None:
    item = samples.items()[0]
    several = [
        samples.digest(
            [replace(item, number=n, work=replace(item.work, id=WorkId(50 * days + n))) for n in range(1, 51)],
            id=DigestId(99 - days),
            created_at=samples.NOW - timedelta(days=days),
        )
        for days in range(3)
    ]
    many = [(digest, each) for digest in several for each in digest.items]
    wordy = tuple(f"Name{'n' * 40} {n}" for n in range(200))
    heavy = [(digest, replace(each, work=replace(each.work, authors=wordy))) for digest, each in many]
    for form in MEDIA_TYPES:
        assert len(read(form, feed(form, many))) == 100
        body = feed(form, heavy)
        found = read(form, body)
        assert len(body) <= MOST_BYTES
        assert 20 < len(found) < 100
        assert found[0]["id"].endswith("/work/1")


# ---------------------------------------------------------------- hostile words


@pytest.mark.parametrize("by_issue", [False, True])
def test_hostile_words_leave_every_form_without_fault_and_the_same(feed: Any, hostile: Any, samples: ModuleType, by_issue: bool) -> None:
    for name in (HOSTILE[0], HOSTILE[2], HOSTILE[3]):
        given = {"subscriber": samples.subscriber(name=name), "identity": samples.identity(name=name), "by_issue": by_issue}
        bodies = {form: feed(form, hostile(HOSTILE), **given) for form in MEDIA_TYPES}
        assert {form: faults(form, body) for form, body in bodies.items()} == WITHOUT_FAULT
        rss, atom, other = (read(form, body) for form, body in bodies.items())
        assert rss == atom == other
        assert len(rss) == (1 if by_issue else len(HOSTILE))


def test_titles_stay_readable(feed: Any, hostile: Any) -> None:
    titles = [item["title"] for item in read("rss", feed("rss", hostile(HOSTILE)))]
    assert titles[0].startswith("‹script>alert(1)‹/script> & ‹b>bold")
    assert titles[2] == "line break tab end"
    assert titles[3] == "lone and surrogates, \U0001f389 and \U00010000"
    assert titles[4] == "right-to-left override \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd"
    assert 200 < len(titles[5]) <= 500
    assert titles[6] == "\"quotes' and AT&T, a‹b, x > y, ‹unk> tokens"
    assert titles[7] == titles[8] == "(without a title)"


def test_no_known_way_of_injecting_a_script_lives_in_a_feed(feed: Any, hostile: Any, shared: Path) -> None:
    vectors = json.loads((shared / "corpora/xss/vectors.json").read_text(encoding="utf-8"))
    assert len(vectors) > 200
    for start in range(0, len(vectors), 50):
        pairs = hostile(vectors[start : start + 50])
        bodies = {form: feed(form, pairs) for form in MEDIA_TYPES}
        assert {form: faults(form, body) for form, body in bodies.items()} == WITHOUT_FAULT
        rss, atom, other = (read(form, body) for form, body in bodies.items())
        assert rss == atom == other
        assert len(rss) == len(pairs)


anything = st.text(
    alphabet=st.one_of(st.sampled_from("<>&\"'/]!;#?=%abc \n"), st.characters(), st.characters(categories=["Cs", "Cc"])), max_size=80
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(anything, anything, st.booleans())
def test_whatever_a_source_holds_a_feed_is_without_fault(
    feed: Any, hostile: Any, samples: ModuleType, title: str, name: str, by_issue: bool
) -> None:
    pairs = hostile([title, name])
    for form in MEDIA_TYPES:
        assert faults(form, feed(form, pairs, subscriber=samples.subscriber(name=name), by_issue=by_issue)) == []
