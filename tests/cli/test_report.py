"""`paperround report` from a new installation to a page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paperround.cli.app import app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "paperround.toml"
    file.write_text('[embedding]\nmodel = "hashing"\n[list]\nname = "Our <paper>"\n')
    (tmp_path / "paperround.key").write_text("k" * 64)
    return file


def test_a_new_installation_has_a_report(config: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["--config", str(config), "report", "--out", str(page), "--now", "2026-11-20T09:00:00Z", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["since"], found["until"], Path(found["out"])) == ("2026-08-22", "2026-11-20", page)
    assert found["tables"]["Deliveries"] == []
    text = page.read_text(encoding="utf-8")
    assert "Our &lt;paper&gt;" in text
    assert "22 August 2026 to 20 November 2026" in text


def test_a_place_that_cannot_be_written_is_told(config: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--config", str(config), "report", "--out", str(tmp_path / "none" / "report.html")])
    assert done.exit_code == 1
    assert "No such file" in str(done.exception)
