"""Room: personal feed. A reader's recent matches as RSS 2.0, Atom or JSON Feed 1.1: the same items, order, ids and dates (pure)."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from typing import Any
from xml.etree import ElementTree as Xml

from paperround.digests import wording
from paperround.digests.wording import plain, shorten
from paperround.models import Digest, DigestItem, ItemRole, ListIdentity, ReaderLinks, ReasonKind

MOST_ITEMS, MOST_BYTES = 100, 512 * 1024
MEDIA_TYPES = {
    "rss": "application/rss+xml; charset=utf-8",
    "atom": "application/atom+xml; charset=utf-8",
    "json": "application/feed+json; charset=utf-8",
}
_ATOM, _DC = "http://www.w3.org/2005/Atom", "http://purl.org/dc/elements/1.1/"
# What XML 1.0 forbids or discourages, and lone surrogates, which UTF-8 has no bytes for.
_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    title: str
    url: str | None
    moment: datetime
    authors: tuple[str, ...]
    tags: tuple[str, ...]
    html: str


@dataclass(frozen=True, slots=True)
class _Channel:
    id: str
    title: str
    description: str
    self_url: str
    home_url: str
    language: str
    publisher: str
    updated: datetime


def render_feed(
    format: str,  # noqa: A002 - the word of the contract
    *,
    items: Sequence[tuple[Digest, DigestItem]],
    identity: ListIdentity,
    self_url: str,
    home_url: str,
    reader_name: str,
    instance_id: str,
    updated: datetime,
    reader_id: str = "",
    links_of: Callable[[Digest], ReaderLinks] | None = None,
    strength_word: Callable[[float], str] | None = None,
    timezone: str = "UTC",
    language: str = "en",
) -> bytes:
    """The feed as UTF-8; the same values give the same bytes. `format`: rss, atom or json.

    `items` are newest first; those below the cut are left out, a work that came twice counts once, by its latest issue. At most 100
    items and 512 KB, the oldest left out. `links_of` gives the votes of a digest, `strength_word` the word for a strength. Ids hang on
    `instance_id`, `reader_id` and the work alone, so they outlive hosts, tokens, titles and restarts."""
    root = f"tag:paperround.invalid,2026:{instance_id}"
    name = f"{identity.name} for {reader_name}" if reader_name else identity.name
    channel = _Channel(
        id=f"{root}/reader/{reader_id or next((digest.subscriber_id for digest, _ in items), 0)}",
        title=_legal(plain(name)),
        description=_legal(plain(f"What {identity.name} found for {reader_name or 'you'}, and why.")),
        self_url=self_url,
        home_url=home_url,
        language=language,
        publisher=_legal(plain(identity.name)),
        updated=updated.astimezone(UTC).replace(microsecond=0),
    )
    entries = []
    for digest, item in _newest(items):
        votes = links_of(digest).votes.get(item.number) if links_of else None
        entries.append(_entry(digest, item, root, votes, strength_word, timezone, language))
    write = {"rss": _rss, "atom": _atom, "json": _json}[format]
    body = write(channel, entries)
    while len(body) > MOST_BYTES and entries:
        entries = entries[: len(entries) * MOST_BYTES // len(body)]
        body = write(channel, entries)
    return body


def _newest(items: Sequence[tuple[Digest, DigestItem]]) -> list[tuple[Digest, DigestItem]]:
    """At most 100, each work once, newest issue first and in the issue's own order."""
    ordered = sorted(items, key=lambda pair: (-pair[0].created_at.timestamp(), pair[1].number))
    latest = {item.work.id: (digest, item) for digest, item in reversed(ordered) if item.role is not ItemRole.BELOW}
    return [pair for pair in ordered if latest.get(pair[1].work.id) == pair][:MOST_ITEMS]


def _entry(
    digest: Digest,
    item: DigestItem,
    root: str,
    votes: tuple[str, str, str] | None,
    strength_word: Callable[[float], str] | None,
    timezone: str,
    language: str,
) -> _Entry:
    strength = strength_word(item.strength) if strength_word and item.reason.kind not in (ReasonKind.TRENDING, ReasonKind.EXPLORE) else ""
    facts = wording.facts(item, digest, timezone=timezone, language=language)
    html = "".join(_content(item, facts, strength, str(wording.because(item, timezone=timezone, language=language)), votes))
    return _Entry(
        id=f"{root}/work/{item.work.id}",
        title=_legal(shorten(plain(item.work.title), 500)) or "(without a title)",
        url=_encoded(wording.home(item.work)),
        # A second apart, so that every reader keeps the order, and no two entries have the same time of change.
        moment=digest.created_at.astimezone(UTC).replace(microsecond=0) - timedelta(seconds=item.number),
        authors=tuple(_legal(plain(name)) for name in item.work.authors if plain(name)),
        tags=tuple(_legal(plain(category)) for category in item.work.categories if plain(category)),
        html=_legal(html),
    )


