"""Feed parser: RSS, Atom, RDF and JSON Feed bytes → entries; ParseError and nothing else, whatever the bytes (pure)."""

import io
import re
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import feedparser

from paperround.errors import ParseError
from paperround.models import Entry, ParsedFeed
from paperround.sources.dates import parse_date
from paperround.sources.json_feed import looks_like_json, parse_json_feed
from paperround.sources.safe_html import DEEPEST, absolute_url, clean_html, html_to_text, monstrous, one_line
from paperround.sources.scholarly import arxiv_of, doi_of, with_identifiers

__all__ = ["clean_html", "html_to_text", "parse_feed"]
_EMPTY: Mapping[str, str] = {}


def parse_feed(body: bytes, *, url: str, headers: Mapping[str, str] = _EMPTY) -> ParsedFeed:
    """The entries of a feed, in its order. `url`: where the body came from, for relative addresses; `headers`: the answer's.

    Raises ParseError in one line that names the place."""
    if not body.strip():
        raise ParseError(f"{url}: is empty")
    if looks_like_json(body):
        return parse_json_feed(body, url=url)
    return _parse_xml(body, url, headers)


def _parse_xml(body: bytes, url: str, headers: Mapping[str, str]) -> ParsedFeed:
    if monstrous(body.decode("latin-1")):
        raise ParseError(f"{url}: elements are nested more than {DEEPEST} deep, or have attributes by the thousand")
    told = {name.lower(): value for name, value in headers.items()}
    answer = {
        "content-type": told.get("content-type", "")
    }  # not where it lies: a third of the time goes by joining addresses we join again
    try:  # always a BytesIO: a str or bytes that names a file would be opened
        parsed = feedparser.parse(io.BytesIO(body), response_headers=answer, sanitize_html=False, resolve_relative_uris=False)
        if not parsed.get("version") and not parsed.entries and not parsed.feed.get("title"):
            raise ParseError(f"{url}: {_what(body)}")
        entries = tuple(_entry(each, url) for each in parsed.entries)
        return ParsedFeed(
            title=html_to_text(str(parsed.feed.get("title", ""))),
            entries=entries,
            link=absolute_url(parsed.feed.get("link"), url),
            hints=_hints(parsed.feed, body),
        )
    except ParseError:
        raise
    except Exception as error:
        raise ParseError(f"{url}: cannot be read as a feed: {type(error).__name__}: {one_line(str(error))[:200]}") from error


def _what(body: bytes) -> str:
    start = body[:2000].lower()
    if b"<html" in start or b"<!doctype html" in start:
        return "is an HTML page, not a feed"
    return "is no RSS, Atom or JSON feed"


def _hints(feed: Mapping[str, Any], body: bytes) -> dict[str, str]:
    """What the feed says of its own rhythm; of hours and days to skip feedparser keeps only the last."""
    names = {"ttl": "ttl", "sy_updateperiod": "update_period", "sy_updatefrequency": "update_frequency"}
    hints = {ours: str(feed[theirs]) for theirs, ours in names.items() if feed.get(theirs)}
    for found in re.finditer(rb"<skip(Hours|Days)>(.{1,2000}?)</skip", body, re.S):
        hints[f"skip_{found[1].decode().lower()}"] = one_line(re.sub(rb"<[^<>]*>", b" ", found[2]).decode("latin-1"))
    return hints


def _entry(data: Any, url: str) -> Entry:
    link = absolute_url(data.get("link") or _alternate(data), url, tracked=True) or _guid_link(data)  # as the feed has it
    described = str(data.get("summary") or "")
    texts = [each for each in (*data.get("content", []), data.get("summary_detail")) if isinstance(each, dict) and each.get("value")]
    longest = max(texts, key=lambda each: len(each["value"]), default={})
    html = longest.get("value", "")
    summary = html_to_text(described) or html_to_text(html)
    number, version = arxiv_of(data.get("id"), data.get("link"))
    return with_identifiers(
        Entry(
            title=html_to_text(str(data.get("title") or "")) or summary[:100] or (link or ""),
            url=link,
            summary=_abstract(summary) if number else summary,
            content=clean_html(html, base_url=urljoin(url, longest.get("base") or "")) if html else "",
            authors=_authors(data),
            published=_date(data, "published") or _date(data, "created"),
            updated=_date(data, "updated"),
            guid=one_line(str(data.get("id") or "")) or None,
            source_url=url,
            arxiv_id=number,
            version=version,
            doi=doi_of(data.get("prism_doi"), _prefixed(data.get("arxiv_doi")), _prefixed(data.get("dc_identifier"))),
            categories=tuple(dict.fromkeys(one_line(str(tag.get("term") or "")) for tag in data.get("tags", []) if tag.get("term"))),
        )
    )


def _alternate(data: Any) -> str | None:
    links = [each for each in data.get("links", []) if each.get("href")]
    best = [each for each in links if each.get("rel", "alternate") == "alternate"] or [
        each for each in links if each.get("rel") != "enclosure"
    ]
    return best[0]["href"] if best else None


def _guid_link(data: Any) -> str | None:
    guid = str(data.get("id") or "")
    return absolute_url(guid, "") if guid.startswith(("http://", "https://")) and data.get("guidislink", True) else None


def _prefixed(value: object) -> str | None:
    text = str(value or "")
    return f"doi:{text}" if text.startswith("10.") else text or None


def _abstract(text: str) -> str:
    """arXiv's RSS puts number and announce type before the abstract."""
    head, found, rest = text.partition("Abstract:")
    return rest.strip() if found and len(head) < 120 else text


def _authors(data: Any) -> tuple[str, ...]:
    names = [one_line(html_to_text(str(each.get("name") or ""))) for each in data.get("authors", []) if isinstance(each, dict)]
    names = [name for name in names if name] or [one_line(html_to_text(str(data.get("author") or "")))]
    if len(names) == 1 and names[0].count(",") >= 1 and "@" not in names[0]:  # arXiv and bioRxiv put all of them into one element
        parts = [part.strip() for part in names[0].split(",")]
        if all(" " in part or len(parts) > 2 for part in parts):
            names = parts
    return tuple(dict.fromkeys(name for name in names if name))


def _date(data: Any, name: str) -> datetime | None:
    found = dict.get(data, f"{name}_parsed")  # feedparser's own get would answer with another field
    if found:
        try:
            return datetime.fromtimestamp(timegm(found), UTC)
        except (ValueError, OverflowError, OSError):
            return None
    return parse_date(str(dict.get(data, name) or ""))
