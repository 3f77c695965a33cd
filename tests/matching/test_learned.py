"""What votes have taught, in words; and interests in languages that the model does not read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paperround.matching.learned import language_note, learned

LIPS = "lip reading in several languages"
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_without_votes_nothing_was_learned(library: Any) -> None:
    assert learned(library.reader(LIPS)) == []


def test_votes_are_told_under_the_interest_they_belong_to_and_old_ones_as_faded(library: Any) -> None:
    place = int((library.vectors @ library.embedder.embed_now([LIPS])[0]).argmax())
    near, far = library.example(place), library.example((place + 40) % len(library.works), value=-1, at=NOW - timedelta(days=400))
    told = learned(library.reader(LIPS, examples=[near, far]))
    assert told[0] == f"more of “{LIPS}” as in “{library.works[place].title}”"
    assert told[1].startswith("less like")
    assert "counts 30%" in told[1]


FOREIGN = (
    "maschinelles Lernen für Proteine",
    "apprentissage automatique pour les graphes",
    "машинное обучение",
    "強化学習",
    "aprendizaje para robots",
)
TERMS = (
    "graph neural networks",
    "immunohistochemistry of gliomas",
    "Schrödinger operators",
    "β-amyloid and tau",
    "van der Waals forces",
    "Los Angeles air",
    "von Neumann and MIT",
)


@pytest.mark.parametrize("text", FOREIGN)
def test_an_interest_in_another_language_is_told_with_the_setting_that_helps(text: str) -> None:
    note = language_note(text, "all-MiniLM-L6-v2@53aa51172d14")
    assert note is not None
    assert "all-MiniLM-L6-v2 " in note
    assert "multilingual" in note
    assert language_note(text, "paraphrase-multilingual-MiniLM-L12-v2") is None


@pytest.mark.parametrize("text", TERMS)
def test_terms_and_names_are_let_pass(text: str) -> None:
    assert language_note(text, "all-MiniLM-L6-v2") is None
