"""Golden files: what one mail of every kind says in each language, byte for byte, so that a changed template shows its diff.

A change that is meant: `python tests/digests/renew.py golden`, then read `git diff tests/digests/golden`."""

import difflib
from collections.abc import Mapping
from types import ModuleType

import pytest

from paperround.digests.template_loader import Templates

KINDS = ("one", "three", "trending", "empty", "weekly", "confirmation", "answer", "notice")
NAMES = [f"{kind}.{language}.{form}" for kind in KINDS for language in ("en", "de", "fr") for form in ("html", "txt")]


@pytest.fixture(scope="module")
def made(renew: ModuleType, templates: Templates) -> Mapping[str, str]:
    found: Mapping[str, str] = renew.golden(templates)
    return found


def test_every_kind_has_a_golden_file_in_each_language_and_no_other_is_left(made: Mapping[str, str], renew: ModuleType) -> None:
    assert sorted(made) == sorted(NAMES) == sorted(path.name for path in renew.GOLDEN.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_mail_says_what_its_golden_file_says(made: Mapping[str, str], renew: ModuleType, name: str) -> None:
    kept = (renew.GOLDEN / name).read_text(encoding="utf-8")
    diff = difflib.unified_diff(kept.splitlines(), made[name].splitlines(), "golden", "now", lineterm="", n=1)
    shown = "\n".join(diff)
    assert kept == made[name], f"{name} changed; if it is meant: python tests/digests/renew.py golden\n{shown}"
