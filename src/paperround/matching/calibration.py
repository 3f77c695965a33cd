"""Calibration: from a score to a strength, 0…1: of a hundred such works this reader would keep about so many (pure)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS = 60  # of Newton's method at most; ten do nearly always


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic: `weights` of 1, the score, its logarithm, the evidence (logarithm of the weight of all likes), the two multiplied, and
    the evidence squared."""

    weights: tuple[float, ...]


# A new installation's reader is taken to keep every second work that lies five spreads above the background: set by hand, so that
# on real digest pages what meets an interest squarely stands above the half, and what merely resembles it below a quarter.
PRIOR = Calibration((-5.0, 1.0, 0.0, 0.0, 0.0, 0.0))


def _features(scores: NDArray[np.float32], evidence: NDArray[np.float32] | np.float32) -> NDArray[np.float64]:
    score = np.clip(scores.astype(np.float64), -4, 12)
    much = np.broadcast_to(evidence, score.shape).astype(np.float64)
    return np.stack([np.ones_like(score), score, np.log1p(np.maximum(score, 0)), much, much * score, much**2], axis=-1)


def strengths(scores: NDArray[np.float32], evidence: NDArray[np.float32] | np.float32, by: Calibration) -> NDArray[np.float64]:
    """(n,) scores of works → (n,) strengths; `evidence` one for all or (n,)."""
    return _logistic(_features(scores, evidence) @ np.array(by.weights))


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return result


def fit(scores: NDArray[np.float32], evidence: NDArray[np.float32], kept: NDArray[np.bool_]) -> Calibration:
    """The logistic that says best which shown works (n,) were kept; Newton's method from their constant rate."""
    features = _features(scores, evidence)
    rate = float(np.clip(kept.mean(), 1e-4, 1 - 1e-4))
    weights = np.zeros(features.shape[1])
    weights[0] = np.log(rate / (1 - rate))
    for _ in range(STEPS):
        likely = _logistic(features @ weights)
        curvature = (features * (likely * (1 - likely))[:, None]).T @ features + 1e-3 * np.eye(len(weights))
        step = np.linalg.solve(curvature, features.T @ (likely - kept))
        weights -= step / max(1.0, float(np.abs(step).max()))  # a longer step can leap over the top
        if np.abs(step).max() < 1e-6:
            break
    return Calibration(tuple(weights.tolist()))
