"""Queued embedder: words that a person typed go to the machines that hold the model, and their vectors come back by the database (I/O)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from paperround.errors import EmbeddingError
from paperround.pipeline.interfaces import Embedder, VectorStore

PATIENCE = 5.0  # seconds that somebody waits for a page
LOOK_AGAIN = 0.1


class QueuedEmbedder:
    """The same as the embedder it is named after, elsewhere. This process never loads the model."""

    def __init__(self, named: Embedder, storage: VectorStore, ask: Callable[[list[str]], Awaitable[None]]) -> None:
        """`ask` hands texts to whoever will save their vectors."""
        self._named, self._storage, self._ask = named, storage, ask

    @property
    def model(self) -> str:
        return self._named.model

    async def embed(self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None) -> NDArray[np.float32]:
        """Vectors of a few short texts. Raises EmbeddingError after five seconds: they are ready for the next issue."""
        known = await self._storage.text_vectors(self.model, texts)
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            await self._ask(missing)
            try:
                async with asyncio.timeout(PATIENCE):
                    while len(known) < len(set(texts)):
                        await asyncio.sleep(LOOK_AGAIN)
                        known = await self._storage.text_vectors(self.model, texts)
            except TimeoutError:
                raise EmbeddingError("these words are still being read; they are ready for the next issue") from None
        if progress:
            progress(len(texts), len(texts))
        return np.stack([known[text] for text in texts]).astype(np.float32) if texts else np.zeros((0, 0), np.float32)
