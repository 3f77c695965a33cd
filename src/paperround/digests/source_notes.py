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


def source_notes(sources: Sequence[Source], *, now: datetime, timezone: str, language: str) -> tuple[str, ...]:
    """At most two sentences in the reader's language: on the sources that did not answer, and on those that brought nothing for long."""
    _, active = speech(language), [source for source in sources if source.state is SourceState.ACTIVE]
    failing = [(source, source.last_success_at or source.failing_since or now) for source in active if source.failing_since]
    unanswered = [each for each in failing if now - each[1] > UNANSWERED]
    silent = [(source, since) for source in active if (since := source.last_new_at) and not source.failing_since and _late(source, now)]
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


def _late(source: Source, now: datetime) -> bool:
    """Whether a source is silent beyond its own rhythm; one whose rhythm is not known yet is given time."""
    quiet = now - (source.last_new_at or now)
    return source.interval is not None and quiet > max(SILENT, timedelta(seconds=RHYTHMS * source.interval))


def _told(found: Sequence[tuple[Source, datetime]], now: datetime, timezone: str, language: str) -> tuple[str, str]:
    """Their names, the longest silent first, and the day since which all of them are."""
    ordered = sorted(found, key=lambda each: each[1])
    names = [shorten(plain(source.name), 60) for source, _ in ordered]
    names = names[:_NAMED] + ([f"+{len(names) - _NAMED}"] if len(names) > _NAMED else [])
    return listed(names, language), named_day(local_day(ordered[-1][1], timezone), local_day(now, timezone), language)
