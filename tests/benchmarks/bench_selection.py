"""Selection: what diversity costs real readers in nDCG and brings them in variety, and how long choosing an issue takes."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperround.digests import selection
from paperround.digests.exploration import Outside, Regions
from paperround.matching import evaluation
from paperround.matching.background import Background
from paperround.matching.embedder import SentenceTransformerEmbedder
from paperround.matching.profile_vectors import ProfileVectors
from paperround.matching.scoring import AUTOMATIC_THRESHOLD, WorkBlock, match_profiles
from paperround.models import ItemRole, Match, Profile, Work, WorkId

ROOT = Path(__file__).resolve().parents[2]
DATASET = ROOT.parent / "shared" / "eval" / "libraries"
READERS, BEST, SHOWN = 400, 30, evaluation.SHOWN
DAY, MATCHES = 1000, 40  # works of a day, and matches a reader, when choosing is timed
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Vectors = NDArray[np.float32]


def embedded(texts: tuple[str, ...], ids: int) -> Vectors:
    """The vectors of the texts; those of the items are kept under out/, for they take a minute or two."""
    embedder = SentenceTransformerEmbedder()
    kept = ROOT / "out" / f"titles-{embedder.model.replace('/', '-')}-{ids}.npy"
    if not kept.exists():
        print(f"embedding {ids:,} titles, once …", file=sys.stderr, flush=True)
        kept.parent.mkdir(exist_ok=True)
        np.save(kept, embedder.embed_now(list(texts[:ids])).astype(np.float16))
    items = np.load(kept).astype(np.float32)
    return np.concatenate([items, embedder.embed_now(list(texts[ids:]))]) if len(texts) > ids else items


def works_of(places: Sequence[int]) -> dict[WorkId, Work]:
    return {WorkId(place): Work(id=WorkId(place), title=f"work {place}", abstract="words " * 150, first_seen_at=NOW) for place in places}


def diversity(dataset: evaluation.Dataset, vectors: Vectors, profiles: list[ProfileVectors], background: Background) -> dict[str, Any]:
    """Batches of 200 as `evaluate` makes them: the scorer's best five, and those that selection takes of its best thirty."""
    everything = Profile(max_items=SHOWN, min_score=0, explore=False)
    shown: dict[str, list[list[NDArray[np.int64]]]] = {"without": [[] for _ in profiles], "with": [[] for _ in profiles]}
    alike: dict[str, list[float]] = {"without": [], "with": []}
    for start in range(0, len(dataset.new), evaluation.ISSUE):
        batch = vectors[dataset.new[start : start + evaluation.ISSUE]]
        ids = [WorkId(start + number) for number in range(len(batch))]
        works, by_id = works_of(ids), dict(zip(ids, batch, strict=True))
        found = match_profiles(profiles, WorkBlock.bare(ids, batch), background, allowed=None, top=BEST)
        for row, matches in enumerate(found):
            picked = selection.select(matches, works=works, vectors=by_id, profile=everything, automatic_threshold=0, seed=1)
            issue = [item.match for item in picked.items if item.role is ItemRole.CHOSEN]
            for name, several in (("without", matches[:SHOWN]), ("with", sorted(issue, key=lambda each: -each.score))):
                shown[name][row].append(np.array([match.work_id for match in several]))
                rows = np.stack([by_id[match.work_id] for match in several])
                alike[name].append(float(((rows @ rows.T).sum() - len(rows)) / (len(rows) * (len(rows) - 1))))
    readers = [dataset.readers[profile.subscriber_id] for profile in profiles]
    figures = {
        name: np.mean(
            [each for reader, issues in zip(readers, several, strict=True) for each in evaluation.issue_figures(issues, reader.relevant)],
            axis=0,
        )
        for name, several in shown.items()
    }
    cosines = {name: float(np.mean(values)) for name, values in alike.items()}
    return {
        "name": "select.diversity",
        "value": float(figures["with"][1]),
        "unit": "nDCG@5 of issues",
        "beside": {"without": float(figures["without"][1]), "cosine": cosines["with"], "cosine_without": cosines["without"]},
        "ratio": float(figures["with"][1] / figures["without"][1]),
        "note": f"{len(profiles)} readers of the libraries; recall@5 {figures['with'][0]:.4f} beside {figures['without'][0]:.4f}; mean "
        f"cosine of the five shown {cosines['with']:.3f} beside {cosines['without']:.3f}",
    }


def speed(dataset: evaluation.Dataset, vectors: Vectors, profiles: list[ProfileVectors], background: Background) -> dict[str, Any]:
    """Processor time of one thread, the shortest of five rounds."""
    places = dataset.new[:DAY].tolist()
    ids, day = [WorkId(place) for place in places], vectors[dataset.new[:DAY]]
    works, by_id = works_of(places), dict(zip(ids, day, strict=True))
    found = match_profiles(profiles, WorkBlock.bare(ids, day), background, allowed=None, top=MATCHES)
    began = thread_time()
    regions = Regions.of(ids, day)
    made = thread_time() - began
    allowed, nothing = np.ones(len(ids), dtype=bool), np.zeros((0, 0), np.float32)

    def choose(readers: list[list[Match]], *, explore: bool, min_score: float | None) -> float:
        best = float("inf")
        for _ in range(5):
            began = thread_time()
            for profile, matches in zip(profiles, readers, strict=True):
                selection.select(
                    matches,
                    works=works,
                    vectors=by_id,
                    profile=Profile(explore=explore, min_score=min_score, avoid=("medical imaging",)),
                    automatic_threshold=AUTOMATIC_THRESHOLD,
                    seed=profile.subscriber_id,
                    outside=Outside(regions, allowed, profile.likes[:10], nothing),
                )
            best = min(best, thread_time() - began)
        return best / len(readers) * 1e6

    usual = choose(found, explore=True, min_score=None)
    beside = {"all_fit": choose(found, explore=True, min_score=0), "without_exploring": choose(found, explore=False, min_score=None)}
    return {
        "name": "select",
        "value": usual,
        "unit": "µs a reader",
        "beside": beside,
        "note": f"{MATCHES} matches, {DAY:,} works a day, ten liked works; a day's regions {made * 1e3:.0f} ms, once",
    }


def run() -> list[dict[str, Any]]:
    if not DATASET.is_dir():
        return [{"name": "select.diversity", "value": None, "unit": "nDCG@5 of issues", "note": f"skipped: {DATASET} is absent"}]
    lines = [(DATASET / name).read_text(encoding="utf-8").splitlines() for name in ("items.jsonl", "new_items.txt", "users.jsonl")]
    dataset = evaluation.parse_dataset(*lines)
    vectors = embedded(dataset.texts, len(dataset.ids))
    background = Background.from_vectors(vectors[dataset.old])
    profiles = evaluation.profiles_of(dataset, vectors)
    sample = [profile for profile in profiles[:: max(1, len(profiles) // READERS)] if len(profile.likes)][:READERS]
    return [diversity(dataset, vectors, sample, background), speed(dataset, vectors, sample, background)]
