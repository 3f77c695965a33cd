"""Learned: what a reader's votes have taught so far, in words (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from paperround.matching.profile_vectors import ProfileVectors

BESIDE = 0.3  # cosine to the nearest interest below which a work lies beside them all
LEANS = 0.25  # of the logarithmic odds; below it nothing is worth saying
FADED = 0.9  # weight below which an old vote is said to count for less
NAMED = 5  # titles named one by one


def learned(reader: ProfileVectors) -> list[str]:
    """Sentences for the reader's eyes; [] where no vote has taught anything."""
    kept = list(zip(reader.texts[reader.typed :], reader.likes[reader.typed :], reader.weights[reader.typed :], strict=True))
    refused = list(
        zip(
            reader.dislike_names[reader.typed_dislikes :],
            reader.dislikes[reader.typed_dislikes :],
            reader.dislike_weights[reader.typed_dislikes :],
            strict=True,
        )
    )
    told, beside = [], []
    by_interest: dict[str, list[str]] = {}
    for title, vector, weight in kept:
        nearness = reader.likes[: reader.typed] @ vector
        if len(nearness) and nearness.max() >= BESIDE:
            by_interest.setdefault(reader.texts[int(np.argmax(nearness))], []).append(_named(title, float(weight)))
        else:
            beside.append(_named(title, float(weight)))
    told += [f"more of “{interest}” as in {_listed(titles)}" for interest, titles in by_interest.items()]
    if beside:
        told.append(f"more beside the interests, as in {_listed(beside)}")
    if refused:
        told.append(f"less like {_listed([_named(title, float(weight)) for title, _, weight in refused])}")
    if abs(reader.leaning) >= LEANS:
        much = "more" if reader.leaning > 0 else "less"
        told.append(f"{much} is kept than scores alone promise: strengths are {'raised' if reader.leaning > 0 else 'lowered'}")
    return told


def _named(title: str, weight: float) -> str:
    return f"“{title}”" + (f" (long ago: counts {weight:.0%})" if weight < FADED else "")


def _listed(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


# ---------------------------------------------------------------- words that the model does not read

_FUNCTION_WORDS = re.compile(  # such as stand in no English name: neither "van der Waals" nor "Los Angeles" nor "MIT"
    r"\b(?:und|für|zur|über|eine|nicht|les|des|une|pour|dans|avec|una|para|della|delle|nella|che|een|voor|och|för|não)\b", re.I
)


def seems_foreign(text: str) -> bool:
    """Whether words typed by a person seem to be in another language than English: letters of another script, or small words of another
    Latin one. Names and terms of science look alike everywhere and are let pass."""
    letters = [letter for letter in text if letter.isalpha()]
    other = sum(ord(letter) > 0x24F for letter in letters)
    return other > 0.3 * max(1, len(letters)) or bool(_FUNCTION_WORDS.search(text))


def not_read(texts: Iterable[str], model: str) -> list[str]:
    """Those of the texts whose language the model does not seem to read."""
    return [] if "multilingual" in model.casefold() else [text for text in texts if seems_foreign(text)]


def language_note(text: str, model: str) -> str | None:
    """What to tell the administrator of an interest that the model does not read; None where there is nothing to say."""
    if not not_read([text], model):
        return None
    return (
        f"“{text}” does not look like English, and the model {model.partition('@')[0]} reads little else. Say it in English, or let the "
        'administrator set model = "paraphrase-multilingual-MiniLM-L12-v2" under [embedding].'
    )
