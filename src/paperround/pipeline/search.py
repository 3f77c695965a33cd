"""Search: the works nearest in meaning to some words, by the same matcher that chooses the issues."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paperround.matching import reasons, scoring
from paperround.matching.profile_vectors import build_profile_vectors
from paperround.models import Interest, Profile, SourceId, SubscriberId, Work, WorkId
from paperround.pipeline.interfaces import Embedder, Storage
from paperround.pipeline.readers import load_background

NEWEST = 100_000  # works searched: exact, no index (design, decision 14)
LOOKED_AT = 60  # works read closely, beside four for each one asked for
NARROW = 10  # times as many where only some sources or days are asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One work found. `strength` 0…1 as in an issue."""

    work_id: WorkId
    title: str
    url: str | None
    strength: float
    score: float
    sentence: str | None
    published: datetime | None
    sources: tuple[str, ...]


async def search(
    storage: Storage,
    embedder: Embedder,
    text: str,
    *,
    sources: Sequence[str] = (),
    since: datetime | None = None,
    limit: int = 10,
    now: datetime,
) -> list[Hit]:
    """The best `limit` works for a text, best first; only those of `sources` (names or tags) and first seen after `since`."""
    ids, vectors = await storage.all_work_vectors(embedder.model, limit=NEWEST)
    if not ids:
        return []
    query = (await embedder.embed([text]))[0]
    reader = build_profile_vectors(
        SubscriberId(0), Profile(interests=(Interest(text=text),)), text_vectors={text: query}, examples=[], now=now
    )
    background = await load_background(storage, embedder.model, vectors.shape[1])
    narrow = bool(sources) or since is not None
    likely = scoring.likely_works(reader, vectors, (NARROW if narrow else 1) * (LOOKED_AT + 4 * limit)).tolist()
    works = await storage.works([ids[row] for row in likely])
    tags = {source.id: {source.name, *source.tags} for source in await storage.sources()} if sources else {}
    rows = [row for row in likely if ids[row] in works and wanted(works[ids[row]], sources, tags, since)]
    block = scoring.WorkBlock.of([works[ids[row]] for row in rows], vectors[rows])
    (kept,) = scoring.match_profiles([reader], block, background, allowed=None, top=limit)
    sentences = await storage.sentence_vectors(embedder.model, [match.work_id for match in kept])
    hits = []
    for match in kept:
        work = works[match.work_id]
        excerpt, best = reasons.excerpt(match, reader, *sentences[work.id]) if work.id in sentences else ((), None)
        hits.append(
            Hit(
                work_id=work.id,
                title=work.title,
                url=work.url,
                strength=match.strength,
                score=match.score,
                sentence=excerpt[best] if best is not None else None,
                published=work.published,
                sources=tuple(dict.fromkeys(mention.source_name for mention in work.mentions)),
            )
        )
    return hits


def wanted(work: Work, sources: Sequence[str], tags: dict[SourceId, set[str]], since: datetime | None) -> bool:
    """Whether the work is from one of the sources and new enough."""
    if since and work.first_seen_at <= since:
        return False
    return not sources or any(not tags.get(mention.source_id, {mention.source_name}).isdisjoint(sources) for mention in work.mentions)
