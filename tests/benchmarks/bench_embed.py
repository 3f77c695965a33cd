"""Embedding: abstracts a second beside the library as it comes (fp32, batches of 32), and what the processor's own products would allow."""

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from paperround.bundled_files import bundled
from paperround.matching.embedder import SentenceTransformerEmbedder, has_bf16, has_int8, packaged_model

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "daily_papers" / "daily_papers_2024-10.json"
COUNT, ROUNDS = 300, 3


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
    """Seconds of the model's largest product in each precision, the inputs' conversion left out."""
    import torch

    rows, weight = torch.randn(2048, 384), torch.randn(1536, 384)
    half_rows, half_weight = rows.bfloat16(), weight.bfloat16()
    ways: dict[str, Callable[[], object]] = {
        "fp32": lambda: torch.nn.functional.linear(rows, weight),
        "bf16": lambda: torch.nn.functional.linear(half_rows, half_weight),
    }
    if has_int8():
        whole, steps, zeros = rows.clamp(0, 3).mul(80).to(torch.uint8), torch.ones(1536), torch.zeros(1536, dtype=torch.int64)
        packed, multiply = torch.ops.onednn.qlinear_prepack(weight.mul(25).to(torch.int8), None), torch.ops.onednn.qlinear_pointwise
        ways["int8"] = lambda: multiply(whole, 1.0, 0, packed, steps, zeros, None, 1.0, 0, torch.float32, "none", [], "")
    with torch.inference_mode():
        return {name: min(seconds(way) for _ in range(20)) for name, way in ways.items()}


def seconds(way: Callable[[], object]) -> float:
    started = perf_counter()
    way()
    return perf_counter() - started


def run() -> list[dict[str, Any]]:
    from sentence_transformers import SentenceTransformer

    texts, where = abstracts()
    plain = SentenceTransformer(str(packaged_model()), device="cpu")
    ours, exact = SentenceTransformerEmbedder(), SentenceTransformerEmbedder(precision="fp32")
    ours.embed_now(texts[:8])
    took = {"ours": float("inf"), "plain": float("inf")}
    for _ in range(ROUNDS):
        took["ours"] = min(took["ours"], seconds(lambda: ours.embed_now(texts)))
        took["plain"] = min(took["plain"], seconds(lambda: plain.encode(texts, normalize_embeddings=True, show_progress_bar=False)))
    cosines = (ours.embed_now(texts) * exact.embed_now(texts)).sum(axis=1)
    counts = [len(tokens) for tokens in plain.tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
    read, cut = sum(counts), sum(min(count, 256) for count in counts)
    by_token = took["plain"] / took["ours"] * read / cut
    bare = products()
    beside = " and ".join(f"{name} x{bare['fp32'] / bare[name]:.2f}" for name in bare if name != "fp32")
    kind = "int8" if has_int8() else "bf16" if has_bf16() else "fp32"
    return [
        {
            "name": "embed",
            "value": len(texts) / took["ours"],
            "unit": "texts/s",
            "beside": {"plain": len(texts) / took["plain"]},
            "ratio": took["plain"] / took["ours"],
            "cosine_min": float(np.min(cosines)),
            "note": f"{where}; ours in {kind}, cosine to fp32 at least {np.min(cosines):.5f}; "
            f"ours reads {read:,} tokens, the library, which cuts at 256, {cut:,}: x{by_token:.2f} a token; "
            f"bare products here: {beside} of fp32",
        }
    ]
