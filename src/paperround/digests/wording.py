"""Room: wording. How facts of a digest are said to a reader: dates in their zone and language, ages, counts, reasons (pure)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton
from babel.numbers import format_decimal

from paperround.digests.catalogues import speech, spoken
from paperround.digests.due_dates import parse_schedule, zone
from paperround.models import Digest, DigestItem, Reason, ReasonKind, Work, WorkId

LONGEST_TITLE = 300
_MOST_CARDS = 2048  # of a day and a language
STRENGTHS = ("weak", "fair", "strong", "very strong")  # one to four bars
_LOCALES = {"en": "en_GB"}  # where a language alone would bring one country's order of day and month
# Control characters end a header or make XML ill-formed; embeddings and overrides turn the words around them; the rest is invisible.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+|[\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff\ufeff]")
_PRINTABLE = bytes(range(32, 127))
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|dclid|msclkid|mc_[ce]id|igshid|yclid|_hs(?:enc|mi)|ref_src", re.IGNORECASE)
_HTTP = re.compile(r"https?://[^\s/?#\"<>\\]+[^\s\"<>\\]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Because:
    """A reason in one line: `quoted` are the reader's own words or a title, to be set apart from what stands around it."""

    line: str  # all of it, with the language's quotation marks
    before: str
    quoted: str = ""
    after: str = ""

    def __str__(self) -> str:
        return self.line


# ---------------------------------------------------------------- text


def tidy(text: str) -> bool:
    """Whether all of it is printable; of long texts this takes half the time of asking each character."""
    rest = text.encode(errors="surrogatepass").translate(None, _PRINTABLE)
    return not rest or rest.decode(errors="surrogatepass").isprintable()


def plain(text: str) -> str:
    """On one line, without control characters and whatever turns or hides the text around it."""
    if text.isprintable() and "  " not in text:  # quicker than to find it in a cache
        return text.strip()
    return " ".join(_UNWANTED.sub(lambda match: " " if match.group() < "\xa0" or match.group() in "\u2028\u2029" else "", text).split())


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words where there are any."""
    if len(text) <= limit:
        return text
    cut = text.rfind(" ", limit // 2, limit)
    return text[: cut if cut > 0 else limit - 1].rstrip(" ,;:–-") + "…"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def safe_url(url: str | None) -> str | None:
    """An absolute http(s) address without tracking parameters; None for anything else."""
    if not url or not _HTTP.fullmatch(url):
        return None
    if "?" not in url:
        return url
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [pair for pair in pairs if not _TRACKING.fullmatch(pair[0])]
    return url if kept == pairs else urlunsplit(parts._replace(query=urlencode(kept)))


def home(work: Work) -> str | None:
    """Where a work's title leads."""
    places = (work.url, work.links.abstract, work.links.pdf, work.links.project, *(mention.url for mention in work.mentions))
    return next((url for url in map(safe_url, places) if url), None)


# ---------------------------------------------------------------- language, dates, numbers


@lru_cache(maxsize=64)
def locale(language: str) -> Locale:
    """The locale of a language tag; British English for one that is not spoken here."""
    tag = spoken(language)
    try:
        return Locale.parse(_LOCALES.get(tag, tag.replace("-", "_")))
    except (UnknownLocaleError, ValueError):
        return Locale.parse("en_GB")


def text_direction(language: str) -> str:
    return "rtl" if locale(language).character_order == "right-to-left" else "ltr"


@lru_cache(maxsize=4096)
def long_date(day: date, language: str) -> str:
    """Friday 20 November 2026."""
    found = locale(language)
    return str(format_date(day, "EEEE d MMMM y" if str(found) == "en_GB" else "full", found))


@lru_cache(maxsize=4096)
def short_date(day: date, language: str, *, year: bool = False) -> str:
    """3 November; with the year where it is not that of the issue."""
    return str(format_date(day, "long", locale(language)) if year else format_skeleton("MMMMd", day, locale=locale(language)))


@lru_cache(maxsize=1024)
def weekday(day: date, language: str) -> str:
    return str(format_date(day, "EEEE", locale(language)))


@lru_cache(maxsize=8192)
def local_day(moment: datetime, timezone: str) -> date:
    return moment.astimezone(zone(timezone)).date()


