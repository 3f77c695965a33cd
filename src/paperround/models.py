"""The nouns of Paperround: frozen, keyword-only values that every room shares. All times are aware; naive ones are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from typing import Any, NewType

SourceId = NewType("SourceId", int)
WorkId = NewType("WorkId", int)
SubscriberId = NewType("SubscriberId", int)
DigestId = NewType("DigestId", int)
DeliveryId = NewType("DeliveryId", int)
EngineId = NewType("EngineId", str)


def refuse_naive(value: object) -> None:
    """Raise ValueError when a datetime field of the dataclass `value` has no zone: SQLite would drop the difference silently."""
    kind: Any = type(value)
    for name in _times_of(kind):
        moment = getattr(value, name)
        if isinstance(moment, datetime) and moment.tzinfo is None:
            raise ValueError(f"{type(value).__name__}.{name} has no time zone: {moment!r}")


@cache
def _times_of(kind: type) -> tuple[str, ...]:
    """Its fields that are times: looked up once, for thousands of values are made a second."""
    return tuple(each.name for each in fields(kind) if "datetime" in str(each.type))


class Aware:
    """Base of every noun with times in it."""

    __slots__ = ()

    def __post_init__(self) -> None:
        refuse_naive(self)


# ---------------------------------------------------------------- where entries come from


class SourceKind(StrEnum):
    FEED = "feed"  # RSS, Atom, RDF or JSON Feed
    DAILY_PAPERS = "daily-papers"  # a Daily Papers page as text or HTML, or its JSON


class SourceState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"  # failing for 14 days, or by an administrator
    STOPPED = "stopped"  # the server said 410 Gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Aware):
    """One place that entries come from. `location` is an http(s) URL or an absolute path of a file."""

    id: SourceId
    location: str
    kind: SourceKind
    name: str
    tags: tuple[str, ...] = ()
    state: SourceState = SourceState.ACTIVE
    backlog: int | None = None  # how many entries of the first poll count as new; None = all
    as_of: date | None = None  # the day a page without a year was seen, when an administrator says so
    added_at: datetime
    etag: str | None = None  # validators, byte for byte as the server sent them (latin-1)
    last_modified: str | None = None
    redirect: str | None = None  # a 301/308 target seen once; the second same answer moves the source
    next_poll_at: datetime | None = None  # None = never polled: due now
    last_polled_at: datetime | None = None
    last_success_at: datetime | None = None
    last_new_at: datetime | None = None  # when a poll last brought something new
    failing_since: datetime | None = None
    failures: int = 0  # consecutive
    error: str | None = None
    interval: float | None = None  # seconds between entries, the source's own rhythm as learned so far
    hints: Mapping[str, str] | None = None  # what the feed itself asks for, as in ParsedFeed: a 304 does not say it again
    outline: Mapping[str, Any] | None = None  # where its OPML list had it, and what it said of it: `inside`, `attributes`


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one request brought: the final answer after redirects, its body already decoded and within the caps."""

    status: int  # 200, 304, 410, …
    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    permanent_redirect: str | None = None  # where an unbroken chain of 301/308 led
    retry_after: float | None = None  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where a reader goes on from an item; every one absolute http(s)."""

    abstract: str | None = None
    pdf: str | None = None
    code: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Aware):
    """One entry as a source gave it."""

    title: str  # plain text on one line
    url: str | None = None
    summary: str = ""  # plain text
    content: str = ""  # safe HTML
    authors: tuple[str, ...] = ()
    published: datetime | None = None
    updated: datetime | None = None
    guid: str | None = None
    source_url: str = ""
    arxiv_id: str | None = None  # without version
    version: int | None = None
    doi: str | None = None  # lower case, without resolver
    categories: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    upvotes: int | None = None
    position: int | None = None  # order on its page, from 0
    page_date: date | None = None  # the day its page was seen; never the work's own date
    links: Links = Links()
    withdrawn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFeed:
    title: str
    entries: tuple[Entry, ...]
    link: str | None = None  # the site's own address
    hints: Mapping[str, str] = field(default_factory=dict)  # ttl, skip_hours, skip_days, update_period, update_frequency


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention(Aware):
    """That one source carried a work."""

    source_id: SourceId
    source_name: str
    seen_at: datetime
    url: str | None = None
    position: int | None = None
    page_date: date | None = None
    upvotes: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Aware):
    """One paper or article, however often it came."""

    id: WorkId
    title: str
    abstract: str = ""  # plain text
    authors: tuple[str, ...] = ()
    url: str | None = None
    links: Links = Links()
    published: datetime | None = None
    first_seen_at: datetime
    categories: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    arxiv_id: str | None = None
    doi: str | None = None
    upvotes: int | None = None  # the highest of its mentions
    withdrawn: bool = False
    changed_at: datetime | None = None  # when the abstract last changed materially
    change: str | None = None  # what changed then, in a sentence
    mentions: tuple[Mention, ...] = ()  # oldest first


# ---------------------------------------------------------------- who gets it


class ConsentState(StrEnum):
    PENDING = "pending"  # asked, not yet confirmed: gets the one confirmation mail and nothing else
    ACTIVE = "active"  # gets what was asked for
    PAUSED = "paused"  # asked for silence, with or without an end
    UNSUBSCRIBED = "unsubscribed"  # left; only a fresh consent brings them back
    FORGOTTEN = "forgotten"  # everything erased; a keyed hash and dates remain


class Channel(StrEnum):
    EMAIL = "email"
    FEED = "feed"


def split_reference(reference: str) -> tuple[str, str]:
    """The number or address of a work, and its title; "" for what is not told."""
    named, _, title = reference.partition(" ")
    numbered = reference.isdigit() or named.casefold().startswith(("arxiv:", "doi:", "http://", "https://"))
    return (named, title) if numbered else ("", reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    text: str
    weight: float = 1.0

    @property
    def is_keyword(self) -> bool:
        """A word or two: says too little by itself to stand alone."""
        return len(self.text.split()) <= 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one subscriber wants; the keys of a profile file (docs/reference)."""

    name: str = ""
    timezone: str = "UTC"
    language: str = "en"
    schedule: str = "weekdays 07:30"
    max_items: int = 5
    min_score: float | None = None  # None = automatic
    channels: tuple[Channel, ...] = (Channel.EMAIL, Channel.FEED)
    empty: str = "skip"  # or "note"
    explore: bool = True
    sources: tuple[str, ...] = ()  # names or tags; empty = all
    interests: tuple[Interest, ...] = ()
    avoid: tuple[str, ...] = ()
    must: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    liked: tuple[str, ...] = ()  # work references: arxiv:…, doi:… or a URL, each maybe with a title after it; or a title

    @property
    def keywords(self) -> str | None:
        """Interests of one or two words as the one text they are also embedded as, where single words are among them."""
        words = [each.text for each in self.interests if each.is_keyword]
        return ", ".join(words) if len(words) > 1 and any(len(each.split()) == 1 for each in words) else None

    @property
    def own_words(self) -> tuple[str, ...]:
        """Every text of the profile that is embedded."""
        together = (self.keywords,) if self.keywords else ()
        return tuple(dict.fromkeys((*(each.text for each in self.interests), *self.avoid, *together, *self.liked_titles.values())))

    @property
    def liked_titles(self) -> dict[str, str]:
        """The titles of liked works by reference, where one is told: they stand for a work until it is known itself."""
        return {reference: title for reference in self.liked if (title := split_reference(reference)[1])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber(Aware):
    id: SubscriberId
    public_id: str  # random, 128 bit, hex: the root of tokens; never an address
    email: str | None  # None: reads by feed alone, or forgotten
    state: ConsentState
    suppressed: str | None = None  # the reason: bounced, complained, admin …
    profile: Profile = Profile()
    link_epoch: int = 0  # raised when the links in mails are rotated
    feed_epoch: int = 0  # raised when the feed's address is rotated or revoked
    created_at: datetime
    consented_at: datetime | None = None
    paused_until: datetime | None = None
    next_due_at: datetime | None = None  # None = schedule off or not active
    last_cutoff: datetime | None = None  # the snapshot time of the latest issue
    resumed_at: datetime | None = None  # end of the latest pause
    issues: int = 0  # how many digests so far
    feed_read_at: datetime | None = None  # of a reader by feed alone, to the day: a feed that nobody reads ends

    @property
    def may_be_mailed(self) -> bool:
        return self.state is ConsentState.ACTIVE and self.suppressed is None and self.email is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEvent(Aware):
    """One step of a subscriber's consent, kept as evidence."""

    at: datetime
    kind: str  # asked, confirmed, paused, resumed, unsubscribed, forgotten, imported, file, admin
    state: ConsentState  # the state after it
    way: str  # page, mail, one-click, cli, file, import
    consent_text_hash: str | None = None
    address_prefix: str | None = None  # /24 or /48, erased after 30 days
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote(Aware):
    work_id: WorkId
    value: int  # +1 or -1
    at: datetime
    way: str  # mail, feed, page, cli
    title: str = ""  # the work's, for reasons and lists


# ---------------------------------------------------------------- what goes into an issue


class ReasonKind(StrEnum):
    INTEREST = "interest"  # close to an interest in the reader's own words
    LIKED = "liked"  # close to a work the reader liked
    MUST = "must"  # holds a word or author the reader always wants
    TRENDING = "trending"  # the reader named no interest
    EXPLORE = "explore"  # from outside the profile, on purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason(Aware):
    """Why this work for this reader; true by construction: the part of the score that weighs most."""

    kind: ReasonKind
    text: str = ""  # the interest's words, the liked work's title, the must word, or how it trends
    share: float = 1.0  # of the score, 0…1
    sentence: str | None = None  # the sentence of the abstract that fits best
    words: tuple[str, ...] = ()  # in common
    liked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A work for a subscriber: rank by `score`, show `strength`."""

    work_id: WorkId
    score: float
    strength: float  # 0…1: of a hundred such items this reader would keep about so many
    reason: Reason
    parts: Mapping[str, float] = field(default_factory=dict)  # the named parts whose sum is the score


class ItemRole(StrEnum):
    CHOSEN = "chosen"
    EXPLORE = "explore"  # one from outside the round
    BELOW = "below"  # just below the cut: a title only


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestItem:
    """One work as it stands in one issue. `number` counts the chosen and the explored from 1; below the cut it is 0."""

    work: Work
    role: ItemRole
    number: int
    score: float
    strength: float
    reason: Reason
    excerpt: tuple[str, ...] = ()  # the sentences shown, in the abstract's order
    best: int | None = None  # which of them fits best
    also: tuple[str, ...] = ()  # other sources, and near-duplicates left out in its favour


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest(Aware):
    """One subscriber's issue: the decision record that mail, feed and page are rendered from."""

    id: DigestId
    subscriber_id: SubscriberId
    period: date  # local date of the due instant; unique per subscriber
    number: int  # the subscriber's how-manieth issue, from 1
    due_at: datetime
    since: datetime  # candidates were first seen after this …
    cutoff: datetime  # … and not after this
    created_at: datetime
    candidates: int  # how many new works there were to choose from
    items: tuple[DigestItem, ...]  # by role, then number
    notes: tuple[str, ...] = ()  # honest notes: stale or late sources
    kind: str = "matched"  # or trending

    @property
    def chosen(self) -> tuple[DigestItem, ...]:
        return tuple([item for item in self.items if item.role is ItemRole.CHOSEN])

    @property
    def empty(self) -> bool:
        return not self.chosen


# ---------------------------------------------------------------- how it gets there


class DeliveryState(StrEnum):
    QUEUED = "queued"  # recorded, not yet tried
    SENDING = "sending"  # MAIL may have been said; committed before it is
    SENT = "sent"  # the server answered 250 to the final dot
    DEFERRED = "deferred"  # the server said later
    FAILED = "failed"  # the server said never, or we gave up
    IN_DOUBT = "in-doubt"  # nobody knows whether the server took it; never sent again by itself
    CANCELLED = "cancelled"  # the subscriber left, paused or was suppressed before it went


class MailKind(StrEnum):
    ISSUE = "issue"  # a digest
    CONFIRMATION = "confirmation"  # asks for consent
    ANSWER = "answer"  # to a mail or a page: what changed and how to undo it
    NOTICE = "notice"  # to an administrator


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Aware):
    """One mail on its way: a digest, or a short mail whose words are in `values`."""

    id: DeliveryId
    kind: MailKind
    subscriber_id: SubscriberId | None
    digest_id: DigestId | None
    recipient: str
    message_id: str  # without angle brackets; the same on every try
    state: DeliveryState
    created_at: datetime
    attempts: int = 0
    next_attempt_at: datetime | None = None
    first_attempt_at: datetime | None = None
    finished_at: datetime | None = None
    code: int | None = None  # the server's last reply
    reply: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)  # for the templates of short mails


