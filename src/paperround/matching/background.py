"""Background: a fixed sample of unlabelled texts that scores are measured against, so that they mean the same on every day (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRIOR_TEXTS = 200  # texts whose weight the prior below has: a new installation's background moves slowly away from it
# Cosine of two unrelated abstracts of all-MiniLM-L6-v2, over invented texts of six fields; other models are near enough to begin with.
PRIOR_COSINE = 0.12
PRIOR_SPREAD = 0.11


@dataclass(frozen=True, slots=True)
class Background:
    """`mean` (dimension,): the middle of the sample, by how much it is known; `size`: how many texts."""

    mean: NDArray[np.float32]
    size: int

    @classmethod
    def empty(cls, dimension: int) -> Background:
        return cls(np.zeros(dimension, dtype=np.float32), 0)

    @classmethod
    def from_vectors(cls, vectors: NDArray[np.float32]) -> Background:
        """`vectors` (n, dimension), rows of length 1. The mean is shrunk towards none while the sample is small."""
        if not len(vectors):
            return cls.empty(vectors.shape[1] if vectors.ndim == 2 else 0)
        weight = len(vectors) / (len(vectors) + PRIOR_TEXTS)
        return cls((vectors.mean(axis=0) * weight).astype(np.float32), len(vectors))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"mean": self.mean, "size": np.array(self.size)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Background:
        return cls(arrays["mean"], int(arrays["size"]))

    def centred(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors without what all texts have in common, of length 1 again."""
        shifted = vectors - self.mean
        lengths = np.linalg.norm(shifted, axis=1, keepdims=True)
        return (shifted / np.where(lengths == 0, 1, lengths)).astype(np.float32)
