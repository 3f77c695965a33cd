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


def test_a_benchmark_that_fails_is_named_at_the_end_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench_a.py").write_text("def run():\n    raise OSError('no such server')\n", encoding="utf-8")
    (tmp_path / "bench_b.py").write_text("def run():\n    return [{'name': 'b', 'value': 1, 'unit': 's'}]\n", encoding="utf-8")
    monkeypatch.setattr(runner, "HERE", tmp_path)
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "out" / "bench.json")
    monkeypatch.setattr("sys.argv", ["run.py"])
    with pytest.raises(SystemExit, match="not measured: a;"):
        runner.main()
    told = capsys.readouterr()
    assert told.out.split() == ["b", "1", "s"]
    assert "no such server" in told.err
