"""Reasons are true: over a thousand matches on real vectors, no other part of the profile carries more of the score than the named one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paperround.matching.profile_vectors import ProfileVectors
from paperround.matching.scoring import match_profiles
from paperround.models import Interest, Reason

pytestmark = pytest.mark.slow
READERS, EACH = 50, 20
ALIKE = 0.01  # of a spread over the background: what two reasons may differ by and still be as good as each other
SUBJECTS = (
    "token pruning for vision-language models",
    "speculative decoding of language models",
    "lip reading in several languages",
    "sequential recommendation from user behaviour",
    "medical imaging with few labels",
    "reinforcement learning for robot manipulation",
    "reconstruction of scenes in three dimensions",
    "video generation by diffusion models",
    "speech recognition in noisy rooms",
    "code generation and program repair",
    "graph neural networks for molecules",
    "retrieval augmented question answering",
    "machine translation of rare languages",
    "evaluation of large language models",
    "privacy in federated learning",
    "forecasting of time series",
)


def readers(library: Any) -> list[ProfileVectors]:
    """Profiles of two to six interests and up to ten liked works, drawn by lot from real words and works."""
    chance = np.random.default_rng(20)
    drawn = []
    for _ in range(READERS):
        words = chance.choice(SUBJECTS, int(chance.integers(2, 7)), replace=False).tolist()
        liked = chance.choice(len(library.works), int(chance.integers(0, 11)), replace=False).tolist()
        interests = [Interest(text=each, weight=float(chance.choice((0.5, 1, 1, 2)))) for each in words]
        drawn.append(library.reader(*interests, examples=[library.example(place) for place in liked]))
    return drawn


def without(reader: ProfileVectors, row: int) -> ProfileVectors:
    """The same profile, one like less."""
    left = [each for each in range(len(reader.likes)) if each != row]
    return replace(
        reader,
        likes=reader.likes[left],
        weights=reader.weights[left],
        reasons=tuple(reader.reasons[each] for each in left),
        texts=tuple(reader.texts[each] for each in left),
        typed=reader.typed - (row < reader.typed),
    )


def test_without_the_named_reason_a_score_falls_at_least_as_much_as_without_any_other(library: Any) -> None:
    number, everything = {work.id: place for place, work in enumerate(library.works)}, len(library.works)
    looked_at, wrong = 0, []
    for reader in readers(library):
        fewer = [without(reader, row) for row in range(len(reader.likes))]
        matches, *after = match_profiles([reader, *fewer], library.block, library.background, allowed=None, top=everything)
        scores = np.empty((len(fewer), everything))
        for row, found in enumerate(after):
            scores[row, [number[match.work_id] for match in found]] = [match.score for match in found]
        for match in matches[:EACH]:
            falls = match.score - scores[:, number[match.work_id]]
            named = [Reason(kind=each.kind, text=each.text) for each in reader.reasons].index(
                Reason(kind=match.reason.kind, text=match.reason.text)
            )
            looked_at += 1
            if falls[named] < falls.max() - ALIKE:
                wrong.append((match.reason.text, float(falls[named]), reader.reasons[int(falls.argmax())].text, float(falls.max())))
    assert looked_at == READERS * EACH
    assert wrong == []
