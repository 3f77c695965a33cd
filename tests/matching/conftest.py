"""What the matching tests share: real digest pages embedded once, and small made-up spaces."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paperround.matching.background import Background
from paperround.matching.embedder import SentenceTransformerEmbedder
from paperround.matching.profile_vectors import Example, ProfileVectors, build_profile_vectors
from paperround.matching.scoring import WorkBlock
from paperround.matching.sentences import text_of_work
from paperround.models import Interest, Profile, SubscriberId, Work, WorkId
from paperround.sources.daily_papers import parse_page

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


class Library:
    """Real works with vectors, and the vectors of what readers type."""

    def __init__(self, works: Sequence[Work], embedder: SentenceTransformerEmbedder) -> None:
        self.works = list(works)
        self.embedder = embedder
        self.vectors = embedder.embed_now([text_of_work(work.title, work.abstract) for work in works])
        self.background = Background.from_vectors(self.vectors)
        self.block = WorkBlock.of(self.works, self.vectors)

    def reader(self, *interests: str | Interest, examples: Sequence[Example] = (), **profile: object) -> ProfileVectors:
        wanted = Profile(interests=tuple(Interest(text=each) if isinstance(each, str) else each for each in interests), **profile)
        texts = list(wanted.own_words)
        vectors = dict(zip(texts, self.embedder.embed_now(texts), strict=True)) if texts else {}
        return build_profile_vectors(SubscriberId(1), wanted, text_vectors=vectors, examples=examples, now=NOW)

    def example(self, place: int, value: int = 1, at: datetime | None = None) -> Example:
        work = self.works[place]
        return Example(work_id=work.id, title=work.title, vector=self.vectors[place], value=value, at=at)

    def place(self, start_of_title: str) -> int:
        return next(place for place, work in enumerate(self.works) if work.title.startswith(start_of_title))


@pytest.fixture(scope="session")
def library(shared: Path) -> Library:
    entries = {}
    for page in sorted((shared / "corpora" / "digests").glob("*.txt")):
        for entry in parse_page(page.read_text(encoding="utf-8"), url=page.name, now=NOW):
            entries.setdefault(entry.title.casefold(), entry)
    works = [
        Work(id=WorkId(number), title=entry.title, abstract=entry.summary, first_seen_at=NOW)
        for number, entry in enumerate(entries.values(), 1)
    ]
    return Library(works, SentenceTransformerEmbedder())
