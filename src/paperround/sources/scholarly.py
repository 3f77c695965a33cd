"""Scholarly identifiers: arXiv numbers and DOIs wherever an entry shows them, and the links that follow from them (pure)."""

import re
from dataclasses import replace

from paperround.models import Entry

_ARXIV = re.compile(
    r"(?:arxiv\.org/(?:abs|pdf|html)/|arxiv:|/papers/)((?:\d{4}\.\d{4,5})|(?:[a-z-]+(?:\.[A-Z]{2})?/\d{7}))(?:v(\d+))?", re.I
)
_BARE = re.compile(r"(\d{4}\.\d{4,5})(?:v(\d+))?")
_DOI = re.compile(r"(?:doi\.org/|doi:\s*)(10\.\d{4,9}/[^\s\"<>?#]+)", re.I)


def arxiv_of(*texts: str | None) -> tuple[str | None, int | None]:
    """The versionless number and the version that one of the texts names."""
    for text in texts:
        if text and (found := _ARXIV.search(text)):
            return found[1].lower(), int(found[2]) if found[2] else None
    return None, None


def bare_arxiv(identifier: str) -> str | None:
    """The versionless number when the text is an arXiv number and nothing else."""
    found = _BARE.fullmatch(identifier.strip())
    return found[1] if found else None


def doi_of(*texts: str | None) -> str | None:
    for text in texts:
        if text and (found := _DOI.search(text)):
            return found[1].rstrip(".,;)").lower()
    return None


def with_identifiers(entry: Entry) -> Entry:
    """The entry with the numbers its address and guid show, and arXiv's own links."""
    number, version = (entry.arxiv_id, entry.version) if entry.arxiv_id else arxiv_of(entry.guid, entry.url)
    if number and version is None:
        version = arxiv_of(entry.url)[1]
    doi = entry.doi or doi_of(entry.guid, entry.url)
    if doi and doi.startswith("10.48550/arxiv."):
        number, doi = number or bare_arxiv(doi.removeprefix("10.48550/arxiv.")), None
    if not number:
        return replace(entry, doi=doi)
    given = entry.links
    page, pdf = given.abstract or f"https://arxiv.org/abs/{number}", given.pdf or f"https://arxiv.org/pdf/{number}"
    links = replace(given, abstract=page, pdf=pdf)
    return replace(entry, arxiv_id=number, version=version, doi=doi, links=links)
