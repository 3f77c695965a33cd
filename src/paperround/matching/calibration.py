"""Calibration: from a score to a strength, 0…1: of a hundred such works this reader would keep about so many (pure)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic in the score, its square and how much is known of the reader (0…1)."""

    constant: float
    slope: float
    bend: float
    known: float
    known_slope: float


# Set so that a new installation's reader keeps every second work that lies six spreads above the background; hand-checked on
# interests against the digest pages. Where there are votes, `fit` replaces it.
PRIOR = Calibration(constant=-5.0, slope=1.0, bend=0.0, known=0.0, known_slope=0.0)


def _features(scores: NDArray[np.float32], known: NDArray[np.float32] | np.float32) -> NDArray[np.float64]:
    score = np.clip(scores.astype(np.float64), 0, 12)
    much = np.broadcast_to(known, score.shape).astype(np.float64)
    return np.stack([np.ones_like(score), score, score**2 / 10, much, much * score], axis=-1)


def strengths(scores: NDArray[np.float32], known: NDArray[np.float32] | np.float32, by: Calibration) -> NDArray[np.float64]:
    """(n,) scores of works → (n,) strengths; `known` one for all or (n,)."""
    weights = np.array([by.constant, by.slope, by.bend, by.known, by.known_slope])
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(_features(scores, known) @ weights, -30, 30)))
    return result


def fit(scores: NDArray[np.float32], known: NDArray[np.float32], kept: NDArray[np.bool_]) -> Calibration:
    """The logistic that says best which shown works (n,) were kept; Newton's method from their constant rate."""
    features = _features(scores, known)
    rate = np.clip(kept.mean(), 1e-4, 1 - 1e-4)
    weights = np.zeros(features.shape[1])
    weights[0] = np.log(rate / (1 - rate))
    for _ in range(30):
        likely = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        curvature = (features * (likely * (1 - likely))[:, None]).T @ features + 1e-3 * np.eye(len(weights))
        step = np.linalg.solve(curvature, features.T @ (likely - kept))
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return Calibration(*weights.tolist())
