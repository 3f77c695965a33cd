"""The real model: order, length, precision, long texts, and the same in a process of its own."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from paperround.errors import EmbeddingError
from paperround.matching import embedder as embedding
from paperround.matching import quick_encoder
from paperround.matching.child_embedder import ChildEmbedder
from paperround.matching.embedder import BATCH, SentenceTransformerEmbedder, packaged_model

TITLES = [
    "Lip reading with transformers",
    "Soil carbon in boreal forests under drought",
    "cat",
    "A survey of sequential recommendation",
    "Quantum error correction with surface codes",
]
LONG = " ".join(f"{TITLES[number % 5]} studied in region {number} of the year." for number in range(120))


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder()


def test_rows_stand_in_the_order_of_the_texts_and_have_length_one(embedder: SentenceTransformerEmbedder) -> None:
    mixed = [LONG, *TITLES]
    vectors = embedder.embed_now(mixed)
    assert vectors.shape == (6, embedder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.stack([embedder.embed_now([text])[0] for text in mixed])
    assert (vectors * alone).sum(axis=1).min() > 0.9995  # padding and neighbours in a batch change nothing


def test_batches_that_cores_share_are_what_they_are_alone(embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{title} in year {year}" for year in range(12) for title in TITLES]
    together, threads = embedder.embed_now(texts), torch.get_num_threads()
    monkeypatch.setitem(BATCH, "cpu", 24)  # two texts
    shared = embedder.embed_now(texts)
    assert (together * shared).sum(axis=1).min() > 0.9995
    assert torch.get_num_threads() == threads


def test_no_text_is_no_row(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.embed_now([]).shape == (0, embedder.dimension)
    assert np.isfinite(embedder.embed_now([""])).all()


def test_whatever_the_precision_vectors_agree_with_float32(embedder: SentenceTransformerEmbedder) -> None:
    model = SentenceTransformer(str(packaged_model()), device="cpu")
    by_library = model.encode(TITLES, normalize_embeddings=True)
    full = SentenceTransformerEmbedder(precision="fp32").embed_now([*TITLES, LONG])
    assert (full[:5] * by_library).sum(axis=1).min() >= 0.99999
    for precision in ("auto", "bf16"):
        other = SentenceTransformerEmbedder(precision=precision).embed_now([*TITLES, LONG])
        assert (other * full).sum(axis=1).min() >= 0.999


@pytest.mark.skipif(torch.cuda.is_available(), reason="a graphics card tells by itself what it can do")
@pytest.mark.parametrize(("half", "taken"), [(0.5, torch.bfloat16), (1.6, torch.float32)])
def test_half_precision_is_taken_where_its_products_are_quicker(monkeypatch: pytest.MonkeyPatch, half: float, taken: torch.dtype) -> None:
    def timed(product: partial[torch.Tensor], **times: int) -> list[float]:
        return [half if product().dtype == torch.bfloat16 else 1.0] * times["repeat"]

    monkeypatch.setattr(embedding, "repeat", timed)
    model, _ = SentenceTransformerEmbedder()._loaded()
    assert model.dtype == taken


@pytest.mark.parametrize("broken", [RuntimeError("not on this processor"), AttributeError("no such operator"), None])
def test_where_the_quick_way_cannot_be_had_or_gives_other_vectors_the_library_computes(
    embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch, broken: Exception | None
) -> None:
    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        if broken:
            raise broken
        return key.flatten(1)

    expected = embedder.embed_now(TITLES)
    monkeypatch.setattr(quick_encoder, "_seen", attend)
    assert (SentenceTransformerEmbedder().embed_now(TITLES) * expected).sum(axis=1).min() > 0.999


def test_the_end_of_a_long_text_counts(embedder: SentenceTransformerEmbedder) -> None:
    start, end = "graph neural networks for molecules. " * 60, "marathon training for beginners. " * 60
    both, query = embedder.embed_now([start + end, start]), embedder.embed_now(["marathon training"])[0]
    assert both[0] @ query > both[1] @ query + 0.2


def test_a_long_text_without_spaces_is_cut_all_the_same(embedder: SentenceTransformerEmbedder) -> None:
    assert np.isfinite(embedder.embed_now(["研究" * 2000])).all()


def test_progress_ends_with_all_pieces(embedder: SentenceTransformerEmbedder) -> None:
    told: list[tuple[int, int]] = []
    embedder.embed_now([LONG, *TITLES], lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1] > 6


def test_a_long_text_is_read_whole_and_weighed_by_the_length_of_its_pieces(embedder: SentenceTransformerEmbedder) -> None:
    words = "graph neural networks for molecules and soil " * 18  # 126 tokens: one piece with its two marks
    start, whole = embedder.embed_now([words, words + "marathon"])
    assert 0.99 < start @ whole < 1


def test_a_model_by_its_folder_reads_as_much_as_it_says(embedder: SentenceTransformerEmbedder) -> None:
    other = SentenceTransformerEmbedder(str(packaged_model()))
    told: list[tuple[int, int]] = []
    vectors = other.embed_now([*TITLES, "soil " * 250], lambda done, of: told.append((done, of)))
    assert told[-1] == (6, 6)
    assert (vectors[:5] * embedder.embed_now(TITLES)).sum(axis=1).min() > 0.999
    assert other.model != embedder.model


def test_a_model_whose_tokenizer_does_not_cut_is_named(tmp_path: Path) -> None:
    tokenizer = SentenceTransformer(str(packaged_model())).tokenizer.backend_tokenizer
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(tmp_path))
    with pytest.raises(EmbeddingError, match="tokenizer"):
        SentenceTransformerEmbedder(str(tmp_path)).embed_now(["text"])


def test_an_unknown_model_is_named_in_one_line() -> None:
    with pytest.raises(EmbeddingError, match="no/such-model") as caught:
        SentenceTransformerEmbedder("/no/such-model").embed_now(["text"])
    assert "\n" not in str(caught.value)


@pytest.mark.slow
async def test_a_process_of_its_own_gives_the_same(embedder: SentenceTransformerEmbedder) -> None:
    child = ChildEmbedder(SentenceTransformerEmbedder())
    told: list[tuple[int, int]] = []
    try:
        vectors = await child.embed(TITLES, progress=lambda done, of: told.append((done, of)))
        assert (await child.embed([])).size == 0
    finally:
        child.close()
    np.testing.assert_allclose(vectors, embedder.embed_now(TITLES), atol=1e-3)
    assert told == [(5, 5)]
    assert child.model == embedder.model
