"""Abstracts in sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.matching.sentences import split_sentences


@pytest.mark.parametrize(
    "whole",
    [
        "Smith et al. Showed that it works.",
        "It gains 3.5 points, e.g. On hard tasks.",
        "See https://example.org/a.b for code and data.",
        "J. K. Rowling wrote it.",
    ],
)
def test_what_ends_no_sentence(whole: str) -> None:
    assert split_sentences(whole) == (whole,)


def test_sentences_keep_their_order() -> None:
    assert split_sentences("We ask why. Does it help? It does!") == ("We ask why.", "Does it help?", "It does!")


@given(st.text(max_size=300))
def test_no_word_is_lost(text: str) -> None:
    assert " ".join(split_sentences(text)).split() == text.split()
