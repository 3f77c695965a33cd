"""Affinity: how near works are to each reader, profiles × works in blocks, every score a sum of parts by the reader's own rows (pure).

The score is that of kernel ridge regression (Gaussian process mean) in which the background is known to be of no special interest:
kernel values to the reader's rows, less what the background's own directions explain, plus a whitened linear part; both parts are
standardised for each reader over the background's sample, so that a score means the same for everybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paperround.matching.background import SHARPNESS, Background, Floats, Readings
from paperround.matching.lexicon import Rows, Words, sparse_rows
from paperround.matching.profile_vectors import INTEREST_WEIGHT, ProfileVectors

# Chosen on folds of old items (see background.py). The more is known of a reader, the more the background's directions are taken out:
# `FEW` holds up to FEW_ROWS likes, `MANY` from MANY_ROWS on, logarithmically between.
FEW_ROWS, MANY_ROWS = 3.0, 30.0
NOISE_FEW, NOISE_MANY = 3e-2, 7e-4  # added to the kernel's eigenvalues
RIDGE_FEW, RIDGE_MANY = 2e-1, 1e-3  # added to the spectrum
LINEAR_WEIGHT = 1.0  # of the linear part beside the kernel's
# Mean and spread of the two parts over unrelated texts, before there is a background, and how many texts that is worth.
PRIOR_KERNEL, PRIOR_LINEAR, PRIOR_TEXTS = (0.065, 0.03), (0.08, 0.11), 150.0
# The part of words in common, where works have abstracts: its weight beside the two others together, their agreement over unrelated
# texts, mean and spread of its values before there is a background, and the cut at the reader's own works in the sample. On readers of
# real abstracts (authors and submitters of Daily Papers) weights from 0.8 to 1.2 are level; titles alone are better without.
LEXICAL_WEIGHT, WORDS_AGREE, PRIOR_WORDS, OWN_WORDS, LEAST_SPREAD = 1.0, 0.5, (0.02, 0.03), 0.15, np.float32(0.015)
POOLING = 0.5  # groups are pooled by log-sum-exp at this temperature: nearly the best one alone
OWN = 0.6  # kernel values in the sample are cut here: the reader's own works lie in it
# What is avoided takes off so many spreads, half of it at this cosine: neighbours stay. A vote against takes off less than words.
AVOID_WORDS, AVOID_WORK, AVOID_HALF, AVOID_WIDTH = 5.0, 3.0, 0.42, 0.05
ROWS, VALUES = 512, 1_500_000  # rows of readers scored at once, and values of a matrix of rows and works: 6 MB
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Group:
    """What is scored as one: an interest, or all works that a reader liked."""

    rows: Ints  # of the readings
    weights: Floats
    emphasis: float  # an interest of half the weight of the heaviest counts a sixth less


@dataclass(frozen=True, slots=True)
class Prepared:
    """Readers whose rows are read; rows that several share are read once. `words`: the rows' texts, None where nobody needs them."""

    profiles: Sequence[ProfileVectors]
    readings: Readings
    words: Rows | None
    groups: list[list[Group]]  # a reader; the interests first
    dislikes: list[Ints]


def prepare(profiles: Sequence[ProfileVectors], background: Background, *, words: bool = False) -> Prepared:
    """`words`: whether works will be read by their words too."""
    seen: dict[tuple[bool, bytes], int] = {}
    rows: list[Floats] = []
    texts: list[str] = []

    def numbers(vectors: Floats, typed: int, prose: Sequence[str]) -> Ints:
        found = []
        for place, vector in enumerate(vectors):
            number = seen.setdefault((place < typed, vector.tobytes()), len(rows))
            if number == len(rows):
                rows.append(vector)
                texts.append(prose[place] if prose else "")
            found.append(number)
        return np.array(found, dtype=np.int64)

    groups = [grouped(numbers(each.likes, each.typed, each.prose), each) for each in profiles]
    dislikes = [numbers(each.dislikes, each.typed_dislikes, ()) for each in profiles]
    readings = background.recall([(typed, vector) for (typed, _), vector in zip(seen, rows, strict=True)])
    return Prepared(profiles, readings, background.lexicon.read(texts) if words else None, groups, dislikes)


def grouped(rows: Ints, profile: ProfileVectors) -> list[Group]:
    """Each interest by itself, so that two far apart never wash each other out; the liked works together."""
    groups = [
        Group(
            rows[place : place + 1], profile.weights[place : place + 1], float(max(profile.weights[place] / INTEREST_WEIGHT, 1e-3) ** 0.25)
        )
        for place in range(profile.typed)
    ]
    if len(rows) > profile.typed:
        groups.append(Group(rows[profile.typed :], profile.weights[profile.typed :], 1.0))
    return groups


