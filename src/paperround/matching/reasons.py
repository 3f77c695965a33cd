"""Reasons: which sentences of an abstract speak to what matched (pure)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paperround.matching.profile_vectors import ProfileVectors
from paperround.models import Match, ReasonKind

MOST = 3  # sentences shown
CONTEXT = 0.02  # how much nearer a sentence that follows another shown one counts: two in a row read better than two apart


def excerpt(
    match: Match, reader: ProfileVectors, sentences: Sequence[str], vectors: NDArray[np.float32], *, most: int = MOST
) -> tuple[tuple[str, ...], int | None]:
    """The sentences nearest to what matched, in the abstract's order, and which of them is the best. `vectors` (n, dimension)."""
    if not sentences:
        return (), None
    row = _row(match, reader)
    if row is None:
        return tuple(sentences[:most]), None
    nearness = vectors @ reader.likes[row]
    best = int(nearness.argmax())
    chosen = {best}
    while len(chosen) < min(most, len(sentences)):
        bonus = np.array([CONTEXT if {place - 1, place + 1} & chosen else 0.0 for place in range(len(sentences))])
        left = np.where([place in chosen for place in range(len(sentences))], -np.inf, nearness + bonus)
        chosen.add(int(left.argmax()))
    places = sorted(chosen)
    return tuple(sentences[place] for place in places), places.index(best)


def _row(match: Match, reader: ProfileVectors) -> int | None:
    """Which of the reader's rows the reason names."""
    for row, reason in enumerate(reader.reasons):
        if reason.kind is match.reason.kind and reason.text == match.reason.text:
            return row
    return 0 if match.reason.kind is ReasonKind.MUST and len(reader.likes) else None
