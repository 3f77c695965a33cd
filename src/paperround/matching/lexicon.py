"""Lexicon: texts as weighted words, beside their embeddings: where abstracts are known, rare words in common say what vectors blur (pure).

Words count by TF-IDF (Salton and Buckley 1988): logarithmic in the text, inverse to how many texts of the background hold them."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = Any  # scipy.sparse.csr_array (texts, BUCKETS), rows of length 1 or empty; scipy has no types

BUCKETS = 2**18  # words are told apart by a hash of 18 bits: in a day's texts one word in twenty meets another, mostly a rare one
REMEMBERED = 16_000  # texts whose words are kept between batches of readers
# An abstract is read by its words too, a title is not: so many words have no weight yet, so many the whole.
FROM_WORDS, ALL_WORDS = 25, 80
_WORD = re.compile(r"[^\W\d_][\w\-]{2,}")


def words_of(text: str) -> Counter[int]:
    """The buckets of a text's words and how often each stands in it; plurals count as the word itself."""
    return Counter(map(_bucket, _WORD.findall(text.casefold())))


@lru_cache(maxsize=100_000)
def _bucket(word: str) -> int:
    singular = word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word
    return zlib.crc32(singular.encode()) % BUCKETS


def depth(texts: Sequence[str]) -> Floats:
    """(n,) 0…1: how far the words of each text are relied on."""
    counts = np.array([text.count(" ") + 1 for text in texts], np.float32)
    return np.clip((counts - FROM_WORDS) / (ALL_WORDS - FROM_WORDS), 0, 1).astype(np.float32)


def sparse_rows(*given: Any, **options: Any) -> Rows:
    """A csr_array. SciPy is loaded at the first one: a server at rest needs none of its 16 MB."""
    from scipy.sparse import csr_array

    return csr_array(*given, **options)


def no_rows() -> Rows:
    return sparse_rows((0, BUCKETS), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Words:
    """Works by their words: `columns` (BUCKETS, n) and how far each is relied on (n,)."""

    columns: Rows
    depth: Floats


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How much each word tells, and the words of the background's sample."""

    weights: Floats  # (BUCKETS,)
    sample: Rows
    _known: dict[str, tuple[NDArray[np.int32], Floats]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, texts: Iterable[str], sample: Sequence[str]) -> Lexicon:
        """From the texts of a background; `sample` those whose scores set the scale."""
        holding, count = np.zeros(BUCKETS, np.int32), 0
        for text in texts:
            holding[list(words_of(text))] += 1
            count += 1
        weights = np.log((count + 1) / (holding + 1)).astype(np.float32)
        bare = cls(weights, no_rows())
        return cls(weights, bare.read(sample))

    def read(self, texts: Sequence[str]) -> Rows:
        """(n, BUCKETS). Texts read lately are remembered."""
        found = [self._known.get(text) or self._known.setdefault(text, self._row(text)) for text in texts]
        for text in list(self._known)[: max(0, len(self._known) - REMEMBERED)]:
            del self._known[text]
        starts = np.concatenate(([0], np.cumsum([len(buckets) for buckets, _ in found]))).astype(np.int32)
        if not found:
            return no_rows()
        columns, values = (np.concatenate(each) for each in zip(*found, strict=True))
        return sparse_rows((values, columns, starts), shape=(len(texts), BUCKETS))

    def works(self, texts: Sequence[str]) -> Words | None:
        """None where no text is long enough to be read by its words."""
        relied = depth(texts)
        return Words(self.read(texts).T.tocsr(), relied) if relied.any() else None

    def _row(self, text: str) -> tuple[NDArray[np.int32], Floats]:
        counts = words_of(text)
        buckets = np.array(sorted(counts), np.int32)
        values = (1 + np.log(np.array([counts[each] for each in buckets.tolist()], np.float32))) * self.weights[buckets]
        return buckets, (values / max(float(np.linalg.norm(values)), 1e-9)).astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storage; `from_arrays` is the inverse."""
        rows = {name: getattr(self.sample, name) for name in ("data", "indices", "indptr")}
        return {"words": self.weights.astype(np.float16), **{f"sample_{name}": array for name, array in rows.items()}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Lexicon:
        data, indices, starts = (arrays[f"sample_{name}"] for name in ("data", "indices", "indptr"))
        return cls(arrays["words"].astype(np.float32), sparse_rows((data, indices, starts), shape=(len(starts) - 1, BUCKETS)))


@cache
def nothing() -> Lexicon:
    """That of an installation without texts."""
    return Lexicon(np.zeros(BUCKETS, np.float32), no_rows())
