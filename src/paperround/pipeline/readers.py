"""Readers as the matcher sees them: profiles, votes and liked works turned into the vectors that score."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from paperround.matching import calibration
from paperround.matching.background import Background
from paperround.matching.profile_vectors import Example, ProfileVectors, build_profile_vectors
from paperround.matching.sentences import text_of_work
from paperround.models import Subscriber, SubscriberId, Vote, WorkId
from paperround.pipeline.interfaces import Storage

_ready: WeakKeyDictionary[Storage, tuple[tuple[str, datetime], Background]] = WeakKeyDictionary()  # a storage's latest
Key = TypeVar("Key")
Value = TypeVar("Value")

SHELF = 16_000  # works and words that readers share, kept from batch to batch: 45 MB
# Of what was kept and passed over: some forty issues tell a leaning, and looking through more of them costs as much as matching.
REMEMBERED = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Liked:
    """A work that readers judged."""

    title: str
    text: str
    vector: NDArray[np.float16]


class Shelf:
    """What the readers of one run share: works that they named or judged, and the vectors of words. Those asked for first are let go."""

    def __init__(self, storage: Storage, model: str) -> None:
        self.storage, self.model = storage, model
        self._references: dict[str, WorkId | None] = {}
        self._works: dict[WorkId, Liked | None] = {}
        self._texts: dict[str, NDArray[np.float16] | None] = {}

    async def references(self, names: Iterable[str]) -> dict[str, WorkId]:
        return await kept(self._references, names, self.storage.resolve)

    async def works(self, ids: Iterable[WorkId]) -> dict[WorkId, Liked]:
        return await kept(self._works, ids, self._fetch_works)

    async def texts(self, texts: Iterable[str]) -> dict[str, NDArray[np.float16]]:
        return await kept(self._texts, texts, self._fetch_texts)

    async def _fetch_works(self, ids: list[WorkId]) -> dict[WorkId, Liked]:
        known, rows = await self.storage.work_vectors(self.model, ids)
        works = await self.storage.works(known)
        return {
            each: Liked(work.title, text_of_work(work.title, work.abstract), row.astype(np.float16))
            for each, row in zip(known, rows, strict=True)
            if (work := works.get(each))
        }

    async def _fetch_texts(self, texts: list[str]) -> dict[str, NDArray[np.float16]]:
        return {text: vector.astype(np.float16) for text, vector in (await self.storage.text_vectors(self.model, texts)).items()}


async def kept(
    known: dict[Key, Value | None], wanted: Iterable[Key], fetch: Callable[[list[Key]], Awaitable[Mapping[Key, Value]]]
) -> dict[Key, Value]:
    """What is found of the wanted; None stands for what is not there. Only what nobody asked for lately is fetched."""
    asked = list(dict.fromkeys(wanted))
    found = {each: known[each] for each in asked if each in known}
    if missing := [each for each in asked if each not in found]:
        fetched = await fetch(missing)
        fresh = {each: fetched.get(each) for each in missing}
        for each in list(known)[: max(0, len(known) + len(fresh) - SHELF)]:
            del known[each]
        known |= fresh
        found |= fresh
    return {each: value for each, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Tastes:
    """What is stored of some readers' tastes."""

    votes: Mapping[SubscriberId, Sequence[Vote]]
    liked: Mapping[str, WorkId]
    works: Mapping[WorkId, Liked]
    texts: Mapping[str, NDArray[np.float32]]
    leanings: Mapping[SubscriberId, float]

    def reader(self, subscriber: Subscriber, *, now: datetime) -> ProfileVectors:
        """As known at `now`. Of a liked work that is unknown or not embedded its title teaches, where it is told."""
        votes = [vote for vote in self.votes.get(subscriber.id, ()) if vote.at <= now]
        known = [each for each in opinions(subscriber, votes, self.liked) if each.work_id in self.works]
        return build_profile_vectors(
            subscriber.id,
            subscriber.profile,
            text_vectors=self.texts,
            examples=[*(example(self.works[each.work_id], each) for each in known), *self._titles(subscriber)],
            now=now,
            leaning=self.leanings.get(subscriber.id, 0.0),
        )

    def _titles(self, subscriber: Subscriber) -> Iterator[Example]:
        for reference, title in subscriber.profile.liked_titles.items():
            if self.liked.get(reference) not in self.works and title in self.texts:
                vector, at = self.texts[title], subscriber.created_at
                yield Example(work_id=WorkId(0), title=title, text=title, vector=vector, value=1, at=at)


async def load_tastes(
    storage: Storage, model: str, subscribers: Sequence[Subscriber], background: Background, *, now: datetime, shelf: Shelf | None = None
) -> Tastes:
    """`shelf`: what was read for other readers of the same run."""
    shelf = shelf or Shelf(storage, model)
    ids = [subscriber.id for subscriber in subscribers]
    votes = await storage.votes(ids)
    liked = await shelf.references(reference for subscriber in subscribers for reference in subscriber.profile.liked)
    texts = await shelf.texts(text for each in subscribers for text in each.profile.own_words)
    return Tastes(
        votes=votes,
        liked=liked,
        works=await shelf.works([*(vote.work_id for each in votes.values() for vote in each), *liked.values()]),
        texts={text: vector.astype(np.float32) for text, vector in texts.items()},
        leanings=calibration.leanings(background.calibration, await storage.judged(since=now - REMEMBERED, subscriber_ids=list(votes))),
    )


async def load_readers(
    storage: Storage, model: str, subscribers: Sequence[Subscriber], background: Background, *, now: datetime, shelf: Shelf | None = None
) -> list[ProfileVectors]:
    """One ProfileVectors a subscriber, in order."""
    tastes = await load_tastes(storage, model, subscribers, background, now=now, shelf=shelf)
    return [tastes.reader(subscriber, now=now) for subscriber in subscribers]


def example(work: Liked, vote: Vote) -> Example:
    return Example(
        work_id=vote.work_id, title=work.title, text=work.text, vector=work.vector.astype(np.float32), value=vote.value, at=vote.at
    )


async def load_background(storage: Storage, model: str, dimension: int) -> Background:
    """What the installation knows of the world; of vectors of `dimension` nothing yet, where it never embedded any. Made ready once."""
    stored = await storage.background(model)
    if stored is None:
        return Background.empty(dimension)
    ready = _ready.get(storage)
    if ready is None or ready[0] != (model, stored[0]):
        ready = _ready[storage] = ((model, stored[0]), Background.from_arrays(stored[1]))
    return ready[1]


def opinions(subscriber: Subscriber, votes: Sequence[Vote], liked: Mapping[str, WorkId]) -> list[Vote]:
    """Votes, and liked references as votes without a date of their own; a vote on the same work has the last word."""
    voted = {vote.work_id for vote in votes}
    examples = dict.fromkeys(liked[reference] for reference in subscriber.profile.liked if reference in liked)
    return [
        *(Vote(work_id=work_id, value=1, at=subscriber.created_at, way="file") for work_id in examples if work_id not in voted),
        *(vote for vote in votes if vote.value),
    ]
