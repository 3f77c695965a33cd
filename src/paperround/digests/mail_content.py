"""Room: mail content. A digest, or a short mail's words, as subject, preheader, HTML and text (pure)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any, Protocol

from paperround.digests import wording
from paperround.digests.catalogues import speech, spoken
from paperround.digests.wording import Because, plain, shorten, tidy
from paperround.models import Digest, DigestItem, ItemRole, ListIdentity, ReaderLinks, ReasonKind, Subscriber, Work

MOST_BYTES = 90 * 1024  # of HTML; Gmail clips at 102 KB
_SUBJECT = 90  # characters of the lead title in a subject
_OUTSIDE = 220  # characters of what is said of the item from outside
_PREHEADER = (40, 130)
_TEXT_WIDTH = 72


# What is made for each mail is not frozen: that takes twice the time, and there are millions of them.


class Template(Protocol):
    def render(self, **values: object) -> str: ...
    def octets(self, **values: object) -> bytes: ...


class TemplateSource(Protocol):
    """Compiled templates by name, e.g. `template_loader.Templates`."""

    def get(self, name: str) -> Template: ...


@dataclass(slots=True, kw_only=True)
class MailContent:
    subject: str
    preheader: str
    octets: bytes  # of the HTML, in UTF-8: encoded once
    text: str

    @property
    def html(self) -> str:
        return self.octets.decode()


@dataclass(slots=True)
class ItemView:
    """One item as templates see it; every text is plain, every address absolute http(s)."""

    number: int
    title: str
    url: str | None
    facts: tuple[str, ...]
    excerpt: str  # the sentences that matter most to this reader
    said: tuple[str, str, str]  # the same: what stands before the sentence that fits best, this one, what stands after it
    strength: str  # a word of `wording.STRENGTHS`; empty where nothing was measured
    bars: int  # 0 … 4
    because: Because
    section: str | None  # the heading of the run of items that begins here; None within one, and when there is only one
    lead: bool
    reads: tuple[tuple[str, str], ...]  # (PDF, address) …
    votes: tuple[str, str, str] | None  # addresses: more, less, why
    labels: tuple[str, str, str]  # and their words


@dataclass(slots=True, kw_only=True)
class IssueView:
    """The issue as templates see it."""

    subject: str
    preheader: str
    date: str
    number: int
    reader: str
    line: str
    language: str
    direction: str
    notes: tuple[str, ...]
    items: tuple[ItemView, ...]
    outside: ItemView | None
    below: tuple[ItemView, ...]
    more: int  # items that did not fit into the mail
    sent_to: str | None
    asked_on: str | None


@dataclass(frozen=True, slots=True)
class _Room:
    """How much of each item is shown: first sentences get shorter, then items fewer."""

    characters: int  # of the sentences of an item; the lead has half as much again
    items: int


_ROOMS = (*(_Room(room, 50) for room in (700, 480, 320, 200, 120, 60, 0)), *(_Room(0, count) for count in (40, 30, 20, 10, 5)))


# ---------------------------------------------------------------- an issue


def render_issue(
    templates: TemplateSource,
    digest: Digest,
    subscriber: Subscriber,
    identity: ListIdentity,
    links: ReaderLinks,
    *,
    now: datetime,  # noqa: ARG001 - the time of sending: an issue says the same whenever it goes, and this keeps it that way on purpose
    strength_word: Callable[[float], str],
) -> MailContent:
    """One subscriber's issue. `links` and `identity` say what may be offered; `strength_word` turns 0…1 into a word of STRENGTHS.

    The HTML has at most 90 KB: sentences are shortened first, then items left out with "n more"."""
    octets, fitting = b"", None
    page, words = templates.get("email/digest.mjml.j2"), speech(subscriber.profile.language).functions
    for room in _ROOMS:
        issue = view(digest, subscriber, links, strength_word=strength_word, room=room)
        if fitting is not None and _same(issue, fitting):
            continue
        octets, fitting = page.octets(issue=issue, identity=identity, links=links, **words), issue
        if len(octets) <= MOST_BYTES:
            break
    assert fitting is not None
    text = templates.get("email/digest.txt.j2").render(issue=fitting, identity=identity, links=links, fill=fill, textual=textual, **words)
    return MailContent(subject=fitting.subject, preheader=fitting.preheader, octets=octets, text=text)


def _same(one: IssueView, other: IssueView) -> bool:
    return [item.excerpt for item in one.items] == [item.excerpt for item in other.items]


def view(
    digest: Digest,
    subscriber: Subscriber,
    links: ReaderLinks,
    *,
    strength_word: Callable[[float], str],
    room: _Room = _ROOMS[0],
) -> IssueView:
    """What mail and page say of a digest. Ages are told as of the issue's cutoff, so that both say the same whenever they are made."""
    profile, zone, language = subscriber.profile, subscriber.profile.timezone, spoken(subscriber.profile.language)
    today, long = wording.local_day(digest.cutoff, zone), digest.cutoff - digest.since >= timedelta(days=6)
    place = _Place(digest, links, zone, language, wording.cards(language, today, long=long))
    measured, chosen = digest.kind != "trending", digest.chosen
    words = [strength_word(item.strength) if measured else "" for item in chosen]
    reasons = _reasons(chosen, zone, language)
    headings = _headings([section for _, section in reasons], language)
    given = zip(chosen[: room.items], reasons, words, headings, ["", *headings], strict=False)
    items = tuple(
        [
            _item(item, because, place, word, room.characters, "" if heading == above else heading)
            for item, (because, _), word, heading, above in given
        ]
    )
    far = [item for item in digest.items if item.role is ItemRole.EXPLORE][:1]
    near = [item for item in digest.items if item.role is ItemRole.BELOW][:3]
    said, brief = speech(language)("From outside your round"), _OUTSIDE if room.characters else 0
    outside = [_item(item, because, place, "", brief, said) for item, (because, _) in zip(far, _reasons(far, zone, language), strict=True)]
    below = [_item(item, because, place, "", 0) for item, (because, _) in zip(near, _reasons(near, zone, language), strict=True)]
    line = wording.line(digest, profile.schedule, words, timezone=zone, language=language)
    asked = wording.local_day(subscriber.consented_at, zone) if subscriber.consented_at else None
    return IssueView(
        subject=_subject(items, len(chosen) - 1, line, language),
        preheader=_preheader(digest, items, below, line, language),
        date=wording.long_date(digest.period, language),
        number=digest.number,
        reader=shorten(plain(profile.name), 60),
        line=line,
        language=language,
        direction=wording.text_direction(language),
        notes=tuple(plain(note) for note in digest.notes),
        items=items,
        outside=outside[0] if outside else None,
        below=tuple(below),
        more=len(chosen) - len(items),
        sent_to=subscriber.email,
        asked_on=wording.short_date(asked, language, year=True) if asked else None,
    )


