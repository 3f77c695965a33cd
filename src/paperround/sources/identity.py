"""Identity: one work across feeds, versions and mirrors, whatever the order of arrival (pure)."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from urllib.parse import urlsplit

from paperround.models import Entry
from paperround.records import KnownWork, Placement
from paperround.sources.safe_html import absolute_url

START = 120  # letters of an abstract that tell it from others
LEAST = 40  # … and how many of them there must be
REWRITTEN = 0.85  # share of words in common under which an abstract is another one


def keys_of(entry: Entry) -> frozenset[str]:
    """What an entry can be recognised by: arXiv number without version, DOI, address, its source's own name for it, title with authors
    or with abstract."""
    keys = set()
    if entry.arxiv_id:
        keys.add(f"arxiv:{entry.arxiv_id.lower()}")
    if entry.doi:
        keys.add(f"doi:{entry.doi.lower()}")
    if address := canonical_url(entry.url):
        keys.add(f"url:{address}")
    if entry.guid and entry.source_url:
        keys.add(f"guid:{entry.source_url} {entry.guid}")  # edited in place, it stays the same
    title, abstract = letters(entry.title), letters(entry.summary[: 3 * START])[:START]
    if len(title) >= 8 and entry.authors:
        keys.add(f"title+author:{title}:{_surname(entry.authors[0])}")
    if len(title) >= 8 and len(abstract) >= LEAST:
        keys.add("title+abstract:" + hashlib.sha256(f"{title}:{abstract}".encode()).hexdigest()[:32])
    if not keys or (not entry.url and not entry.authors and not abstract):
        keys.add(f"title:{title or entry.guid or entry.title}")
    return frozenset(keys)


def letters(text: str) -> str:
    """Letters and digits alone, in lower case and without accents: two sources seldom agree on more."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKD", text).casefold())


def _surname(author: str) -> str:
    last, comma, _ = author.partition(",")
    return letters(last if comma else author.split()[-1] if author.split() else "")


def canonical_url(url: str | None) -> str | None:
    """An address without scheme, www and trailing slash; None for a site's front page, which many entries may name."""
    clean = absolute_url(url, "")
    if not clean:
        return None
    parts = urlsplit(clean)
    host = (parts.hostname or "").removeprefix("www.")
    path = re.sub(r"(?<=\d)v\d+$", "", parts.path.rstrip("/")) if host.endswith("arxiv.org") else parts.path.rstrip("/")
    if not host or (not path and not parts.query):
        return None
    return f"{host}{path}" + (f"?{parts.query}" if parts.query else "")


def place(entries: Sequence[Entry], known: Mapping[str, KnownWork]) -> Placement:
    """Which entries are one work, and which stored works they unite. `known`: the stored work of each key that is stored.

    The union of everything that shares a key, so the order of arrival does not matter; the oldest stored work comes first."""
    parent = list(range(len(entries)))

    def root(each: int) -> int:
        while parent[each] != each:
            parent[each] = parent[parent[each]]
            each = parent[each]
        return each

    keys = [keys_of(entry) for entry in entries]
    owner: dict[str, int] = {}
    for number, mine in enumerate(keys):
        for key in sorted(mine | {f"work:{known[key].id}" for key in mine if key in known}):
            if key in owner:
                first, second = sorted((root(owner[key]), root(number)))
                parent[second] = first
            else:
                owner[key] = number
    groups: dict[int, list[int]] = {}
    for number in range(len(entries)):
        groups.setdefault(root(number), []).append(number)
    unions = [frozenset().union(*(keys[each] for each in members)) for members in groups.values()]
    works = [tuple(sorted({known[key].id for key in union if key in known})) for union in unions]
    return Placement(groups=tuple(map(tuple, groups.values())), works=tuple(works), keys=tuple(unions))


def material_change(old: str, new: str) -> str | None:
    """What a new version's abstract says otherwise, in a sentence; None when only its wording was polished."""
    if not old or not new or letters(old) == letters(new):
        return None
    before, after = _figures(old), _figures(new)
    gone, come = [each for each in before if each not in after], [each for each in after if each not in before]
    if gone and come:
        return f"the abstract now says {come[0]}, it said {gone[0]}"
    if come:
        return f"the abstract now also says {come[0]}"
    if SequenceMatcher(None, old.split(), new.split(), autojunk=False).ratio() < REWRITTEN:
        return "the abstract was rewritten"
    return None


def _figures(text: str) -> list[str]:
    """Numbers with the sign or word behind them, in order, once each."""
    found = re.findall(r"\d+(?:[.,]\d+)*(?:\s?(?:%|×|x\b|percent\b|times\b|points?\b))?", text)
    return list(dict.fromkeys(" ".join(each.split()) for each in found))
