"""Words go to the machines that hold the model, and whoever waits for a page does not wait long."""

import numpy as np
import pytest

from paperround.errors import EmbeddingError
from paperround.matching import queued_embedder
from paperround.matching.queued_embedder import QueuedEmbedder
from paperround.testing import HashingEmbedder


class Vectors:
    """A database that others write to."""

    def __init__(self) -> None:
        self.known: dict[str, np.ndarray] = {}

    async def text_vectors(self, _model: str, texts: list[str]) -> dict[str, np.ndarray]:
        return {text: self.known[text] for text in texts if text in self.known}


@pytest.fixture
def vectors() -> Vectors:
    return Vectors()


async def test_words_are_read_elsewhere_and_come_back_in_the_order_asked_for(vectors) -> None:
    model, asked = HashingEmbedder(), []

    async def ask(texts: list[str]) -> None:
        asked.append(texts)
        vectors.known |= dict(zip(texts, await model.embed(texts), strict=True))

    embedder = QueuedEmbedder(model, vectors, ask)
    found = await embedder.embed(["robots", "weather", "robots"])
    assert (found == await model.embed(["robots", "weather", "robots"])).all()
    assert asked == [["robots", "weather"]]
    await embedder.embed(["weather"])
    assert len(asked) == 1, "what is known is not asked for again"


async def test_whoever_waits_too_long_is_told_that_the_next_issue_has_it(vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued_embedder, "PATIENCE", 0.05)
    monkeypatch.setattr(queued_embedder, "LOOK_AGAIN", 0.01)

    async def nobody_is_there(_texts: list[str]) -> None:
        return

    with pytest.raises(EmbeddingError, match="ready for the next issue"):
        await QueuedEmbedder(HashingEmbedder(), vectors, nobody_is_there).embed(["robots"])


async def test_nothing_is_asked_for_no_words(vectors) -> None:
    async def ask(_texts: list[str]) -> None:
        raise AssertionError("asked")

    assert (await QueuedEmbedder(HashingEmbedder(), vectors, ask).embed([])).shape == (0, 0)
