"""How a source is doing, and when its silence is worth a line."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paperround.models import Source, SourceId, SourceKind, SourceState
from paperround.sources.health import days_back, health_of

NOW = datetime(2026, 3, 3, 20, tzinfo=UTC)  # a Tuesday
DAY = timedelta(days=1)
SOURCE = Source(
    id=SourceId(1),
    location="https://example.org/feed",
    kind=SourceKind.FEED,
    name="x",
    added_at=NOW - 90 * DAY,
    last_new_at=NOW - timedelta(hours=5),
    interval=3600.0,
)


def weekdays(count: int = 40, *, without: int = -1) -> list[tuple[datetime, int]]:
    """So many entries each weekday of the last four weeks, but for the day so many days back."""
    days = [NOW - timedelta(days=back, hours=5) for back in range(28) if back != without]
    return [(day, count) for day in days if day.weekday() < 5]


def test_a_source_that_brings_what_it_always_brings_is_well() -> None:
    health = health_of(SOURCE, weekdays(), NOW)
    assert (health.weekly, health.concern) == (200, None)


def test_a_weekday_with_nothing_where_there_are_always_forty_is_told() -> None:
    concern = health_of(SOURCE, weekdays(without=0), NOW).concern
    assert concern == "brought nothing in the last day; the same day of the last weeks it was 40, 40, 40"
    assert not health_of(SOURCE, weekdays(without=0), NOW).sure, "tomorrow's poll may bring it"


def test_a_weekend_without_news_and_a_day_that_was_empty_before_are_as_always() -> None:
    sunday = NOW - 2 * DAY
    assert health_of(replace(SOURCE, last_new_at=sunday - 2 * DAY), weekdays(), sunday).concern is None
    assert health_of(SOURCE, [each for each in weekdays(without=0) if each != weekdays()[5]], NOW).concern is None


@pytest.mark.parametrize(("hours", "quiet", "told"), [(1, 3, False), (1, 5, True), (24 * 7, 30, False), (24 * 7, 50, True)])
def test_silence_is_measured_by_the_source_s_own_rhythm(hours: int, quiet: int, told: bool) -> None:
    source = replace(SOURCE, interval=hours * 3600.0, last_new_at=NOW - quiet * DAY)
    assert (health_of(source, [], NOW).concern is not None) is told


def test_a_young_source_has_no_figure_yet_and_its_backlog_is_no_arrival() -> None:
    young = replace(SOURCE, added_at=NOW - 5 * DAY)
    arrivals = [(young.added_at + timedelta(minutes=1), 500), (NOW - DAY / 2, 3)]
    assert days_back(young, arrivals, NOW) == [3, 0, 0, 0]
    assert health_of(young, arrivals, NOW).weekly is None
    assert health_of(replace(young, added_at=NOW), [], NOW).concern is None


def test_failures_and_given_up_sources_say_why_and_since_when() -> None:
    failing = replace(SOURCE, error="the server answered 503", failures=9, failing_since=NOW - 3 * DAY)
    assert health_of(failing, weekdays(), NOW).concern == "failed 9 times for 3 days: the server answered 503"
    paused = replace(failing, state=SourceState.PAUSED)
    assert health_of(paused, weekdays(), NOW).concern == "is paused: the server answered 503"
