"""As much of JSON Schema as the schemas of docs/reference/json use; a word that is not known here is a fault, so none goes unchecked."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference" / "json"
SAID = {"$schema", "title", "description"}
KNOWN = SAID | {
    *("$ref", "anyOf", "enum", "type", "format", "minimum", "items", "properties", "required", "additionalProperties"),
}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def schema(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def faults(value: Any, rule: dict[str, Any], place: str = "") -> Iterator[str]:
    """What in a value is not as the schema says, with its place."""
    assert not rule.keys() - KNOWN, rule.keys() - KNOWN
    if "$ref" in rule:
        yield from faults(value, schema(rule["$ref"].removesuffix(".json")), place)
    if "anyOf" in rule and all(list(faults(value, each, place)) for each in rule["anyOf"]):
        yield f"{place}: {value!r} is none of {rule['anyOf']}"
    if "enum" in rule and value not in [*rule["enum"], *([None] if "null" in rule.get("type", ()) else [])]:
        yield f"{place}: {value!r} is none of {rule['enum']}"
    if "type" in rule and not _is(value, rule["type"]):
        yield f"{place}: {value!r} is no {rule['type']}"
    elif value is not None:
        yield from _inside(value, rule, place)


def _is(value: Any, types: str | list[str]) -> bool:
    names = [types] if isinstance(types, str) else types
    return any(isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names)


def _inside(value: Any, rule: dict[str, Any], place: str) -> Iterator[str]:
    if rule.get("format") == "date-time" and datetime.fromisoformat(value).tzinfo is None:
        yield f"{place}: {value!r} has no zone"
    if value_is_less(value, rule):
        yield f"{place}: {value} is less than {rule['minimum']}"
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from faults(each, rule.get("items", {}), f"{place}[{number}]")
    if isinstance(value, dict):
        properties, others = rule.get("properties", {}), rule.get("additionalProperties", {})
        yield from (f"{place}: {key} is missing" for key in set(rule.get("required", ())) - value.keys())
        for key, each in value.items():
            if key not in properties and others is False:
                yield f"{place}: {key} is not in the schema"
            elif key in properties or others is not True:
                yield from faults(each, properties.get(key, others), f"{place}.{key}")


def value_is_less(value: Any, rule: dict[str, Any]) -> bool:
    return "minimum" in rule and isinstance(value, int | float) and value < rule["minimum"]