def _reasons(items: Sequence[DigestItem], zone: str, language: str) -> list[tuple[Because, str]]:
    """Why each item, and what it may stand under. Those of one reason follow each other, so most say what the one before says."""
    found: list[tuple[Because, str]] = []
    last = None
    for item in items:
        reason = item.reason
        if not (
            last and reason.text == last.text and reason.kind is last.kind is not ReasonKind.TRENDING and reason.liked_at == last.liked_at
        ):
            told = wording.because(item, timezone=zone, language=language), _section(reason.kind, reason.text, language)
        found.append(told)
        last = reason
    return found


def _headings(names: Sequence[str], language: str) -> Sequence[str]:
    """What each item stands under, no heading twice; empty where the reader has one interest only.

    Where the best of each interest open the issue and the rest follows by interest, the openers are its front page."""
    if len(set(names)) < 2:
        return [""] * len(names)
    _ = speech(language)
    again = next((place for place, name in enumerate(names) if name in names[:place]), len(names))
    for arranged in (names, [_("Front page")] * again + [*names[again:]]):
        runs = [run[0] for run in groupby(arranged)]
        if len(runs) == len(set(runs)):
            return arranged
    return [""] * len(names)


def _section(kind: ReasonKind, text: str, language: str) -> str:
    """What an item stands under: the reader's own words."""
    _, words = speech(language), shorten(plain(text), 120)
    if kind is ReasonKind.LIKED:
        return _("Close to what you liked")
    if kind is ReasonKind.MUST:
        return _("Always: {words}", words=words)
    return words if kind is ReasonKind.INTEREST else ""


@dataclass(slots=True)
class _Place:
    """Where an item stands: what its view needs besides itself."""

    digest: Digest
    links: ReaderLinks
    zone: str
    language: str
    cards: Callable[[Work, date], wording.Card]


