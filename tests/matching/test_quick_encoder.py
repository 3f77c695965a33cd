"""Attention without padding and without taking off the largest score first: the same as the usual way."""

import math

import pytest
import torch

from paperround.matching import quick_encoder
from paperround.matching.embedder import SentenceTransformerEmbedder
from paperround.matching.quick_encoder import SAFE, _seen

LENGTHS = [5, 1, 90, 32]
HEADS, SIZE = 3, 32


def rows(kind: torch.dtype, size: float, seed: int) -> torch.Tensor:
    return size * torch.randn(sum(LENGTHS), HEADS, SIZE, generator=torch.Generator().manual_seed(seed)).to(kind)


def usual(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Each text by itself in float64, by softmax; scores are given as powers of two."""
    found = []
    for q, k, v in zip(*(each.double().split(LENGTHS) for each in (query, key, value)), strict=True):
        weights = torch.softmax(torch.einsum("ihs,jhs->hij", q, k) * math.log(2), -1)
        found.append(torch.einsum("hij,jhs->ihs", weights, v))
    return torch.cat(found).flatten(1)


@pytest.mark.parametrize(
    ("kind", "size", "near"), [(torch.float32, 0.1, 1e-5), (torch.float32, 1, 1e-4), (torch.float32, 2, 1e-4), (torch.bfloat16, 0.4, 2e-2)]
)
def test_each_text_attends_to_itself_alone(kind: torch.dtype, size: float, near: float) -> None:
    query, key, value = rows(kind, size, 1), rows(kind, size, 2), rows(kind, 1, 3)
    assert torch.allclose(_seen(query, key, value, LENGTHS).double(), usual(query, key, value), atol=near)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [2.0, 3.0, 12.0])
def test_scores_too_large_or_too_small_for_powers_of_two_are_taken_carefully(sign: int, size: float) -> None:
    query, key, value = torch.full((sum(LENGTHS), HEADS, SIZE), size), rows(torch.float32, 0.1, 2) + sign * size, rows(torch.float32, 1, 3)
    scores = torch.einsum("ihs,jhs->hij", query, key)
    assert not (scores.exp2().sum(-1).min() > SAFE[0] and scores.exp2().sum(-1).max() < SAFE[1])
    assert torch.allclose(_seen(query, key, value, LENGTHS).double(), usual(query, key, value), atol=1e-3)


def test_a_text_that_must_be_taken_carefully_has_the_same_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = SentenceTransformerEmbedder()
    texts = ["Lip reading with transformers", "cat", "soil carbon in boreal forests " * 30]
    quick = embedder.embed_now(texts)
    monkeypatch.setattr(quick_encoder, "SAFE", (math.inf, 0.0))
    careful = embedder.embed_now(texts)
    assert not (quick == careful).all(), "the other way was not taken"
    assert (quick * careful).sum(axis=1).min() > 0.9998
