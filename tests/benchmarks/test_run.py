"""The runner of the benchmarks: which modules it chooses, and how results of several runs become one list."""

from pathlib import Path

import pytest
from tests.benchmarks import run as runner


@pytest.mark.parametrize(("only", "chosen"), [([], ["match", "send", "send_many"]), (["send"], ["send", "send_many"]), (["x"], [])])
def test_benchmarks_are_chosen_by_the_beginning_of_their_names(tmp_path: Path, only: list[str], chosen: list[str]) -> None:
    for name in ("bench_match.py", "bench_send.py", "bench_send_many.py", "run.py"):
        (tmp_path / name).touch()
    assert [path.stem.removeprefix("bench_") for path in runner.benchmarks(tmp_path, only)] == chosen


def test_a_newer_figure_replaces_the_one_of_the_same_name_and_others_stay() -> None:
    kept = [{"name": "parse", "value": 2}, {"name": "send", "value": 1}]
    assert runner.merge(kept, [{"name": "parse", "value": 3}, {"name": "idle", "value": 4}]) == [
        {"name": "parse", "value": 3},
        {"name": "send", "value": 1},
        {"name": "idle", "value": 4},
    ]


def test_a_line_of_the_table_names_value_unit_and_what_was_measured_beside() -> None:
    shown = runner.line({"name": "parse", "value": 0.51234, "unit": "seconds", "beside": {"feedparser": 1.5}, "ratio": 0.34})
    assert shown.split() == ["parse", "0.5123", "seconds", "×0.34", "feedparser", "1.5"]
