"""Recognition: what a body is, and which parser reads it (pure)."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime

from selectolax.lexbor import LexborHTMLParser

from paperround.errors import ParseError
from paperround.models import ParsedFeed, SourceKind
from paperround.sources import daily_papers
from paperround.sources.feed_parser import parse_feed
from paperround.sources.json_feed import looks_like_json, read_json
from paperround.sources.safe_html import absolute_url, one_line

_EMPTY: Mapping[str, str] = {}
_FEED = re.compile(rb"<(?:\?xml|rss\b|feed\b|rdf:RDF\b|!--)", re.I)
_PAGE = re.compile(rb"(?:(?:<!--.*?-->|<\?xml.*?\?>)\s*)*<(?:!doctype html|html|head|body|main|article|section|div|h[1-4])\b", re.I | re.S)
_FEED_TYPES = "application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml"


def guess_kind(body: bytes) -> SourceKind:
    """What a body most likely is; decided by the body alone, since servers and file names often lie."""
    if looks_like_json(body):
        return SourceKind.DAILY_PAPERS if _is_papers_json(body) else SourceKind.FEED
    if is_page(body):
        return SourceKind.DAILY_PAPERS if b"/papers/" in body else SourceKind.FEED
    start = body[:4000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"<" or _FEED.search(start):
        return SourceKind.FEED
    return SourceKind.DAILY_PAPERS


def is_page(body: bytes) -> bool:
    """Whether a body is HTML, by its beginning."""
    return _PAGE.match(body[:4000].lstrip(b"\xef\xbb\xbf \t\r\n")) is not None


def _is_papers_json(body: bytes) -> bool:
    with suppress(ParseError):
        data = read_json(body, url="")
        first = data[0] if isinstance(data, list) and data else data
        return isinstance(first, dict) and "paper" in first
    return False


def read_source(
    body: bytes, *, url: str, kind: SourceKind, headers: Mapping[str, str] = _EMPTY, now: datetime, as_of: date | None = None
) -> ParsedFeed:
    """The entries of a source's body. Raises ParseError in one line that names the place, and feeds that an HTML page announces."""
    if not body.strip():
        raise ParseError(f"{url}: is empty")
    if kind is SourceKind.FEED:
        if is_page(body):
            raise ParseError(f"{url}: is an HTML page, not a feed{_announced(body, url)}")
        return parse_feed(body, url=url, headers=headers)
    if looks_like_json(body):
        return ParsedFeed(title=_name(url), entries=tuple(daily_papers.parse_json(body, url=url)))
    return ParsedFeed(title=_name(url), entries=tuple(daily_papers.parse_page(decoded(body), url=url, now=now, as_of=as_of)))


def _name(url: str) -> str:
    """How a digest page is called: pages of the site by its name, files by their own."""
    return "Daily Papers" if url.startswith(("http://", "https://")) else url.rpartition("/")[2].rpartition(".")[0]


def decoded(body: bytes) -> str:
    """Text of a page: UTF-8, or what Windows would have written."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def announced_feeds(body: bytes, *, url: str) -> list[tuple[str, str]]:
    """(title, address) of the feeds that an HTML page announces (autodiscovery), those of comments last."""
    found = []
    for node in LexborHTMLParser(decoded(body)).css('link[rel~="alternate"]'):
        address = absolute_url(node.attributes.get("href"), url)
        if address and (node.attributes.get("type") or "").lower() in _FEED_TYPES:
            found.append((one_line(node.attributes.get("title") or ""), address))
    return sorted(dict.fromkeys(found), key=lambda each: "comment" in " ".join(each).lower())


def _announced(body: bytes, url: str) -> str:
    addresses = [address for _, address in announced_feeds(body, url=url)]
    return f"; it names {', '.join(addresses[:3])}" if addresses else ""
