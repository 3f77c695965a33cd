"""Search: an answer from 100,000 works in a real database, beside the bare product of one query with as many vectors."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from sqlalchemy import insert

from paperround.matching.background import Background
from paperround.pipeline.search import search
from paperround.storage.schema import work_vectors, works
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers.signed_links import fold_address

WORKS, DIMENSION, ROUNDS, PORTION = 100_000, 384, 25, 5_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ("reading", "lips", "maps", "robots", "forests", "carbon", "proteins", "graphs", "theorems", "oceans", "markets", "voices", "soils")


class Vectors:
    """An embedder that knows everything: what a warm model adds is in the entry `embed`."""

    model, dimension = "bench", DIMENSION

    def __init__(self, query: np.ndarray) -> None:
        self.query = query

    async def embed(self, texts: list[str], *, progress: object = None) -> np.ndarray:
        return np.stack([self.query for _ in texts])


async def filled(folder: Path, vectors: np.ndarray) -> SqlStorage:
    storage = await open_storage(f"sqlite:///{folder / 'search.db'}", upgrade=True, fold=fold_address)
    chance = np.random.default_rng(5)
    async with storage.db.writing() as connection:
        for start in range(0, WORKS, PORTION):
            numbers = range(start + 1, start + PORTION + 1)
            text = [" ".join(chance.choice(WORDS, 8)) for _ in numbers]
            nothing = {"authors": [], "links": {}, "categories": [], "keywords": [], "content_hash": "", "withdrawn": False}
            await connection.execute(
                insert(works),
                [
                    {**nothing, "id": number, "title": f"On {words}", "abstract": f"{words}. " * 12, "first_seen_at": NOW}
                    for number, words in zip(numbers, text, strict=True)
                ],
            )
            rows = vectors[start : start + PORTION].astype(np.float16)
            await connection.execute(
                insert(work_vectors),
                [
                    {
                        "work_id": number,
                        "model": "bench",
                        "content_hash": "",
                        "vector": row.tobytes(),
                        "sentences": [],
                        "sentence_vectors": b"",
                    }
                    for number, row in zip(numbers, rows, strict=True)
                ],
            )
    background = Background.from_vectors(vectors[:20_000]).with_words([" ".join(chance.choice(WORDS, 80)) for _ in range(20_000)])
    await storage.save_background("bench", background.to_arrays(), now=NOW)
    return storage


async def measured() -> list[dict[str, Any]]:
    chance = np.random.default_rng(5)
    vectors = chance.standard_normal((WORKS + ROUNDS, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    seconds, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        storage = await filled(Path(folder), vectors[:WORKS])
        try:
            for query in vectors[WORKS:]:
                started = perf_counter()
                hits = await search(storage, Vectors(query), "reading lips", limit=10, now=NOW)
                seconds.append(perf_counter() - started)
                assert len(hits) == 10
                started = perf_counter()
                vectors[:WORKS] @ query
                bare.append(perf_counter() - started)
        finally:
            await storage.close()
    value = median(seconds[1:])
    return [
        {
            "name": "search",
            "value": value * 1000,
            "unit": "ms",
            "beside": {"product": median(bare) * 1000},
            "ratio": value / median(bare),
            "note": f"{WORKS:,} works, best 10, median of {ROUNDS - 1}; the first, which reads them all, {seconds[0] * 1000:,.0f} ms",
        }
    ]


def run() -> list[dict[str, Any]]:
    return asyncio.run(measured())
