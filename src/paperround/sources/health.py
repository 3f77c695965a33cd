"""Health: how much a source brings, and whether its silence is unlike it (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paperround.models import Source, SourceState

WEEKS = 4  # looked back over
PATIENCE = timedelta(days=4)  # a weekend, and the hours until somebody publishes and we ask
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`weekly`: new entries a week, None while too young to say; `concern`: one line for the administrator, None when all is well;
    `sure`: whether it is more than a first suspicion, and worth a mail."""

    weekly: float | None
    concern: str | None
    sure: bool = False


def health_of(source: Source, arrivals: Sequence[tuple[datetime, int]], now: datetime) -> Health:
    """`arrivals`: when the source brought something new in the last four weeks, and how many entries."""
    counts = days_back(source, arrivals, now)
    weekly = 7 * sum(counts) / len(counts) if len(counts) >= 7 else None
    if line := _failing(source, now):
        ended = source.state is not SourceState.ACTIVE and source.error is not None
        return Health(weekly=weekly, concern=line, sure=ended or (source.failing_since or now) <= now - _DAY)
    line = _too_long(source, now)
    return Health(weekly=weekly, concern=line or _empty_day(counts), sure=line is not None or _empty_days(counts))


def days_back(source: Source, arrivals: Sequence[tuple[datetime, int]], now: datetime) -> list[int]:
    """New entries in each stretch of 24 hours back from now, latest first; what stood there at the first poll is no arrival."""
    first = source.added_at + _DAY
    counts = [0] * max(0, min((now - first) // _DAY, 7 * WEEKS))
    for moment, count in arrivals:
        if moment > first and 0 <= (back := (now - moment) // _DAY) < len(counts):
            counts[back] += count
    return counts


def _failing(source: Source, now: datetime) -> str | None:
    if source.state is not SourceState.ACTIVE:
        return f"is {source.state}: {source.error or 'by hand'}"
    if not source.error:
        return None
    since = f" for {(now - source.failing_since) // _DAY} days" if source.failing_since and now - source.failing_since >= _DAY else ""
    return f"failed {source.failures} times{since}: {source.error}"


def _empty_day(counts: Sequence[int]) -> str | None:
    """A day without news where the same day of the last weeks always had some."""
    same_day = counts[7::7]
    if len(same_day) < WEEKS - 1 or counts[0] or not min(same_day):
        return None
    return f"brought nothing in the last day; the same day of the last weeks it was {', '.join(map(str, same_day))}"


def _empty_days(counts: Sequence[int]) -> bool:
    """Two such days in a row, and the days around them never empty before: what comes once a day, and is asked for once a day, may be two
    days apart without a fault."""
    weeks = [counts[at - 1 : at + 3] for at in range(7, 7 * WEEKS, 7)]
    return not any(counts[:2]) and all(len(days) == 4 and all(days) for days in weeks)


def _too_long(source: Source, now: datetime) -> str | None:
    """Far longer without news than is its way."""
    quiet = now - (source.last_new_at or source.added_at)
    if source.interval and quiet > max(PATIENCE, timedelta(seconds=6 * source.interval)):
        return f"brought nothing for {quiet // _DAY} days; it used to bring something every {_told(source.interval)}"
    return None


def _told(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{max(1, hours):.0f} hours"
