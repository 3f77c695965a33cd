"""Nearest: for each row of one matrix the best rows of another by dot product, exact and without an index (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS, GROUP = 1000, 10  # rows a block, so that the product stays in the cache; columns a group
VALUES = 4_000_000  # of a product at most: 16 MB


def nearest(readers: NDArray[np.float32], works: NDArray[np.float32], top: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each reader (p, d) the best `top` of the works (n, d), best first: columns and scores (p, top).

    The columns are seen in groups: so many groups have a maximum no less than the top-th best of these maxima, hence the best of all
    lie above it, and little more than they. Far less is sorted than by a partition of everything."""
    count, top = len(works), min(top, len(works))
    found, scores = np.empty((len(readers), top), np.int64), np.empty((len(readers), top), np.float32)
    if not top:
        return found, scores
    group = max(1, min(GROUP, count // top))
    groups = -(-count // group)
    columns = works
    if group * groups != count:
        columns = np.zeros((group * groups, works.shape[1]), np.float32)
        columns[:count] = works
    rows = max(1, min(ROWS, len(readers), VALUES // len(columns)))
    product, above = np.empty((rows, len(columns)), np.float32), np.empty((rows, len(columns)), bool)
    for start in range(0, len(readers), rows):
        block = readers[start : start + rows]
        values = np.matmul(block, columns.T, out=product[: len(block)])
        values[:, count:] = -np.inf
        maxima = values.reshape(len(block), group, groups).max(axis=1)
        maxima.partition(groups - top, axis=1)
        close = np.flatnonzero(np.greater_equal(values, maxima[:, groups - top, None], out=above[: len(block)]))
        near, order = _sorted_rows(close, values, top)
        found[start : start + rows] = np.take_along_axis(near, order, axis=1) % len(columns)
        scores[start : start + rows] = values.ravel()[np.take_along_axis(near, order, axis=1)]
    return found, scores


def _sorted_rows(close: NDArray[np.int64], values: NDArray[np.float32], top: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From places in the flattened values, at least `top` of each row: the places by row (rows, most), and the order of their best."""
    starts = np.searchsorted(close, np.arange(len(values) + 1) * values.shape[1])
    places = starts[:-1, None] + np.arange(int(np.diff(starts).max()))
    near = close[np.minimum(places, len(close) - 1)]
    kept = np.where(places < starts[1:, None], values.ravel()[near], -np.inf)
    return near, np.argsort(-kept, axis=1, kind="stable")[:, :top]
