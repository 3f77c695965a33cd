"""Daily Papers: their pages as text and as HTML, and their JSON → entries (pure)."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from paperround.errors import ParseError
from paperround.models import Entry, Links
from paperround.sources.dates import parse_date
from paperround.sources.json_feed import read_json
from paperround.sources.safe_html import absolute_url, html_to_text, one_line
from paperround.sources.scholarly import bare_arxiv, with_identifiers

PAPERS = "https://huggingface.co/papers/"
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    rf"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?(?:{_MONTH}\s+(\d{{1,2}})|(\d{{1,2}})\.?\s+{_MONTH})(?:,?\s+(\d{{4}}))?", re.I
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
# What a page says of itself between and around the papers.
_FURNITURE = re.compile(
    r"new|subscribe|daily papers|trending papers|papers|get trending papers in your email inbox!?|"
    r"by\s?.{1,40}and the research community|(?:daily|weekly|monthly)|(?:previous|next|today|log in|sign up|join|search|login)|"
    r"submitted by.{0,60}|published (?:by|on|in).{0,60}|(?:upvote|view|read|show|load)\b.{0,40}|"
    r"[·•\s\d,.k]*(?:authors?|comments?|upvotes?|likes?)?[·•\s]*|abstract:?|arxiv page|github.{0,20}|"
    r"community|models?|datasets?|spaces|docs|pricing|hugging face",
    re.I,
)
LONG = 240  # characters: a title is hardly ever as long, an abstract hardly ever shorter


def parse_page(text: str, *, url: str, now: datetime, as_of: date | None = None) -> list[Entry]:
    """The papers of a page, as text or as HTML, in its order. The page's date becomes `page_date` of each: when it was seen,
    never when they were published. Raises ParseError when there is none."""
    html = re.search(r"<(?:html|body|article|h[1-4]|div)\b", text[:20_000], re.I) is not None
    entries = list(_from_html(text, url, now, as_of) if html else _from_text(text, url, now, as_of))
    if not entries:
        raise ParseError(f"{url}: no papers on this page" if text.strip() else f"{url}: is empty")
    return entries


# ---------------------------------------------------------------- text


def _from_text(text: str, url: str, now: datetime, as_of: date | None) -> Iterator[Entry]:
    blocks = [one_line(block) for block in _blocks(text)]
    seen = as_of or next((day for block in blocks if (day := page_date(block, now))), None)
    pairs: list[tuple[str, str]] = []
    for block in blocks:
        if not block or _FURNITURE.fullmatch(block) or _DATE.fullmatch(block):
            continue
        if not _is_abstract(block):
            pairs.append((block, ""))
        elif pairs:
            title, so_far = pairs[-1]
            pairs[-1] = (title, f"{so_far} {block}".strip())
    for position, (title, abstract) in enumerate(pairs):
        yield Entry(title=title, summary=abstract, guid=title, source_url=url, position=position, page_date=seen)


def _blocks(text: str) -> list[str]:
    """Paragraphs between blank lines; where there are none, every line is one."""
    lines = text.lstrip("\ufeff").splitlines()
    if any(not line.strip() for line in lines[1:-1]):
        return re.split(r"\n[ \t]*\n", "\n".join(lines))
    return lines


def _is_abstract(block: str) -> bool:
    """Longer than a title, or shorter but several sentences of prose."""
    return len(block) >= LONG or (
        len(block) >= 100 and block.endswith((".", "!", "?", "…")) and re.search(r"[.!?] [A-Z]", block) is not None
    )


def page_date(line: str, now: datetime) -> date | None:
    """The day a line names; without a year the latest such day that is not after `now`."""
    found = _DATE.fullmatch(line)
    if not found:
        return None
    month = _MONTHS.index((found[1] or found[4])[:3].lower()) + 1
    day, year = int(found[2] or found[3]), int(found[5]) if found[5] else None
    for candidate in [year] if year else range(now.year, now.year - 8, -1):  # eight years: 29 February comes that seldom
        try:
            when = date(candidate, month, day)
        except ValueError:
            continue
        if year or when <= now.date():
            return when
    return None


# ---------------------------------------------------------------- HTML


def _from_html(text: str, url: str, now: datetime, as_of: date | None) -> Iterator[Entry]:
    tree = LexborHTMLParser(text)
    times = [one_line(node.text(deep=True)) for node in tree.css("time, h1, h2, header span, header div")]
    seen = as_of or next((day for each in times if (day := page_date(each, now))), None)
    done: set[str] = set()
    for heading in tree.css("h1, h2, h3, h4"):
        link = heading.css_first('a[href*="/papers/"]') or _around(heading)
        address = absolute_url(link.attributes.get("href"), url if url.startswith("http") else PAPERS) if link else None
        title = one_line(heading.text(deep=True))
        if not address or not title or address in done:
            continue
        done.add(address)
        yield with_identifiers(
            Entry(
                title=title,
                url=address,
                summary=_abstract_after(heading),
                guid=address,
                source_url=url,
                position=len(done) - 1,
                page_date=seen,
            )
        )


def _around(heading: LexborNode) -> LexborNode | None:
    """The link that a heading stands in."""
    parent = heading.parent
    return parent if parent is not None and parent.tag == "a" and "/papers/" in (parent.attributes.get("href") or "") else None


def _abstract_after(heading: LexborNode) -> str:
    """The first paragraph of the heading's article, or behind it before the next heading."""
    node: LexborNode | None = heading
    while node is not None and node.tag not in ("article", "section", "li"):
        node = node.parent
    if node is not None:
        found = [one_line(each.text(deep=True)) for each in node.css("p")]
        return max(found, key=len, default="")
    following = heading.next
    while following is not None and following.tag not in ("h1", "h2", "h3", "h4"):
        if following.tag == "p":
            return one_line(following.text(deep=True))
        following = following.next
    return ""


