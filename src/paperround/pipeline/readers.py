"""Readers as the matcher sees them: profiles, votes and liked works turned into the vectors that score."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from paperround.matching import calibration
from paperround.matching.background import Background
from paperround.matching.profile_vectors import Example, ProfileVectors, build_profile_vectors
from paperround.matching.sentences import text_of_work
from paperround.models import Subscriber, Vote, Work, WorkId
from paperround.pipeline.interfaces import Storage

REMEMBERED = timedelta(days=180)  # what a reader kept and passed over longer ago says nothing of today


async def load_readers(
    storage: Storage, model: str, subscribers: Sequence[Subscriber], background: Background, *, now: datetime
) -> list[ProfileVectors]:
    """One ProfileVectors a subscriber, in order. Liked references and votes whose work is unknown or not embedded teach nothing yet."""
    ids = [subscriber.id for subscriber in subscribers]
    votes = await storage.votes(ids)
    liked = await storage.resolve(sorted({reference for subscriber in subscribers for reference in subscriber.profile.liked}))
    work_ids = sorted({vote.work_id for several in votes.values() for vote in several} | set(liked.values()))
    known, rows = await storage.work_vectors(model, work_ids)
    vectors = dict(zip(known, rows, strict=True))
    works = await storage.works(known)
    texts = await storage.text_vectors(model, sorted({text for each in subscribers for text in each.profile.own_words}))
    learned = calibration.leanings(background.calibration, await storage.judged(since=now - REMEMBERED, subscriber_ids=ids))
    return [
        build_profile_vectors(
            subscriber.id,
            subscriber.profile,
            text_vectors=texts,
            examples=[
                example(works[each.work_id], vectors[each.work_id], each)
                for each in opinions(subscriber, votes.get(subscriber.id, []), liked)
                if each.work_id in vectors
            ],
            now=now,
            leaning=learned.get(subscriber.id, 0.0),
        )
        for subscriber in subscribers
    ]


def example(work: Work, vector: NDArray[np.float32], vote: Vote) -> Example:
    text = text_of_work(work.title, work.abstract)
    return Example(work_id=work.id, title=work.title, text=text, vector=vector, value=vote.value, at=vote.at)


async def load_background(storage: Storage, model: str, dimension: int) -> Background:
    """What the installation knows of the world; of vectors of `dimension` nothing yet, where it never embedded any."""
    stored = await storage.background(model)
    return Background.from_arrays(stored[1]) if stored else Background.empty(dimension)


def opinions(subscriber: Subscriber, votes: Sequence[Vote], liked: dict[str, WorkId]) -> list[Vote]:
    """Votes, and liked references as votes without a date of their own; a vote on the same work has the last word."""
    voted = {vote.work_id for vote in votes}
    examples = dict.fromkeys(liked[reference] for reference in subscriber.profile.liked if reference in liked)
    return [
        *(Vote(work_id=work_id, value=1, at=subscriber.created_at, way="file") for work_id in examples if work_id not in voted),
        *(vote for vote in votes if vote.value),
    ]
