"""Room: matching. Texts before they are embedded: a work's text, its hash, and its abstract in sentences (pure)."""

import hashlib
import re

LONGEST = 60  # sentences of one abstract that are kept; a feed's article may be a book

# A full stop after one of these ends no sentence.
ABBREVIATIONS = frozenset(
    "e.g i.e et al cf vs resp approx fig figs eq eqs sec secs tab ref refs no nos vol pp ch dr mr mrs ms prof st jr sr dept univ inc ltd co corp "
    "jan feb mar apr jun jul aug sep sept oct nov dec ph.d m.sc b.sc u.s u.k u.n a.k.a w.r.t i.i.d s.t viz ca".split()
)
_END = re.compile(r"""([.!?…]+["'”’)\]]*|[。！？]+["'”’)\]]*)(\s+|(?<=[。！？])|$)""")
_LAST_WORD = re.compile(r"([\w.]+)$")


def text_of_work(title: str, abstract: str) -> str:
    """The text whose vector stands for the work."""
    return f"{title.strip()}\n{abstract.strip()}".strip()


def content_hash(title: str, abstract: str) -> str:
    """Names the text: embedded once ever for a model revision."""
    return hashlib.sha256(text_of_work(title, abstract).encode()).hexdigest()[:32]


def split_sentences(abstract: str) -> tuple[str, ...]:
    """The sentences of an abstract on one line each, in order. Abbreviations, initials, decimals and addresses do not end one."""
    text = " ".join(abstract.split())
    sentences, start = [], 0
    for end in _END.finditer(text):
        if end.end() == len(text) or _ends(text, end):
            sentences.append(text[start : end.end()].strip())
            start = end.end()
    sentences.append(text[start:].strip())
    return tuple(sentence for sentence in sentences if sentence)[:LONGEST]


def _ends(text: str, end: re.Match[str]) -> bool:
    """Whether the mark closes a sentence: what stands before it is no abbreviation and what follows may begin one."""
    mark, following = end.group(1), text[end.end() : end.end() + 1]
    if mark[0] != "." or len(mark.rstrip("\"'”’)]")) > 1:
        return not following.islower()
    found = _LAST_WORD.search(text, 0, end.start())
    word = found.group(1) if found else ""
    abbreviated = word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isupper())
    return not abbreviated and not following.islower()
