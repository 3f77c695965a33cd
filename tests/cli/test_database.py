"""`paperround db`: what its commands say and leave behind; what they do to rows is tested with storage."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

spec = importlib.util.spec_from_file_location("cli_schema", Path(__file__).with_name("schema.py"))
assert spec
assert spec.loader
schemas: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(schemas)


def as_said(words: str, done: Any) -> Any:
    assert list(schemas.faults(done.json, schemas.schema(words.replace(" ", "-")))) == []
    return done.json


def test_a_day_is_backed_up_lost_and_brought_back(full, house: Path) -> None:
    told = as_said("db backup", full("db", "backup", "monday.db", "--json"))
    assert told == {"file": "monday.db", "bytes": (house / "monday.db").stat().st_size}
    before = full("subscribers", "list", "--json").json
    assert full("db", "restore", "monday.db", status=1).stderr.count("\n") == 1
    (house / "paperround.db").unlink()
    assert as_said("db restore", full("db", "restore", "monday.db", "--json"))["replaced"] is None
    assert full("subscribers", "list", "--json").json == before
    assert as_said("db restore", full("db", "restore", "monday.db", "--force", "--json"))["replaced"] == str(
        house / "paperround.db.replaced-1"
    )
    checked = as_said("db check", full("db", "check", "--json"))
    assert checked["faults"] == []
    assert {"name": "subscribers", "rows": 1, "bytes": None} in checked["sizes"]


def test_a_backup_without_a_name_gets_one_of_the_time(full, house: Path) -> None:
    full("db", "backup")
    assert len(list(house.glob("paperround-20*.db"))) == 1


def test_everything_moves_into_another_database(full, house: Path) -> None:
    counts = as_said("db move", full("db", "move", "sqlite:///paperround.db", "sqlite:///other.db", "--json"))["tables"]
    assert (counts["subscribers"], counts["digests"]) == (1, 1)
    assert "holds data already" in full("db", "move", "sqlite:///paperround.db", "sqlite:///other.db", status=1).stderr
    assert "begins with sqlite:///" in full("db", "move", "paperround.db", "sqlite:///third.db", status=2).stderr
    assert not (house / "third.db").exists()


def test_what_retention_no_longer_keeps_is_told_and_then_goes(full, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(as_said("db prune", full("db", "prune", "--json")).values()) == {0}
    monkeypatch.setenv("PAPERROUND_EMBEDDING_MODEL", "another-model")
    told = as_said("db prune", full("db", "prune", "--dry-run", "--json"))
    assert told["work_vectors of other models"] > 0
    gone = as_said("db prune", full("db", "prune", "--json"))
    assert gone["work_vectors of other models"] == told["work_vectors of other models"]
    assert full("db", "prune", "--dry-run", "--json").json["work_vectors of other models"] == 0
