"""Replay: pairs in order, their intervals, and what each strength brought."""

import json

import numpy as np

from paperround.matching.replay import ReplayedIssue, pairs_in_order, replay_figures


def issue(reader: int, values: list[int], scores: list[float], strengths: list[float] | None = None) -> ReplayedIssue:
    return ReplayedIssue(
        reader=reader, values=np.array(values), strengths=np.array(strengths or [0.5] * len(values)), scores={"today": np.array(scores)}
    )


def test_pairs_are_counted_within_an_issue_and_equal_scores_count_half() -> None:
    assert pairs_in_order([issue(1, [1, 0, -1], [3.0, 2.0, 1.0])], "today") == (1.0, 1.0, 1.0)
    assert pairs_in_order([issue(1, [1, 0], [1.0, 1.0])], "today") == (0.5, 0.5, 0.5)
    assert pairs_in_order([issue(1, [1, 0], [9.0, 1.0]), issue(1, [0, 1], [2.0, 1.0])], "today") == (0.5, 0.5, 0.5)


def test_where_everything_was_voted_alike_nothing_is_said() -> None:
    assert pairs_in_order([issue(1, [1, 1], [1.0, 2.0])], "today") is None


def test_the_interval_holds_the_value_and_narrows_with_readers() -> None:
    chance = np.random.default_rng(2)

    def many(count: int) -> list[ReplayedIssue]:
        return [issue(reader, [1, 0, 0], [1.0, *chance.uniform(0, 1.5, 2)]) for reader in range(count)]

    widths = []
    for count in (10, 1000):
        found = pairs_in_order(many(count), "today")
        assert found is not None
        value, low, high = found
        assert low <= value <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 4


def test_the_figures_say_how_many_of_each_strength_were_kept_and_fit_into_json() -> None:
    issues = [issue(reader, [1, 0, 0, 0], [4.0, 3.0, 2.0, 1.0], [0.9, 0.3, 0.3, 0.1]) for reader in range(20)]
    figures = replay_figures(issues)
    assert figures["kept, very strong"] == (1.0, 20)
    assert figures["kept, fair"] == (0.0, 40)
    assert (figures["readers"], figures["issues"], figures["votes"]) == (20, 20, 20)
    json.dumps(figures)
    assert replay_figures([]) == {"readers": 0, "issues": 0, "votes": 0}