def _item(item: DigestItem, because: Because, place: _Place, strength: str, characters: int, section: str = "") -> ItemView:
    work, language = item.work, place.language
    card = place.cards(work, wording.local_day(work.published or work.first_seen_at, place.zone))
    lead = item.number == 1 and item.role is ItemRole.CHOSEN
    excerpt, said = _said(item, characters * 3 // 2 if lead else characters)
    measured, bars = wording.strength(strength, language)
    return ItemView(  # by place: names would take as long again
        item.number,
        card.title,
        card.url,
        wording.facts(item, card, place.digest.since, language),
        excerpt,
        said,
        measured,
        bars,
        because,
        section or None,
        lead,
        card.reads,
        place.links.votes.get(item.number) if item.number else None,
        wording.labels(item.number, language),
    )


def _said(item: DigestItem, room: int) -> tuple[str, tuple[str, str, str]]:
    """The excerpt as far as there is room, the sentence that fits best before the others; and the same in three."""
    texts, best, whole = item.excerpt, item.best, " ".join(item.excerpt)
    if not tidy(whole):  # one look at all of them
        texts = tuple(map(plain, texts))
        whole = " ".join(texts)
    if len(whole) > room:
        kept, left = set[int](), room
        for place in sorted(range(len(texts) if room else 0), key=lambda place: place != best):
            if not kept or len(texts[place]) <= left:
                kept.add(place)
                left -= len(texts[place])
        texts = tuple(shorten(texts[place], room) for place in sorted(kept))
        whole = " ".join(texts)
        best = sum(place < best for place in kept) if texts and best is not None else None
    if best is None:
        return whole, (whole, "", "")
    start = sum(map(len, texts[:best])) + best
    end = start + len(texts[best])
    return whole, (whole[:start], whole[start:end], whole[end:])


def _subject(items: Sequence[ItemView], more: int, line: str, language: str) -> str:
    """What is inside: the lead's title and how many more; on an empty day the honest line."""
    if not items:
        return line.rstrip(".")
    _, lead = speech(language), shorten(items[0].title, _SUBJECT)
    return _.ngettext("{lead} and {count} more", "{lead} and {count} more", more, lead=lead) if more else lead


def _preheader(digest: Digest, items: Sequence[ItemView], below: Sequence[ItemView], line: str, language: str) -> str:
    """What follows the subject in a list of mails, 40 to 130 characters: the other titles, else the sentence that fits best."""
    _ = speech(language)
    lead = [item.said[1] for item in items[:1] if item.said[1]]
    parts = [item.title for item in items[1:4]] or lead or [_("Nearest: {title}", title=item.title) for item in below[:1]]
    found = " · ".join([*(shorten(part, 60 if len(parts) > 1 else 110) for part in parts), line] if items else [*parts])
    least, most = _PREHEADER
    if len(found) < least:
        own = _("Your paper of {date}, number {number}", date=wording.long_date(digest.period, language), number=digest.number)
        found = " · ".join([*filter(None, [found]), own])
    return shorten(found, most)


# ---------------------------------------------------------------- short mails


def render_short(templates: TemplateSource, name: str, values: Mapping[str, Any], identity: ListIdentity, language: str) -> MailContent:
    """A confirmation, an answer or a notice; `name` is one of those.

    `values`, all optional: subject, heading, lines (paragraphs), confirm_url, confirm_reply (True: answering also confirms), consent_text,
    titles (examples of what would come), links ((words, address) …), quoted (lines set apart), groups (of heading, lines, advice)."""
    subject = plain(str(values.get("subject") or _short_subject(name, plain(identity.name), language)))
    lines = [plain(str(line)) for line in values.get("lines", ())]
    fields = {
        "subject": subject,
        "heading": plain(str(values.get("heading") or subject)),
        "lines": lines,
        "confirm_url": wording.safe_url(values.get("confirm_url")),
        "confirm_reply": bool(values.get("confirm_reply")),
        "consent_text": plain(str(values.get("consent_text") or "")),
        "titles": [shorten(plain(str(title)), wording.LONGEST_TITLE) for title in values.get("titles", ())],
        "links": [(plain(str(words)), str(address)) for words, address in values.get("links", ()) if wording.safe_url(address)],
        "quoted": [plain(str(line)) for line in values.get("quoted", ())],
        "groups": [(about, [plain(line) for line in told], advice) for about, told, advice in values.get("groups", ())],
    }
    preheader = shorten(" ".join([*lines, str(fields["consent_text"]), subject]).strip(), _PREHEADER[1])
    common = {"identity": identity, "language": spoken(language), "direction": wording.text_direction(language), "preheader": preheader}
    common |= speech(language).functions
    return MailContent(
        subject=subject,
        preheader=preheader,
        octets=templates.get(f"email/{name}.mjml.j2").octets(**fields, **common),
        text=templates.get(f"email/{name}.txt.j2").render(**fields, **common, fill=fill, textual=textual),
    )


def _short_subject(kind: str, name: str, language: str) -> str:
    _ = speech(language)
    if kind == "confirmation":
        return _("Please confirm: {name}", name=name)
    return _("Your answer from {name}", name=name) if kind == "answer" else _("A notice from {name}", name=name)


# ---------------------------------------------------------------- the text part

_TAG, _ENTITY = re.compile(r"<(?=[a-zA-Z/!?])"), re.compile(r"&(?=#?\w+;)")


def textual(text: str) -> str:
    """Text that no filter takes for markup: a title may hold "<b>" or "&lt;"."""
    return _ENTITY.sub("＆", _TAG.sub("‹", text))


def fill(text: str, first: str = "", rest: str | None = None) -> str:
    """Paragraphs of at most 72 columns; textwrap takes a hundred times as long."""
    if "<" in text or "&" in text:
        text = textual(text)
    if len(first) + len(text) <= _TEXT_WIDTH:
        return first + text
    indent = first if rest is None else rest
    return first + f"\n{indent}".join(_rows(_TEXT_WIDTH - max(len(first), len(indent))).findall(text))


@lru_cache(maxsize=16)
def _rows(width: int) -> re.Pattern[str]:
    """As many words as there is room for, or one that is longer."""
    return re.compile(rf"(.{{1,{width}}}|[^ ]{{{width + 1},}})(?: |$)", re.DOTALL)
