"""Replay: what readers voted on in past issues, scored again as of that day, with how far chance may have had its hand in it (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paperround.matching.evaluation import calibration_figures

ROUNDS, SEED = 1000, 1  # of the bootstrap over readers (Efron 1979)
Interval = tuple[float, float, float]  # value, and the bounds of its 95 % interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedIssue:
    """One issue in which its reader voted: `values` (n,) 1, 0, -1 of the works shown; `strengths` as they were shown; scores (n,) by way:
    as sent, with the votes of that day, without any vote."""

    reader: int
    values: NDArray[np.int64]
    strengths: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float64]]


def replay_figures(issues: Sequence[ReplayedIssue]) -> dict[str, object]:
    """For each way of scoring the share of pairs in an issue, one voted better than the other, that it puts in that order; the calibration
    of what was shown, and how many of a hundred items of each strength were kept."""
    figures: dict[str, object] = {
        "readers": len({issue.reader for issue in issues}),
        "issues": len(issues),
        "votes": int(sum(np.count_nonzero(issue.values) for issue in issues)),
    }
    if not issues:
        return figures
    names = dict.fromkeys(name for issue in issues for name in issue.scores)
    figures |= {f"pairs, {name}": pairs_in_order(issues, name) for name in names}
    strengths, kept = np.concatenate([each.strengths for each in issues]), np.concatenate([each.values for each in issues]) > 0
    return figures | calibration_figures(strengths, kept)


def pairs_in_order(issues: Sequence[ReplayedIssue], way: str) -> Interval | None:
    """None where no issue holds two works that were voted differently."""
    right: dict[int, NDArray[np.float64]] = {}
    for issue in issues:
        better = issue.values[:, None] > issue.values[None, :]
        one, other = issue.scores[way][:, None], issue.scores[way][None, :]
        counted = right.setdefault(issue.reader, np.zeros(2))
        counted += [(one > other)[better].sum() + (one == other)[better].sum() / 2, better.sum()]
    counts = np.array([each for each in right.values() if each[1]])
    if not len(counts):
        return None
    drawn = counts[np.random.default_rng(SEED).integers(0, len(counts), (ROUNDS, len(counts)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return float(counts[:, 0].sum() / counts[:, 1].sum()), float(low), float(high)
