"""Embedding: abstracts a second beside the library as it comes (fp32, batches of 32)."""

import random
from time import perf_counter
from typing import Any

import numpy as np

from paperround.matching.embedder import SentenceTransformerEmbedder, packaged_model

WORDS = [
    "we",
    "present",
    "a",
    "method",
    "for",
    "learning",
    "representations",
    "of",
    "text",
    "that",
    "scales",
    "to",
    "large",
    "collections",
    "and",
    "improves",
    "retrieval",
    "ranking",
    "and",
    "recommendation",
    "by",
    "combining",
    "sparse",
    "signals",
    "with",
    "dense",
    "vectors",
    "under",
    "a",
    "shared",
    "objective",
    "experiments",
    "on",
    "several",
    "benchmarks",
    "show",
    "gains",
    "over",
    "strong",
    "baselines",
    "while",
    "using",
    "less",
    "memory",
    "and",
    "computation",
    "than",
    "earlier",
    "systems",
]
COUNT, ROUNDS = 300, 3


def abstracts(count: int) -> list[str]:
    """Invented texts as long as abstracts are: 90 to 230 words."""
    chance = random.Random(11)
    return [" ".join(chance.choices(WORDS, k=chance.randint(90, 230))) for _ in range(count)]


def run() -> list[dict[str, Any]]:
    from sentence_transformers import SentenceTransformer

    texts = abstracts(COUNT)
    plain = SentenceTransformer(str(packaged_model()), device="cpu")
    ours = SentenceTransformerEmbedder()
    ours.embed_now(texts[:8])
    seconds = {"ours": float("inf"), "plain": float("inf")}
    for _ in range(ROUNDS):
        started = perf_counter()
        vectors = ours.embed_now(texts)
        seconds["ours"] = min(seconds["ours"], perf_counter() - started)
        started = perf_counter()
        as_it_comes = plain.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        seconds["plain"] = min(seconds["plain"], perf_counter() - started)
    short = [row for row, text in enumerate(texts) if len(text.split()) <= 170]  # longer ones are cut off by the library
    cosines = (vectors[short] * as_it_comes[short]).sum(axis=1)
    return [
        {
            "name": "embed",
            "value": COUNT / seconds["ours"],
            "unit": "texts/s",
            "beside": {"plain": COUNT / seconds["plain"]},
            "ratio": seconds["plain"] / seconds["ours"],
            "cosine_min": float(np.min(cosines)),
            "note": "invented texts of 90 to 230 words; the library cuts those over 256 tokens off",
        }
    ]
