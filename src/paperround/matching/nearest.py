"""Nearest: for each row of one matrix the best rows of another by dot product, exact and without an index (pure)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

ROWS, GROUP = 1000, 10  # rows a block, so that the product stays in the cache; columns a group
VALUES = 4_000_000  # of a product at most: 16 MB
WORTH_THREADS = 8  # blocks from which on looking the libraries' threads up (some milliseconds) pays


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
    turned = np.ascontiguousarray(columns.T) if len(readers) > len(columns) else columns.T  # or every product turns them again

    def take(first: int, step: int) -> None:
        """Every `step`th block from the `first` on, in memory that is used again."""
        product, above = np.empty((rows, len(columns)), np.float32), np.empty((rows, len(columns)), bool)
        for start in range(first * rows, len(readers), step * rows):
            block = readers[start : start + rows]
            values = np.matmul(block, turned, out=product[: len(block)])
            values[:, count:] = -np.inf
            maxima = values.reshape(len(block), group, groups).max(axis=1)
            maxima.partition(groups - top, axis=1)
            close = np.flatnonzero(np.greater_equal(values, maxima[:, groups - top, None], out=above[: len(block)]))
            near, order = _sorted_rows(close, values, top)
            places = np.take_along_axis(near, order, axis=1)
            found[start : start + rows], scores[start : start + rows] = places % len(columns), values.ravel()[places]

    _side_by_side(take, blocks=-(-len(readers) // rows))
    return found, scores


def _side_by_side(take: Callable[[int, int], None], *, blocks: int) -> None:
    """On all processors: the product uses them by itself, sorting out does not, so each thread takes whole blocks and multiplies alone."""
    pools = ThreadpoolController() if blocks >= WORTH_THREADS else None
    threads = max((each["num_threads"] for each in pools.info() if each["user_api"] == "blas"), default=1) if pools else 1
    if pools is None or threads == 1:
        take(0, 1)
        return
    with pools.limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(take, range(threads), [threads] * threads))


def _sorted_rows(close: NDArray[np.int64], values: NDArray[np.float32], top: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From places in the flattened values, at least `top` of each row: the places by row (rows, most), and the order of their best."""
    starts = np.searchsorted(close, np.arange(len(values) + 1) * values.shape[1])
    places = starts[:-1, None] + np.arange(int(np.diff(starts).max()))
    near = close[np.minimum(places, len(close) - 1)]
    kept = np.where(places < starts[1:, None], values.ravel()[near], -np.inf)
    return near, np.argsort(-kept, axis=1, kind="stable")[:, :top]
