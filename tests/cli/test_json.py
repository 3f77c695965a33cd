"""What commands say to programs: each has a schema in docs/reference/json, and what it really prints is as the schema says."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli import conftest
from tests.cli import schema as schemas

from paperround.bundled_files import bundled

ELSEWHERE = {"db backup", "db restore", "db move", "db prune", "db check", "worker"}  # what their own tests run
ITEMS = [{"id": str(number), "title": f"paper {number} on {'robots' if number % 2 else 'birds'}", "text": ""} for number in range(40)]
READER = {"id": "u1", "liked": ["1", "3"], "interests": ["robots"], "relevant": ["21", "23"]}
DATASET = {
    "items.jsonl": "\n".join(map(json.dumps, ITEMS)),
    "new_items.txt": "\n".join(each["id"] for each in ITEMS[20:]),
    "users.jsonl": json.dumps(READER),
}
BOUNCE = "From: MAILER-DAEMON@example.org\nTo: paper@localhost\nSubject: Out of office\nAuto-Submitted: auto-replied\n\nBack on Monday.\n"
OPML = '<opml version="2.0"><body><outline type="rss" text="Gone" xmlUrl="http://127.0.0.1:9/feed"/></body></opml>'

# (words of the command, options, exit status); {…} are files made below
RUNS: list[tuple[str, list[str], int | None]] = [
    ("init", ["new"], 0),
    ("demo", ["--out", "out", "--me", "octopus"], 0),
    ("collect", [], 0),
    ("embed", [], 0),
    ("compose", [], 0),
    ("deliver", [], 0),
    ("deliver", ["--dry-run"], 0),
    ("run", [], 0),
    ("run", ["--dry-run"], 0),
    ("search", ["octopus", "--limit", "2"], 0),
    ("evaluate", ["dataset"], 0),
    ("evaluate", ["--replay"], 0),
    ("preview", ["ada@example.org", "--days", "30", "--out", "next.html"], 0),
    ("status", [], 0),
    ("bounces", ["away.eml"], 0),
    ("report", ["--out", "report.html"], 0),
    ("doctor", [], None),
    ("sources add", [str(bundled("sample/slow-science.xml")), "absent.txt"], 1),
    ("sources list", [], 0),
    ("sources show", ["Slow Science Review"], 0),
    ("sources check", [str(bundled("sample/slow-science.xml"))], 0),
    ("sources import", ["feeds.opml"], 1),
    ("sources export", [], 0),
    ("subscribers add", ["bea@example.org", "--interest", "robots"], 0),
    ("subscribers list", [], 0),
    ("subscribers show", ["ada@example.org"], 0),
    ("subscribers import", ["list.csv"], 1),
    ("subscribers export", [], 0),
    ("subscribers sync", ["profiles"], 1),
    ("profiles show", ["ada@example.org"], 0),
    ("explain match", ["ada@example.org", "1"], 0),
    ("explain delivery", ["ada@example.org"], 0),
    ("db check", [], 0),
    ("suppressions list", [], 0),
    ("config show", [], 0),
    ("templates list", [], 0),
    ("templates check", [], 0),
]


def test_what_every_command_prints_is_as_its_schema_says(full, house: Path) -> None:
    for name, text in {**{f"dataset/{name}": text for name, text in DATASET.items()}, "away.eml": BOUNCE, "feeds.opml": OPML}.items():
        (house / name).parent.mkdir(exist_ok=True)
        (house / name).write_text(text, encoding="utf-8")
    (house / "list.csv").write_text("email\ncem@example.org\nno address\n", encoding="utf-8")
    (house / "profiles").mkdir()
    (house / "profiles" / "cy.toml").write_text('email = "cy@example.org"\n', encoding="utf-8")
    (house / "profiles" / "di.toml").write_text('email = "no address"\n', encoding="utf-8")
    full("suppressions", "add", "gone@example.org")
    full("profiles", "like", "ada@example.org", "1")
    full("profiles", "add-interest", "ada@example.org", "deep sea", "--weight", "2")
    for words, options, status in RUNS:
        done = full(*words.split(), *options, "--json", status=status)
        found = list(schemas.faults(done.json, schemas.schema(words.replace(" ", "-"))))
        assert found == [], f"{words}: {found}"


def test_every_command_that_reports_has_a_schema_and_is_run() -> None:
    reporting = {words for words, command in conftest.commands() if any("--json" in each.opts for each in command.params)}
    assert {words for words in reporting if not (schemas.FOLDER / f"{words.replace(' ', '-')}.json").exists()} == set()
    assert reporting - {words for words, _, _ in RUNS} <= ELSEWHERE


@pytest.mark.parametrize("path", sorted(schemas.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_key_of_every_schema_says_what_it_is(path: Path) -> None:
    def silent(rule: Any, place: str) -> list[str]:
        found = []
        for key, each in rule.get("properties", {}).items():
            if not {"description", "$ref"} & each.keys() and "items" not in each:
                found.append(f"{place}.{key}")
            found += silent(each, f"{place}.{key}")
        for each in [*([rule["items"]] if "items" in rule else []), *rule.get("anyOf", [])]:
            found += silent(each, place)
        return found

    assert silent(json.loads(path.read_text(encoding="utf-8")), path.stem) == []


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"a": 1}, {"type": "object", "properties": {}, "additionalProperties": False}),
        ({}, {"type": "object", "required": ["a"]}),
        ([1], {"type": "array", "items": {"type": "string"}}),
        (True, {"type": "integer"}),
        ("x", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("x", {"type": "string", "enum": ["y"]}),
        (-1, {"type": "integer", "minimum": 0}),
        ("2026-11-20T07:30:00", {"type": "string", "format": "date-time"}),
        ({"tags": "no list"}, {"$ref": "source.json"}),
    ],
)
def test_the_check_itself_sees_what_is_wrong(value: Any, rule: dict[str, Any]) -> None:
    assert list(schemas.faults(value, rule))