@dataclass(frozen=True, slots=True)
class Block:
    """Scores (readers, works) of consecutive readers, and what they are made of."""

    start: int
    scores: Floats
    evidence: Floats  # (readers,): logarithm of the weight of all likes
    avoided: Floats  # (readers, works), taken off
    _groups: _Groups
    _firsts: Ints  # (readers + 1,): the groups of each

    def parts(self, reader: int, columns: Ints) -> tuple[Floats, Floats]:
        """(likes of the reader, columns) what each like adds to the score, and how far the score would fall without it. The first with
        a constant for any work, less what is avoided, sums up to the score."""
        firsts = range(int(self._firsts[reader]), int(self._firsts[reader + 1]))
        scores = self._groups.scores[firsts.start : firsts.stop][:, columns]
        shares = np.exp((scores - scores.max(axis=0)) / POOLING)
        shares /= shares.sum(axis=0)
        added, fallen = [], []
        for share, group in zip(shares, firsts, strict=True):
            mine, without = self._groups.parts(group, columns)
            added.append(share * mine)
            fallen.append(-POOLING * np.log(np.maximum(1 - share * -np.expm1(-without / POOLING), 1e-12)))
        return np.concatenate(added), np.concatenate(fallen)


@dataclass(frozen=True, slots=True)
class _Groups:
    scores: Floats  # (groups, works)
    kernel: Floats  # (rows, works), weighted by share
    low_rank: tuple[Floats, Floats]  # (rows, landmarks), (works, landmarks): what the background explains of the kernel
    linear: tuple[Floats, Floats]  # (rows, d), (works, d)
    standard: _Standard  # (groups,)
    without: _Standard  # (likes,): of its group without each
    lexical: _Lexical | None
    shares: Floats  # (rows,): of each like in its group
    starts: Ints  # (groups + 1,)

    def parts(self, group: int, columns: Ints) -> tuple[Floats, Floats]:
        """(likes, columns) what each adds to the group's score, and how far that falls without it: the others' shares grow, and they are
        standardised by themselves. Without its only like nothing of a group is left."""
        rows = slice(self.starts[group], self.starts[group + 1])
        (mine, works), (line, plain) = self.low_rank, self.linear
        kernel, linear = self.kernel[rows][:, columns] - mine[rows] @ works[columns].T, line[rows] @ plain[columns].T
        parts: Floats = kernel * self.standard.kernel[group] + linear * self.standard.line[group]
        others, left = self.without.take(rows), 1 - self.shares[rows, None]
        if len(parts) > 1:
            after = ((kernel.sum(axis=0) - kernel) * others.kernel + (linear.sum(axis=0) - linear) * others.line) / left
            falls: Floats = parts.sum(axis=0) - self.standard.constant[group] - after + others.constant
        if self.lexical:
            common, whole = self.lexical.common(group, rows, columns), self.lexical.whole[columns]
            parts = (parts + common) / whole
            falls = (falls + common.sum(axis=0) - (common.sum(axis=0) - common) / left) / whole if len(parts) > 1 else parts
        return parts, falls + self.standard.lift[group] - others.lift if len(parts) > 1 else np.full_like(parts, np.inf)