@lru_cache(maxsize=4096)
def ago(day: date, today: date, language: str) -> str:
    """today, yesterday, 5 days ago, 3 November, 3 November 2025; a day to come is called by its date."""
    _, days = speech(language), (today - day).days
    if 0 <= days < 2:
        return _("yesterday") if days else _("today")
    if 0 < days < 14:
        return _.ngettext("{count} day ago", "{count} days ago", days)
    return short_date(day, language, year=day.year != today.year)


@lru_cache(maxsize=4096)
def named_day(day: date, today: date, language: str) -> str:
    """Tuesday 17 November, within the last fortnight; else the date alone."""
    _, date_alone = speech(language), short_date(day, language, year=day.year != today.year)
    if not 0 <= (today - day).days < 14:
        return date_alone
    return _("{weekday} {day}", weekday=weekday(day, language), day=date_alone)


@lru_cache(maxsize=4096)
def decimal(count: int, language: str) -> str:
    """1,234 or 1.234: Babel takes 50 µs for it."""
    return str(format_decimal(count, locale=locale(language)))


def moment(value: datetime | None, timezone: str, language: str = "en") -> str:
    """ "on Friday 3 January 2025 at 07:30", in the reader's zone; "" for none."""
    if value is None:
        return ""
    day, clock = long_date(local_day(value, timezone), language), f"{value.astimezone(zone(timezone)):%H:%M}"
    return speech(language)("on {day} at {time}", day=day, time=clock)


def rhythm(schedule: str, language: str) -> tuple[str, str]:
    """A schedule as it is told, and in the words of a reply: "every Friday at 08:00", "weekly Friday 08:00"."""
    _, plan = speech(language), parse_schedule(schedule)
    clock, day = f"{plan.at:%H:%M}", weekday(date(2024, 1, 1 + plan.day), language) if plan.kind == "weekly" else plan.day
    if plan.kind == "daily":
        return _("every day at {time}", time=clock), _("daily {time}", time=clock)
    if plan.kind == "weekdays":
        return _("Monday to Friday at {time}", time=clock), _("weekdays {time}", time=clock)
    if plan.kind == "weekly":
        return _("every {weekday} at {time}", weekday=day, time=clock), _("weekly {day} {time}", day=day, time=clock)
    if plan.kind == "monthly":
        return _("once a month, on day {day}, at {time}", day=day, time=clock), _("monthly {day} {time}", day=day, time=clock)
    return _("never"), _("pause")


def number(count: int, language: str) -> str:
    """In words from one to twelve."""
    _ = speech(language)
    words = _("one two three four five six seven eight nine ten eleven twelve").split()
    return words[count - 1] if 0 < count <= len(words) else decimal(count, language)


def listed(things: Sequence[str], language: str = "en") -> str:
    """a, b and c."""
    _ = speech(language)
    if len(things) < 2:
        return "".join(things)
    return _("{several} and {last}", several=", ".join(things[:-1]), last=things[-1])


# ---------------------------------------------------------------- what is said of an item


@lru_cache(maxsize=64)
def strength(word: str, language: str) -> tuple[str, int]:
    """One of STRENGTHS in the reader's language, and its bars; nothing of nothing."""
    _, bars = speech(language), ("", *STRENGTHS).index(word)
    return ("", _("weak"), _("fair"), _("strong"), _("very strong"))[bars], bars


@lru_cache(maxsize=256)
def labels(item: int, language: str) -> tuple[str, str, str]:
    """The words of an item's votes; its number tells them apart, and teaches the words of a reply."""
    _ = speech(language)
    return _("More like {item}", item=item), _("Less like {item}", item=item), _("Why {item}?", item=item)


def because(item: DigestItem, *, timezone: str = "UTC", language: str = "en") -> Because:
    """Why this item, in the reader's terms; true and short."""
    if item.reason.kind is ReasonKind.TRENDING:
        return Because(said := trend(item.work, language), said)
    return because_of(item.reason, timezone=timezone, language=language)


def because_of(reason: Reason, *, timezone: str, language: str) -> Because:
    """The same of a reason that is none of the day's news but the reader's own."""
    liked = local_day(reason.liked_at, timezone) if reason.liked_at else None
    return _because(reason.kind, reason.text, liked, language)