class SmtpPhase(StrEnum):
    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"  # after the final dot
    LOCAL = "local"  # a fault of our own: the message could not be made or written


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """What a transport learned of one mail. `code` None: no reply (connection refused, lost or timed out) in that phase."""

    accepted: bool
    phase: SmtpPhase = SmtpPhase.DOT
    code: int | None = None
    enhanced: str | None = None  # RFC 3463
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    sender: str  # envelope sender (VERP)
    recipient: str  # exactly one
    message: bytes  # CRLF
    message_id: str


# ---------------------------------------------------------------- what mail brings back


@dataclass(frozen=True, slots=True, kw_only=True)
class BounceEvent:
    """`kind`: dead, soft, sender, complaint, unsubscribe, auto-reply, delayed or none (contract.md)."""

    recipient: str | None
    kind: str
    status: str | None = None  # enhanced status code
    text: str = ""


# ---------------------------------------------------------------- who sends it, and a reader's own addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class ListIdentity:
    """Who sends this: the [list] table of the configuration."""

    name: str = "Paperround"
    sender: str = "paperround@localhost"  # the From address
    reply_to: str | None = None
    address: str | None = None  # mails to it subscribe; None = no inbox: no reply words, no mailto
    postal_address: str = ""
    privacy_url: str | None = None
    language: str = "en"
    colour: str = "#9a3412"
    colour_dark: str = "#f4a261"
    logo_url: str | None = None
    list_id: str = "paperround.localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLinks:
    """One reader's signed addresses as values. None = this installation does not offer it."""

    one_click: str  # RFC 8058; also the visible way out
    unsubscribe_mailto: str | None = None
    preferences: str | None = None
    archive: str | None = None  # this issue on the web
    feed_rss: str | None = None
    feed_atom: str | None = None
    feed_json: str | None = None
    votes: Mapping[int, tuple[str, str, str]] = field(default_factory=dict)  # item number → more, less, why
