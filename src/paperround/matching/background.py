"""Background: what a fixed sample of unlabelled texts teaches about the space, so that scores mean the same on every day (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from paperround.matching.calibration import PRIOR, Calibration
from paperround.matching.lexicon import Lexicon, nothing
from paperround.matching.nearest import nearest

Floats = NDArray[np.float32]

# Chosen on folds of the old items of a real library data set (citeulike-a; a fifth of them played the new ones), the same for whole
# libraries, three works and three words.
REMEMBERED = 16_000  # readings of readers' rows kept between batches: 95 MB at most, as float16
MOST_TEXTS = 20_000  # kept: 15 MB as float16; more changed nothing measurable
SAMPLE = 512  # texts over which a reader's scores are standardised
LANDMARKS = 2048  # points that carry the kernel's low-rank part; 1024 lose 1 % of nDCG@10, 512 2 %
SHARPNESS = 3.0  # of the kernel exp(t (cos - 1)); 2 to 4 are level
SOFTENING = 0.01  # added to the spectrum before the fourth root: half whitening
SEARCH_SOFTENING = 0.02  # likewise, for the search of neighbours
TWIN = 0.995  # cosine from which a neighbour is taken for the text itself
TWINS = 3  # copies that are looked past
# What a text says is read together with its neighbours in the background: how many, and with what weight beside its own 1.
WORK_NEIGHBOURS, WORK_PULL = 10, 0.5
WORDS_NEIGHBOURS, WORDS_PULL = 30, 2.0  # a few words say less than a title, and differently
# Half of an effect is there at so many texts: a new installation begins with plain cosines.
MEAN_FROM, SPECTRUM_FROM, PULL_FROM = 500.0, 1500.0, 1500.0


@dataclass(frozen=True, slots=True)
class Readings:
    """Texts as the scorer reads them: `unit` (n, d) half-whitened rows of length 1, `low_rank` (n, landmarks) coordinates of the kernel
    along the background's own directions, `plain` (n, d) coordinates along its principal axes."""

    unit: Floats
    low_rank: Floats
    plain: Floats

    def take(self, rows: NDArray[np.int64]) -> "Readings":
        return Readings(self.unit[rows], self.low_rank[rows], self.plain[rows])


def unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Floats = rows / np.maximum(lengths, np.float32(1e-9))
    return result


@dataclass(frozen=True)
class Space:
    """A mean and principal axes; the spectrum is drawn towards a flat one while few texts are known."""

    mean: Floats
    axes: Floats  # (d, d), columns
    spectrum: Floats  # (d,)

    @classmethod
    def of(cls, vectors: Floats) -> "Space":
        count = len(vectors)
        middle: Floats = (vectors.mean(axis=0) * (count / (count + MEAN_FROM))).astype(np.float32)
        centred = (vectors - middle).astype(np.float64)
        found, axes = np.linalg.eigh(centred.T @ centred / count)
        values: NDArray[np.float64] = np.maximum(found, 0)
        known = count / (count + SPECTRUM_FROM)
        return cls(middle, axes.astype(np.float32), np.asarray(known * values + (1 - known) * values.mean(), np.float32))

    def plain(self, vectors: Floats) -> Floats:
        return np.asarray((vectors - self.mean) @ self.axes, np.float32)

    def soften(self, coordinates: Floats, softening: float) -> Floats:
        return unit(coordinates * (self.spectrum + np.float32(softening)) ** np.float32(-0.25))


