"""A population for the benchmarks: works, and readers of real shape, made from a seed and loaded in bulk (COPY on PostgreSQL).

Works are made of the words of one subject, of a neighbouring one and of everybody's; EARLIER of them make the background and are what
readers liked and voted on, DAY of them are new. TOPICS texts, each some words of a subject, are the interests that readers name. Vectors
are those of the hashing embedder (`paperround.testing`) at the dimension of the default model: composing costs the same as with a real
model's, only what is near to what differs. Readers:

- interests: 1 to 6 topics (mean 3), nine in ten readers from one or two subjects; every tenth avoids something
- liked: three in ten have never judged anything; the others voted for 1 to 30 works (exponential, mean 8), three in ten of those
  against 1 to 5 as well; every fifth names up to 10 works in the profile (arxiv:…)
- schedules: daily or on weekdays four in five, else weekly; five items (or 10 for every tenth); a time zone of seven
- two in three have had an issue before, the others get their first one
"""

import asyncio
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import func, select, text

from paperround.models import Entry, Interest, Profile, Source, SourceId, SourceKind
from paperround.pipeline.embed import embed
from paperround.sources import identity
from paperround.storage.database import add_rows
from paperround.storage.schema import consent_events, interest_texts, subscribers, votes, works
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.storage.subscriber_rows import profile_json
from paperround.storage.vectors import text_hash
from paperround.subscribers.signed_links import fold_address
from paperround.testing import HashingEmbedder

NOW = datetime(2026, 3, 3, 9, tzinfo=UTC)
DUE = NOW - timedelta(hours=1)
EARLIER, DAY, TOPICS, SUBJECTS = 8_200, 500, 3_000, 250
WORDS_OF_SUBJECT, WORDS_OF_ALL = 40, 2_000
ZONES = ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "Asia/Tokyo", "Asia/Kolkata")
SCHEDULES = ("daily 07:30", "weekdays 07:30", "weekdays 08:00", "daily 06:00", "weekly tuesday 08:00")
TABLES = (subscribers, consent_events, interest_texts, votes)
PORTION = 5_000
DIMENSION = 384


def embedder() -> HashingEmbedder:
    return HashingEmbedder(DIMENSION)


