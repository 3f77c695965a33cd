"""Nearest: for each row of one matrix the best rows of another by dot product, exact and without an index (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS, GROUP = 1000, 10  # rows a block, so that the product stays in the cache; columns a group
VALUES = 4_000_000  # of a product at most: 16 MB


def nearest(readers: NDArray[np.float32], works: NDArray[np.float32], top: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each reader (p, d) the best `top` of the works (n, d), best first: columns and scores (p, top).

    The best lie in those groups of columns whose maxima are highest: far less is looked at twice than by sorting everything."""
    count, top = len(works), min(top, len(works))
    groups = -(-count // GROUP)
    columns = works
    if GROUP * groups != count:
        columns = np.zeros((GROUP * groups, works.shape[1]), np.float32)
        columns[:count] = works
    rows = max(1, min(ROWS, len(readers), VALUES // max(1, len(columns))))
    product = np.empty((rows, GROUP * groups), np.float32)
    found, scores = np.empty((len(readers), top), np.int64), np.empty((len(readers), top), np.float32)
    for start in range(0, len(readers), rows):
        block = readers[start : start + rows]
        values = np.matmul(block, columns.T, out=product[: len(block)])
        values[:, count:] = -np.inf
        best = np.arange(groups)[None, :].repeat(len(block), axis=0)
        if groups > top:
            best = np.argpartition(values.reshape(-1, GROUP, groups).max(axis=1), groups - top, axis=1)[:, groups - top :]
        near = (best[:, :, None] + np.arange(GROUP) * groups).reshape(len(block), -1)
        close = np.take_along_axis(values, near, axis=1)
        chosen = np.argpartition(close, close.shape[1] - top, axis=1)[:, close.shape[1] - top :]
        order = np.argsort(-np.take_along_axis(close, chosen, axis=1), axis=1)
        chosen = np.take_along_axis(chosen, order, axis=1)
        found[start : start + rows] = np.take_along_axis(near, chosen, axis=1)
        scores[start : start + rows] = np.take_along_axis(close, chosen, axis=1)
    return found, scores
