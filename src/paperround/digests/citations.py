"""Room: citations. Works as BibTeX and RIS, for reference managers and LaTeX; nothing a title holds can run in either (pure)."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from paperround.digests.wording import home, plain
from paperround.models import Work

MEDIA_TYPES = {"bib": "application/x-bibtex; charset=utf-8", "ris": "application/x-research-info-systems; charset=utf-8"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Words for the braces and the backslash: BibTeX counts "\{" as a brace, so an escaped one alone would swallow what follows.
_TEX = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_"},
        **{"\\": "{\\textbackslash}", "{": "{\\textbraceleft}", "}": "{\\textbraceright}"},
        **{"~": "{\\textasciitilde}", "^": "{\\textasciicircum}"},
    }
)
_DOI = re.compile(r"10\.\d{4,9}/[^\s{}\\%\"<>]+")
_ARXIV = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7}")
_ARXIV_CLASS = re.compile(r"[a-z-]+\.[A-Za-z-]{2,}")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AND = re.compile(r"(?:^|\s)(?:and|others)(?:\s|$)", re.IGNORECASE)


def citations(form: str, works: Iterable[Work]) -> bytes:
    """The works in their order, in UTF-8. `form`: bib or ris."""
    return "".join({"bib": _bibtex, "ris": _ris}[form](work) for work in works).encode()


def citation_key(work: Work) -> str:
    """`okafor2026-2611.00101`: first author, year and identifier (arXiv's, else our own number). It hangs neither on the title nor on the
    works beside it, so what is cited by it stays cited."""
    last = _split(work.authors[0])[0] if work.authors else ""
    name = re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode().lower())[:30]
    year = work.published.year if work.published else ""
    return f"{name or 'work'}{year}-{(_arxiv(work) or str(work.id)).replace('/', '-')}"


def _arxiv(work: Work) -> str | None:
    return work.arxiv_id if work.arxiv_id and _ARXIV.fullmatch(work.arxiv_id) else None


def _doi(work: Work) -> str | None:
    return work.doi if work.doi and _DOI.fullmatch(work.doi) else None


def uri(url: str) -> str:
    """An address as RFC 3986 spells it: reference managers, feed readers and validators want URIs, not IRIs."""
    before, hash_, fragment = quote(url, safe="!#$%&'()*+,/:;=?@", errors="ignore").partition("#")
    return _STRAY_PERCENT.sub("%25", f"{before}{hash_}{fragment.replace('#', '%23')}")


def _split(name: str) -> tuple[str, str]:
    """Last name and first names of "Ludwig van Dam" and of "van Dam, Ludwig". What has one word, or reads like several people, is all last
    name: nothing of it is abbreviated or taken apart."""
    name = plain(name)
    last, comma, first = name.partition(",")
    if not comma:
        *words, last = name.split() or [""]
        while words and words[-1][0].islower() and not _AND.search(name):
            last = f"{words.pop()} {last}"
        first = " ".join(words)
    return (name, "") if _AND.search(name) or not last.strip() else (last.strip(), first.strip())


# ---------------------------------------------------------------- BibTeX


def _bibtex(work: Work) -> str:
    fields = "".join(f"  {name} = {value},\n" for name, value in _fields(work))
    return f"@misc{{{citation_key(work)},\n{fields}}}\n\n"


def _fields(work: Work) -> Iterator[tuple[str, str]]:
    """Names and delimited values. Addresses and identifiers are taken word for word by every style, so they are not escaped."""
    yield "title", f"{{{{{_tex(work.title)}}}}}"  # twice: a style that lowers titles leaves BERT alone
    if people := [_person(name) for name in work.authors if plain(name)]:
        yield "author", f"{{{' and '.join(people)}}}"
    if work.published:
        yield "year", f"{{{work.published.year}}}"
        yield "month", _MONTHS[work.published.month - 1]
    if arxiv := _arxiv(work):
        yield "eprint", f"{{{arxiv}}}"
        yield "archiveprefix", "{arXiv}"
        if of_arxiv := next(filter(_ARXIV_CLASS.fullmatch, work.categories), None):
            yield "primaryclass", f"{{{of_arxiv}}}"
    if doi := _doi(work):
        yield "doi", f"{{{doi}}}"
    if url := home(work):
        yield "url", f"{{{uri(url)}}}"
    if work.abstract:
        yield "abstract", f"{{{_tex(work.abstract)}}}"


def _tex(text: str) -> str:
    return plain(text).translate(_TEX)


def _person(name: str) -> str:
    """Last, First; in braces what BibTeX would split at other places than we do."""
    last, first = _split(name)
    return _tex(f"{last}, {first}") if first and "," not in first else f"{{{_tex(name)}}}"


# ---------------------------------------------------------------- RIS


def _ris(work: Work) -> str:
    lines = [f"{tag}  - {plain(value)}" for tag, value in _tags(work) if plain(value)]
    return "\r\n".join([f"TY  - {_kind(work)}", *lines, "ER  - ", "", ""])


def _kind(work: Work) -> str:
    """A manuscript, an article, a page on the web."""
    return "UNPB" if _arxiv(work) else "JOUR" if _doi(work) else "ELEC"


def _tags(work: Work) -> Sequence[tuple[str, str]]:
    day, arxiv = work.published, _arxiv(work)
    return [
        ("ID", citation_key(work)),
        ("TI", work.title),
        *(("AU", ", ".join(filter(None, _split(name)))) for name in work.authors),
        *([("PY", str(day.year)), ("DA", f"{day:%Y/%m/%d}/")] if day else []),
        *([("PB", "arXiv"), ("AN", f"arXiv:{arxiv}")] if arxiv else []),
        ("DO", _doi(work) or ""),
        ("UR", uri(home(work) or "")),
        *(("KW", keyword) for keyword in work.keywords),
        ("AB", work.abstract),
    ]
