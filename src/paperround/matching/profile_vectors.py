"""Profile vectors: a reader's interests, avoids and examples as separate rows, never as one average (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from paperround.models import Interest, Profile, Reason, ReasonKind, SubscriberId, WorkId

HALF_LIFE = 180.0  # days after which a vote counts half: tastes drift, they do not jump
LEAST_WEIGHT = 0.3  # an old vote never counts for less
INTEREST_WEIGHT = 3.0  # what a reader says in words is worth about three works that they like
TOGETHER = 0.15  # mean cosine of keywords from which they describe one field together; else each stands for itself
ALONE = {0: 0.0, 1: 0.02, 2: 0.3}  # weight of a keyword by its words, beside all keywords read as one text, which says much more


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A work the reader judged. `at` None: named in the profile, no date of its own."""

    work_id: WorkId
    title: str
    text: str = ""  # the abstract too
    vector: NDArray[np.float32]
    value: int
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileVectors:
    """`likes` (n, dimension) with `weights` (n,) in (0, 1] and a Reason each; `dislikes` (m, dimension) with weights (m,)."""

    subscriber_id: SubscriberId
    likes: NDArray[np.float32]
    weights: NDArray[np.float32]
    reasons: tuple[Reason, ...]
    dislikes: NDArray[np.float32]
    dislike_weights: NDArray[np.float32]
    dislike_names: tuple[str, ...]
    texts: tuple[str, ...]  # the words behind each like: for words in common
    prose: tuple[str, ...] = ()  # the whole text of each like, where known
    must: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    typed: int = 0  # so many of the likes, the first ones, are words of the reader's own
    typed_dislikes: int = 0
    leaning: float = 0.0  # how far the reader keeps more, or less, than others of the same score: see calibration.leanings

    @property
    def has_interests(self) -> bool:
        """Without any the reader gets what trends."""
        return bool(len(self.likes) or self.must)


def build_profile_vectors(
    subscriber_id: SubscriberId,
    profile: Profile,
    *,
    text_vectors: Mapping[str, NDArray[np.float32]],
    examples: Sequence[Example],
    now: datetime,
    leaning: float = 0.0,
) -> ProfileVectors:
    """`text_vectors`: (dimension,) for each text of the profile that is embedded; the others wait for the embed step."""
    interests = _interests(profile, text_vectors)
    heaviest = max((each.weight for each in interests), default=1.0) / INTEREST_WEIGHT
    liked = [each for each in examples if each.value > 0]
    disliked = [each for each in examples if each.value < 0]
    avoided = [text for text in profile.avoid if text in text_vectors]
    return ProfileVectors(
        subscriber_id=subscriber_id,
        likes=_rows([text_vectors[each.text] for each in interests] + [each.vector for each in liked]),
        weights=np.array([each.weight / heaviest for each in interests] + [_weight(each, now) for each in liked], dtype=np.float32),
        reasons=(
            *(Reason(kind=ReasonKind.INTEREST, text=each.text) for each in interests),
            *(Reason(kind=ReasonKind.LIKED, text=each.title, liked_at=each.at) for each in liked),
        ),
        dislikes=_rows([text_vectors[text] for text in avoided] + [each.vector for each in disliked]),
        dislike_weights=np.array([1.0] * len(avoided) + [_weight(each, now) for each in disliked], dtype=np.float32),
        dislike_names=(*avoided, *(each.title for each in disliked)),
        texts=(*(each.text for each in interests), *(each.title for each in liked)),
        prose=(*(each.text for each in interests), *(each.text or each.title for each in liked)),
        must=profile.must,
        never=profile.never,
        typed=len(interests),
        typed_dislikes=len(avoided),
        leaning=leaning,
    )


def _interests(profile: Profile, known: Mapping[str, NDArray[np.float32]]) -> list[Interest]:
    """The interests with a vector. Keywords also stand together as one text, and then weigh little by themselves."""
    together = profile.keywords
    if together is None or together not in known:
        return [each for each in profile.interests if each.text in known]
    words = [each for each in profile.interests if each.is_keyword and each.text in known]
    if _nearness([known[each.text] for each in words]) < TOGETHER:
        return [each for each in profile.interests if each.text in known]
    joined = Interest(text=together, weight=max(each.weight for each in words))
    rest = [replace(each, weight=each.weight * ALONE[len(each.text.split())]) if each.is_keyword else each for each in profile.interests]
    return [joined, *(each for each in rest if each.text in known)]


def _nearness(vectors: Sequence[NDArray[np.float32]]) -> float:
    """The mean cosine of pairs; 0 where there is none."""
    if len(vectors) < 2:
        return 0.0
    cosines = np.stack(vectors) @ np.stack(vectors).T
    return float((cosines.sum() - np.trace(cosines)) / (len(vectors) * (len(vectors) - 1)))


def _weight(example: Example, now: datetime) -> float:
    if example.at is None:
        return 1.0
    days = max(0.0, (now - example.at).total_seconds() / 86400)
    return float(max(LEAST_WEIGHT, 0.5 ** (days / HALF_LIFE)))


def _rows(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, 0), dtype=np.float32)
