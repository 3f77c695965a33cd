"""docs/security.md names a test for each threat, and each of them exists; licences are allowed; secrets come from files or environment."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from paperround.cli.app import app
from paperround.config_keys import Settings, is_secret, keys, tables

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NODE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


# ---------------------------------------------------------------- the document


def threats() -> list[tuple[str, str]]:
    """The first and last cell of each row of its tables."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")]
    return [(row[0], row[-1]) for row in rows if row[0] != "threat" and not set(row[0]) <= {"-"}]


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_threat_names_a_test() -> None:
    found = threats()
    assert len(found) >= 40
    assert [threat for threat, proof in found if not NODE.search(proof)] == []
    assert NODE.sub("", " ".join(proof for _, proof in found)).strip() == ""


@pytest.mark.parametrize(("path", "name"), sorted(set(NODE.findall(TEXT))))
def test_each_named_test_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert name in functions_of(path)


# ---------------------------------------------------------------- secrets


def options(command: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every option and argument of every command, with the command it belongs to."""
    for parameter in command.params:
        yield from ((path, each) for each in (*parameter.opts, parameter.name or ""))
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, f"{path} {name}".strip())


def test_no_command_takes_a_secret_on_its_line() -> None:
    found = list(options(get_command(app)))
    assert ("", "--config") in found
    assert [each for each in found if re.search(r"password|passwd|secret|token|(?<!_)key$", each[1])] == []


def test_every_secret_may_come_from_a_file() -> None:
    secret = [key for key, info in keys().items() if is_secret(info) and not key[-1].endswith("_file")]
    assert {("database",), ("transport",)} <= set(secret)
    assert [key for key in secret if (*key[:-1], f"{key[-1]}_file") not in keys()] == []
    named = {(name, key) for name, table in tables().items() for key in table.model_fields} | {(key,) for key in Settings.model_fields}
    plain = [key for key in named if re.search(r"password|secret|token", key[-1]) and not key[-1].endswith("_file")]
    assert [key for key in plain if key not in secret] == []


# ---------------------------------------------------------------- whose code runs


def test_no_model_may_bring_code() -> None:
    given = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                trusts = [ast.unparse(each.value) for each in node.keywords if each.arg == "trust_remote_code"]
                if name == "SentenceTransformer" or trusts:
                    given[f"{path.name}:{node.lineno}"] = trusts
    assert given
    assert [place for place, trusts in given.items() if trusts != ["False"]] == []


ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "LLVM-exception", "MIT", "PSF-2.0"),
    *("Unlicense", "Zlib"),
    "LGPL-3.0-only",  # psycopg: imported, not changed
    "MPL-2.0",  # tqdm and certificates: file by file, not changed
}
SPOKEN = {  # how distributions without an expression say it
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}


def installed() -> dict[str, Distribution]:
    """What running Paperround installs, its extras included, as far as it is here: markers of other systems are passed over."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    waiting = [Requirement(each) for each in project["dependencies"] + [need for name in extras if name != "dev" for need in extras[name]]]
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        need = waiting.pop()
        key = canonicalize_name(need.name), frozenset(need.extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            found[key[0]] = distribution(need.name)
        except PackageNotFoundError:
            continue
        more = [Requirement(each) for each in found[key[0]].requires or []]
        waiting += [each for each in more if applies(each, need.extras)]
    return found


def applies(need: Requirement, extras: set[str]) -> bool:
    return need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras or {""})


def licence(package: Distribution) -> str:
    """As an expression; "" where it says nothing."""
    said = package.metadata
    classified = [
        each.rpartition(" :: ")[2] for each in said.get_all("Classifier", []) if each.startswith("License") and each.count("::") > 1
    ]
    spoken = classified or [said.get("License", "").strip().partition("\n")[0]]
    return said.get("License-Expression") or " AND ".join(SPOKEN.get(each, each) for each in spoken if each != "OSI Approved")


def refused(expression: str) -> set[str]:
    """The parts of an expression that are not allowed; of several to choose from, one is enough."""
    parts = [re.split(r" AND | WITH ", each.strip("() ")) for each in expression.split(" OR ")]
    left = [{part.strip("() ") for part in each} - ALLOWED for each in parts]
    return set() if set() in left else set.union(*left)


def test_every_licence_of_what_runs_is_allowed() -> None:
    found = {name: licence(package) for name, package in sorted(installed().items())}
    print("", *(f"{name:28}{said}" for name, said in found.items()), sep="\n")
    assert {"torch", "sqlalchemy", "psycopg"} <= set(found)
    assert {name: said for name, said in found.items() if refused(said)} == {}


@pytest.mark.parametrize("planted", ["", "GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "Proprietary", "GPL-2.0-only OR SSPL-1.0"])
def test_a_planted_licence_is_refused(planted: str) -> None:
    assert refused(planted)


@pytest.mark.parametrize("fine", ["MIT", "GPL-2.0-only OR MIT", "Apache-2.0 WITH LLVM-exception AND BSD-3-Clause"])
def test_a_fine_licence_passes(fine: str) -> None:
    assert not refused(fine)
