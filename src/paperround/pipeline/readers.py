"""Readers as the matcher sees them: profiles, votes and liked works turned into the vectors that score."""

from collections.abc import Sequence
from datetime import datetime

from paperround.matching.profile_vectors import Example, ProfileVectors, build_profile_vectors
from paperround.models import Subscriber, Vote, WorkId
from paperround.pipeline.interfaces import Storage


async def load_readers(storage: Storage, model: str, subscribers: Sequence[Subscriber], *, now: datetime) -> list[ProfileVectors]:
    """One ProfileVectors a subscriber, in order. Liked references and votes whose work is unknown or not embedded teach nothing yet."""
    votes = await storage.votes([subscriber.id for subscriber in subscribers])
    liked = await storage.resolve(sorted({reference for subscriber in subscribers for reference in subscriber.profile.liked}))
    work_ids = sorted({vote.work_id for several in votes.values() for vote in several} | set(liked.values()))
    known, rows = await storage.work_vectors(model, work_ids)
    vectors = dict(zip(known, rows, strict=True))
    titles = {work_id: work.title for work_id, work in (await storage.works(known)).items()}
    texts = await storage.text_vectors(model, sorted({text for each in subscribers for text in own_words(each)}))
    return [
        build_profile_vectors(
            subscriber.id,
            subscriber.profile,
            text_vectors=texts,
            examples=[
                Example(work_id=each.work_id, title=titles[each.work_id], vector=vectors[each.work_id], value=each.value, at=each.at)
                for each in opinions(subscriber, votes.get(subscriber.id, []), liked)
                if each.work_id in vectors
            ],
            now=now,
        )
        for subscriber in subscribers
    ]


def own_words(subscriber: Subscriber) -> tuple[str, ...]:
    """The free texts of a profile that are embedded."""
    return (*(interest.text for interest in subscriber.profile.interests), *subscriber.profile.avoid)


def opinions(subscriber: Subscriber, votes: Sequence[Vote], liked: dict[str, WorkId]) -> list[Vote]:
    """Votes, and liked references as votes without a date of their own; a vote on the same work has the last word."""
    voted = {vote.work_id for vote in votes}
    examples = dict.fromkeys(liked[reference] for reference in subscriber.profile.liked if reference in liked)
    return [
        *(Vote(work_id=work_id, value=1, at=subscriber.created_at, way="file") for work_id in examples if work_id not in voted),
        *(vote for vote in votes if vote.value),
    ]
