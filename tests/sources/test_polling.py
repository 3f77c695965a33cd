"""When a source is asked again: a month of five hundred sources with faults, and what each thing a feed or server says does to it."""

import heapq
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperround.errors import FetchError, PaperroundError, ParseError
from paperround.models import Fetched, ParsedFeed, Source, SourceId, SourceKind, SourceState
from paperround.records import Poll
from paperround.sources import polling
from paperround.sources.feed_parser import parse_feed
from paperround.sources.polling import PollingRules

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RULES = PollingRules()
SOURCE = Source(id=SourceId(1), location="https://example.org/feed", kind=SourceKind.FEED, name="x", added_at=NOW)
KNOWN = {"etag": '"1"'}
FEED = ParsedFeed(title="x", entries=())


def stored(source: Source, poll: Poll) -> Source:
    """The source as it stands after a poll."""
    kept = {name: value for name in ("state", "location", "redirect", "interval", "hints") if (value := getattr(poll, name)) is not None}
    kept |= {"last_polled_at": poll.at, "next_poll_at": poll.next_poll_at, "error": poll.error}
    if poll.ok:
        kept |= {"last_success_at": poll.at, "failures": 0, "failing_since": None}
    else:
        kept |= {"failures": source.failures + 1, "failing_since": source.failing_since or poll.at}
    if poll.body_read:
        kept |= {"etag": poll.etag, "last_modified": poll.last_modified}
    return replace(source, **kept)


def polled(source: Source, draw: Random, now: datetime) -> tuple[Poll, timedelta]:
    """One poll as the world has it, and how long the answer asks us to stay away."""
    jitter, fate = draw.random(), draw.random()
    dead = source.id % 50 == 0
    if dead or fate < 0.1:
        wait = draw.choice([None, None, 90.0, 7200.0, 200_000.0])
        error: PaperroundError = FetchError("down", status=503, retry_after=wait) if fate < 0.07 else ParseError("nonsense")
        asked = timedelta(seconds=wait or 0) if isinstance(error, FetchError) else timedelta()
        return polling.after_failure(source, error, now=now, rules=RULES, jitter=jitter), asked
    status = 410 if fate > 0.9995 else 304 if fate > 0.5 and source.etag else 200
    age = draw.choice([0, 60, 10_000, 100_000])
    headers = {"cache-control": f"max-age={age}"} | (KNOWN if source.id % 3 else {})
    feed = replace(FEED, hints={"ttl": str(source.id % 200)}) if status == 200 else None
    poll = polling.after_success(
        source,
        Fetched(status=status, url="x", headers=headers),
        feed,
        new_entries=draw.choice([0, 0, 1, 40]),
        now=now,
        rules=RULES,
        jitter=jitter,
    )
    return poll, timedelta(seconds=age)


@settings(max_examples=3, deadline=None)
@given(st.integers())
def test_in_a_month_of_five_hundred_sources_none_is_asked_early_and_none_is_forgotten(seed: int) -> None:
    draw, end = Random(seed), NOW + 30 * DAY
    sources = {number: replace(SOURCE, id=SourceId(number)) for number in range(1, 501)}
    waiting = [(NOW, number) for number in sources]
    longest = dict.fromkeys(sources, NOW)
    while waiting and waiting[0][0] < end:
        now, number = heapq.heappop(waiting)
        before = sources[number]
        assert before.state is SourceState.ACTIVE
        assert before.next_poll_at is None or now >= before.next_poll_at
        assert now - longest[number] <= 8 * DAY
        longest[number] = now
        poll, asked = polled(before, draw, now)
        sources[number] = after = stored(before, poll)
        if after.state is not SourceState.ACTIVE:
            assert after.next_poll_at is None
            assert after.error
            continue
        assert after.next_poll_at is not None
        assert after.next_poll_at - now >= max(HOUR, asked)
        if poll.ok and not after.etag:
            assert after.next_poll_at - now >= DAY / polling.SPREAD
        late = timedelta(minutes=draw.randrange(10))  # the scheduler ticks, and is sometimes down for a while
        heapq.heappush(waiting, (after.next_poll_at + late, number))
    assert {number for _, number in waiting} == {number for number, source in sources.items() if source.state is SourceState.ACTIVE}
    given_up = {number for number, source in sources.items() if source.state is SourceState.PAUSED}
    assert given_up == {number for number in sources if number % 50 == 0} - {
        number for number, source in sources.items() if source.state is SourceState.STOPPED
    }


