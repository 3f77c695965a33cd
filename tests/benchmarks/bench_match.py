"""Matching: one vector a reader beside the bare product and faiss, and the full scorer with reasons; memory and growth."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from paperround.matching import scoring
from paperround.matching.background import Background
from paperround.matching.nearest import ROWS, nearest
from paperround.matching.profile_vectors import Example, build_profile_vectors
from paperround.models import Interest, Profile, SubscriberId, WorkId

READERS, WORKS, DIMENSION, TOP = 100_000, 1_000, 384, 10
FULL = 10_000  # readers of the full scorer; its time is given for 100,000, and growth is measured
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEED = 7


def unit_rows(chance: np.random.Generator, count: int) -> np.ndarray:
    rows = chance.standard_normal((count, DIMENSION), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def best_of(rounds: int, tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest time of each, the tasks in turn, so that what else the machine does falls on all alike.

    Between two of them is a pause: threads of a matrix product look for more work for some 30 ms, on a core that the next task needs."""
    seconds = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            time.sleep(0.1)
            started = time.perf_counter()
            task()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


class Peak:
    """The most memory taken while it is open, above what there was before, in MB."""

    def __enter__(self) -> "Peak":
        self.before, self.most, self.done = resident_mb(), 0.0, threading.Event()
        self.watch = threading.Thread(target=self._look, daemon=True)
        self.watch.start()
        return self

    def _look(self) -> None:
        while not self.done.wait(0.02):
            self.most = max(self.most, resident_mb() - self.before)

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.watch.join()


def one_vector(chance: np.random.Generator) -> dict[str, Any]:
    import faiss

    readers, works = unit_rows(chance, READERS), unit_rows(chance, WORKS)
    product = np.empty((ROWS, WORKS), np.float32)

    def bare() -> None:
        for start in range(0, READERS, ROWS):
            np.matmul(readers[start : start + ROWS], works.T, out=product)

    index = faiss.IndexFlatIP(DIMENSION)
    index.add(works)
    tasks = {
        "matmul": bare,
        "ours": lambda: nearest(readers, works, TOP),
        "faiss": lambda: index.search(readers, TOP),
        "half": lambda: nearest(readers[: READERS // 2], works, TOP),
    }
    seconds = best_of(5, tasks)
    return {
        "name": "match.one_vector",
        "value": seconds["ours"],
        "unit": "s",
        "beside": {"matmul": seconds["matmul"], "faiss": seconds["faiss"]},
        "ratio": seconds["ours"] / seconds["matmul"],
        "note": f"{READERS:,} readers x {WORKS:,} works, top {TOP}; half the readers take {seconds['half'] / seconds['ours']:.2f} of it",
    }


def match_one(profiles: list[Any], block: scoring.WorkBlock, background: Background, number: int) -> None:
    scoring.match_profiles([profiles[number]], block, background, allowed=None, top=TOP)


def full(chance: np.random.Generator) -> dict[str, Any]:
    background = Background.from_vectors(unit_rows(chance, 20_000))
    works, pool = unit_rows(chance, WORKS), unit_rows(chance, 4_000)
    texts = {f"interest {number}": vector for number, vector in enumerate(pool[:500])}
    block = scoring.WorkBlock.bare([WorkId(number) for number in range(WORKS)], works)
    block.read(background)
    profiles = []
    for number in range(FULL):
        words = [f"interest {each}" for each in chance.integers(0, 500, 3)]
        examples = [
            Example(work_id=WorkId(each), title=f"work {each}", vector=pool[each], value=1, at=None)
            for each in chance.integers(500, 4_000, 5).tolist()
        ]
        profile = Profile(interests=tuple(Interest(text=word) for word in words))
        profiles.append(build_profile_vectors(SubscriberId(number), profile, text_vectors=texts, examples=examples, now=NOW))

    def match(count: int, some: scoring.WorkBlock) -> None:
        for start in range(0, count, 500):
            scoring.match_profiles(profiles[start : start + 500], some, background, allowed=None, top=TOP)

    fewer = scoring.WorkBlock.bare(block.ids[: WORKS // 2], works[: WORKS // 2])
    fewer.read(background)
    with Peak() as peak:
        seconds = best_of(
            1, {"all": lambda: match(FULL, block), "readers": lambda: match(FULL // 2, block), "works": lambda: match(FULL, fewer)}
        )
    again = sorted(best_of(1, {"vote": partial(match_one, profiles, block, background, number)})["vote"] for number in range(21))[10]
    product = np.empty((ROWS, WORKS), np.float32)
    one_each = unit_rows(chance, FULL)

    def bare() -> None:
        for start in range(0, FULL, ROWS):
            np.matmul(one_each[start : start + ROWS], works.T, out=product)

    matmul = best_of(3, {"matmul": bare})["matmul"]
    scale = READERS / FULL
    return {
        "name": "match.full",
        "value": seconds["all"] * scale,
        "unit": "s",
        "beside": {"matmul": matmul * scale},
        "ratio": seconds["all"] / matmul,
        "peak_mb": peak.most,
        "note": f"3 interests and 5 liked works each, with reasons and parts; measured on {FULL:,}, given for {READERS:,}; "
        f"peak +{peak.most:.0f} MB; one reader anew after a vote {again * 1000:.1f} ms; "
        f"half the readers take {seconds['readers'] / seconds['all']:.2f}, half the works {seconds['works'] / seconds['all']:.2f} of it",
    }


def run() -> list[dict[str, Any]]:
    chance = np.random.default_rng(SEED)
    return [one_vector(chance), full(chance)]
