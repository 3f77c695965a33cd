"""Polling: when a source is next due, backs off, is given up (pure)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from paperround.errors import FetchError, PaperroundError
from paperround.models import Fetched, ParsedFeed, Source, SourceState
from paperround.records import Poll

_PERIODS = {"hourly": 1, "daily": 24, "weekly": 168, "monthly": 720, "yearly": 8760}
SPREAD = 1.1  # jitter: how much longer than its interval a source may wait
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingRules:
    shortest: timedelta = timedelta(hours=1)  # between two polls of a source with validators
    without_validators: timedelta = timedelta(hours=24)  # of one that sends its whole body each time
    longest: timedelta = timedelta(hours=24)
    first_retry: timedelta = timedelta(hours=1)  # after a failure; doubled with each one that follows
    paused_after: timedelta = timedelta(days=14)  # of nothing but failures


def is_file(location: str) -> bool:
    return not location.lower().startswith(("http://", "https://"))


def after_success(
    source: Source, fetched: Fetched, feed: ParsedFeed | None, *, new_entries: int, now: datetime, rules: PollingRules, jitter: float
) -> Poll:
    """What an answered poll (200, 304, 410) means for the next. `jitter` in [0, 1) spreads sources over a tenth of their interval."""
    if fetched.status == 410:
        return Poll(at=now, ok=False, next_poll_at=None, error="the server says it is gone for good (410)", state=SourceState.STOPPED)
    moved = fetched.permanent_redirect
    read = feed is not None
    return Poll(
        at=now,
        ok=True,
        next_poll_at=None if is_file(source.location) else next_poll(source, fetched, feed, new_entries, now, rules, jitter),
        etag=fetched.headers.get("etag"),
        last_modified=fetched.headers.get("last-modified"),
        body_read=read,
        new_entries=new_entries,
        # the second same answer moves it; an address that holds the day stays what it is
        location=moved if moved and moved == source.redirect and "{" not in source.location else None,
        redirect=moved,
        interval=rhythm(source, new_entries, now) if read else None,
        hints=feed.hints if feed else None,
    )


def next_poll(
    source: Source, fetched: Fetched, feed: ParsedFeed | None, new_entries: int, now: datetime, rules: PollingRules, jitter: float
) -> datetime:
    """Half the source's own rhythm, never sooner than it asks for, between the shortest and the longest interval."""
    hints = (feed.hints if feed else source.hints) or {}
    learned = rhythm(source, new_entries, now) or source.interval
    wanted = timedelta(seconds=learned / 2) if learned else rules.shortest * 2
    known = source.etag or source.last_modified if feed is None else {"etag", "last-modified"} & fetched.headers.keys()
    longest = rules.longest / SPREAD  # with its jitter no later: a poll of yesterday is due at the same hour of today
    floor = rules.shortest if known else max(rules.shortest, rules.without_validators / SPREAD)
    interval = max(min(wanted, longest), floor, min(asked_interval(fetched.headers, hints, now), timedelta(days=7)))
    due = now + interval * (1 + jitter * (SPREAD - 1))
    if fetched.retry_after:
        due = max(due, now + timedelta(seconds=min(fetched.retry_after, 30 * 86400)))
    return skipped(due, hints)


def rhythm(source: Source, new_entries: int, now: datetime) -> float | None:
    """Seconds between entries, as a moving average over the polls that brought some."""
    since = source.last_new_at or source.last_success_at
    if not new_entries or since is None or now <= since:
        return source.interval
    lately = (now - since).total_seconds() / new_entries
    return lately if source.interval is None else 0.7 * source.interval + 0.3 * lately


def asked_interval(headers: Mapping[str, str], hints: Mapping[str, str], now: datetime) -> timedelta:
    """The longest of what the server and the feed ask for: Cache-Control, Expires, ttl, sy:update*."""
    seconds = [0.0]
    if found := re.search(r"max-age=(\d{1,9})", headers.get("cache-control", "")):
        seconds.append(float(found[1]))
    elif headers.get("expires"):
        seconds.append((_http_date(headers["expires"]) or now).timestamp() - now.timestamp())
    if (ttl := hints.get("ttl", "").strip()).isdigit():
        seconds.append(int(ttl[:6]) * 60.0)
    if period := _PERIODS.get(hints.get("update_period", "").strip().lower()):
        often = hints.get("update_frequency", "1").strip()
        seconds.append(period * 3600.0 / max(1, int(often) if often.isdigit() else 1))
    return timedelta(seconds=min(max(seconds), 30 * 86400))


def skipped(due: datetime, hints: Mapping[str, str]) -> datetime:
    """The first full hour from `due` on that the feed does not ask to skip (RSS skipHours, skipDays; GMT)."""
    hours = {int(each) % 24 for each in re.findall(r"\d{1,2}", hints.get("skip_hours", ""))}
    days = {number for number, name in enumerate(_DAYS) if name in hints.get("skip_days", "").lower()}
    moment = due
    for _ in range(24 * 8):
        if moment.astimezone(UTC).hour not in hours and moment.astimezone(UTC).weekday() not in days:
            return moment
        moment = (moment + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    return due  # everything skipped: nobody means that


def after_failure(source: Source, error: PaperroundError, *, now: datetime, rules: PollingRules, jitter: float) -> Poll:
    """Exponential back-off, Retry-After obeyed; 410 stops a source, a fortnight of failures pauses it. Validators stay."""
    if isinstance(error, FetchError) and error.status == 410:
        return Poll(at=now, ok=False, next_poll_at=None, error=str(error), state=SourceState.STOPPED)
    if source.failing_since and now - source.failing_since >= rules.paused_after and not is_file(source.location):
        return Poll(
            at=now, ok=False, next_poll_at=None, error=f"{error}; failing since {source.failing_since:%Y-%m-%d}", state=SourceState.PAUSED
        )
    wait = min(rules.first_retry * 2 ** min(source.failures, 10), rules.longest / SPREAD) * (1 + jitter * (SPREAD - 1))
    if isinstance(error, FetchError) and error.retry_after:
        wait = max(wait, timedelta(seconds=min(error.retry_after, 30 * 86400)))
    return Poll(at=now, ok=False, next_poll_at=None if is_file(source.location) else now + wait, error=str(error))


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds, from either form of the header (RFC 9110 section 10.2.3)."""
    if value.strip().isdigit():
        return float(value.strip()[:9])
    moment = _http_date(value)
    return max(0.0, (moment - now).total_seconds()) if moment else None


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
