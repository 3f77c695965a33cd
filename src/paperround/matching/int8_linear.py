"""Int8 linear layers: a transformer's products in whole numbers, where the processor has instructions for them (part of the embedder)."""

import threading
from collections import defaultdict
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, flash_attention_mask

ATTENTION = "each_text_alone"
LEAST = 1e-9  # of a divisor
USUAL = [  # what the layers see beforehand, to know the size of their inputs, and what is compared afterwards
    "A robot hand learns to open doors and drawers from a few hundred demonstrations, and keeps the skill when light and handles change.",
    "Is attention all that a small model needs? A study of depth, width and data on one graphics card",
    "We measured nitrogen and carbon in the soil of forty meadows over ten years; plots with more species lost less of both, above all "
    "in dry summers (p < 0.01), and the effect grew with the age of the plot. We discuss what this means for climate models until 2050.",
    "Faster sorting of strings in parallel",
    "Large language models often repeat facts that are out of date. This paper proposes a benchmark of 12,000 questions whose answers "
    "change from month to month, compares retrieval, fine-tuning and editing of weights, and finds that searching keeps accuracy at 80%.",
    "bayesian statistics, causal inference, and their use in medicine",
    "The telescope's new detector sees galaxies of the first billion years: their dust is warmer, their stars heavier than theory allows.",
    "Videos made by diffusion models flicker. Our method shares noise between frames and needs no training; code and data are public.",
]


def to_int8(model: SentenceTransformer) -> float:
    """Replaces the linear layers of a model in float32, and says the least cosine of usual texts before and after.

    Raises what torch and transformers raise: other builds lack the operators, other models other parts. The model is of no use then.
    """
    transformer: Any = model[0].auto_model
    layers = {name: layer for name, layer in transformer.named_modules() if isinstance(layer, nn.Linear)}
    seen: dict[str, Tensor] = {}
    hooks = [layer.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]})) for name, layer in layers.items()]
    exact = _usual(model)
    for hook in hooks:
        hook.remove()
    siblings: dict[int, list[str]] = defaultdict(list)
    for name, inputs in seen.items():
        siblings[id(inputs)].append(name)
    for names in siblings.values():
        if len(names) == 3:  # query, key and value: the last one's errors are not evened out by the softmax, so it stays finer
            value = layers[names.pop()].to(torch.bfloat16)
            value.register_forward_pre_hook(lambda _, inputs: (inputs[0].bfloat16(),))
        rows = seen[names[0]].flatten(0, -2)
        quantiser = Quantiser(rows, torch.cat([layers[name].weight.detach() for name in names]))
        for name in names:
            transformer.set_submodule(name, Int8Linear(layers[name], quantiser, rows.mean(0)))
    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, flash_attention_mask)  # which tokens are padding, and nothing else
    transformer.set_attn_implementation(ATTENTION)
    return float((exact * _usual(model)).sum(1).min())


def _usual(model: SentenceTransformer) -> Tensor:
    return model.encode(USUAL, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False)


class Quantiser(threading.local):
    """Inputs in eight bits, from the least to the largest value of each token: what stands beside it changes nothing.

    Channels with large values lend some of their size to the weights (SmoothQuant, Xiao et al. 2023), but where a layer's inputs are
    wide: there another pass costs more than it brings. Layers that read the same tensor one after the other share its levels.
    """

    def __init__(self, usual: Tensor, weight: Tensor) -> None:
        self.scale, self.shift = torch.ones(usual.shape[1]), torch.zeros(usual.shape[1])
        self.narrow = weight.shape[1] <= weight.shape[0]
        if self.narrow:
            centred = usual - usual.mean(0)
            self.scale = (weight.abs().amax(0).clamp_min(LEAST) / centred.abs().amax(0).clamp_min(LEAST)).sqrt()
            self.shift = -usual.mean(0) * self.scale
        self.last: tuple[Tensor, tuple[Tensor, Tensor, Tensor]] | None = None

    def __call__(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Levels 0…255, and for each token the least value and the size of a step."""
        if self.last is None or self.last[0] is not inputs:
            rows = inputs.flatten(0, -2)
            if self.narrow:
                rows = torch.addcmul(self.shift, rows, self.scale)
            low = rows.amin(1, keepdim=True)
            step = (rows.amax(1, keepdim=True) - low).clamp_min_(LEAST) / 255
            signed = torch.addcmul(-low / step - 128, rows, 1 / step).round_().to(torch.int8)  # torch is ten times as slow to uint8
            self.last = inputs, (signed.view(torch.uint8).bitwise_xor_(128), low, step)
        return self.last[1]


class Int8Linear(nn.Module):
    """A linear layer with weights of eight bits, each row with steps of its own. In and out: float32."""

    def __init__(self, linear: nn.Linear, quantiser: Quantiser, usual: Tensor) -> None:
        super().__init__()
        self.quantiser = quantiser
        weight = linear.weight.detach() / quantiser.scale
        self.steps = weight.abs().amax(1).clamp_min(LEAST) / 127
        levels = (weight / self.steps[:, None]).round()
        self.weight = torch.ops.onednn.qlinear_prepack(levels.to(torch.int8), None)
        rounded = levels * self.steps[:, None]
        self.sums, self.zeros = rounded.sum(1), torch.zeros(len(weight), dtype=torch.int64)
        # A usual input goes through the exact weights: what rounding takes from it is given back.
        self.bias = linear.weight.detach() @ usual - rounded @ (usual * quantiser.scale + quantiser.shift)
        if linear.bias is not None:
            self.bias += linear.bias.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        levels, low, step = self.quantiser(inputs)
        products = torch.ops.onednn.qlinear_pointwise(
            levels, 1.0, 0, self.weight, self.steps, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return torch.addcmul(self.bias, low, self.sums).addcmul_(products, step).view(*inputs.shape[:-1], -1)


def attend(
    _: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None = None, **__: Any
) -> tuple[Tensor, None]:
    """Attention within each text, products in bfloat16; padding is not read. (texts, heads, tokens, width) in, heads third out."""
    texts, heads, tokens, width = query.shape
    result = query.new_zeros(texts, tokens, heads, width)
    lengths = [tokens] * texts if mask is None else mask.sum(1).tolist()
    for text, length in enumerate(lengths):
        q, k, v = (each[text, :, :length].bfloat16() for each in (query, key, value))
        scores = torch.baddbmm(q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=scaling or width**-0.5)
        result[text, :length] = (torch.softmax(scores.float(), -1).bfloat16() @ v).transpose(0, 1)
    return result, None
