"""Embed: turn works, their sentences and the readers' own words into vectors, once ever a model revision and text."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from paperround.matching import calibration
from paperround.matching.background import Background
from paperround.matching.sentences import split_sentences, text_of_work
from paperround.pipeline.interfaces import Embedder, Progress, Storage
from paperround.records import ToEmbed, WorkVectors

BATCH = 64  # works; an interruption loses at most one batch
TEXTS = 256  # interests and the like; short, so more of them
BACKGROUND_SIZE = 20_000  # works the background is drawn from: bounds its memory at 30 MB
PORTION = 1000  # works whose texts are read at once
BACKGROUND_AGE, YEAR = timedelta(days=7), timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    works: int
    texts: int


async def embed(storage: Storage, embedder: Embedder, *, now: datetime, progress: Progress | None = None) -> Embedded:
    """Embed what has no vectors of this model yet. The embedder is not touched when there is nothing to do."""
    texts = await embed_texts(storage, embedder)
    of_all = await storage.count_to_embed(embedder.model)
    done = 0
    while batch := await storage.works_to_embed(embedder.model, limit=BATCH):
        await storage.save_work_vectors(embedder.model, await vectors_of(embedder, batch))
        done += len(batch)
        if progress:
            progress(done, max(of_all, done))
    if done:
        await refresh_background(storage, embedder.model, now)
    return Embedded(works=done, texts=texts)


async def embed_texts(storage: Storage, embedder: Embedder) -> int:
    """The interests and avoids that people typed."""
    done = 0
    while texts := await storage.texts_to_embed(embedder.model, limit=TEXTS):
        await embed_words(storage, embedder, texts)
        done += len(texts)
    return done


async def embed_words(storage: Storage, embedder: Embedder, texts: list[str]) -> None:
    """Short texts as people type them; their vectors are kept as long as a profile holds them. Raises EmbeddingError."""
    vectors = await embedder.embed(texts)
    await storage.save_text_vectors(embedder.model, dict(zip(texts, vectors.astype(np.float16), strict=True)))


async def vectors_of(embedder: Embedder, batch: list[ToEmbed]) -> list[WorkVectors]:
    """One call of the model for the works and all their sentences: it sorts by length itself."""
    sentences = [split_sentences(work.abstract) for work in batch]
    flat = [text_of_work(work.title, work.abstract) for work in batch] + [each for several in sentences for each in several]
    vectors = (await embedder.embed(flat)).astype(np.float16)
    at = len(batch)
    results = []
    for row, (work, several) in enumerate(zip(batch, sentences, strict=True)):
        results.append(
            WorkVectors(
                work_id=work.work_id,
                content_hash=work.content_hash,
                vector=vectors[row],
                sentences=several,
                sentence_vectors=vectors[at : at + len(several)],
            )
        )
        at += len(several)
    return results


async def refresh_background(storage: Storage, model: str, now: datetime) -> None:
    """Make the background anew once a week, so that scores stay comparable from issue to issue in between, and while it is young whenever
    the works have doubled; what strengths mean is learned again from the votes of a year."""
    stored = await storage.background(model)
    ids, vectors = await storage.all_work_vectors(model, limit=BACKGROUND_SIZE)
    if stored and now - stored[0] < BACKGROUND_AGE and len(vectors) < 2 * len(stored[1]["texts"]):
        return
    learned = calibration.learn(await storage.judged(since=now - YEAR))
    texts = []
    for start in range(0, len(ids), PORTION):
        works = await storage.works(ids[start : start + PORTION])
        texts += [text_of_work(works[each].title, works[each].abstract) for each in ids[start : start + PORTION]]
    background = replace(Background.from_vectors(vectors).with_words(texts), calibration=learned)
    await storage.save_background(model, background.to_arrays(), now=now)
