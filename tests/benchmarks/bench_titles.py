"""How well long texts are read: each paper's title is to find its abstract among all, by how many tokens are read at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperround.matching.embedder import PIECE, SentenceTransformerEmbedder

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "daily_papers"


def papers() -> dict[str, tuple[str, str]]:
    """Title and abstract of each, by identifier."""
    found = {}
    for month in sorted(CORPUS.glob("*.json")):
        for each in json.loads(month.read_text(encoding="utf-8")):
            paper = each.get("paper", each)
            if paper.get("summary"):
                found[paper["id"]] = (paper["title"], " ".join(paper["summary"].split()))
    return found


def ranks(titles: NDArray[np.float32], abstracts: NDArray[np.float32]) -> NDArray[np.float64]:
    """One over the rank of each title's own abstract."""
    likeness = titles @ abstracts.T
    return np.asarray(1 / (1.0 + (likeness > np.diag(likeness)[:, None]).sum(axis=1)), dtype=np.float64)


def run() -> list[dict[str, Any]]:
    both = list(papers().values())
    if not both:
        return []  # the abstracts lie beside the project, not in it
    embedder = SentenceTransformerEmbedder()
    titles, abstracts = (embedder.embed_now([pair[part] for pair in both]) for part in (0, 1))
    model, _ = embedder._loaded()
    by_pieces = {PIECE: ranks(titles, abstracts)}
    for most in (96, 256):
        model.max_seq_length = most
        by_pieces[most] = ranks(titles, embedder.embed_now([abstract for _, abstract in both]))
    cut = model.encode([abstract for _, abstract in both], normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False)
    by_cut = ranks(titles, cut.float().cpu().numpy())
    gained = by_pieces[PIECE] - by_cut
    return [
        {
            "name": "titles",
            "value": float(by_pieces[PIECE].mean()),
            "unit": "MRR",
            "beside": {"pieces_96": by_pieces[96].mean(), "pieces_256": by_pieces[256].mean(), "cut_256": by_cut.mean()},
            "note": f"{len(both):,} titles of Daily Papers find their abstracts, read in pieces of {PIECE} tokens; "
            f"{gained.mean():+.4f} ± {1.96 * gained.std() / len(both) ** 0.5:.4f} on what is cut at 256",
        }
    ]
