"""Child embedder: the model in a process of its own that ends after its work, so that a server at rest holds none (I/O)."""

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache

import numpy as np
from numpy.typing import NDArray

from paperround.errors import EmbeddingError
from paperround.matching.embedder import SentenceTransformerEmbedder

IDLE = 60.0  # seconds without work after which the process ends
PORTION = 512  # texts handed over at once, so that progress can be told


_in_child = cache(SentenceTransformerEmbedder)  # the child loads the model once


def _embed(model: str, precision: str, texts: list[str]) -> NDArray[np.float32]:
    return _in_child(model, precision=precision).embed_now(texts)


class ChildEmbedder:
    """The same as the embedder it is given, elsewhere."""

    def __init__(self, embedder: SentenceTransformerEmbedder) -> None:
        self._embedder = embedder
        self._pool: ProcessPoolExecutor | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._busy = asyncio.Lock()

    @property
    def model(self) -> str:
        return self._embedder.model

    async def embed(self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None) -> NDArray[np.float32]:
        """As SentenceTransformerEmbedder.embed. Raises EmbeddingError, also when the child dies."""
        loop = asyncio.get_running_loop()
        async with self._busy:
            if self._ending:
                self._ending.cancel()
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            parts = []
            try:
                for start in range(0, len(texts), PORTION):
                    portion = list(texts[start : start + PORTION])
                    parts.append(await loop.run_in_executor(self._pool, _embed, self._embedder.name, self._embedder.precision, portion))
                    if progress:
                        progress(min(start + PORTION, len(texts)), len(texts))
            except BrokenProcessPool as error:
                self.close()
                raise EmbeddingError("the process that runs the model died; is there enough memory?") from error
            self._ending = loop.call_later(IDLE, self.close)
        return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)

    def close(self) -> None:
        """End the process."""
        if self._ending:
            self._ending.cancel()
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, self._ending = None, None