# ---------------------------------------------------------------- JSON


def parse_json(body: bytes, *, url: str) -> list[Entry]:
    """The records of /api/daily_papers; of each only the paper itself is needed. Raises ParseError."""
    data = read_json(body, url=url)
    several = data if isinstance(data, list) else [data]
    records = [each for each in several if isinstance(each, dict) and isinstance(each.get("paper"), dict)]
    if not records:
        raise ParseError(f"{url}: is JSON, but no list of papers")
    return [_record(each, url, position) for position, each in enumerate(records)]


def _record(record: Mapping[str, Any], url: str, position: int) -> Entry:
    paper: Mapping[str, Any] = record["paper"]
    number = bare_arxiv(_text(paper, "id"))
    submitted = parse_date(_text(paper, "submittedOnDailyAt"))
    summary = html_to_text(_text(paper, "summary") or _text(record, "summary"))
    upvotes = paper.get("upvotes")
    address = absolute_url(_text(paper, "url"), url) or (f"{PAPERS}{number}" if number else None)
    return with_identifiers(
        Entry(
            title=html_to_text(_text(paper, "title") or _text(record, "title")) or summary[:100] or _text(paper, "id") or "Untitled",
            url=address,
            summary=summary,
            authors=_names(paper.get("authors")),
            published=parse_date(_text(paper, "publishedAt") or _text(record, "publishedAt")),
            guid=_text(paper, "id") or None,
            source_url=url,
            arxiv_id=number,
            keywords=_keywords(paper.get("ai_keywords")),
            upvotes=upvotes if isinstance(upvotes, int) and not isinstance(upvotes, bool) else None,
            position=position,
            page_date=submitted.date() if submitted else None,
            links=Links(code=absolute_url(_text(paper, "githubRepo"), url), project=absolute_url(_text(paper, "projectPage"), url)),
            withdrawn=bool(paper.get("withdrawnAt")),
        )
    )


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _names(value: object) -> tuple[str, ...]:
    people = [each if isinstance(each, dict) else {"name": str(each)} for each in value] if isinstance(value, list) else []
    names = [one_line(_text(each, "name")) for each in people if each.get("hidden") is not True]
    return tuple(dict.fromkeys(name for name in names if name))


def _keywords(value: object) -> tuple[str, ...]:
    return tuple(one_line(each) for each in value if isinstance(each, str)) if isinstance(value, list) else ()
