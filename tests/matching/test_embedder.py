"""The real model: order, length, precision, long texts, and the same in a process of its own."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from paperround.errors import EmbeddingError
from paperround.matching import embedder as embedding
from paperround.matching.child_embedder import ChildEmbedder
from paperround.matching.embedder import SentenceTransformerEmbedder

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


def test_no_text_is_no_row(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.embed_now([]).shape == (0, embedder.dimension)
    assert np.isfinite(embedder.embed_now([""])).all()


def test_whatever_the_precision_vectors_agree_with_float32(embedder: SentenceTransformerEmbedder) -> None:
    texts = [*TITLES, LONG]
    exact = SentenceTransformerEmbedder(precision="fp32").embed_now(texts)
    for precision in ("auto", "bf16", "int8"):
        other = SentenceTransformerEmbedder(precision=precision).embed_now(texts)
        assert (other * exact).sum(axis=1).min() >= 0.999


@pytest.fixture(scope="module")
def in_int8() -> SentenceTransformerEmbedder:
    if not embedding.has_int8():
        pytest.skip("this processor has no VNNI with bfloat16, or has what is faster")
    return SentenceTransformerEmbedder(precision="int8")


def computes_in_int8(embedder: SentenceTransformerEmbedder) -> bool:
    from paperround.matching.int8_linear import Int8Linear

    return any(isinstance(part, Int8Linear) for part in embedder._loaded().modules())


def test_eight_bits_are_near_float32_in_every_language_and_for_no_words_at_all(in_int8: SentenceTransformerEmbedder) -> None:
    assert computes_in_int8(in_int8)
    words = ["研究人员提出了一种处理长文本的新方法。", "Ученые измерили поглощение углерода в тайге", "Les réseaux profonds et la météo"]
    exact = SentenceTransformerEmbedder(precision="fp32")
    near = [
        (in_int8.embed_now(texts) * exact.embed_now(texts)).sum(axis=1).min() for texts in ([*TITLES, LONG], words, ["", "...", "x = 3"])
    ]
    assert near[0] >= 0.999
    assert near[1] >= 0.998
    assert near[2] >= 0.99  # two or three tokens, of which each counts much


def test_in_eight_bits_a_vector_depends_on_its_text_alone(in_int8: SentenceTransformerEmbedder) -> None:
    mixed = [*TITLES, LONG, "", "a much louder neighbour " * 40]
    alone = np.stack([in_int8.embed_now([text])[0] for text in mixed])
    np.testing.assert_allclose(in_int8.embed_now(mixed), alone, atol=1e-5)
    np.testing.assert_allclose(in_int8.embed_now(mixed[::-1])[::-1], alone, atol=1e-5)


def no_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paperround.matching.int8_linear", None)


def harm(monkeypatch: pytest.MonkeyPatch) -> None:
    from paperround.matching.int8_linear import Int8Linear

    right = Int8Linear.forward
    monkeypatch.setattr(Int8Linear, "forward", lambda layer, inputs: right(layer, inputs).flip(-1))


@pytest.mark.parametrize("trouble", [no_operators, harm])
def test_where_eight_bits_cannot_be_or_harm_the_model_is_read_as_before(
    trouble: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(monkeypatch)
    embedder = SentenceTransformerEmbedder(precision="int8")
    vectors = embedder.embed_now(TITLES)
    monkeypatch.undo()
    assert not computes_in_int8(embedder)
    assert (vectors * SentenceTransformerEmbedder(precision="fp32").embed_now(TITLES)).sum(axis=1).min() >= 0.999


@pytest.mark.parametrize(
    ("flags", "int8", "bf16"),
    [
        ({"avx2"}, False, False),
        ({"avx512_bf16"}, False, True),
        ({"avx512_vnni"}, False, False),
        ({"avx512_vnni", "avx512_bf16"}, True, True),
        ({"avx512_vnni", "avx512_bf16", "amx_bf16"}, False, True),
    ],
)
def test_the_processor_says_in_what_it_computes_fastest(flags: set[str], int8: bool, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(embedding, "_processor", lambda: flags)
    assert (embedding.has_int8(), embedding.has_bf16()) == (int8, bf16)


def test_without_the_instructions_no_layer_is_in_eight_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_processor", lambda: set[str]())
    embedder = SentenceTransformerEmbedder()
    assert np.isfinite(embedder.embed_now(["text"])).all()
    assert not computes_in_int8(embedder)
    kinds: set[Any] = {str(each.dtype) for each in embedder._loaded().parameters()}
    assert kinds == {"torch.float32"}


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
