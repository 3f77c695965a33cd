"""Room: source notes. What an issue admits of sources that did not answer, or have gone silent (pure)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from paperround.digests.catalogues import speech
from paperround.digests.wording import listed, local_day, named_day, plain, shorten
from paperround.models import Source, SourceState

UNANSWERED = timedelta(hours=12)  # a source that failed for so long may have held something for this issue
SILENT = timedelta(days=4)  # longer than a weekend with a holiday …
RHYTHMS = 5  # … and than so many of the source's own intervals
_NAMED = 5  # sources named in one note


def troubled(sources: Sequence[Source], now: datetime) -> tuple[Source, ...]:
    """Those of which an issue has to admit something; the others are passed over for all readers at once."""
    return tuple(each for each in sources if each.state is SourceState.ACTIVE and (_unanswered(each, now) or _silent(each, now)))


def source_notes(sources: Sequence[Source], *, now: datetime, timezone: str, language: str) -> tuple[str, ...]:
    """At most two sentences in the reader's language: on the sources that did not answer, and on those that brought nothing for long."""
    _, active = speech(language), troubled(sources, now)
    unanswered = [(source, since) for source in active if (since := _unanswered(source, now))]
    silent = [(source, since) for source in active if (since := _silent(source, now))]
    notes = []
    if unanswered:
        names, day = _told(unanswered, now, timezone, language)
        notes.append(
            _.ngettext(
                "{sources} has not answered since {day}; what it holds comes in a later issue.",
                "{sources} have not answered since {day}; what they hold comes in a later issue.",
                len(unanswered),
                sources=names,
                day=day,
            )
        )
    if silent:
        names, day = _told(silent, now, timezone, language)
        notes.append(
            _.ngettext(
                "{sources} has brought nothing new since {day}.",
                "{sources} have brought nothing new since {day}.",
                len(silent),
                sources=names,
                day=day,
            )
        )
    return tuple(notes)


def _unanswered(source: Source, now: datetime) -> datetime | None:
    """Since when a source has not answered; None where it is not long."""
    since = (source.last_success_at or source.failing_since) if source.failing_since else None
    return since if since and now - since > UNANSWERED else None


def _silent(source: Source, now: datetime) -> datetime | None:
    """Since when a source is silent beyond its own rhythm; one whose rhythm is not known yet is given time."""
    since = source.last_new_at
    if source.failing_since or source.interval is None or since is None:
        return None
    return since if now - since > max(SILENT, timedelta(seconds=RHYTHMS * source.interval)) else None


def _told(found: Sequence[tuple[Source, datetime]], now: datetime, timezone: str, language: str) -> tuple[str, str]:
    """Their names, the longest silent first, and the day since which all of them are."""
    ordered = sorted(found, key=lambda each: each[1])
    names = [shorten(plain(source.name), 60) for source, _ in ordered]
    names = names[:_NAMED] + ([f"+{len(names) - _NAMED}"] if len(names) > _NAMED else [])
    return listed(names, language), named_day(local_day(ordered[-1][1], timezone), local_day(now, timezone), language)
