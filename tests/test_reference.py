"""docs/reference is what the code says: each page is made from it, and a test fails until `python tests/test_reference.py` made it anew."""

import asyncio
import inspect
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest
import typer
from jinja2 import meta

from paperround.cli import app
from paperround.config_keys import Settings, duration_text, is_secret, tables
from paperround.digests import mail_content, wording
from paperround.digests.lean_jinja import kept_by
from paperround.models import ListIdentity, ReaderLinks

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
BACK = "[Documentation](../README.md) · made from the code by `python tests/test_reference.py`"


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", BACK, *filter(None, parts)]) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([each.replace("|", "\\|").replace("\n", " ") for each in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# ---------------------------------------------------------------- commands


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(words), command
    for name, each in (below or {}).items():
        yield from commands(each, (*words, name))


def command_page() -> str:
    found = list(commands(typer.main.get_command(app.app)))
    index = table(["command", "does"], [[f"[`{words}`](#{words.replace(' ', '-')})", told(each)[0]] for words, each in found])
    return page(
        "Commands",
        "`paperround [--config FILE] COMMAND`. The configuration is `./paperround.toml`, or what `$PAPERROUND_CONFIG` names. "
        "`--json` prints one document on stdout and nothing else there ([schemas](json.md)); all else a person should know goes to stderr.",
        "Exit status: 0 the step ran; 1 it could not, or a thing named failed, after the rest was done; 2 wrong usage or configuration, "
        "in one line; 130 Ctrl-C, after which the same command goes on.",
        "Completion: `paperround --install-completion` for bash, zsh and fish.",
        index,
        *(command_section(words, each) for words, each in found),
    )


def told(command: Any) -> tuple[str, str, str]:
    """First sentence, what else it says, its examples."""
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    first, _, rest = text.partition("\n")
    more, _, examples = re.sub(r"^Examples?:\n", "\0", rest, count=1, flags=re.M).partition("\0")
    return first, " ".join(more.split()), inspect.cleandoc(examples)


def command_section(words: str, command: Any) -> str:
    first, more, examples = told(command)
    rows = [[names(each), (each.help or "") + default(each)] for each in command.params if "--help" not in each.opts]
    parts = [f"## {words}", f"{first} {more}".strip(), f"```sh\n{examples}\n```" if examples else "", table(["", ""], rows) if rows else ""]
    return "\n\n".join(filter(None, parts))


def names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    is_flag = getattr(parameter, "is_flag", False)
    return ", ".join(
        f"`{each}{'' if is_flag else ' ' + (parameter.metavar or parameter.name.upper().strip('_'))}`" for each in parameter.opts
    )


def default(parameter: Any) -> str:
    value = parameter.default
    return f" Default: {value}." if isinstance(value, int | float) and not isinstance(value, bool) else ""


# ---------------------------------------------------------------- configuration


def configuration_page() -> str:
    plain = {name: info for name, info in Settings.model_fields.items() if name not in tables() and name != "relays"}
    sections = [f"## [{name}]\n\n" + keys(each.model_fields, f"{name}_") for name, each in tables().items()]
    return page(
        "Configuration",
        "`paperround.toml`; every key is optional. `paperround init` writes one with all of them, `paperround config show` tells what is "
        "in force and where from. Relative paths start at the file's folder; durations are texts such as `30m`, `4h`, `7d`.",
        "Each key is also an environment variable, which goes before the file: `PAPERROUND_` and the key, of a table "
        "`PAPERROUND_TABLE_KEY`. A secret may also be read from a file that `KEY_file` names. A name that is unknown is refused.",
        keys(plain, ""),
        *sections,
        f"## [[relays]]\n\n{Settings.model_fields['relays'].description}",
    )


def keys(fields: Mapping[str, Any], prefix: str) -> str:
    rows = []
    for name, info in fields.items():
        secret = f" Or `{name}_file`." if is_secret(info) else ""
        variable = f"`PAPERROUND_{prefix}{name}`".upper()
        rows.append([f"`{name}`", value(info), f"{info.description}{secret}", variable])
    return table(["key", "default", "", "variable"], rows)


def value(info: Any) -> str:
    """The default; where there is none, a value to follow."""
    if info.examples:
        return f"none; such as `{shown(info.examples[0])}`"
    return f"`{shown(info.default)}`"


def shown(each: object) -> str:
    text = (
        duration_text(each)
        if isinstance(each, timedelta)
        else str(each)
        if isinstance(each, Path)
        else list(each)
        if isinstance(each, tuple)
        else each
    )
    return json.dumps(text, ensure_ascii=False)


# ---------------------------------------------------------------- templates

FIELD = re.compile(r"^    (\w+): ([^=#\n]+?)(?: = [^#\n]+?)?(?:  # (.+))?$", re.M)


def fields(kind: type) -> str:
    found = {name: [f"`{name}`", f"`{sort.strip()}`", comment] for name, sort, comment in FIELD.findall(inspect.getsource(kind))}
    return table(["", "type", ""], list(found.values()))


