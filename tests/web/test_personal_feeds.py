"""The feeds over HTTP: validators, encodings, what is kept, closed and unknown addresses; and what was liked, for reference managers."""

import base64
import gzip
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from paperround.models import ConsentState, DigestId
from paperround.records import NewDigest
from paperround.subscribers.signed_links import KeyRing, Purpose, make_token
from paperround.web.app import create_app
from paperround.web.personal_feeds import FeedAnswer, FeedMemory, takes_gzip

Site = Any
PLAIN = {"Accept-Encoding": "identity"}
TYPES = {
    ".rss": "application/rss+xml; charset=utf-8",
    ".atom": "application/atom+xml; charset=utf-8",
    ".json": "application/feed+json; charset=utf-8",
    "/liked.bib": "application/x-bibtex; charset=utf-8",
    "/liked.ris": "application/x-research-info-systems; charset=utf-8",
}


def address(site: Site, ending: str) -> str:
    path: str = site.path(site.links.feed_rss)
    return path.removesuffix(".rss") + ending


@pytest.fixture
def made(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with every feed that is made anew."""
    found: list[object] = []
    ask = site.storage.feed_items

    async def feed_items(*given: object, **named: object) -> object:
        found.append(given)
        return await ask(*given, **named)

    monkeypatch.setattr(site.storage, "feed_items", feed_items)
    return found


async def second_issue(site: Site) -> None:
    """The first one again, a day later."""
    at = site.clock.now()
    digest = replace(site.digest, id=DigestId(0), period=at.date(), number=2, created_at=at, cutoff=at)
    await site.storage.record_digests([NewDigest(digest=digest, delivery=None, next_due_at=at + timedelta(days=1))])


# ---------------------------------------------------------------- the answers


@pytest.mark.parametrize("ending", TYPES)
async def test_each_has_its_type_its_headers_and_its_titles(site: Site, ending: str) -> None:
    await site.client.post(site.path(site.links.votes[2][0]))
    answer = await site.client.get(address(site, ending), headers=PLAIN)
    assert (answer.status_code, answer.headers["content-type"]) == (200, TYPES[ending])
    assert re.fullmatch(r'"[0-9a-f]{32}"', answer.headers["etag"])  # strong, and quoted
    assert answer.headers["cache-control"].startswith("private")
    assert "noindex" in answer.headers["x-robots-tag"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "Drafts on the Cheap" in answer.text
    if "liked" not in ending:
        assert answer.headers["last-modified"] == "Fri, 20 Nov 2026 09:00:00 GMT"
        assert f"http://paper.example{address(site, ending)}" in answer.text  # its own address


async def test_what_stands_below_the_cut_is_no_item(site: Site) -> None:
    items = (await site.client.get(address(site, ".json"))).json()["items"]
    assert [item["title"] for item in items] == [item.work.title.replace("<All", "‹All") for item in site.digest.items if item.number]


async def test_by_issue_each_issue_is_one_item_that_leads_to_its_page(site: Site) -> None:
    site.clock.advance(days=1)
    await second_issue(site)
    path = f"{address(site, '.json')}?by=issue"
    feed = (await site.client.get(path)).json()
    assert feed["feed_url"] == f"http://paper.example{path}"
    newest, first = feed["items"]
    assert first["url"] == site.links.archive
    assert newest["id"] != first["id"]
    assert "Reading Lips in Four Languages" in first["content_html"]
    assert len((await site.client.get(address(site, ".json"))).json()["items"]) == 3


async def test_a_feed_goes_back_thirty_days_before_its_newest_issue(site: Site) -> None:
    found = []
    for days in (29, 2):
        site.services.feeds.clear()
        site.clock.advance(days=days)
        await second_issue(site)
        items = (await site.client.get(f"{address(site, '.json')}?by=issue")).json()["items"]
        found.append([item["date_published"][:10] for item in items])
    assert found == [["2026-12-19", "2026-11-20"], ["2026-12-21", "2026-12-19"]]


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", W/"{}"', "*", '"x","{}"'])
@pytest.mark.parametrize("ending", [".rss", "/liked.bib"])
async def test_who_has_it_already_gets_304_without_a_body(site: Site, form: str, ending: str) -> None:
    path = address(site, ending)
    tag = (await site.client.get(path, headers=PLAIN)).headers["etag"].strip('"')
    for headers in (PLAIN, {"Accept-Encoding": "gzip"}):
        answer = await site.client.get(path, headers={**headers, "If-None-Match": form.format(tag)})
        assert (answer.status_code, answer.content) == (304, b"")
        assert tag in answer.headers["etag"]
        assert answer.headers["cache-control"].startswith("private")
        assert not {"content-type", "content-encoding"} & set(answer.headers)


async def test_a_date_is_looked_at_only_where_no_tag_is_given(site: Site) -> None:
    path = address(site, ".rss")
    modified = (await site.client.get(path)).headers["last-modified"]
    for since, tag, status in (
        (modified, None, 304),
        ("Thu, 19 Nov 2026 09:00:00 GMT", None, 200),
        ("no date at all", None, 200),
        (modified, '"another"', 200),
    ):
        headers = {"If-Modified-Since": since, **({"If-None-Match": tag} if tag else {})}
        assert (await site.client.get(path, headers=headers)).status_code == status


@pytest.mark.parametrize("ending", TYPES)
async def test_head_says_what_get_says(site: Site, ending: str) -> None:
    for headers in (PLAIN, {"Accept-Encoding": "gzip"}, {"If-None-Match": "*"}):
        get, head = [await site.client.request(method, address(site, ending), headers=headers) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert dict(head.headers) == dict(get.headers)


async def test_gzip_is_another_representation_with_another_tag(site: Site) -> None:
    path = address(site, ".json")
    async with site.client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as zipped:
        raw = b"".join([part async for part in zipped.aiter_raw()])
    plain = await site.client.get(path, headers=PLAIN)
    assert gzip.decompress(raw) == plain.content
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert zipped.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accept", "takes"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("gzip; q=0.0", False), ("identity", False), ("", False)],
)
def test_what_a_reader_accepts_is_read_as_it_says(accept: str, takes: bool) -> None:
    assert takes_gzip(accept) is takes


# ---------------------------------------------------------------- what is kept, and how long it stays the same


@pytest.mark.parametrize("ending", TYPES)
async def test_validators_outlive_a_restart_and_the_days_after_the_last_issue(site: Site, ending: str) -> None:
    await site.client.post(site.path(site.links.votes[2][0]))
    before = await site.client.get(address(site, ending))
    site.clock.advance(days=45)
    restarted = replace(site.services, feeds=FeedMemory())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=create_app(restarted)), base_url="http://paper.example") as client:
        after = await client.get(address(site, ending))
    assert after.content == before.content
    assert (after.headers["etag"], after.headers.get("last-modified")) == (before.headers["etag"], before.headers.get("last-modified"))


async def test_a_feed_is_made_once_until_the_next_issue(site: Site, made: list[object]) -> None:
    path = address(site, ".atom")
    first = await site.client.get(path)
    for _ in range(3):
        site.clock.advance(hours=3)
        assert (await site.client.get(path)).headers["etag"] == first.headers["etag"]
    assert len(made) == 1
    site.clock.advance(days=1)
    await site.client.get(path)
    await second_issue(site)
    assert (await site.client.get(path)).headers["etag"] == first.headers["etag"]  # looked at a moment ago
    site.clock.advance(seconds=11)
    changed = await site.client.get(path)
    assert changed.headers["etag"] != first.headers["etag"]
    assert changed.headers["last-modified"] > first.headers["last-modified"]
    assert len(made) == 2


async def test_what_a_reader_changes_reaches_the_feed(site: Site) -> None:
    path = address(site, ".rss")
    before = await site.client.get(path)
    await site.actions.change_profile(site.ada, {"name": "Augusta", "language": "de"}, way="reader")
    site.clock.advance(seconds=11)
    after = await site.client.get(path)
    assert after.headers["etag"] != before.headers["etag"]
    assert "Augusta" in after.text
    assert "<language>de</language>" in after.text


def test_memory_forgets_what_was_asked_for_longest_ago_when_it_is_full() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    answer = FeedAnswer.of(b"x" * 50, "", now, 1)
    memory = FeedMemory(most_bytes=2 * len(answer.zipped))
    for name in "aba":
        if memory.still((name, "rss", False), 1, now) is None:
            memory.put((name, "rss", False), answer, now)
    memory.put(("c", "rss", False), answer, now)
    assert [name for name in "abc" if memory.fresh((name, "rss", False), now)] == ["a", "c"]
    assert memory.fresh(("c", "rss", False), now + timedelta(seconds=10)) is None
    assert memory.still(("c", "rss", False), 2, now) is None


# ---------------------------------------------------------------- who may read it


@pytest.mark.parametrize("ending", TYPES)
async def test_who_left_keeps_the_feed_and_who_closed_it_gets_410(site: Site, ending: str) -> None:
    await site.actions.unsubscribe(site.ada, way="page")
    assert (await site.client.get(address(site, ending))).status_code == 200
    moved = await site.actions.rotate_feed(site.ada)
    site.clock.advance(seconds=11)
    answer = await site.client.get(address(site, ending))
    assert (answer.status_code, "noindex" in answer.headers["x-robots-tag"]) == (410, True)
    new = site.path(site.actions.feed_addresses(moved)[0]).removesuffix(".rss") + ending
    assert (await site.client.get(new)).status_code == 200


@pytest.mark.parametrize("ending", TYPES)
async def test_every_wrong_token_is_answered_like_an_unknown_one(site: Site, ending: str) -> None:
    token = address(site, "").rpartition("/")[2]
    head, _, mac = token.rpartition(".")
    assert len(base64.urlsafe_b64decode(mac + "==")) >= 16
    ring, who = site.actions.keys, site.ada.public_id
    wrong = [
        "x",
        f"{head}.{'A' * len(mac)}",
        f"{token}A",
        make_token(ring, Purpose.PREFERENCES, who, 0),  # good, for something else
        make_token(ring, Purpose.FEED, "0" * 32, 0),  # ours, of nobody
        make_token(ring, Purpose.FEED, who, 1),  # of an epoch to come
        make_token(KeyRing((b"another key of ours",)), Purpose.FEED, who, 0),
    ]
    answers = [await site.client.get(f"/f/{each}{ending}") for each in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == len({str(sorted(answer.headers.items())) for answer in answers}) == 1
    assert answers[0].headers["referrer-policy"] == "no-referrer"


async def test_nobody_has_a_feed_before_saying_yes_or_without_wanting_one(site: Site) -> None:
    await site.actions.sign_up("bob@example.org", {}, way="page")
    bob = await site.storage.find_subscriber("bob@example.org")
    assert bob.state is ConsentState.PENDING
    assert (await site.client.get(site.path(site.actions.feed_addresses(bob)[0]))).status_code == 404
    await site.actions.change_profile(site.ada, {"channels": ["email"]}, way="reader")
    for ending in (".rss", "/liked.bib", ".xml", "/liked.xml", "/liked.rss", ".bib"):
        assert (await site.client.get(address(site, ending))).status_code == 404


async def test_no_page_but_the_owners_says_where_the_feed_is(site: Site) -> None:
    token = address(site, "").rpartition("/")[2]
    for url in (site.links.archive, site.links.preferences, site.links.one_click, site.links.votes[1][2], "/", "/privacy"):
        assert token not in (await site.client.get(site.path(url))).text
    page = (await site.client.get(site.owner())).text
    assert token in page
    assert address(site, "/liked.bib") in page


async def test_a_feed_without_issues_is_a_feed(site: Site) -> None:
    reader = await site.actions.sign_up_for_feed({}, way="page")
    answer = await site.client.get(site.path(site.actions.feed_addresses(reader)[2]))
    assert json.loads(answer.text)["items"] == []


# ---------------------------------------------------------------- what was liked


async def test_liked_works_are_those_voted_for_and_the_profiles_examples(site: Site) -> None:
    path = address(site, "/liked.bib")
    empty = await site.client.get(path, headers=PLAIN)
    assert (empty.status_code, empty.content) == (200, b"")
    await site.actions.change_profile(site.ada, {"liked": ["https://example.org/3", "https://example.org/0"]}, way="reader")
    for number, wish in ((2, "more"), (1, "less"), (3, "less")):
        await site.client.post(site.path(site.links.votes[number][0]).replace("/more", f"/{wish}"))
    site.clock.advance(seconds=11)
    answer = await site.client.get(path, headers=PLAIN)
    assert re.findall(r"title = \{\{(.*)\}\}", answer.text) == ["A Survey of Caches", "Drafts on the Cheap"]
    assert answer.headers["etag"] != empty.headers["etag"]
    assert "last-modified" not in answer.headers
    ris = await site.client.get(address(site, "/liked.ris"), headers=PLAIN)
    assert re.findall(r"TI  - (.*)\r\n", ris.text) == ["A Survey of Caches", "Drafts on the Cheap"]


async def test_a_vote_taken_back_leaves_the_file(site: Site) -> None:
    path = address(site, "/liked.bib")
    vote = site.path(site.links.votes[2][0])
    await site.client.post(vote)
    assert "Drafts" in (await site.client.get(path)).text
    await site.client.post(vote.replace("/more", "/undo"))
    site.clock.advance(seconds=11)
    assert (await site.client.get(path)).text == ""
