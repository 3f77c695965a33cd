"""Readers as the matcher sees them: profiles, votes and liked works turned into the vectors that score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from paperround.matching import calibration
from paperround.matching.background import Background
from paperround.matching.profile_vectors import Example, ProfileVectors, build_profile_vectors
from paperround.matching.sentences import text_of_work
from paperround.models import Subscriber, SubscriberId, Vote, Work, WorkId
from paperround.pipeline.interfaces import Storage

_ready: WeakKeyDictionary[Storage, tuple[tuple[str, datetime], Background]] = WeakKeyDictionary()  # a storage's latest
REMEMBERED = timedelta(days=180)  # what a reader kept and passed over longer ago says nothing of today


@dataclass(frozen=True, slots=True)
class Tastes:
    """What is stored of some readers' tastes."""

    votes: Mapping[SubscriberId, Sequence[Vote]]
    liked: Mapping[str, WorkId]
    works: Mapping[WorkId, Work]
    vectors: Mapping[WorkId, NDArray[np.float32]]
    texts: Mapping[str, NDArray[np.float32]]
    leanings: Mapping[SubscriberId, float]

    def reader(self, subscriber: Subscriber, *, now: datetime) -> ProfileVectors:
        """As known at `now`. Of a liked work that is unknown or not embedded its title teaches, where it is told."""
        votes = [vote for vote in self.votes.get(subscriber.id, ()) if vote.at <= now]
        known = [each for each in opinions(subscriber, votes, self.liked) if each.work_id in self.vectors]
        return build_profile_vectors(
            subscriber.id,
            subscriber.profile,
            text_vectors=self.texts,
            examples=[*(example(self.works[each.work_id], self.vectors[each.work_id], each) for each in known), *self._titles(subscriber)],
            now=now,
            leaning=self.leanings.get(subscriber.id, 0.0),
        )

    def _titles(self, subscriber: Subscriber) -> Iterator[Example]:
        for reference, title in subscriber.profile.liked_titles.items():
            if self.liked.get(reference) not in self.vectors and title in self.texts:
                vector, at = self.texts[title], subscriber.created_at
                yield Example(work_id=WorkId(0), title=title, text=title, vector=vector, value=1, at=at)


async def load_tastes(storage: Storage, model: str, subscribers: Sequence[Subscriber], background: Background, *, now: datetime) -> Tastes:
    ids = [subscriber.id for subscriber in subscribers]
    votes = await storage.votes(ids)
    liked = await storage.resolve(sorted({reference for subscriber in subscribers for reference in subscriber.profile.liked}))
    known, rows = await storage.work_vectors(
        model, sorted({vote.work_id for each in votes.values() for vote in each} | set(liked.values()))
    )
    return Tastes(
        votes=votes,
        liked=liked,
        works=await storage.works(known),
        vectors=dict(zip(known, rows, strict=True)),
        texts=await storage.text_vectors(model, sorted({text for each in subscribers for text in each.profile.own_words})),
        leanings=calibration.leanings(background.calibration, await storage.judged(since=now - REMEMBERED, subscriber_ids=ids)),
    )


async def load_readers(
    storage: Storage, model: str, subscribers: Sequence[Subscriber], background: Background, *, now: datetime
) -> list[ProfileVectors]:
    """One ProfileVectors a subscriber, in order."""
    tastes = await load_tastes(storage, model, subscribers, background, now=now)
    return [tastes.reader(subscriber, now=now) for subscriber in subscribers]


def example(work: Work, vector: NDArray[np.float32], vote: Vote) -> Example:
    text = text_of_work(work.title, work.abstract)
    return Example(work_id=work.id, title=work.title, text=text, vector=vector, value=vote.value, at=vote.at)


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
