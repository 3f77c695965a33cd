"""Sources over a real connection and a real database: added, polled, restarted, moved, given up, and read for six months."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.sources.origin_server import Origin, response

from paperround.errors import AlreadyExistsError, ParseError
from paperround.models import Fetched, Source, SourceId, SourceKind, SourceState
from paperround.pipeline import collect as collecting
from paperround.pipeline.interfaces import Fetcher
from paperround.pipeline.source_actions import NewSource, add_source, import_opml, look
from paperround.sources.fetcher import HttpFetcher
from paperround.sources.polling import PollingRules
from paperround.storage.sql_storage import SqlStorage, open_storage

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RULES = PollingRules()


def feed(*titles: str, name: str = "News") -> bytes:
    items = "".join(f"<item><title>{title}</title><link>https://example.org/{title.replace(' ', '-')}</link></item>" for title in titles)
    return f"<rss><channel><title>{name}</title>{items}</channel></rss>".encode()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqlStorage]:
    opened = await open_storage(f"sqlite:///{tmp_path}/test.db", fold=str)
    yield opened
    await opened.close()


@pytest.fixture
async def fetcher() -> AsyncIterator[HttpFetcher]:
    async with aclosing(HttpFetcher(user_agent="Paperround/1", allow_private_hosts=["localhost"])) as made:
        yield made


async def collected(storage: SqlStorage, fetcher: Fetcher, now: datetime) -> list[collecting.SourceOutcome]:
    return list((await collecting.collect(storage, fetcher, now=now, rules=RULES)).outcomes)


# ---------------------------------------------------------------- adding


async def test_a_page_leads_to_the_feed_it_announces_and_comments_come_last(
    storage: SqlStorage, fetcher: HttpFetcher, origin: Origin
) -> None:
    link = '<link rel="alternate" type="application/rss+xml" title="{}" href="{}">'
    origin.answers["/"] = response(
        body=f"<!DOCTYPE html><head>{link.format('Comments', '/c.xml')}{link.format('All', '/all.xml')}</head>".encode()
    )
    origin.answers["/all.xml"] = response(body=feed("One", "Two"), etag='"1"')
    seen = await look(fetcher, origin.url("/"), kind=None, now=NOW)
    assert (seen.location, seen.title, len(seen.entries), seen.others) == (origin.url("/all.xml"), "News", 2, (origin.url("/c.xml"),))
    assert await storage.sources() == []
    source = await add_source(storage, fetcher, origin.url("/"), NewSource(tags=("nlp",)), now=NOW)
    assert (source.location, source.kind, source.name, source.tags) == (origin.url("/all.xml"), SourceKind.FEED, "News", ("nlp",))


async def test_pages_that_announce_each_other_end_in_an_error(fetcher: HttpFetcher, origin: Origin) -> None:
    for here, there in (("/a", "/b"), ("/b", "/a")):
        origin.answers[here] = response(body=f'<html><link rel="alternate" type="application/rss+xml" href="{there}">'.encode())
    with pytest.raises(ParseError, match="is an HTML page, not a feed"):
        await look(fetcher, origin.url("/a"), kind=None, now=NOW)
    assert len(origin.asked) == 2


async def test_one_place_is_one_source_however_it_is_spelled(storage: SqlStorage, fetcher: HttpFetcher, origin: Origin) -> None:
    origin.answers |= {"/feed": response(body=feed("One")), "/feed/": response(body=feed("One")), "/old": response(302, location="/feed")}
    await add_source(storage, fetcher, origin.url("/feed"), NewSource(), now=NOW)
    asked = len(origin.asked)
    for spelled in (
        origin.url("/feed"),
        origin.url("/feed", "LOCALHOST"),
        origin.url("/feed/"),
        origin.url("/feed#top"),
        origin.url("/feed?utm_source=x"),
    ):
        with pytest.raises(AlreadyExistsError, match="is a source already: News"):
            await add_source(storage, fetcher, spelled, NewSource(), now=NOW)
    assert len(origin.asked) == asked
    with pytest.raises(AlreadyExistsError, match="leads to a source"):
        await add_source(storage, fetcher, origin.url("/old"), NewSource(), now=NOW)


async def test_a_list_brings_its_feeds_and_no_file_of_this_machine(storage: SqlStorage, fetcher: HttpFetcher, origin: Origin) -> None:
    origin.answers["/feed"] = response(body=feed("One"))
    text = (
        f'<opml><body><outline text="AI"><outline text="Mine" xmlUrl="{origin.url()}" x="y"/></outline>'
        f'<outline text="gone" xmlUrl="{origin.url("/gone")}"/><outline text="no" xmlUrl="/etc/hostname"/>'
        f'<outline text="odd" xmlUrl="http://[::1"/><outline text="again" xmlUrl="{origin.url().replace("http", "HTTP")}"/></body></opml>'
    )
    added, failed = await import_opml(storage, fetcher, text.encode(), now=NOW)
    assert [(each.name, each.tags) for each in added] == [("Mine", ("AI",))]
    assert (await storage.find_source("Mine")).outline == {"inside": [{"text": "AI"}], "attributes": {"text": "Mine", "x": "y"}}
    assert ["404" in failed[0], "only http" in failed[1], "IPv6" in failed[2], "already: Mine" in failed[3], len(failed)] == [True] * 4 + [
        4
    ]


# ---------------------------------------------------------------- polling


async def test_a_restart_asks_nothing_early_and_the_next_poll_asks_only_for_news(
    tmp_path: Path, fetcher: HttpFetcher, origin: Origin
) -> None:
    origin.answers["/feed"] = lambda asked: (
        response(304) if "if-none-match" in asked.headers else response(body=feed("One"), etag='"caf\xe9"'.encode("latin-1"))
    )
    url = f"sqlite:///{tmp_path}/restart.db"
    for minutes, asked in ((0, 1), (1, 1), (59, 1), (24 * 60, 2), (24 * 60 + 59, 2)):
        storage = await open_storage(url, fold=str)
        if not await storage.sources():
            await storage.add_source(Source(id=SourceId(0), location=origin.url(), kind=SourceKind.FEED, name="x", added_at=NOW))
        outcomes = await collected(storage, fetcher, NOW + minutes * timedelta(minutes=1))
        assert [each.error for each in outcomes] == [None] * len(outcomes)
        assert len(origin.asked) == asked
        await storage.close()
    assert origin.asked[1].headers["if-none-match"] == b'"caf\xe9"'


async def test_a_source_moves_at_the_second_answer_and_two_at_one_place_are_not_read_twice(
    storage: SqlStorage, fetcher: HttpFetcher, origin: Origin
) -> None:
    origin.answers |= {"/new": response(body=feed("One"), etag='"1"')}
    origin.answers |= {"/a": response(301, location="/new"), "/b": response(308, location="/new"), "/c": response(302, location="/new")}
    for name in "abc":
        await storage.add_source(Source(id=SourceId(0), location=origin.url(f"/{name}"), kind=SourceKind.FEED, name=name, added_at=NOW))
    for day in range(2):
        assert [each.location for each in await storage.sources()] == [origin.url(f"/{name}") for name in "abc"]
        await collected(storage, fetcher, NOW + day * 2 * DAY)
    one, two, three = sorted(await storage.sources(), key=lambda each: each.name)
    moved, other = (one, two) if one.state is SourceState.ACTIVE else (two, one)
    assert (moved.location, other.state, three.location) == (origin.url("/new"), SourceState.STOPPED, origin.url("/c"))
    assert "a source already" in (other.error or "")


async def test_gone_stops_a_fortnight_of_failures_pauses_and_both_are_told(
    storage: SqlStorage, fetcher: HttpFetcher, origin: Origin
) -> None:
    origin.answers |= {"/gone": response(410), "/down": response(503)}
    for name in ("gone", "down"):
        await storage.add_source(Source(id=SourceId(0), location=origin.url(f"/{name}"), kind=SourceKind.FEED, name=name, added_at=NOW))
    told = [each for day in range(20) for each in await collected(storage, fetcher, NOW + day * DAY)]
    assert ["410" in (each.error or "") for each in told if each.source == "gone"] == [True]
    assert ["503" in (each.error or "") for each in told if each.source == "down"] == [True] * 15
    gone, down = await storage.sources()
    assert (gone.state, down.state) == (SourceState.STOPPED, SourceState.PAUSED)
    assert ("410" in (gone.error or ""), "failing since" in (down.error or "")) == (True, True)
    paths = [asked.path for asked in origin.asked]
    assert (paths.count("/gone"), paths.count("/down")) == (1, 15)


async def test_an_address_with_the_day_in_it_is_asked_for_each_day(storage: SqlStorage, fetcher: HttpFetcher, origin: Origin) -> None:
    origin.answers |= {f"/?day=2026-03-0{day}": response(body=feed(f"Day {day}")) for day in (2, 3)}
    await add_source(storage, fetcher, origin.url("/?day={date}"), NewSource(backlog="all"), now=NOW)
    for day in range(2):
        assert [each.new_entries for each in await collected(storage, fetcher, NOW + day * DAY)] == [1]
    assert (await storage.sources())[0].location == origin.url("/?day={date}")


async def test_one_bad_source_stops_no_other(storage: SqlStorage, fetcher: HttpFetcher, origin: Origin) -> None:
    origin.answers |= {"/good": response(body=feed("One")), "/bad": response(body=b"\x00nonsense"), "/slow": b""}
    for name in ("bad", "slow", "none", "good"):
        await storage.add_source(Source(id=SourceId(0), location=origin.url(f"/{name}"), kind=SourceKind.FEED, name=name, added_at=NOW))
    outcomes = {each.source: each.error for each in await collected(storage, fetcher, NOW)}
    assert outcomes.pop("good") is None
    assert all(outcomes.values())
    assert len(outcomes) == 3


async def test_a_fault_of_ours_at_one_source_is_told_once_the_others_are_read(storage: SqlStorage) -> None:
    class Faulty:
        async def fetch(self, location: str, **_: object) -> Fetched:
            if "a.example" in location:
                raise RuntimeError("nobody thought of this")
            for _turn in range(20):
                await asyncio.sleep(0)
            return Fetched(url=location, status=304, body=b"", headers={})

        async def aclose(self) -> None:
            """Nothing is open."""

    for name in "ab":
        place = f"https://{name}.example/f"
        await storage.add_source(Source(id=SourceId(0), location=place, kind=SourceKind.FEED, name=name, added_at=NOW))
    with pytest.raises(RuntimeError, match="nobody thought"):
        await collected(storage, Faulty(), NOW)
    assert [source.name for source in await storage.sources() if source.last_success_at] == ["b"]


async def test_when_it_is_stopped_no_poll_is_left_behind(storage: SqlStorage) -> None:
    begun, left, all_begun = 0, [], asyncio.Event()

    class Slow:
        async def fetch(self, location: str, **_: object) -> Fetched:
            nonlocal begun
            begun += 1
            turns = begun
            if begun == 3:
                all_begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(3 * turns):  # as closing a connection takes a while
                    await asyncio.sleep(0)
                left.append(location)
            raise AssertionError

        async def aclose(self) -> None:
            """Nothing is open."""

    for name in "abc":
        place = f"https://{name}.example/f"
        await storage.add_source(Source(id=SourceId(0), location=place, kind=SourceKind.FEED, name=name, added_at=NOW))
    under_way = asyncio.create_task(collected(storage, Slow(), NOW))
    await all_begun.wait()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert len(left) == 3
