"""Room: due dates. When a subscriber is next due, in their own time zone, through gaps and doubled hours (pure)."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FORMS = "daily HH:MM, weekdays HH:MM, weekly DAY HH:MM, monthly N HH:MM or off"
_SCHEDULE = re.compile(
    r"(?P<kind>daily|weekdays|weekly +(?P<weekday>[a-z]+)|monthly +(?P<day>\d{1,2})) +(?P<hour>\d{1,2}):(?P<minute>\d\d)", re.ASCII
)
_LONGEST = 63  # days from one due date of any schedule to the next: two months and a day


@dataclass(frozen=True, slots=True)
class Schedule:
    """`kind` is daily, weekdays, weekly, monthly or off; `day` a weekday (0 = Monday) or a day of the month."""

    kind: str
    at: time = time()
    day: int = 0

    def falls_on(self, day: date) -> bool:
        if self.kind == "weekly":
            return day.weekday() == self.day
        if self.kind == "monthly":  # past the month's end: its last day
            return day.day == min(self.day, monthrange(day.year, day.month)[1])
        return self.kind == "daily" or (self.kind == "weekdays" and day.weekday() < 5)


@lru_cache(maxsize=1024)
def parse_schedule(text: str) -> Schedule:
    """A schedule as in a profile file. Raises ValueError with a reason that says what would be right."""
    words = text.strip().casefold()
    if words == "off":
        return Schedule("off")
    found = _SCHEDULE.fullmatch(words)
    if not found:
        raise ValueError(f"{text!r} is no schedule: use {FORMS}")
    hour, minute, weekday = int(found["hour"]), int(found["minute"]), found["weekday"]
    if hour > 23 or minute > 59:
        raise ValueError(f"{text!r}: there is no {found['hour']}:{found['minute']} o'clock")
    if weekday is not None:
        return Schedule("weekly", time(hour, minute), _weekday(weekday, text))
    if found["day"] is None:
        return Schedule(found["kind"], time(hour, minute))
    if not 1 <= int(found["day"]) <= 31:
        raise ValueError(f"{text!r}: a month has days 1 to 31")
    return Schedule("monthly", time(hour, minute), int(found["day"]))


def _weekday(name: str, text: str) -> int:
    days = [number for number, day in enumerate(DAYS) if len(name) >= 3 and day.startswith(name)]
    if not days:
        raise ValueError(f"{text!r}: {name!r} is no day of the week in English")
    return days[0]


def zone(timezone: str) -> ZoneInfo:
    """The zone of that IANA name. Raises ValueError for any other text."""
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):  # unknown, a path outside, a folder such as "Europe"
        raise ValueError(f"{timezone!r} is no time zone: use a name such as Europe/Berlin or UTC") from None


def instant(day: date, at: time, place: ZoneInfo) -> datetime:
    """A local time as UTC. A skipped one is the first instant after the gap, a doubled one its first occurrence."""
    local = datetime.combine(day, at)
    after, before = (local.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
    if after.astimezone(place).replace(tzinfo=None) == local:
        return after
    # PEP 495: in a gap, fold 0 counts with the offset before it and so lies after it; fold 1 the other way round.
    old = before.astimezone(place).utcoffset()
    seconds = int((after - before).total_seconds())
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(place).utcoffset() == old:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def next_due(schedule: str, timezone: str, after: datetime) -> datetime | None:
    """The first due instant strictly after `after` (aware), in UTC; None when the schedule is off. Raises ValueError for a bad schedule
    or zone, or a naive time."""
    plan, place = parse_schedule(schedule), zone(timezone)
    if after.tzinfo is None:
        raise ValueError(f"{after!r} has no time zone")
    if plan.kind == "off":
        return None
    first = after.astimezone(place).date() - timedelta(days=1)  # a gap may move yesterday's past midnight
    days = (first + timedelta(days=number) for number in range(_LONGEST))
    dues = (instant(day, plan.at, place) for day in days if plan.falls_on(day))
    return next(due for due in dues if due > after)


def period_of(due_at: datetime, timezone: str) -> date:
    """The local calendar date of a due instant: what an issue is unique by (design, decision 3)."""
    return due_at.astimezone(zone(timezone)).date()


def next_after_issue(schedule: str, timezone: str, due_at: datetime, now: datetime) -> datetime | None:
    """The first due instant after both `now` and the end of the local date of `due_at`: missed periods give one issue, not many."""
    tomorrow = instant(period_of(due_at, timezone) + timedelta(days=1), time(), zone(timezone))
    return next_due(schedule, timezone, max(now, tomorrow - timedelta(microseconds=1)))


def first_window_days(schedule: str) -> int:
    """How many days back a first issue looks: a week, or the whole month for a monthly one."""
    return 31 if parse_schedule(schedule).kind == "monthly" else 7
