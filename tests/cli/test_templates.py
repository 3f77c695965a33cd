"""An operator's own templates, from the command line: listed, copied out, changed, checked, used."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from paperround.cli import app


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "paperround.toml").write_text('templates = "mine"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAPERROUND_CONFIG", str(tmp_path / "paperround.toml"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def templates(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The program as its shell runs it, without the seconds of a process each."""

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["paperround", "templates", *words])
        with pytest.raises(SystemExit) as ended:
            app.run()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


def test_a_template_is_copied_out_changed_and_checked(home: Path, templates: Callable[..., Done]) -> None:
    assert templates("export", "email/digest.mjml.j2").returncode == 0
    mine = home / "mine" / "email" / "digest.mjml.j2"
    listed = {each["name"]: each for each in json.loads(templates("list", "--json").stdout)}
    assert [name for name, each in listed.items() if each["overridden"]] == ["email/digest.mjml.j2"]
    assert listed["email/digest.mjml.j2"]["path"] == str(mine)
    good = templates("check", "--json")
    assert (good.returncode, json.loads(good.stdout)["faults"]) == (0, [])
    lines = mine.read_text(encoding="utf-8").split("\n")
    place = next(number for number, line in enumerate(lines, 1) if "{{ issue.line }}" in line)
    mine.write_text("\n".join(lines).replace("{{ issue.line }}", "{{ issue.lien }}"), encoding="utf-8")
    bad = templates("check")
    assert bad.returncode == 1
    assert f"{mine}:{place}: {{{{ issue.lien }}}}: " in bad.stderr


def test_accent_colours_that_are_hard_to_read_are_told_with_their_contrast(home: Path, templates: Callable[..., Done]) -> None:
    (home / "mine").mkdir()
    config = home / "paperround.toml"
    assert json.loads(templates("check", "--json").stdout)["pale"] == []
    config.write_text(config.read_text() + '[list]\ncolour = "#f4a261"\ncolour_dark = "#9a3412"\n', encoding="utf-8")
    done = templates("check")
    assert done.returncode == 0
    assert "list.colour: #f4a261 has a contrast of 1.8 to the paper; text needs 4.5" in done.stderr
    assert "list.colour_dark: #9a3412 has a contrast of 2.2 to the paper; text needs 4.5" in done.stderr


def test_exporting_keeps_what_was_changed_unless_told_otherwise(home: Path, templates: Callable[..., Done]) -> None:
    ours = templates("export", "email/notice.txt.j2", "elsewhere")
    assert "wrote elsewhere/email/notice.txt.j2" in ours.stdout
    target = home / "elsewhere" / "email" / "notice.txt.j2"
    before = target.read_text(encoding="utf-8")
    target.write_text("mine", encoding="utf-8")
    assert "kept elsewhere/email/notice.txt.j2" in templates("export", "elsewhere").stdout
    assert target.read_text(encoding="utf-8") == "mine"
    templates("export", "email/notice.txt.j2", "elsewhere", "--force")
    assert target.read_text(encoding="utf-8") == before


def test_every_broken_template_is_named_and_so_is_one_that_nothing_uses(home: Path, templates: Callable[..., Done]) -> None:
    folder = home / "mine" / "email"
    folder.mkdir(parents=True)
    (folder / "digest.txt.j2").write_text("\n{% if issue %}", encoding="utf-8")
    (folder / "notice.mjml.j2").write_text("<mjml><mj-body>\n<mj-sektion></mj-sektion></mj-body></mjml>", encoding="utf-8")
    (folder / "digset.txt.j2").write_text("fine", encoding="utf-8")
    checked = templates("check")
    assert checked.returncode == 1
    assert f"{folder}/digest.txt.j2:2: " in checked.stderr
    assert f"{folder}/notice.mjml.j2:2: <mj-sektion> is no element of MJML" in checked.stderr
    assert "email/digset.txt.j2: none of ours asks for a template of this name" in checked.stderr


def test_an_issue_without_a_way_out_is_a_fault(home: Path, templates: Callable[..., Done]) -> None:
    folder = home / "mine" / "email"
    folder.mkdir(parents=True)
    (folder / "digest.txt.j2").write_text("{{ issue.line }}", encoding="utf-8")
    checked = templates("check")
    assert checked.returncode == 1
    assert "email/digest.txt.j2: issue: no way out" in checked.stderr


def test_what_is_not_there_is_said(home: Path, templates: Callable[..., Done]) -> None:
    missing = templates("list")
    assert (missing.returncode, missing.stderr.strip()) == (2, f"paperround: templates: {home / 'mine'} is no folder")
    unknown = templates("export", "email/nothing.txt.j2")
    assert unknown.returncode == 1
    assert "email/nothing.txt.j2" in unknown.stderr