def word(number: int) -> str:
    """A made-up word of its own first six letters, which are what the hashing embedder reads."""
    letters = "bcdfglmnprstvz"
    return "".join(letters[number // 14**place % 14] + "aeiou"[(number // 7 + place) % 5] for place in range(4))


@dataclass(frozen=True)
class World:
    """What the texts are made of."""

    subjects: tuple[tuple[str, ...], ...]
    common: tuple[str, ...]
    topics: tuple[tuple[int, str], ...]  # subject and words

    @classmethod
    def of(cls, seed: int) -> "World":
        chance = random.Random(seed)
        words = [word(number) for number in range(SUBJECTS * WORDS_OF_SUBJECT + WORDS_OF_ALL)]
        common, rest = tuple(words[:WORDS_OF_ALL]), words[WORDS_OF_ALL:]
        subjects = tuple(tuple(rest[at : at + WORDS_OF_SUBJECT]) for at in range(0, len(rest), WORDS_OF_SUBJECT))
        topics = [
            (number % SUBJECTS, " ".join(chance.sample(subjects[number % SUBJECTS], chance.randint(2, 5)))) for number in range(TOPICS)
        ]
        return cls(subjects, common, tuple(topics))

    def entry(self, chance: random.Random, number: int) -> Entry:
        """A title of eight words and an abstract of eight sentences, 140 words."""
        subject = number % SUBJECTS
        pools = (self.subjects[subject], self.subjects[(subject + 1 + chance.randrange(3)) % SUBJECTS], self.common)

        def said(count: int) -> str:
            return " ".join(chance.choice(pool) for pool in chance.choices(pools, (45, 10, 45), k=count))

        sentences = [said(chance.randint(12, 22)).capitalize() + "." for _ in range(8)]
        return Entry(
            title=said(8).capitalize(),
            summary=" ".join(sentences),
            url=f"https://papers.example/{number}",
            guid=f"p{number}",
            authors=(f"Author {number % 997}", f"Author {number % 991}"),
            arxiv_id=f"26{number // 10_000:02}.{number % 10_000:05}",
            source_url="https://papers.example/feed",
        )


async def prepare(storage: SqlStorage, *, seed: int = 7, earlier: int = EARLIER, day: int = DAY) -> None:
    """The works, their vectors, the topics' and the background; nothing where they are there already."""
    world, chance, model = World.of(seed), random.Random(seed), embedder()
    if await storage.count_works() == earlier + day and not await storage.count_to_embed(model.model):
        return
    words = [said for _, said in world.topics]
    await storage.save_text_vectors(model.model, dict(zip(words, (await model.embed(words)).astype(np.float16), strict=True)))
    location, added = "https://papers.example/feed", NOW - timedelta(days=60)
    (source,) = await storage.sources() or [
        await storage.add_source(Source(id=SourceId(0), location=location, kind=SourceKind.FEED, name="Papers", added_at=added))
    ]
    entries = [world.entry(chance, number) for number in range(earlier + day)]
    for some, at in ((entries[:earlier], NOW - timedelta(days=40)), (entries[earlier:], NOW - timedelta(hours=3))):
        for start in range(0, len(some), 500):
            await storage.record_entries(
                source,
                some[start : start + 500],
                seen_at=at,
                place=identity.place,
                keys=identity.keys_of,
                material_change=identity.material_change,
                quiet=False,
            )
        await embed(storage, model, now=NOW - timedelta(days=1))


# ---------------------------------------------------------------- readers


def interests(chance: random.Random, world: World) -> list[str]:
    """The words of the topics that one reader names."""
    homes = [chance.randrange(SUBJECTS) for _ in range(chance.choice((1, 1, 2)))]
    wanted = min(6, 1 + int(chance.expovariate(0.5)))
    numbers = {
        chance.choice(homes) + SUBJECTS * chance.randrange(TOPICS // SUBJECTS) if chance.random() < 0.9 else chance.randrange(TOPICS)
        for _ in range(wanted)
    }
    return [world.topics[number][1] for number in sorted(numbers)]


def liked(chance: random.Random, first: int, earlier: int) -> tuple[list[int], list[int]]:
    """Ids of works that a reader voted for and against; those of three subjects, as readers' are."""
    if chance.random() < 0.3:
        return [], []
    homes = [chance.randrange(SUBJECTS) for _ in range(3)]

    def some(count: int) -> list[int]:
        return list({first + chance.choice(homes) + SUBJECTS * chance.randrange(earlier // SUBJECTS) for _ in range(count)})

    return some(min(30, 1 + int(chance.expovariate(1 / 8)))), some(chance.randint(1, 5)) if chance.random() < 0.3 else []


def reader(world: World, number: int, *, seed: int, first_work: int, earlier: int) -> tuple[list[dict[str, Any]], ...]:
    """The rows of one reader in each of TABLES."""
    chance = random.Random(seed * 1_000_003 + number)
    likes, against = liked(chance, first_work, earlier)
    words = interests(chance, world)
    profile = Profile(
        name=f"Reader {number}",
        timezone=chance.choice(ZONES),
        schedule=chance.choice(SCHEDULES),
        max_items=10 if chance.random() < 0.1 else 5,
        interests=tuple(Interest(text=text) for text in words),
        avoid=(world.topics[chance.randrange(TOPICS)][1],) if chance.random() < 0.1 else (),
    )
    if chance.random() < 0.2:
        named = {chance.randrange(earlier) for _ in range(chance.randint(1, 10))}
        profile = replace(profile, liked=tuple(f"arxiv:26{each // 10_000:02}.{each % 10_000:05}" for each in sorted(named)))
    joined, before = NOW - timedelta(days=chance.randint(1, 300)), chance.random() < 2 / 3
    person = {
        "id": number,
        "public_id": f"{chance.getrandbits(128):032x}",
        "email": f"reader{number}@domain{number % 40}.example",
        "folded": f"reader{number}@domain{number % 40}.example",
        "state": "active",
        "profile": profile_json(profile),
        "link_epoch": 0,
        "feed_epoch": 0,
        "created_at": joined,
        "consented_at": joined,
        "next_due_at": DUE,
        "last_cutoff": NOW - timedelta(days=1) if before else None,
        "issues": 20 if before else 0,
    }
    consent = {"subscriber_id": number, "at": joined, "kind": "confirmed", "state": "active", "way": "page"}
    texts = [{"subscriber_id": number, "text_hash": text_hash(text), "text": text} for text in profile.own_words]
    ballots = [(work, 1) for work in likes] + [(work, -1) for work in against if work not in likes]
    cast = [
        {
            "subscriber_id": number,
            "work_id": work,
            "value": value,
            "at": NOW - timedelta(days=chance.randint(2, 38)),
            "way": "mail",
            "title": "",
        }
        for work, value in ballots
    ]
    return [person], [consent], texts, cast


def portions(numbers: range, **given: Any) -> Iterator[list[list[dict[str, Any]]]]:
    """The rows of TABLES for PORTION readers at a time."""
    for start in range(numbers.start, numbers.stop, PORTION):
        rows: list[list[dict[str, Any]]] = [[] for _ in TABLES]
        for number in range(start, min(numbers.stop, start + PORTION)):
            for table, mine in zip(rows, reader(number=number, **given), strict=True):
                table += mine
        yield rows


async def load(storage: SqlStorage, numbers: range, *, first_work: int, seed: int = 7, earlier: int = EARLIER) -> None:
    """Readers of these numbers, which become their ids; a portion is one transaction."""
    for rows in portions(numbers, world=World.of(seed), seed=seed, first_work=first_work, earlier=earlier):
        async with storage.db.writing() as connection:
            for table, some in zip(TABLES, rows, strict=True):
                await add_rows(connection, table, some)
    if not storage.db.sqlite:
        async with storage.db.writing() as connection:
            await connection.execute(text("SELECT setval('subscribers_id_seq', (SELECT max(id) FROM subscribers))"))
            await connection.execute(text("ANALYZE"))


async def build(url: str, count: int, *, seed: int = 7, earlier: int = EARLIER, day: int = DAY) -> None:
    """A database with so many readers who are due at NOW; where some are there already, those that are missing."""
    storage = await open_storage(url, fold=fold_address, upgrade=True)
    await prepare(storage, seed=seed, earlier=earlier, day=day)
    there = (await storage.db.rows(select(func.max(subscribers.c.id).label("last"))))[0].last or 0
    (first,) = (await storage.db.rows(select(func.min(works.c.id).label("first"))))[0]
    await load(storage, range(there + 1, count + 1), first_work=first, seed=seed, earlier=earlier)
    await storage.close()


if __name__ == "__main__":
    asyncio.run(build(sys.argv[1], int(sys.argv[2])))