def asked_for() -> list[list[str]]:
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"])  # only parsed
    environment.filters["kept_by"] = kept_by
    rows = []
    for path in sorted((ROOT / "templates").rglob("*.j2")):
        asked = meta.find_undeclared_variables(environment.parse(path.read_text(encoding="utf-8")))
        rows.append(
            [f"`{path.relative_to(ROOT / 'templates')}`", ", ".join(f"`{name}`" for name in sorted(asked - {"_", "ngettext"})) or "–"]
        )
    return rows


def template_page() -> str:
    return page(
        "Template variables",
        "How to make templates of your own: [own templates](../how-to/own-templates.md). Everything is escaped; `_` and `ngettext` say "
        "words in the reader's language. `{% filter kept_by(VALUE, …) %}…{% endfilter %}` says that what stands within depends on these "
        "values alone: it saves our own templates time, and means nothing in yours.",
        "## Which template asks for what\n\n" + table(["template", "variables"], asked_for()),
        f"## issue\n\n{inspect.getdoc(mail_content.IssueView)}\n\n" + fields(mail_content.IssueView),
        f"## issue.items, issue.outside, issue.below\n\n{inspect.getdoc(mail_content.ItemView)}\n\n" + fields(mail_content.ItemView),
        f"## item.because\n\n{inspect.getdoc(wording.Because)}\n\n" + fields(wording.Because),
        f"## identity\n\n{inspect.getdoc(ListIdentity)}\n\n" + fields(ListIdentity),
        f"## links\n\n{inspect.getdoc(ReaderLinks)}\n\n" + fields(ReaderLinks),
    )


# ---------------------------------------------------------------- metrics


def metrics_page() -> str:
    rows = [[f"`paperround_{name}`", help_, f"`{label}`" if label else ""] for name, help_, label, _ in asyncio.run(metrics())]
    return page(
        "Metrics",
        "`/metrics` in the form of Prometheus, for this machine alone or for whoever shows `[web] metrics_token`; beside these, the "
        "process's own (`process_…`). Nothing of any person. What to watch: [watching](../watching.md).",
        table(["metric", "", "label"], rows),
    )


async def metrics() -> list[Any]:
    from paperround.config import load_settings
    from paperround.web.metrics import families
    from paperround.wiring import open_parts

    with tempfile.TemporaryDirectory() as home:
        given = {"PAPERROUND_DATABASE": f"sqlite:///{home}/x.db", "PAPERROUND_EMBEDDING_MODEL": "hashing"}
        async with open_parts(load_settings(None, given), keys=(b"0" * 32,)) as parts:
            return await families(parts.storage, "hashing", datetime.now(UTC), lambda: False)


# ---------------------------------------------------------------- JSON


def json_page() -> str:
    schemas = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "json").glob("*.json"))}
    parts = [f"## {schema['title']}\n\n[Schema](json/{name}.json)\n\n{outline(schema)}" for name, schema in schemas.items()]
    return page(
        "JSON",
        "What `--json` prints, as [JSON Schema](https://json-schema.org/draft/2020-12/schema). Keys may be added; none is renamed.",
        *parts,
    )


def outline(schema: Mapping[str, Any]) -> str:
    """In words: what it is, and a table of its keys, those within them too."""
    if "$ref" in schema:
        return f"{kind(schema)}."
    if "anyOf" in schema and "type" not in schema:
        return "\n\nOr: ".join(outline(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        gap = "\n\n" if "properties" in schema["items"] else " "
        return f"{schema.get('description', '')} A list of:{gap}{outline(schema['items'])}".strip()
    found = list(key_rows(schema, ""))
    others = schema.get("additionalProperties")
    by_key = f"By key: {kind(others)}." if isinstance(others, dict) else "" if found else kind(schema) + "."
    said = f"{schema.get('description', '')} {by_key}".strip()
    return "\n\n".join(filter(None, [said, table(["key", "type", ""], found) if found else ""]))


def key_rows(schema: Mapping[str, Any], before: str) -> Iterator[list[str]]:
    for key, each in schema.get("properties", {}).items():
        yield [f"`{before}{key}`", kind(each), each.get("description", "")]
        yield from key_rows(each, f"{before}{key}.")
        yield from key_rows(each.get("items", {}), f"{before}{key}[].")


def kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"[{schema['$ref'].removesuffix('.json')}](json/{schema['$ref']})"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"])) + (", null" if "null" in schema.get("type", ()) else "")
    if "anyOf" in schema:
        return " or ".join(map(kind, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object by key: {kind(schema['additionalProperties'])}"
    types = schema.get("type", "any")
    return " or ".join(types) if isinstance(types, list) else "time" if schema.get("format") == "date-time" else types


PAGES = {
    "commands.md": command_page,
    "configuration.md": configuration_page,
    "templates.md": template_page,
    "metrics.md": metrics_page,
    "json.md": json_page,
}


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    path = FOLDER / name
    assert path.exists(), "python tests/test_reference.py makes it"
    assert path.read_text(encoding="utf-8") == PAGES[name](), "python tests/test_reference.py makes it anew"


def test_every_key_of_a_profile_file_is_explained() -> None:
    from paperround.subscribers.profile_values import CHECKS

    said = (FOLDER / "profile-file.md").read_text(encoding="utf-8")
    assert [key for key in ("email", "id", *CHECKS) if f"`{key}`" not in said] == []


if __name__ == "__main__":
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
