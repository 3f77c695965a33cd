"""Sentences: an abstract cut into them, and the text of a work that is embedded (pure)."""

import re

_ABBREVIATIONS = re.compile(
    r"\b(?:et al|e\.g|i\.e|cf|vs|etc|resp|approx|fig|figs|eq|eqs|sec|ref|refs|no|vol|dr|prof|st|ca|w\.r\.t|a\.k\.a)\.$", re.I
)
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9À-ÞА-Я])")


def split_sentences(abstract: str) -> tuple[str, ...]:
    """The sentences of a plain text on one line; "et al.", "e.g.", decimals and single initials end none."""
    text = " ".join(abstract.split())
    sentences, start = [], 0
    for found in _END.finditer(text):
        before = text[start : found.start() + 1].rstrip()
        if _ABBREVIATIONS.search(before) or re.search(r"(?:^|\s)[A-Z]\.$", before):
            continue
        sentences.append(text[start : found.end()].strip())
        start = found.end()
    return tuple(each for each in (*sentences, text[start:].strip()) if each)


def text_of_work(title: str, abstract: str) -> str:
    """What stands for a work before the model."""
    return f"{title}. {abstract}" if abstract and title[-1:] not in ".!?" else f"{title} {abstract}".strip()