def due(
    headers: dict[str, str] | None = None, hints: dict[str, str] | None = None, source: Source = SOURCE, jitter: float = 0.0
) -> timedelta:
    """How long a source is left alone after a body with these headers and hints."""
    fetched = Fetched(status=200, url="x", headers=KNOWN | (headers or {}))
    moment = polling.next_poll(source, fetched, replace(FEED, hints=hints or {}), 0, NOW, RULES, jitter)
    return moment - NOW


@pytest.mark.parametrize(
    ("headers", "hints", "least"),
    [
        ({}, {}, 2 * HOUR),
        ({"cache-control": "public, max-age=18000"}, {}, 5 * HOUR),
        ({"cache-control": "max-age=60"}, {}, 2 * HOUR),
        ({"expires": "Mon, 02 Mar 2026 14:00:00 GMT"}, {}, 6 * HOUR),
        ({"expires": "0"}, {}, 2 * HOUR),
        ({}, {"ttl": "240"}, 4 * HOUR),
        ({}, {"update_period": "daily"}, DAY),
        ({}, {"update_period": "daily", "update_frequency": "4"}, 6 * HOUR),
        ({}, {"update_period": "weekly"}, 7 * DAY),
        ({"cache-control": "max-age=99999999"}, {}, 7 * DAY),
        ({}, {"skip_hours": "10 11 12"}, 5 * HOUR),
        ({}, {"skip_days": "Monday Tuesday"}, 40 * HOUR),
        ({}, {"skip_hours": " ".join(map(str, range(24)))}, 2 * HOUR),
    ],
)
def test_what_server_and_feed_say_lengthens_the_wait(headers: dict[str, str], hints: dict[str, str], least: timedelta) -> None:
    assert due(headers, hints) == least


@pytest.mark.parametrize(("hours", "wait"), [(0.5, 1), (3, 1.5), (12, 6), (500, 24 / polling.SPREAD)])
def test_a_source_is_asked_at_half_its_own_rhythm_between_the_hour_and_the_day(hours: float, wait: float) -> None:
    assert due(source=replace(SOURCE, interval=hours * 3600)) == pytest.approx(wait * HOUR, abs=timedelta(seconds=1))


def test_a_source_without_validators_is_asked_once_a_day_and_is_due_at_the_same_hour() -> None:
    for jitter in (0.0, 0.5, 0.999):
        moment = polling.next_poll(SOURCE, Fetched(status=200, url="x"), FEED, 40, NOW, RULES, jitter)
        assert DAY / polling.SPREAD <= moment - NOW <= DAY


def test_what_a_feed_asks_for_holds_after_answers_without_a_body() -> None:
    body = b"""<rss><channel><title>x</title><ttl>60</ttl><skipHours><hour>10</hour><hour>11</hour></skipHours>
        <skipDays><day>Saturday</day><day>Sunday</day></skipDays></channel></rss>"""
    feed = parse_feed(body, url="x")
    assert feed.hints == {"ttl": "60", "skip_hours": "10 11", "skip_days": "Saturday Sunday"}
    first = polling.after_success(SOURCE, Fetched(status=200, url="x", headers=KNOWN), feed, new_entries=0, now=NOW, rules=RULES, jitter=0)
    again = polling.after_success(stored(SOURCE, first), Fetched(status=304, url="x"), None, new_entries=0, now=NOW, rules=RULES, jitter=0)
    assert first.next_poll_at == again.next_poll_at == NOW + 4 * HOUR


def test_failures_double_the_wait_up_to_a_day() -> None:
    waits = [
        (polling.after_failure(replace(SOURCE, failures=n), FetchError("x"), now=NOW, rules=RULES, jitter=0).next_poll_at or NOW) - NOW
        for n in range(7)
    ]
    assert waits == [HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY / polling.SPREAD, DAY / polling.SPREAD]
