"""One work, however often and in whatever order it comes: a law over invented mentions, and six months of real days."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.models import Entry, Source, SourceId, SourceKind, Work, WorkId
from paperround.pipeline import collect as collecting
from paperround.records import KnownWork
from paperround.sources import daily_papers, identity
from paperround.storage.sql_storage import SqlStorage, open_storage

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
DAY = timedelta(days=1)
ABSTRACT = "Robots that share a language of nine gestures finish their work sooner, and survive when {} are replaced."

MENTIONS = st.lists(
    st.builds(
        lambda number, doi, url, title, author: Entry(
            title=f"{title} gestures for robots in a field",
            arxiv_id=number and f"2603.0000{number}",
            doi=doi and f"10.1000/{doi}",
            url=url and f"https://example.org/{url}",
            authors=(author,) if author else (),
        ),
        st.sampled_from([None, 1, 2, 3]),
        st.sampled_from([None, "a", "b", "c"]),
        st.sampled_from([None, "x", "y", "z"]),
        st.sampled_from(["Nine", "Ten", "Twelve"]),
        st.sampled_from([None, "Ada Wren", "Ben Oak"]),
    ),
    min_size=1,
    max_size=8,
)


def at_once(entries: Sequence[Entry]) -> set[frozenset[int]]:
    return {frozenset(id(entries[each]) for each in members) for members in identity.place(entries, {}).groups}


def one_by_one(entries: Sequence[Entry]) -> tuple[set[frozenset[int]], dict[frozenset[int], int]]:
    """As storage keeps them when each comes alone: the entries of each work, and its id."""
    works: dict[int, tuple[frozenset[str], frozenset[int]]] = {}
    for number, entry in enumerate(entries, 1):
        known = {
            key: KnownWork(id=WorkId(work_id), keys=keys, title="", abstract="", version=None)
            for work_id, (keys, _) in works.items()
            for key in keys
        }
        placed = identity.place([entry], known)
        gone = [works.pop(each) for each in placed.works[0]]
        keys = placed.keys[0].union(*(each[0] for each in gone))
        works[placed.works[0][0] if placed.works[0] else number] = keys, frozenset({id(entry)}).union(*(each[1] for each in gone))
    return {members for _, members in works.values()}, {members: work_id for work_id, (_, members) in works.items()}


@given(MENTIONS, st.randoms(use_true_random=False))
def test_together_one_by_one_or_shuffled_the_same_mentions_make_the_same_works(entries: list[Entry], draw: Random) -> None:
    shuffled = draw.sample(entries, len(entries))
    together, (apart, ids) = at_once(entries), one_by_one(shuffled)
    assert at_once(shuffled) == together == apart
    order = {id(entry): number for number, entry in enumerate(shuffled, 1)}
    assert all(work_id == min(order[each] for each in members) for members, work_id in ids.items())  # the oldest survives


# ---------------------------------------------------------------- six months of Daily Papers, day by day


def days(shared: Path) -> list[tuple[datetime, list[Entry]]]:
    """The papers of each day, as the service would have listed them then."""
    by_day = defaultdict(list)
    for path in sorted((shared / "corpora/daily_papers").glob("*.json")):
        for record in json.loads(path.read_bytes()):
            submitted = record["paper"].get("submittedOnDailyAt") or record.get("publishedAt") or path.stem[-7:] + "-01"
            by_day[submitted[:10]].append(record)
    return [
        (
            datetime.fromisoformat(f"{day}T18:00:00+00:00"),
            daily_papers.parse_json(json.dumps(records).encode(), url="https://example.org/papers"),
        )
        for day, records in sorted(by_day.items())
    ]


async def replayed(storage: SqlStorage, given_days: Sequence[tuple[datetime, list[Entry]]]) -> dict[str, Work]:
    """The works by arXiv number after these days, one after the other."""
    sources = await storage.sources() or [
        await storage.add_source(
            Source(id=SourceId(0), location="https://example.org/papers", kind=SourceKind.DAILY_PAPERS, name="x", added_at=NOW)
        )
    ]
    source = replace(sources[0], last_success_at=NOW, id=SourceId(sources[0].id))
    for now, entries in given_days:
        await collecting.record(storage, source, entries, now)
    found = await storage.works([WorkId(number) for number in range(1, 5000)])
    return {work.arxiv_id or "": work for work in found.values()}


@pytest.mark.slow
async def test_six_months_day_by_day_give_one_work_a_number_twice_or_shuffled(shared: Path, tmp_path: Path) -> None:
    months = days(shared)
    numbers = {entry.arxiv_id for _, entries in months for entry in entries}
    storage = await open_storage(f"sqlite:///{tmp_path}/one.db", fold=str)
    works = await replayed(storage, months)
    assert works.keys() == numbers
    assert await storage.count_works() == len(numbers)
    assert await replayed(storage, months) == works
    await storage.close()
    other = await open_storage(f"sqlite:///{tmp_path}/two.db", fold=str)
    shuffled = Random(1).sample(months, len(months))
    again = await replayed(other, [(now, Random(2).sample(entries, len(entries))) for now, entries in shuffled])
    assert await other.count_works() == len(numbers)
    assert {number: (work.title, work.abstract, work.published) for number, work in again.items()} == {
        number: (work.title, work.abstract, work.published) for number, work in works.items()
    }
    await other.close()


# ---------------------------------------------------------------- versions


async def test_a_new_version_comes_back_only_when_it_says_something_else_and_then_says_what(tmp_path: Path) -> None:
    storage = await open_storage(f"sqlite:///{tmp_path}/versions.db", fold=str)
    source = await storage.add_source(
        Source(id=SourceId(0), location="https://example.org/f", kind=SourceKind.FEED, name="x", added_at=NOW)
    )

    async def seen(day: int, version: int, abstract: str) -> list[tuple[str | None, str]]:
        number = "2603.00001"
        entry = Entry(title="Nine gestures", summary=abstract, arxiv_id=number, version=version, guid=f"oai:arXiv.org:{number}v{version}")
        await collecting.record(storage, replace(source, last_success_at=NOW), [entry], NOW + day * DAY)
        return [(work.change, work.abstract) for work in await storage.works_seen(NOW + (day - 0.5) * DAY, NOW + (day + 0.5) * DAY)]

    assert await seen(0, 1, ABSTRACT.format("9 of 12")) == [(None, ABSTRACT.format("9 of 12"))]
    assert await seen(1, 2, ABSTRACT.format("9 of 12").replace(", and", " and")) == []
    assert await seen(2, 1, ABSTRACT.format("3 of 12")) == []
    assert await seen(3, 3, ABSTRACT.format("11 of 12")) == [("the abstract now says 11, it said 9", ABSTRACT.format("11 of 12"))]
    assert await seen(4, 3, ABSTRACT.format("11 of 12")) == []
    assert await storage.count_works() == 1
    await storage.close()
