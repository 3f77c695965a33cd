"""What an issue admits of sources that did not answer, or have gone silent."""

from dataclasses import replace
from datetime import timedelta
from types import ModuleType

import pytest

from paperround.digests.source_notes import source_notes
from paperround.models import Source, SourceId, SourceKind, SourceState


@pytest.fixture
def source(samples: ModuleType) -> Source:
    """One that answered an hour ago, and brought something then."""
    hour = samples.NOW - timedelta(hours=1)
    return Source(
        id=SourceId(1),
        location="https://feeds.example/cs.AI",
        kind=SourceKind.FEED,
        name="cs.AI",
        added_at=samples.NOW - timedelta(days=60),
        last_success_at=hour,
        last_new_at=hour,
        interval=3600.0,
    )


def notes(samples: ModuleType, *sources: Source, language: str = "en") -> tuple[str, ...]:
    return source_notes(sources, now=samples.NOW, timezone="Europe/Berlin", language=language)


def failing(source: Source, hours: float) -> Source:
    since = source.last_success_at + timedelta(hours=1) - timedelta(hours=hours)  # type: ignore[operator]
    return replace(source, failing_since=since, last_success_at=since)


def silent(source: Source, days: float, interval: float | None = 3600.0) -> Source:
    return replace(source, last_new_at=source.last_success_at - timedelta(days=days), interval=interval)  # type: ignore[operator]


def test_of_sources_that_are_well_nothing_is_said(samples: ModuleType, source: Source) -> None:
    assert notes(samples) == notes(samples, source) == notes(samples, failing(source, 2)) == ()


def test_a_source_that_does_not_answer_is_named_with_the_day(samples: ModuleType, source: Source) -> None:
    (note,) = notes(samples, failing(source, 30))
    assert note == "cs.AI has not answered since Thursday 19 November; what it holds comes in a later issue."


def test_several_share_a_sentence_and_the_day_is_true_of_all(samples: ModuleType, source: Source) -> None:
    (note,) = notes(samples, failing(source, 30), replace(failing(source, 80), name="cs.CL"), replace(source, name="fine"))
    assert note.startswith("cs.CL and cs.AI have not answered since Thursday 19 November;")


def test_a_silent_source_is_measured_by_its_own_rhythm(samples: ModuleType, source: Source) -> None:
    assert notes(samples, silent(source, 3)) == ()  # a weekend
    assert notes(samples, silent(source, 10, interval=7 * 86_400.0)) == ()  # a weekly that is a little late
    assert notes(samples, silent(source, 90, interval=None)) == ()  # nobody knows its rhythm
    assert notes(samples, silent(source, 8)) == ("cs.AI has brought nothing new since Thursday 12 November.",)


def test_a_paused_source_is_the_administrators_matter(samples: ModuleType, source: Source) -> None:
    assert notes(samples, replace(failing(source, 900), state=SourceState.PAUSED)) == ()


def test_notes_are_in_the_readers_language_and_never_endless(samples: ModuleType, source: Source) -> None:
    many = [replace(failing(source, 30 + n), name=f"feed-{n}") for n in range(40)]
    (note,) = notes(samples, *many, language="de")
    assert "und +35 antworten seit Donnerstag, 19. November nicht" in note
    assert len(note) < 250
