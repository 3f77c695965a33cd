"""JSON Feed 1.0 and 1.1 (jsonfeed.org), which feedparser does not read (pure)."""

import json
from collections.abc import Mapping
from typing import Any

from paperround.errors import ParseError
from paperround.models import Entry, ParsedFeed
from paperround.sources.dates import parse_date
from paperround.sources.safe_html import absolute_url, clean_html, html_to_text, one_line
from paperround.sources.scholarly import with_identifiers


def looks_like_json(body: bytes) -> bool:
    return body[:4000].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def read_json(body: bytes, *, url: str) -> Any:
    """Raises ParseError."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{url}: is no JSON: {error}") from None


def parse_json_feed(body: bytes, *, url: str) -> ParsedFeed:
    """Raises ParseError."""
    data = read_json(body, url=url)
    if not isinstance(data, dict) or not isinstance(data.get("items"), list):
        raise ParseError(f"{url}: is JSON, but no JSON Feed: it has no list called items")
    people = _authors(data)
    entries = tuple(_entry(item, url, people) for item in data["items"] if isinstance(item, dict))
    return ParsedFeed(title=html_to_text(_text(data, "title")), entries=entries, link=absolute_url(_text(data, "home_page_url"), url))


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _authors(data: Mapping[str, Any]) -> tuple[str, ...]:
    several = data.get("authors") if isinstance(data.get("authors"), list) else [data.get("author")]
    named = [one_line(_text(each, "name")) for each in several or [] if isinstance(each, dict)]
    return tuple(dict.fromkeys(name for name in named if name))


def _entry(item: Mapping[str, Any], url: str, people: tuple[str, ...]) -> Entry:
    link = absolute_url(_text(item, "url") or _text(item, "external_url"), url, tracked=True)
    html, text = _text(item, "content_html"), _text(item, "content_text")
    summary = html_to_text(_text(item, "summary")) or one_line(text) or html_to_text(html)
    tags = item.get("tags")
    return with_identifiers(
        Entry(
            title=html_to_text(_text(item, "title")) or one_line(summary)[:100],
            url=link,
            summary=summary,
            content=clean_html(html, base_url=link or url) if html else "",
            authors=_authors(item) or people,
            published=parse_date(_text(item, "date_published")),
            updated=parse_date(_text(item, "date_modified")),
            guid=_text(item, "id") or None,
            source_url=url,
            categories=tuple(one_line(tag) for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        )
    )
