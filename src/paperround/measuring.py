"""`evaluate DIR`: reads a matching dataset from a folder, embeds it, and lets the pure measures judge the matcher."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from paperround.errors import ConfigError
from paperround.matching import evaluation
from paperround.pipeline.interfaces import Embedder, Progress


def evaluate_folder(folder: Path, embedder: Embedder, *, rankings: Path | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """The figures of a dataset; with `rankings` each user's ranking goes there, a JSON line each. Raises ConfigError naming the file."""
    dataset = read_dataset(folder)
    started = time.perf_counter()
    vectors = asyncio.run(embedder.embed(dataset.texts, progress=progress))
    seconds = time.perf_counter() - started
    result = evaluation.evaluate(dataset, vectors, clock=time.perf_counter)
    if rankings:
        with rankings.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(ranking) + "\n" for ranking in result.rankings)
    return {**result.figures, "embed_seconds": seconds}


def learning_on_folder(folder: Path, embedder: Embedder, *, progress: Progress | None = None) -> dict[str, Any]:
    """What voting brings the readers of a dataset. Raises ConfigError naming the file."""
    dataset = read_dataset(folder)
    return dict(evaluation.simulate_feedback(dataset, asyncio.run(embedder.embed(dataset.texts, progress=progress))))


def read_dataset(folder: Path) -> evaluation.Dataset:
    """The three files of a dataset. Raises ConfigError."""
    texts = {}
    for name in ("items.jsonl", "new_items.txt", "users.jsonl"):
        try:
            texts[name] = (folder / name).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"{folder / name}: {error.strerror}") from None
    try:
        return evaluation.parse_dataset(texts["items.jsonl"], texts["new_items.txt"], texts["users.jsonl"])
    except ValueError as error:
        raise ConfigError(f"{folder}: {error}") from None