@lru_cache(maxsize=4096)
def _because(kind: ReasonKind, text: str, liked: date | None, language: str) -> Because:
    quoted = shorten(plain(text), 120)
    before, there, after, marks = _because_words(kind, bool(quoted), liked, language)
    line = f"{before}{marks[0]}{quoted}{marks[1]}{after}" if there and quoted else f"{before.strip()}{after}"
    return Because(line, before.strip(), quoted if there else "", after)


@lru_cache(maxsize=256)
def _because_words(kind: ReasonKind, told: bool, liked: date | None, language: str) -> tuple[str, bool, str, Sequence[str]]:
    """What stands before and after the reader's own words, whether they have a place there, and their quotation marks."""
    _ = speech(language)
    if kind is ReasonKind.EXPLORE:
        said = _("far from what you follow")
    elif kind is ReasonKind.LIKED and liked:
        said = _("because it is close to {quoted}, which you liked on {day}").replace("{day}", short_date(liked, language))
    elif kind is ReasonKind.LIKED:
        said = _("because it is close to {quoted}, which you liked")
    elif kind is ReasonKind.MUST:
        said = _("because you always want {quoted}")
    else:
        said = _("because you follow {quoted}") if told else _("because of what you follow")
    before, there, after = said.partition("{quoted}")
    return before, bool(there), after, _("“{}”").split("{}")


def votes(count: int, language: str) -> str:
    """86 votes; nothing for one or none."""
    return speech(language).ngettext("{count} vote", "{count} votes", count, count=decimal(count, language)) if count > 1 else ""


def trend(work: Work, language: str = "en") -> str:
    """How a work trends, from what its mentions say."""
    _, names = speech(language), sources(work)
    several = _("in {count} sources", count=number(len(names), language)) if len(names) > 1 else ""
    if facts := [fact for fact in (votes(work.upvotes or 0, language), several) if fact]:
        return _("Trending: {facts}", facts=listed(facts, language))
    return _("New in {source}", source=names[0]) if names else _("New in your sources")


def sources(work: Work) -> list[str]:
    return list(dict.fromkeys(plain(mention.source_name) for mention in work.mentions))


def authors(work: Work) -> str:
    """The first three, and how many more."""
    names = [shorten(plain(name), 60) for name in work.authors[:3]]
    return ", ".join(names) + (f" +{len(work.authors) - 3}" if len(work.authors) > 3 else "")


@dataclass(frozen=True, slots=True)
class Card:
    """What is said of a work to every reader of one language on one day."""

    title: str
    url: str | None
    reads: tuple[tuple[str, str], ...]  # (PDF, address) …, without the place where the title leads
    facts: tuple[str, ...]  # authors; place and age
    voted: tuple[str, ...]  # the same with its votes


@lru_cache(maxsize=16)
def cards(language: str, today: date, *, long: bool) -> Callable[[Work, date], Card]:
    """The card of a work and its own day in the reader's zone; `long`: an issue over a week or more names that day instead of the age.

    Kept as long as the work is the same: most of what is said of an item is for all readers, and batches of issues share works."""
    known: dict[tuple[WorkId, date], tuple[Work, Card]] = {}

    def card(work: Work, day: date) -> Card:
        kept = known.get((work.id, day))
        if kept is None or kept[0] is not work:
            if len(known) >= _MOST_CARDS:
                known.clear()
            same = kept is not None and kept[0] == work  # read from storage again
            made = kept[1] if kept and same else _card(work, language, (named_day if long else ago)(day, today, language))
            kept = known[work.id, day] = (work, made)
        return kept[1]

    return card


def _card(work: Work, language: str, when: str) -> Card:
    _, links, url = speech(language), work.links, home(work)
    ways = ((_("Abstract"), links.abstract), ("PDF", links.pdf), (_("Code"), links.code), (_("Project"), links.project))
    safe = [(label, safe_url(address)) for label, address in ways]
    facts = tuple(filter(None, (authors(work), ", ".join([*sources(work)[:1], when]))))
    count = votes(work.upvotes or 0, language)
    return Card(
        title=shorten(plain(work.title), LONGEST_TITLE) or _("(without a title)"),
        url=url,
        reads=tuple((label, address) for label, address in safe if address and address != url),
        facts=facts,
        voted=(*facts, count) if count else facts,
    )