@dataclass(frozen=True)
class Background:
    """What is known of the world. Memory is bounded by MOST_TEXTS and LANDMARKS, whatever the installation holds."""

    texts: NDArray[np.float16]  # (n, d), rows of length 1
    search: Space  # of the texts as they are
    space: Space  # of the texts as read with their neighbours
    landmarks: Floats  # (m, d)
    projection: Floats  # (m, m): kernel values at the landmarks to coordinates along the kernel's principal directions
    eigenvalues: Floats  # (m,)
    sample: Readings = field(repr=False)
    lexicon: Lexicon = field(default_factory=nothing, repr=False)
    calibration: Calibration = PRIOR  # what a score has meant here so far

    @property
    def count(self) -> int:
        return len(self.texts)

    @property
    def trust(self) -> float:
        """0…1: how far what needs many texts is relied on."""
        return self.count / (self.count + SPECTRUM_FROM)

    @classmethod
    def empty(cls, dimension: int) -> "Background":
        """Nothing known yet: cosines as they are."""
        return cls.from_vectors(np.zeros((0, dimension), np.float32))

    @staticmethod
    def sample_of(count: int) -> NDArray[np.int64]:
        """Which of `count` texts set the scale of scores."""
        return np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64)

    def with_words(self, texts: Sequence[str]) -> "Background":
        """Knowing also the words of the texts, in the order of the vectors it was made of."""
        return replace(self, lexicon=Lexicon.of(texts, [texts[place] for place in self.sample_of(len(texts)).tolist()]))

    @classmethod
    def from_vectors(cls, vectors: Floats) -> "Background":
        """From vectors (n, d) of texts, rows of length 1, in any number; an even selection of MOST_TEXTS stays."""
        chosen = np.linspace(0, len(vectors) - 1, min(len(vectors), MOST_TEXTS)).astype(np.int64)
        texts = vectors[chosen].astype(np.float16)
        dimension = vectors.shape[1]
        if len(texts) < 2:
            flat = Space(
                np.zeros(dimension, np.float32), np.eye(dimension, dtype=np.float32), np.full(dimension, 1 / max(dimension, 1), np.float32)
            )
            return cls._complete(
                texts[:0], flat, flat, np.zeros((0, dimension), np.float32), np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
            )
        search = Space.of(texts.astype(np.float32))
        drawn = _Neighbourhood(texts, search).draw(texts.astype(np.float32), WORK_NEIGHBOURS, WORK_PULL)
        space = Space.of(drawn)
        units = space.soften(space.plain(drawn), SOFTENING)
        landmarks = units[np.linspace(0, len(units) - 1, min(LANDMARKS, len(units) // 4)).astype(np.int64)]
        return cls._complete(texts, search, space, landmarks, *_kernel_axes(units, landmarks))

    @classmethod
    def _complete(
        cls, texts: NDArray[np.float16], search: Space, space: Space, landmarks: Floats, projection: Floats, eigenvalues: Floats
    ) -> "Background":
        dimension = texts.shape[1]
        nothing = Readings(
            np.zeros((0, dimension), np.float32), np.zeros((0, len(landmarks)), np.float32), np.zeros((0, dimension), np.float32)
        )
        bare = cls(texts, search, space, landmarks, projection, eigenvalues, nothing)
        chosen = cls.sample_of(len(texts))
        sample = bare.read(texts[chosen].astype(np.float32)) if len(texts) else nothing
        return cls(texts, search, space, landmarks, projection, eigenvalues, sample)

    @cached_property
    def _neighbourhood(self) -> "_Neighbourhood":
        return _Neighbourhood(self.texts, self.search)

    @cached_property
    def _remembered(self) -> dict[bytes, tuple[NDArray[np.float16], ...]]:
        return {}

    def recall(self, rows: Sequence[tuple[bool, Floats]]) -> Readings:
        """The readings of single vectors, words or not, in half precision; those read lately are remembered, so that the next batch of
        readers finds them."""
        if not rows:
            return self.sample.take(np.zeros(0, np.int64))
        keys = [blake2b(vector.tobytes(), digest_size=16, salt=b"words" if words else b"").digest() for words, vector in rows]
        found = {key: self._remembered[key] for key in keys if key in self._remembered}
        fresh: dict[bytes, tuple[NDArray[np.float16], ...]] = {}
        for kind in (True, False):
            missing = {key: vector for key, (words, vector) in zip(keys, rows, strict=True) if words is kind and key not in found}
            if missing:
                read = self.read(np.stack(list(missing.values())), words=kind)
                halves = [each.astype(np.float16) for each in (read.unit, read.low_rank, read.plain)]
                fresh |= {key: tuple(half[row].copy() for half in halves) for row, key in enumerate(missing)}
        for key in list(self._remembered)[: max(0, len(self._remembered) + len(fresh) - REMEMBERED)]:
            del self._remembered[key]
        self._remembered.update(fresh)
        found |= fresh
        return Readings(*(np.stack(each).astype(np.float32) for each in zip(*(found[key] for key in keys), strict=True)))

    def read(self, vectors: Floats, *, words: bool = False) -> Readings:
        """Vectors (n, d) of works, or of `words` that a reader typed, as the scorer reads them."""
        if self.count:
            pull = (WORDS_NEIGHBOURS, WORDS_PULL) if words else (WORK_NEIGHBOURS, WORK_PULL)
            vectors = self._neighbourhood.draw(vectors, *pull)
        plain = self.space.plain(vectors)
        units = self.space.soften(plain, SOFTENING)
        return Readings(units, _kernel(units, self.landmarks) @ self.projection, plain)

    def to_arrays(self) -> dict[str, NDArray[np.float16] | Floats]:
        """For storage; `from_arrays` is the inverse."""
        spaces = {
            f"{name}_{part}": getattr(space, part)
            for name, space in (("search", self.search), ("space", self.space))
            for part in ("mean", "axes", "spectrum")
        }
        return {
            "texts": self.texts,
            **spaces,
            "landmarks": self.landmarks,
            "projection": self.projection,
            "eigenvalues": self.eigenvalues,
            "calibration": np.array(self.calibration.weights, np.float32),
            **self.lexicon.to_arrays(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float16] | Floats]) -> "Background":
        def floats(name: str) -> Floats:
            return arrays[name].astype(np.float32)

        search, space = (Space(*(floats(f"{name}_{part}") for part in ("mean", "axes", "spectrum"))) for name in ("search", "space"))
        bare = cls._complete(
            arrays["texts"].astype(np.float16), search, space, floats("landmarks"), floats("projection"), floats("eigenvalues")
        )
        return replace(bare, lexicon=Lexicon.from_arrays(arrays), calibration=Calibration(tuple(floats("calibration").tolist())))


class _Neighbourhood:
    """The texts of a background, ready to be searched."""

    def __init__(self, texts: NDArray[np.float16], space: Space) -> None:
        self.texts = texts.astype(np.float32)
        self.space = space
        self.units = space.soften(space.plain(self.texts), SEARCH_SOFTENING)

    def draw(self, vectors: Floats, neighbours: int, pull: float) -> Floats:
        """Each vector drawn towards the mean of its nearest texts, weighted by the square of their nearness."""
        pull *= len(self.texts) / (len(self.texts) + PULL_FROM)
        drawn = np.empty_like(vectors, dtype=np.float32)
        for start in range(0, len(vectors), 512):  # 512 x 20,000 similarities are 40 MB
            block = vectors[start : start + 512].astype(np.float32)
            drawn[start : start + 512] = unit(block + np.float32(pull) * self._mean_of_nearest(block, neighbours))
        return drawn

    def _mean_of_nearest(self, block: Floats, neighbours: int) -> Floats:
        columns, nearness = nearest(self.space.soften(self.space.plain(block), SEARCH_SOFTENING), self.units, neighbours + TWINS)
        nearness[nearness > TWIN] = 0  # the text itself, or its copy: says nothing new
        order = np.argsort(-nearness, axis=1, kind="stable")[:, :neighbours]
        weights = np.maximum(np.take_along_axis(nearness, order, axis=1), 0) ** 2
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-9))
        result: Floats = np.matmul(weights[:, None, :], self.texts[np.take_along_axis(columns, order, axis=1)])[:, 0]
        return result


def _kernel(left: Floats, right: Floats) -> Floats:
    result: Floats = np.exp(np.float32(SHARPNESS) * (left @ right.T - 1))
    return result


def _kernel_axes(units: Floats, landmarks: Floats) -> tuple[Floats, Floats]:
    """Nystroem: from kernel values at the landmarks to uncorrelated coordinates over the background, and their variances."""
    if not len(landmarks):
        return np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    values, vectors = np.linalg.eigh(_kernel(landmarks, landmarks).astype(np.float64))
    root = vectors * np.maximum(values, 1e-6) ** -0.5
    coordinates = _kernel(units, landmarks).astype(np.float64) @ root
    spread, rotation = np.linalg.eigh(coordinates.T @ coordinates / len(coordinates))
    return (root @ rotation).astype(np.float32), np.maximum(spread, 0).astype(np.float32)