def blocks(prepared: Prepared, works: Readings, background: Background, words: Words | None = None) -> Iterator[Block]:
    """The readers in blocks of ROWS rows or fewer; each of them has at least one like."""
    start, count, most = 0, len(prepared.profiles), min(ROWS, max(1, VALUES // max(1, len(works.unit))))
    while start < count:
        stop, rows = start, 0
        while stop < count and (stop == start or rows + len(prepared.profiles[stop].likes) <= most):
            rows += len(prepared.profiles[stop].likes)
            stop += 1
        yield _block(prepared, start, stop, works, background, words)
        start = stop


def _block(prepared: Prepared, start: int, stop: int, works: Readings, background: Background, words: Words | None) -> Block:
    mine = prepared.groups[start:stop]
    firsts = np.concatenate(([0], np.cumsum([len(each) for each in mine])))
    groups = _score_groups([group for each in mine for group in each], prepared, works, background, words)
    highest = np.maximum.reduceat(groups.scores, firsts[:-1], axis=0)
    above = np.exp((groups.scores - np.repeat(highest, np.diff(firsts), axis=0)) / np.float32(POOLING))
    pooled = highest + np.float32(POOLING) * np.log(np.add.reduceat(above, firsts[:-1], axis=0))
    avoided = _avoided(prepared, start, stop, works)
    evidence = np.log(np.maximum([each.weights.sum() for each in prepared.profiles[start:stop]], 1)).astype(np.float32)
    return Block(start, pooled - avoided, evidence, avoided, groups, firsts)


def knowledge(weight: Floats) -> Floats:
    """0…1: how much so many likes tell."""
    result: Floats = np.clip(np.log(np.maximum(weight, 1) / FEW_ROWS) / np.log(MANY_ROWS / FEW_ROWS), 0, 1).astype(np.float32)
    return result


def _score_groups(groups: list[Group], prepared: Prepared, works: Readings, background: Background, words: Words | None) -> _Groups:
    lengths = np.array([len(group.rows) for group in groups])
    starts = np.concatenate(([0], np.cumsum(lengths)))
    firsts = starts[:-1]
    numbers = np.concatenate([group.rows for group in groups])
    mine = prepared.readings.take(numbers)
    weights = np.concatenate([group.weights for group in groups]).astype(np.float32)
    totals: Floats = np.add.reduceat(weights, firsts)
    shares = (weights / np.repeat(totals, lengths)).astype(np.float32)
    known = knowledge(totals)[:, None]

    explained = background.trust * background.eigenvalues / (background.eigenvalues + _between(NOISE_FEW, NOISE_MANY, known))
    ridge, spectrum = _between(RIDGE_FEW, RIDGE_MANY, known), background.space.spectrum
    whitened = (np.float32(spectrum.mean()) + ridge) / (spectrum + ridge)
    low_rank = shares[:, None] * mine.low_rank * np.repeat(explained, lengths, axis=0).astype(np.float32)
    linear = shares[:, None] * mine.plain * np.repeat(whitened, lengths, axis=0).astype(np.float32)
    line: Floats = np.add.reduceat(linear, firsts, axis=0)
    low: Floats = np.add.reduceat(low_rank, firsts, axis=0)

    def kernel(others: Readings, cut: float | None = None) -> Floats:
        values: Floats = mine.unit @ others.unit.T
        values -= 1
        values *= np.float32(SHARPNESS)
        np.exp(values, out=values)
        if cut is not None:
            np.minimum(values, np.float32(cut), out=values)
        values *= shares[:, None]
        return values

    sampled, by_line = kernel(background.sample, OWN), line @ background.sample.plain.T
    by_kernel: Floats = np.add.reduceat(sampled, firsts, axis=0) - low @ background.sample.low_rank.T
    emphasis = np.array([group.emphasis for group in groups], np.float32)
    standard = _Standard.of(by_kernel, by_line, totals, emphasis)
    without = _Standard(*np.zeros((4, len(numbers)), np.float32))
    several = np.flatnonzero(np.repeat(lengths, lengths) > 1)
    if len(several):
        group, left = np.repeat(np.arange(len(groups)), lengths)[several], 1 - shares[several, None]
        kernels = np.asarray((by_kernel[group] - sampled[several] + low_rank[several] @ background.sample.low_rank.T) / left, np.float32)
        lines = np.asarray((by_line[group] - linear[several] @ background.sample.plain.T) / left, np.float32)
        without.put(several, _Standard.of(kernels, lines, totals[group] - weights[several], emphasis[group]))
    rows = kernel(works)
    unexplained: Floats = np.add.reduceat(rows, firsts, axis=0) - low @ works.low_rank.T
    scores = unexplained * standard.kernel[:, None] + (line @ works.plain.T) * standard.line[:, None] - standard.constant[:, None]
    lexical = None
    if words is not None and prepared.words is not None:
        lexical, scores = _read_words(scores, prepared.words[numbers], shares, starts, words, background)
    scores += standard.lift[:, None]
    return _Groups(scores, rows, (low_rank, works.low_rank), (linear, works.plain), standard, without, lexical, shares, starts)


@dataclass(frozen=True, slots=True)
class _Standard:
    """What makes the dense parts of a score comparable between groups; (n,) each."""

    kernel: Floats
    line: Floats
    constant: Floats
    lift: Floats

    @classmethod
    def of(cls, kernel: Floats, line: Floats, totals: Floats, emphasis: Floats) -> _Standard:
        """From the two parts (n, sample) of groups of so much weight."""
        kernel_mean, kernel_spread = _standard(kernel, PRIOR_KERNEL)
        line_mean, line_spread = _standard(line, PRIOR_LINEAR)
        both = _spread_of_both(kernel / kernel_spread[:, None], line / line_spread[:, None]) / emphasis
        scales = ((1 / (kernel_spread * both)).astype(np.float32), (LINEAR_WEIGHT / (line_spread * both)).astype(np.float32))
        constant = (kernel_mean * scales[0] + line_mean * scales[1]).astype(np.float32)
        # the more works a reader likes, the lower and the flatter even the best scores: lifted, so that groups compare
        return cls(*scales, constant, np.log(np.maximum(totals / FEW_ROWS, 1)).astype(np.float32))

    def take(self, rows: slice) -> _Standard:
        return _Standard(self.kernel[rows, None], self.line[rows, None], self.constant[rows, None], self.lift[rows, None])

    def put(self, rows: Ints, other: _Standard) -> None:
        for name in ("kernel", "line", "constant", "lift"):
            getattr(self, name)[rows] = getattr(other, name)


@dataclass(frozen=True, slots=True)
class _Lexical:
    """The part of the words: standardised like the others, and the whole drawn back to one spread."""

    nearness: Floats  # (likes, works), weighted by share
    scales: Floats  # (groups,)
    relied: Floats  # (works,): weight of the words
    whole: Floats  # (works,): what all parts are divided by

    def common(self, group: int, rows: slice, columns: Ints) -> Floats:
        """(likes, columns) what the words of each add, before the whole is drawn back."""
        result: Floats = self.nearness[rows][:, columns] * self.scales[group] * self.relied[columns]
        return result


def _read_words(scores: Floats, mine: Rows, shares: Floats, starts: Ints, words: Words, background: Background) -> tuple[_Lexical, Floats]:
    """Scores (groups, works) with the part of the words, nearness of TF-IDF centroids, added where a work has enough of them."""
    rows = np.arange(len(shares))
    weighted = sparse_rows((shares, (rows, rows)), shape=(len(rows), len(rows))) @ mine
    ones = np.ones(len(shares), np.float32)
    centres = sparse_rows((ones, rows, starts), shape=(len(starts) - 1, len(shares))) @ weighted
    mean, spread = _standard(np.minimum((centres @ background.lexicon.sample.T).toarray(), OWN_WORDS), PRIOR_WORDS)
    spread = np.maximum(spread, LEAST_SPREAD)
    relied = LEXICAL_WEIGHT * words.depth
    whole = np.sqrt(1 + relied**2 + 2 * WORDS_AGREE * relied).astype(np.float32)
    nearness = (weighted @ words.columns).toarray()
    common: Floats = np.add.reduceat(nearness, starts[:-1], axis=0)
    common -= mean[:, None]
    common *= (1 / spread)[:, None]
    common *= relied
    return _Lexical(nearness, (1 / spread).astype(np.float32), relied, whole), (scores + common) / whole


def _between(few: float, many: float, known: Floats) -> Floats:
    result: Floats = np.exp(np.log(few) * (1 - known) + np.log(many) * known).astype(np.float32)
    return result


def _standard(values: Floats, prior: tuple[float, float]) -> tuple[Floats, Floats]:
    """Mean and spread (readers,) over the sample, drawn towards the prior while that is small."""
    count = values.shape[1]
    if not count:
        return np.full(len(values), prior[0], np.float32), np.full(len(values), prior[1], np.float32)
    trust = count / (count + PRIOR_TEXTS)
    mean = trust * values.mean(axis=1) + (1 - trust) * prior[0]
    spread = np.sqrt(trust * values.var(axis=1) + (1 - trust) * prior[1] ** 2)
    return mean.astype(np.float32), spread.astype(np.float32)


def _spread_of_both(kernel: Floats, line: Floats) -> Floats:
    """The spread of the two standardised parts together; they agree to about .8 where nothing else is known."""
    agreement = np.full(len(kernel), 0.8, np.float32)
    if kernel.shape[1] > 100:
        agreement = ((kernel - kernel.mean(axis=1, keepdims=True)) * (line - line.mean(axis=1, keepdims=True))).mean(axis=1)
    result: Floats = np.sqrt(1 + LINEAR_WEIGHT**2 + 2 * LINEAR_WEIGHT * np.clip(agreement, 0, 1)).astype(np.float32)
    return result


def _avoided(prepared: Prepared, start: int, stop: int, works: Readings) -> Floats:
    """(readers, works): what avoided words and votes against take off; the strongest of words, and the sum of votes."""
    taken = np.zeros((stop - start, len(works.unit)), np.float32)
    for row in range(start, stop):
        if len(prepared.dislikes[row]):
            profile = prepared.profiles[row]
            nearness = prepared.readings.unit[prepared.dislikes[row]] @ works.unit.T
            hits = profile.dislike_weights[:, None] / (1 + np.exp((AVOID_HALF - nearness) / AVOID_WIDTH))
            words, votes = hits[: profile.typed_dislikes], hits[profile.typed_dislikes :]
            taken[row - start] = AVOID_WORDS * words.max(axis=0, initial=0) + AVOID_WORK * votes.sum(axis=0)
    return taken