def _content(item: DigestItem, facts: Sequence[str], strength: str, because: str, votes: tuple[str, str, str] | None) -> Iterator[str]:
    """The item's HTML: facts, sentences, reason, where to read on, votes. Everything in it is escaped."""
    yield f"<p><small>{escape(' · '.join(facts))}</small></p>"
    several = [(escape(plain(text)), place == item.best) for place, text in enumerate(item.excerpt)]
    if several:
        yield f"<p>{' '.join(f'<em>{text}</em>' if best else text for text, best in several)}</p>"
    yield f"<p>{escape(wording.capital(f'{strength}, {because}' if strength else because))}.</p>"
    links = item.work.links
    reads = [("Abstract", links.abstract), ("PDF", links.pdf), ("Code", links.code), ("Project", links.project)]
    ways = [(label, _encoded(wording.safe_url(url))) for label, url in reads]
    ways += zip(("More like this", "Less like this", "Why this?"), votes, strict=True) if votes else []
    if anchors := [f'<a href="{escape(url)}">{label}</a>' for label, url in ways if url]:
        yield f"<p>{' · '.join(anchors)}</p>"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)


def _encoded(url: str | None) -> str | None:
    """An address in ASCII: feed readers and validators want URIs, not IRIs."""
    if url is None or url.isascii():
        return url
    return "".join(letter if letter.isascii() else "".join(f"%{byte:02X}" for byte in letter.encode()) for letter in _legal(url))


# ---------------------------------------------------------------- the three forms


def _add(parent: Xml.Element, name: str, text: str | None = None, **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, name, attributes)
    element.text = text
    return element


def _written(root: Xml.Element) -> bytes:
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode").encode() + b"\n"


def _rss(channel: _Channel, entries: Sequence[_Entry]) -> bytes:
    root = Xml.Element("rss", {"version": "2.0", "xmlns:atom": _ATOM, "xmlns:dc": _DC})
    top = _add(root, "channel")
    _add(top, "title", channel.title)
    _add(top, "link", channel.home_url)
    _add(top, "description", channel.description)
    _add(top, "language", channel.language)
    _add(top, "lastBuildDate", format_datetime(channel.updated, usegmt=True))
    _add(top, "generator", "Paperround")
    _add(top, "atom:link", rel="self", type="application/rss+xml", href=channel.self_url)
    for entry in entries:
        item = _add(top, "item")
        _add(item, "title", entry.title)
        if entry.url:
            _add(item, "link", entry.url)
        _add(item, "guid", entry.id, isPermaLink="false")
        _add(item, "pubDate", format_datetime(entry.moment, usegmt=True))
        for author in entry.authors:
            _add(item, "dc:creator", author)
        for tag in entry.tags:
            _add(item, "category", tag)
        _add(item, "description", entry.html)
    return _written(root)


def _atom(channel: _Channel, entries: Sequence[_Entry]) -> bytes:
    root = Xml.Element("feed", {"xmlns": _ATOM, "xml:lang": channel.language})
    _add(root, "id", channel.id)
    _add(root, "title", channel.title)
    _add(root, "subtitle", channel.description)
    _add(root, "updated", channel.updated.isoformat())
    _add(_add(root, "author"), "name", channel.publisher)
    _add(root, "link", rel="self", type="application/atom+xml", href=channel.self_url)
    _add(root, "link", rel="alternate", type="text/html", href=channel.home_url)
    _add(root, "generator", "Paperround")
    for entry in entries:
        item = _add(root, "entry")
        _add(item, "id", entry.id)
        _add(item, "title", entry.title)
        _add(item, "updated", entry.moment.isoformat())
        _add(item, "published", entry.moment.isoformat())
        for author in entry.authors:
            _add(_add(item, "author"), "name", author)
        if entry.url:
            _add(item, "link", rel="alternate", href=entry.url)
        for tag in entry.tags:
            _add(item, "category", term=tag)
        _add(item, "content", entry.html, type="html")
    return _written(root)


def _json(channel: _Channel, entries: Sequence[_Entry]) -> bytes:
    feed: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": channel.title,
        "home_page_url": channel.home_url,
        "feed_url": channel.self_url,
        "description": channel.description,
        "language": channel.language,
        "authors": [{"name": channel.publisher}],
        "items": [
            {
                "id": entry.id,
                **({"url": entry.url} if entry.url else {}),
                "title": entry.title,
                "content_html": entry.html,
                "date_published": entry.moment.isoformat(),
                **({"authors": [{"name": author} for author in entry.authors]} if entry.authors else {}),
                **({"tags": list(entry.tags)} if entry.tags else {}),
            }
            for entry in entries
        ],
    }
    return json.dumps(feed, ensure_ascii=False, indent=1).encode()
