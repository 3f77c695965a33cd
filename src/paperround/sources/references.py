"""Room: references. Papers as people name them, in the forms that a profile keeps (pure)."""

import re

from paperround.models import split_reference
from paperround.sources.scholarly import arxiv_of, bare_arxiv, doi_of

_ENTRY = re.compile(r"@[a-z]+\s*[{(]", re.I)
_BRACED = r"\{((?:[^{}]++|\{(?:[^{}]++|\{[^{}]*+\})*+\})*+)\}"
_FIELD = re.compile(rf'\b(title|doi|eprint|url)\s*=\s*(?:{_BRACED}|"([^"]*)")', re.I)
_BEFORE_TITLE = " -–—:|,"
_BARE_DOI = re.compile(r"10\.\d{4,9}/\S+")


def references(text: str) -> list[str]:
    """Papers named one a line, or by BibTeX entries after such lines: each as arxiv:…, doi:…, an address or a title, without doubles."""
    lines, *entries = _ENTRY.split(text)
    found = [*map(reference, lines.splitlines()), *map(_of_entry, entries)]
    return list(dict.fromkeys(filter(None, found)))


def reference(text: str) -> str:
    """One paper; what holds no number of arXiv's and no DOI stays as it is. What follows a number or an address is its title."""
    text = " ".join(text.split())
    named, title = split_reference(text)
    if named and title:
        return f"{reference(named.rstrip(_BEFORE_TITLE))} {title.lstrip(_BEFORE_TITLE)}".strip()
    doi = doi_of(text) or (text.lower() if _BARE_DOI.fullmatch(text) else None)
    number = arxiv_of(text)[0] or bare_arxiv(text) or (bare_arxiv(doi.removeprefix("10.48550/arxiv.")) if doi else None)
    return f"arxiv:{number}" if number else f"doi:{doi}" if doi else text


def _of_entry(text: str) -> str:
    """A BibTeX entry by its number, else its DOI, its address; and its title."""
    fields = {name.lower(): braced or quoted for name, braced, quoted in _FIELD.findall(text)}
    title = " ".join(re.sub(r"\\[^a-zA-Z\s]|[{}]", "", fields.get("title", "")).split())
    number = fields.get("eprint", "") if bare_arxiv(fields.get("eprint", "")) else ""
    named = number or fields.get("doi") or fields.get("url")
    return f"{reference(named)} {title}".strip() if named else reference(title)
