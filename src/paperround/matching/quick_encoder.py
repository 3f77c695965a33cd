"""QuickEncoder: tokens → vectors by the default model on a processor, without padding (BERT: Devlin et al. 2019)."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 512  # for how many rows at once weights are laid out: the quickest of 64, 512 and as many as come
SAFE = 2.0**-64, 2.0**96  # sums of powers of two between these lost nothing, though the largest was not taken off them first
Product = Callable[..., "Tensor"]


class QuickEncoder:
    """A BERT with mean pooling: texts stand one after the other, each attends to itself, and weights lie as products want them.

    GELU and what is added to a product are part of it, by operators of torch that are not public, which torch.compile uses as well."""

    def __init__(self, bert: Any) -> None:
        self._bert, self._heads = bert, bert.config.num_attention_heads
        scale = math.log2(math.e) / math.sqrt(bert.config.hidden_size / self._heads)
        self._layers = [_Layer(layer, scale) for layer in bert.encoder.layer]

    def __call__(self, pieces: list[list[int]]) -> NDArray[np.float32]:
        """(n, dimension), rows of length 1, for the tokens of n texts."""
        import torch

        lengths = [len(piece) for piece in pieces]
        ids = torch.tensor([[token for piece in pieces for token in piece]])
        places = torch.cat([torch.arange(length) for length in lengths])[None]
        rows = self._bert.embeddings(input_ids=ids, position_ids=places)[0]
        for layer in self._layers:
            query, key, value = (product(rows).view(len(rows), self._heads, -1) for product in layer.asked)
            rows = layer.norm(layer.joined(_seen(query, key, value, lengths), rows))
            rows = layer.last_norm(layer.narrowed(layer.widened(rows), rows))
        means = torch.stack([part.mean(0, dtype=torch.float32) for part in torch.split(rows, lengths)])
        return np.asarray(torch.nn.functional.normalize(means).numpy(), dtype=np.float32)


class _Layer:
    """The products and norms of one layer; what is asked for is scaled, so that its scores are powers of two."""

    def __init__(self, layer: Any, scale: float) -> None:
        own, out = layer.attention.self, layer.attention.output
        self.asked = _product(own.query, scale=scale), _product(own.key), _product(own.value)
        self.joined, self.norm = _product(out.dense, added=True), out.LayerNorm
        self.widened = _product(layer.intermediate.dense, then="gelu")
        self.narrowed, self.last_norm = _product(layer.output.dense, added=True), layer.output.LayerNorm


def _product(layer: Any, *, scale: float = 1, then: str = "none", added: bool = False) -> Product:
    """Rows → rows; with `added`, those of a second argument are added."""
    import torch

    able = torch.ops.mkldnn
    weight, bias = able._reorder_linear_weight(layer.weight.detach() * scale, ROWS), layer.bias * scale
    if added:
        return lambda rows, others: able._linear_pointwise.binary(rows, others, weight, bias, "add")
    return lambda rows: able._linear_pointwise(rows, weight, bias, then, [], "none")


def _seen(query: "Tensor", key: "Tensor", value: "Tensor", lengths: list[int], *, carefully: bool = False) -> "Tensor":
    """Attention, (tokens, heads, size) three times → (tokens, heads x size), each text by itself: what it needs stays in the cache.

    Powers of two are taken of scores as they are; where those of an odd text leave what can be held, all again by softmax."""
    import torch

    found, sums = torch.empty_like(query), []
    for q, k, v, seen in zip(*(torch.split(each, lengths) for each in (query, key, value, found)), strict=True):
        scores = torch.bmm(q.transpose(0, 1), k.permute(1, 2, 0))
        weights = torch.softmax(scores * math.log(2), -1) if carefully else scores.exp2_()
        sums.append(weights.sum(-1).t()[..., None])
        torch.div(torch.bmm(weights, v.transpose(0, 1)).transpose(0, 1), sums[-1], out=seen)
    low, high = torch.aminmax(torch.cat(sums))
    if carefully or (low > SAFE[0] and high < SAFE[1]):
        return found.flatten(1)
    return _seen(query, key, value, lengths, carefully=True)