def facts(item: DigestItem, card: Card, since: datetime, language: str) -> tuple[str, ...]:
    """Authors; place and age; where else it stands; votes; what changed since the last issue."""
    work, trending = item.work, item.reason.kind is ReasonKind.TRENDING
    if not item.also and not work.change:
        return card.facts if trending else card.voted
    _, found = speech(language), list(card.facts)
    if item.also:
        found.append(_("also in {places}", places=listed([shorten(plain(name), 90) for name in item.also], language)))
    if not trending:
        found += card.voted[len(card.facts) :]
    if work.change and work.changed_at and work.changed_at > since:
        found.append(shorten(change(work, language), 160))
    return tuple(found)


_CHANGES = (  # as `sources.identity` tells them
    re.compile("the abstract now says (?P<new>.+), it said (?P<old>.+)"),
    re.compile("the abstract now also says (?P<new>.+)"),
    re.compile("the abstract was rewritten"),
)


def change(work: Work, language: str) -> str:
    """What the latest version says otherwise: "version 2: the abstract now says 2.6 ×, it said 2.1 ×"."""
    _, said = speech(language), plain(work.change or "")
    messages = (
        _("the abstract now says {new}, it said {old}"),
        _("the abstract now also says {new}"),
        _("the abstract was rewritten"),
    )
    for pattern, message in zip(_CHANGES, messages, strict=True):
        if found := pattern.fullmatch(said):
            said = message.format(**found.groupdict())
    version = max((mention.version or 0 for mention in work.mentions), default=0)
    return _("version {number}: {change}", number=version, change=said) if version > 1 else said


# ---------------------------------------------------------------- what is said of an issue


def span(digest: Digest, schedule: str, *, timezone: str, language: str) -> str:
    """The time an issue is about: today, this week, this month, or since when."""
    _, cadence = speech(language), (schedule.split() or [""])[0].casefold()
    if cadence in ("weekly", "monthly"):
        return _("this week") if cadence == "weekly" else _("this month")
    days, since = digest.cutoff - digest.since, local_day(digest.since, timezone)
    if days <= timedelta(hours=36):
        return _("today")
    if days < timedelta(days=6):
        return _("since {weekday}", weekday=weekday(since, language))
    return _("since {day}", day=short_date(since, language))


def line(digest: Digest, schedule: str, strengths: Sequence[str], *, timezone: str, language: str) -> str:
    """One sentence on what this issue brings: "Five of 214 new papers today; two are strong." `strengths`: the chosen's words."""
    count, strong = len(strengths), strengths.count(STRENGTHS[2]) + strengths.count(STRENGTHS[3])
    when = span(digest, schedule, timezone=timezone, language=language)
    return _line(digest.kind, count, max(digest.candidates, count), strong, when, language)


@lru_cache(maxsize=4096)
def _line(kind: str, count: int, of: int, strong: int, when: str, language: str) -> str:
    _ = speech(language)
    chosen, new = number(count, language), number(of, language)
    if not of:
        return _("No new papers {when}.", when=when)
    if not count:
        return capital(
            _.ngettext(
                "{new} new paper {when}, and it does not fit.", "{new} new papers {when}, and none that fits.", of, new=new, when=when
            )
        )
    if kind == "trending" and of > count:
        return _.ngettext(
            "The most talked about of {new} new papers {when}.",
            "The {chosen} most talked about of {new} new papers {when}.",
            count,
            chosen=chosen,
            new=new,
            when=when,
        )
    if of > count:
        start = _.ngettext(
            "{chosen} of {new} new papers {when}", "{chosen} of {new} new papers {when}", count, chosen=chosen, new=new, when=when
        )
    else:
        start = _.ngettext("{new} new paper {when}", "{new} new papers {when}", of, new=new, when=when)
    if not strong or strong == count == 1:
        return capital(f"{start}.")
    rest = (
        _("all are strong")
        if strong == count
        else _.ngettext("{count} is strong", "{count} are strong", strong, count=number(strong, language))
    )
    return capital(_("{start}; {rest}.", start=start, rest=rest))
