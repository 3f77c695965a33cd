"""Room: personal feed. A reader's recent items or issues as RSS 2.0, Atom or JSON Feed 1.1: the same ones, order, ids and dates (pure)."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from typing import Any
from xml.etree import ElementTree as Xml

from paperround.digests.catalogues import speech, spoken
from paperround.digests.citations import uri
from paperround.digests.mail_content import IssueView, ItemView, textual, view
from paperround.digests.wording import capital, plain
from paperround.models import Digest, DigestItem, ItemRole, ListIdentity, ReaderLinks, Subscriber

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
    subscriber: Subscriber,
    identity: ListIdentity,
    instance_id: str,
    self_url: str,
    home_url: str,
    updated: datetime,
    links_of: Callable[[Digest], ReaderLinks],
    strength_word: Callable[[float], str],
    by_issue: bool = False,
) -> bytes:
    """The feed as UTF-8; the same values give the same bytes. `format`: rss, atom or json; `by_issue`: one entry an issue, not a work.

    Items below the cut are left out, a work that came twice counts once, by its latest issue. At most 100 entries and 512 KB, the oldest
    left out. They say what mail and page say; `links_of` gives a digest's addresses, `strength_word` the word for a strength. Ids hang on
    `instance_id`, the reader, and the work or issue alone, so they outlive hosts, tokens, titles and restarts."""
    root, language, name = f"tag:paperround.invalid,2026:{instance_id}", subscriber.profile.language, _words(subscriber.profile.name)
    publisher = _words(identity.name)
    channel = _Channel(
        id=f"{root}/reader/{subscriber.public_id[:8]}",  # enough to tell readers apart, too little to make a token of
        title=" · ".join(filter(None, (publisher, name))),
        description=speech(language)("What {list} found for you, and why.", list=publisher),
        self_url=self_url,
        home_url=home_url,
        language=spoken(language),
        publisher=publisher,
        updated=updated.astimezone(UTC).replace(microsecond=0),
    )
    ordered = sorted(items, key=lambda pair: (-pair[0].created_at.timestamp(), pair[1].number))
    digests = {digest.id: digest for digest, _ in ordered}
    issues = {each.id: view(each, subscriber, links_of(each), strength_word=strength_word) for each in digests.values()}
    if by_issue:
        entries = [_issue(digests[number], issue, links_of(digests[number]).archive, root) for number, issue in issues.items()]
    else:
        shown = [(digest, item, _shown(issues[digest.id], item.number)) for digest, item in _latest(ordered)]
        entries = [_work(digest, item, in_issue, root, language) for digest, item, in_issue in shown if in_issue]
    return _fitting({"rss": _rss, "atom": _atom, "json": _json}[format], channel, entries[:MOST_ITEMS])


def _fitting(write: Callable[[_Channel, Sequence[_Entry]], bytes], channel: _Channel, entries: Sequence[_Entry]) -> bytes:
    body = write(channel, entries)
    while len(body) > MOST_BYTES and entries:
        entries = entries[: len(entries) * MOST_BYTES // len(body)]
        body = write(channel, entries)
    return body


def _latest(ordered: Sequence[tuple[Digest, DigestItem]]) -> list[tuple[Digest, DigestItem]]:
    """Each work once."""
    latest = {item.work.id: (digest.id, item.number) for digest, item in reversed(ordered) if item.role is not ItemRole.BELOW}
    return [(digest, item) for digest, item in ordered if latest.get(item.work.id) == (digest.id, item.number)]


def _shown(issue: IssueView, number: int) -> ItemView | None:
    return next((item for item in (*issue.items, issue.outside) if item and item.number == number), None)


def _work(digest: Digest, item: DigestItem, shown: ItemView, root: str, language: str) -> _Entry:
    _ = speech(language)
    return _Entry(
        id=f"{root}/work/{item.work.id}",
        title=_words(shown.title) or _("(without a title)"),
        url=shown.url and uri(shown.url),
        # A second apart, so that every reader keeps the order, and no two entries have the same time of change.
        moment=_moment(digest) - timedelta(seconds=item.number),
        authors=tuple(filter(None, map(_words, item.work.authors))),
        tags=tuple(filter(None, map(_words, item.work.categories))),
        html=_legal("".join(_content(shown, (_("More like this"), _("Less like this"), _("Why this?"))))),
    )


def _issue(digest: Digest, issue: IssueView, archive: str | None, root: str) -> _Entry:
    parts = [f"<p><em>{escape(issue.line)}</em></p>"]
    for item in filter(None, (*issue.items, issue.outside)):
        title = f'<a href="{escape(uri(item.url))}">{escape(item.title)}</a>' if item.url else escape(item.title)
        parts += [f"<h3>{item.number} {title}</h3>", *_content(item, item.labels)]
    return _Entry(f"{root}/issue/{digest.id}", _words(issue.subject), archive, _moment(digest), (), (), _legal("".join(parts)))


def _moment(digest: Digest) -> datetime:
    return digest.created_at.astimezone(UTC).replace(microsecond=0)


def _content(item: ItemView, labels: tuple[str, str, str]) -> Iterator[str]:
    """The item's HTML: facts, sentences, reason, where to read on, votes. Everything in it is escaped."""
    yield f"<p><small>{escape(' · '.join(item.facts))}</small></p>"
    if item.excerpt:
        before, best, after = map(escape, item.said)
        yield f"<p>{before}{best and f'<em>{best}</em>'}{after}</p>"
    yield f"<p>{escape(capital(', '.join(filter(None, (item.strength, str(item.because))))))}.</p>"
    ways = [*item.reads, *zip(labels, item.votes or (), strict=False)]
    if anchors := [f'<a href="{escape(uri(url))}">{escape(label)}</a>' for label, url in ways]:
        yield f"<p>{' · '.join(anchors)}</p>"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)


def _words(text: str) -> str:
    """A title or name. RSS does not say whether one is text or HTML: where it looks like markup, readers show it broken or drop it."""
    return textual(plain(_legal(text)))


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
