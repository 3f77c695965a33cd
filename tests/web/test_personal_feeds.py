"""The feeds over HTTP: validators, encodings, closed and unknown addresses."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paperround.models import ConsentState
from paperround.web.personal_feeds import FeedAnswer, FeedMemory, takes_gzip

Site = Any
PLAIN = {"Accept-Encoding": "identity"}


async def test_each_form_has_its_type_its_validators_and_the_same_titles(site: Site) -> None:
    types = {
        site.links.feed_rss: "application/rss+xml; charset=utf-8",
        site.links.feed_atom: "application/atom+xml; charset=utf-8",
        site.links.feed_json: "application/feed+json; charset=utf-8",
    }
    for url, kind in types.items():
        answer = await site.client.get(site.path(url), headers=PLAIN)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["etag"].startswith('"')
        assert answer.headers["last-modified"] == "Fri, 20 Nov 2026 09:00:00 GMT"
        assert answer.headers["cache-control"].startswith("private")
        assert "Drafts on the Cheap" in answer.text
        assert url in answer.text  # its own address
    feed = (await site.client.get(site.path(site.links.feed_json), headers=PLAIN)).json()
    assert len(feed["items"]) == 3  # what stands below the cut is no item


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", W/"{}"', "*", '"x","{}"'])
async def test_who_has_it_already_gets_304_without_a_body(site: Site, form: str) -> None:
    path = site.path(site.links.feed_rss)
    tag = (await site.client.get(path, headers=PLAIN)).headers["etag"].strip('"')
    for headers in (PLAIN, {"Accept-Encoding": "gzip"}):
        answer = await site.client.get(path, headers={**headers, "If-None-Match": form.format(tag)})
        assert (answer.status_code, answer.content) == (304, b"")
        assert tag in answer.headers["etag"]
        assert "content-type" not in answer.headers


async def test_a_date_is_looked_at_only_where_no_tag_is_given(site: Site) -> None:
    path = site.path(site.links.feed_rss)
    modified = (await site.client.get(path)).headers["last-modified"]
    for since, tag, status in (
        (modified, None, 304),
        ("Thu, 19 Nov 2026 09:00:00 GMT", None, 200),
        ("no date at all", None, 200),
        (modified, '"another"', 200),
    ):
        headers = {"If-Modified-Since": since, **({"If-None-Match": tag} if tag else {})}
        assert (await site.client.get(path, headers=headers)).status_code == status


async def test_head_says_what_get_says(site: Site) -> None:
    path = site.path(site.links.feed_atom)
    get, head = await site.client.get(path), await site.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


async def test_gzip_is_another_representation_with_another_tag(site: Site) -> None:
    path = site.path(site.links.feed_json)
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


async def test_validators_outlive_a_restart_and_change_with_the_items_alone(site: Site) -> None:
    path = site.path(site.links.feed_rss)
    before = (await site.client.get(path)).headers
    site.services.feeds.clear()
    site.clock.advance(hours=5)
    after = (await site.client.get(path)).headers
    assert (before["etag"], before["last-modified"]) == (after["etag"], after["last-modified"])
    await site.actions.change_profile(site.ada, {"name": "Augusta"}, way="reader")
    site.clock.advance(seconds=11)
    assert (await site.client.get(path)).headers["etag"] != before["etag"]


async def test_who_left_keeps_the_feed_and_who_closed_it_gets_410(site: Site) -> None:
    path = site.path(site.links.feed_rss)
    await site.actions.unsubscribe(site.ada, way="page")
    assert (await site.client.get(path)).status_code == 200
    await site.actions.rotate_feed(site.ada)
    site.clock.advance(seconds=11)
    assert (await site.client.get(path)).status_code == 410


async def test_nobody_has_a_feed_before_saying_yes_or_without_wanting_one(site: Site) -> None:
    await site.actions.sign_up("bob@example.org", {}, way="page")
    bob = await site.storage.find_subscriber("bob@example.org")
    assert bob.state is ConsentState.PENDING
    assert (await site.client.get(site.path(site.actions.feed_addresses(bob)[0]))).status_code == 404
    await site.actions.change_profile(site.ada, {"channels": ["email"]}, way="reader")
    assert (await site.client.get(site.path(site.links.feed_rss))).status_code == 404
    assert (await site.client.get(site.path(site.links.feed_rss).replace(".rss", ".xml"))).status_code == 404


async def test_a_feed_without_issues_is_a_feed(site: Site) -> None:
    reader = await site.actions.sign_up_for_feed({}, way="page")
    answer = await site.client.get(site.path(site.actions.feed_addresses(reader)[2]))
    assert json.loads(answer.text)["items"] == []


def test_memory_forgets_the_oldest_when_it_is_full() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    memory = FeedMemory(most_bytes=250)
    for name in "abc":
        memory.put((name, "rss"), FeedAnswer(body=b"x" * 50, content_type="", modified=now, made_at=now))
    kept = [name for name in "abc" if memory.get((name, "rss"), now)]
    assert kept == ["b", "c"]
    assert memory.get(("c", "rss"), now + timedelta(seconds=10)) is None
