"""Health: how much a source brings, and whether its silence is unlike it (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paperround.models import Source, SourceState

WEEKS = 4  # looked back over
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`weekly`: new entries a week, None while too young to say; `concern`: one line for the administrator, None when all is well."""

    weekly: float | None
    concern: str | None


def health_of(source: Source, arrivals: Sequence[tuple[datetime, int]], now: datetime) -> Health:
    """`arrivals`: when the source brought something new in the last four weeks, and how many entries."""
    counts = days_back(source, arrivals, now)
    weekly = 7 * sum(counts) / len(counts) if len(counts) >= 7 else None
    return Health(weekly=weekly, concern=_failing(source, now) or _silent(source, counts, now))


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


def _silent(source: Source, counts: Sequence[int], now: datetime) -> str | None:
    """A day without news where the same day of the last weeks always had some, or far longer without than is its way."""
    same_day = counts[7::7]
    if len(same_day) >= WEEKS - 1 and not counts[0] and min(same_day) > 0:
        return f"brought nothing in the last day; the same day of the last weeks it was {', '.join(map(str, same_day))}"
    quiet = now - (source.last_new_at or source.added_at)
    if source.interval and quiet > max(3 * _DAY, timedelta(seconds=6 * source.interval)):
        return f"brought nothing for {quiet // _DAY} days; it used to bring something every {_told(source.interval)}"
    return None


def _told(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{max(1, hours):.0f} hours"
