"""Embedding: abstracts a second beside the library as it comes (fp32, batches of 32), and what the processor's own products would allow."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from paperround.bundled_files import bundled
from paperround.matching.embedder import SentenceTransformerEmbedder, _padded, packaged_model

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "daily_papers" / "daily_papers_2024-10.json"
COUNT, ROUNDS = 300, 5


def abstracts() -> tuple[list[str], str]:
    """COUNT real abstracts with their titles, and where they are from."""
    if CORPUS.exists():
        days = json.loads(CORPUS.read_text(encoding="utf-8"))
        papers = [each.get("paper", each) for each in days]
        texts = [f"{paper['title']}. {' '.join(paper['summary'].split())}" for paper in papers if paper.get("summary")]
        return texts[:COUNT], "abstracts of Daily Papers, October 2024"
    pages = [page.read_text(encoding="utf-8") for page in sorted(bundled("sample").glob("*.txt"))]
    lines = [line for page in pages for line in page.splitlines() if len(line) > 400]
    return (lines * (COUNT // max(1, len(lines)) + 1))[:COUNT], "the bundled sample's abstracts, repeated"


def products() -> dict[str, float]:
    """Billions of operations a second of the model's largest product, in both precisions."""
    import torch

    rates = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        layer, rows = torch.nn.Linear(384, 1536, dtype=kind), torch.randn(2048, 384, dtype=kind)
        with torch.inference_mode():
            for _ in range(3):
                layer(rows)
            started = perf_counter()
            for _ in range(20):
                layer(rows)
        rates[name] = 20 * 2 * 2048 * 384 * 1536 / (perf_counter() - started) / 1e9
    return rates


def run() -> list[dict[str, Any]]:
    from sentence_transformers import SentenceTransformer

    texts, where = abstracts()
    plain = SentenceTransformer(str(packaged_model()), device="cpu")
    ours, full = SentenceTransformerEmbedder(), SentenceTransformerEmbedder(precision="fp32")
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours.embed_now(texts),
        "full": lambda: full.embed_now(texts),
        "plain": lambda: plain.encode(texts, normalize_embeddings=True, show_progress_bar=False),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    ours.embed_now(texts[:8]), full.embed_now(texts[:8])
    for way in [*ways] * ROUNDS:
        started = perf_counter()
        ways[way]()
        taken[way].append(perf_counter() - started)
    seconds = {way: float(np.median(rounds)) for way, rounds in taken.items()}
    ratios, without = (np.divide(taken["plain"], taken[way]) for way in ("ours", "full"))  # of the same round: a machine's speed changes
    ratio = float(np.median(ratios))
    best = min(taken["plain"]) / min(taken["ours"])
    full._ready = full._loaded()[0], partial(_padded, plain)  # the library's own way with the same pieces
    cosines = (ours.embed_now(texts) * full.embed_now(texts)).sum(axis=1)
    counts = [len(tokens) for tokens in plain.tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
    read, cut = sum(counts), sum(min(count, 256) for count in counts)
    rates = products()
    return [
        {
            "name": "embed",
            "value": len(texts) / seconds["ours"],
            "unit": "texts/s",
            "beside": {"plain": len(texts) / seconds["plain"], "in_fp32": len(texts) / seconds["full"]},
            "ratio": ratio,
            "best_by_best": best,
            "cosine_min": float(np.min(cosines)),
            "note": f"{where}; cosine to the library's fp32 at least {np.min(cosines):.5f}; "
            f"{ROUNDS} rounds from x{ratios.min():.2f} to x{ratios.max():.2f}, best by best x{best:.2f}; "
            f"without bf16 x{np.median(without):.2f}; ours reads {read:,} "
            f"tokens, the library, which cuts at 256, {cut:,}: x{ratio * read / cut:.2f} a token; bare bf16 products here "
            f"x{rates['bf16'] / rates['fp32']:.2f} of fp32",
        }
    ]
