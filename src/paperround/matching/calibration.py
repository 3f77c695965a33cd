"""Calibration: from a score to a strength, 0…1: of a hundred such works this reader would keep about so many (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paperround.models import SubscriberId
from paperround.records import Judged

STEPS = 60  # of Newton's method at most; ten do nearly always


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic: `weights` of 1, the score, its logarithm, the evidence (logarithm of the weight of all likes), the two multiplied, and
    the evidence squared."""

    weights: tuple[float, ...]


# A new installation's reader is taken to keep every second work that lies five spreads above the background: set by hand, so that
# on real digest pages what meets an interest squarely stands above the half, and what merely resembles it below a quarter.
PRIOR = Calibration((-5.0, 1.0, 0.0, 0.0, 0.0, 0.0))
# How firmly an installation's votes find the prior in place: its first two weights give way after some dozens of judged works, what
# cannot be told from stored scores never.
HOLD = (4.0, 20.0, 100.0, 1e6, 1e6, 1e6)
LEANING = 0.7  # spread of readers' leanings: one in twenty keeps four times as much, in odds, as the middle one


def _features(scores: NDArray[np.float32], evidence: NDArray[np.float32] | np.float32) -> NDArray[np.float64]:
    score = np.clip(scores.astype(np.float64), -4, 12)
    much = np.broadcast_to(evidence, score.shape).astype(np.float64)
    return np.stack([np.ones_like(score), score, np.log1p(np.maximum(score, 0)), much, much * score, much**2], axis=-1)


def strengths(
    scores: NDArray[np.float32], evidence: NDArray[np.float32] | np.float32, by: Calibration, leaning: float = 0.0
) -> NDArray[np.float64]:
    """(n,) scores of works → (n,) strengths; `evidence` one for all or (n,); `leaning`: how far this reader keeps more than others."""
    return _logistic(_features(scores, evidence) @ np.array(by.weights) + leaning)


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return result


def fit(
    scores: NDArray[np.float32], evidence: NDArray[np.float32], kept: NDArray[np.bool_], *, prior: Calibration | None = None
) -> Calibration:
    """The logistic that says best which shown works (n,) were kept; By Newton. With a `prior` no further from it than they warrant."""
    features = _features(scores, evidence)
    rate = float(np.clip(kept.mean(), 1e-4, 1 - 1e-4))
    centre, hold = np.array([np.log(rate / (1 - rate)), 0, 0, 0, 0, 0]), np.full(6, 1e-3)
    if prior is not None:
        centre, hold = np.array(prior.weights), np.array(HOLD)
    weights = centre.copy()
    for _ in range(STEPS):
        likely = _logistic(features @ weights)
        curvature = (features * (likely * (1 - likely))[:, None]).T @ features + np.diag(hold)
        step = np.linalg.solve(curvature, features.T @ (likely - kept) + hold * (weights - centre))
        weights -= step / max(1.0, float(np.abs(step).max()))  # a longer step can leap over the top
        if np.abs(step).max() < 1e-6:
            break
    return Calibration(tuple(weights.tolist()))


def learn(judged: Sequence[Judged]) -> Calibration:
    """An installation's own calibration: the prior, moved by what its readers kept and passed over."""
    if not judged:
        return PRIOR
    scores, kept = _arrays(judged)
    return fit(scores, np.zeros(len(scores), np.float32), kept, prior=PRIOR)


def leanings(by: Calibration, judged: Sequence[Judged]) -> dict[SubscriberId, float]:
    """How far each reader keeps more or less than the calibration says, on the scale of its logarithmic odds: for all at once, the most
    likely offset under a normal prior of spread LEANING, so that few votes move it little."""
    if not judged:
        return {}
    ids, row = np.unique([each.subscriber_id for each in judged], return_inverse=True)
    scores, kept = _arrays(judged)
    odds = _features(scores, np.float32(0)) @ np.array(by.weights)
    offsets = np.zeros(len(ids))
    for _ in range(STEPS):
        likely = _logistic(odds + offsets[row])
        slope = np.bincount(row, likely - kept, len(ids)) + offsets / LEANING**2
        step = slope / (np.bincount(row, likely * (1 - likely), len(ids)) + 1 / LEANING**2)
        offsets -= np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-4:
            break
    return {SubscriberId(each): float(offset) for each, offset in zip(ids.tolist(), offsets, strict=True)}


def _arrays(judged: Sequence[Judged]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return np.array([each.score for each in judged], np.float32), np.array([each.value > 0 for each in judged])
