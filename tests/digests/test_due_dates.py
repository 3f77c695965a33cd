"""When a subscriber is next due: in every zone, through gaps and doubled hours."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paperround.digests.due_dates import first_window_days, instant, next_after_issue, next_due, parse_schedule, period_of

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # half hours; its clocks changed a minute past midnight
    "Australia/Lord_Howe",  # the clocks change by half an hour
    "Pacific/Apia",  # skipped a whole day
    "Pacific/Kwajalein",  # likewise
    "Africa/Cairo",  # a gap at midnight
    "America/Sao_Paulo",
    "Asia/Tehran",
    "Asia/Kathmandu",
    "Africa/Casablanca",
)
zones = st.sampled_from(ZONES)
moments = st.integers(5475 * 86400, 27394 * 86400).map(lambda second: datetime.fromtimestamp(second, UTC))  # 1985 to 2045
times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
days = st.sampled_from(("monday", "Tue", "wednesday", "thursday", "friday", "sat", "sunday"))
schedules = st.one_of(
    times.map("daily {}".format),
    times.map("weekdays {}".format),
    st.builds("weekly {} {}".format, days, times),
    st.builds("monthly {} {}".format, st.integers(1, 31), times),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("daily 07:30", "Europe/Berlin", "2026-11-20T06:29", "2026-11-20T06:30"),
        ("daily 07:30", "Europe/Berlin", "2026-11-20T06:30", "2026-11-21T06:30"),  # strictly after
        ("weekdays 07:30", "Europe/Berlin", "2026-11-20T07:00", "2026-11-23T06:30"),  # a Friday
        ("weekly friday 18:00", "America/New_York", "2026-11-20T23:00", "2026-11-27T23:00"),
        ("monthly 31 09:00", "UTC", "2027-02-01T00:00", "2027-02-28T09:00"),
        ("monthly 31 09:00", "UTC", "2028-02-01T00:00", "2028-02-29T09:00"),
        ("monthly 1 00:00", "UTC", "2026-12-31T23:59", "2027-01-01T00:00"),
        ("daily 02:30", "Europe/Berlin", "2027-03-27T12:00", "2027-03-28T01:00"),  # skipped: the first instant after the gap
        ("daily 02:30", "Europe/Berlin", "2027-03-28T01:00", "2027-03-29T00:30"),
        ("daily 02:30", "Europe/Berlin", "2027-10-30T12:00", "2027-10-31T00:30"),  # doubled: the first of the two
        ("daily 02:30", "Europe/Berlin", "2027-10-31T00:30", "2027-11-01T01:30"),  # and only that
        ("daily 02:15", "Australia/Lord_Howe", "2026-10-03T00:00", "2026-10-03T15:30"),
        ("daily 00:30", "Africa/Cairo", "2024-04-25T12:00", "2024-04-25T22:00"),  # midnight itself is skipped
        ("daily 07:30", "Pacific/Apia", "2011-12-29T18:00", "2011-12-30T10:00"),  # the 30th does not exist there
    ],
)
def test_a_due_instant_is_the_local_time_as_the_clocks_there_show_it(schedule: str, zone: str, after: str, due: str) -> None:
    assert next_due(schedule, zone, at(after)) == at(due)


def test_a_schedule_that_is_off_is_never_due() -> None:
    assert next_due(" Off ", "Europe/Berlin", at("2026-11-20T06:29")) is None
    assert next_after_issue("off", "UTC", at("2026-11-20T06:29"), at("2026-11-20T06:30")) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no schedule"),
        ("hourly", "is no schedule"),
        ("daily", "is no schedule"),
        ("daily 7.30", "is no schedule"),
        ("daily 24:00", "24:00 o'clock"),
        ("daily 07:60", "07:60 o'clock"),
        ("weekly 07:30", "is no schedule"),
        ("weekly someday 07:30", "no day of the week"),
        ("weekly t 07:30", "no day of the week"),
        ("monthly 0 07:30", "days 1 to 31"),
        ("monthly 32 07:30", "days 1 to 31"),
        ("daily 0٧:30", "is no schedule"),
    ],
)
def test_a_wrong_schedule_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_schedule(text)


@pytest.mark.parametrize("zone", ["Europe", "Nowhere/Town", "../etc/passwd", "", "/etc/localtime"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        next_due("daily 07:30", zone, at("2026-11-20T06:29"))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        next_due("daily 07:30", "UTC", datetime(2026, 11, 20))  # noqa: DTZ001 - the point


@given(schedules, zones, moments)
def test_the_next_due_instant_is_later_and_the_first_after_any_earlier_moment(schedule: str, zone: str, after: datetime) -> None:
    due = next_due(schedule, zone, after)
    assert due is not None
    assert due > after
    assert due.tzinfo is UTC
    between = after + (due - after) / 2
    assert next_due(schedule, zone, between) == due


@given(schedules, zones, moments)
def test_a_due_instant_shows_the_time_asked_for_or_the_end_of_a_gap(schedule: str, zone: str, after: datetime) -> None:
    due = next_due(schedule, zone, after)
    assert due is not None
    plan, local = parse_schedule(schedule), due.astimezone(ZoneInfo(zone))
    if local.time() == plan.at and plan.falls_on(local.date()):
        assert local.fold == 0
    else:  # the clocks jumped to this instant, over the time asked for
        just_before = (due - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
        assert just_before.utcoffset() != local.utcoffset()
        assert just_before.replace(tzinfo=None) < local.replace(tzinfo=None) - timedelta(seconds=1)


@given(schedules, zones, moments, st.timedeltas(timedelta(0), timedelta(days=40)))
@example("daily 07:30", "Pacific/Apia", at("2011-12-29T18:00"), timedelta(0))
@example("daily 00:00", "America/St_Johns", at("2006-10-28T20:00"), timedelta(0))
def test_the_issue_after_an_issue_is_on_a_later_date_however_late_that_was_sent(
    schedule: str, zone: str, after: datetime, late: timedelta
) -> None:
    due = next_due(schedule, zone, after)
    assert due is not None
    following = next_after_issue(schedule, zone, due, due + late)
    assert following is not None
    assert following > due + late
    assert period_of(following, zone) > period_of(due, zone)


@given(zones, st.dates(date(1990, 1, 1), date(2040, 1, 1)), st.times())
def test_local_times_keep_their_order_as_instants(zone: str, day: date, wall: time) -> None:
    wall = wall.replace(microsecond=0, tzinfo=None)
    assert (
        instant(day, time(), ZoneInfo(zone))
        <= instant(day, wall, ZoneInfo(zone))
        <= instant(day + timedelta(days=1), time(), ZoneInfo(zone))
    )


def test_a_period_is_the_date_where_the_reader_lives() -> None:
    assert period_of(at("2026-11-20T23:30"), "Europe/Berlin") == date(2026, 11, 21)
    assert period_of(at("2026-11-20T23:30"), "America/New_York") == date(2026, 11, 20)


def test_a_first_issue_looks_back_a_week_or_its_whole_month() -> None:
    assert [first_window_days(text) for text in ("daily 07:30", "weekly monday 07:30", "monthly 1 07:30", "off")] == [7, 7, 31, 7]
