"""Room: exploration. Which works outside a profile stand for most of the others, so that a vote on one of them teaches most (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paperround.models import WorkId

Floats = NDArray[np.float32]

LOOKED_AT = 500  # works among which the representatives are sought, whatever a week brings
MOST = 32  # regions of a day; a new one must add something, so a small or narrow day has fewer
SHRINK = 30.0  # so many works as have to be there before half of their mean is taken for what all have in common
# Nearness from which a work is about what a reader avoids. Without what all works have in common, those of the topic named lie at .22 and
# above, unrelated ones below .15 (six months of Daily Papers, ten topics).
NEAR = 0.2
EQUAL = 0.8  # regions worth so much of the best are as good: lots decide, so that silence does not bring the same one every day
CENTRAL = 5  # works next to a representative that stand for the region as well


@dataclass(frozen=True, slots=True)
class Regions:
    """Works by what they are about, each region around one that represents it. Made once for all readers of a run."""

    ids: tuple[WorkId, ...]
    place: Mapping[WorkId, int]
    middle: Floats  # (d,): what they have in common
    units: Floats  # (n, d): the rest of each, of length 1
    centres: Floats  # (regions, d): the units of the works that represent them
    within: Floats  # (n, regions): 1 where a work is of the region; large subjects have several that overlap
    members: tuple[NDArray[np.int64], ...]  # the places in each region, the most central first

    @classmethod
    def of(cls, ids: Sequence[WorkId], vectors: Floats) -> Regions:
        """From vectors (n, d), rows of length 1, at least one."""
        middle = (vectors.sum(axis=0) / (len(vectors) + SHRINK)).astype(np.float32)
        units = _units(vectors - middle)
        looked_at = np.unique(np.linspace(0, len(units) - 1, LOOKED_AT).astype(np.int64))
        centres = units[looked_at[_representatives(units[looked_at])]]
        nearness = units @ centres.T
        order = np.argsort(-nearness, axis=0, kind="stable")
        members = tuple(places[nearness[places, region] >= NEAR] for region, places in enumerate(order.T))
        place = {work_id: number for number, work_id in enumerate(ids)}
        return cls(tuple(ids), place, middle, units, centres, (nearness >= NEAR).astype(np.float32), members)

    def teaching(self, among: NDArray[np.bool_], likes: Floats, dislikes: Floats, seed: int) -> Iterator[list[WorkId]]:
        """Works that stand for a region, of those `among` (n,) which to choose; the region whose vote teaches most first.

        That is the one with the most works, and furthest from all that the reader named or judged: `likes` and `dislikes`, rows of length
        1. Nothing near to the latter is among them."""
        judged = _units(np.concatenate([each for each in (likes, dislikes, self.centres[:0]) if each.shape[1]]) - self.middle)
        disliked, known = judged[len(likes) :], _nearest(self.centres, judged)
        worth = (among.astype(np.float32) @ self.within) * (1 - known) ** 2
        order = np.argsort(-worth, kind="stable").tolist()
        equal = int(np.count_nonzero(worth >= EQUAL * worth[order[0]]))
        first = seed % equal
        for region in (*order[first:equal], *order[:first], *order[equal:]):
            members = self.members[region]
            central = members[among[members]][:CENTRAL]
            yield [self.ids[number] for number in central[_nearest(self.units[central], disliked) < NEAR].tolist()]


@dataclass(frozen=True, slots=True)
class Outside:
    """Where one reader's item from outside may come from: `allowed` (n,) in the order of the regions' works; what the reader likes and
    dislikes as rows of length 1, words and works alike."""

    regions: Regions
    allowed: NDArray[np.bool_]
    likes: Floats
    dislikes: Floats


def _units(rows: Floats) -> Floats:
    result: Floats = rows / np.sqrt(np.maximum(np.einsum("ij,ij->i", rows, rows), np.float32(1e-18)))[:, None]
    return result


def _nearest(units: Floats, others: Floats) -> Floats:
    """(n,): nearness of each row to the nearest of the others, 0 at least."""
    nearest: Floats = (units @ others.T).max(axis=1, initial=0)
    return nearest


def _representatives(units: Floats) -> list[int]:
    """Greedy facility location: one after the other that brings all the works nearest to one of them."""
    nearness = np.maximum(units @ units.T, 0)
    covered, chosen = np.zeros(len(units), np.float32), list[int]()
    for _ in range(min(MOST, int(np.sqrt(len(units))) + 1)):
        gains = np.maximum(nearness - covered, 0).sum(axis=1)
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, nearness[chosen[-1]])
    return chosen
