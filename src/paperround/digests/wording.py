"""Room: wording. How facts of a digest are said to a reader: dates in their zone and language, ages, counts, reasons (pure)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton
from babel.numbers import format_decimal

from paperround.digests.due_dates import zone
from paperround.models import Digest, DigestItem, Reason, ReasonKind, Work

STRENGTHS = ("weak", "fair", "strong", "very strong")  # one to four bars
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_LOCALES = {"en": "en_GB"}  # where a language alone would bring one country's order of day and month
# Control characters end a header or make XML ill-formed; embeddings and overrides turn the words around them; the rest is invisible.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+|[\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff\ufeff]")
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|dclid|msclkid|mc_[ce]id|igshid|yclid|_hs(?:enc|mi)|ref_src", re.IGNORECASE)
_HTTP = re.compile(r"https?://[^\s/?#\"<>\\]+[^\s\"<>\\]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Because:
    """A reason in one line: `quoted` are the reader's own words or a title, to be set apart from what stands around it."""

    before: str
    quoted: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.before} “{self.quoted}”{self.after}" if self.quoted else f"{self.before}{self.after}"


# ---------------------------------------------------------------- text


def plain(text: str) -> str:
    """On one line, without control characters and whatever turns or hides the text around it."""
    if text.isascii() and text.isprintable() and "  " not in text:
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
    """The locale of a language tag; British English for one that nobody knows."""
    try:
        return Locale.parse(_LOCALES.get(language, language.replace("-", "_")))
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


def local_day(moment: datetime, timezone: str) -> date:
    return moment.astimezone(zone(timezone)).date()


def ago(day: date, today: date, language: str) -> str:
    """today, yesterday, 5 days ago, 3 November, 3 November 2025; a day to come is called by its date."""
    days = (today - day).days
    if 0 <= days < 2:
        return ("today", "yesterday")[days]
    return f"{days} days ago" if 0 < days < 14 else short_date(day, language, year=day.year != today.year)


def number(count: int, language: str) -> str:
    """In words up to twelve."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(format_decimal(count, locale=locale(language)))


def listed(things: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(things[:-1]), *things[-1:]]))


# ---------------------------------------------------------------- what is said of an item


def because(item: DigestItem, *, timezone: str = "UTC", language: str = "en") -> Because:
    """Why this item, in the reader's terms; true and short."""
    reason, quoted = item.reason, shorten(plain(item.reason.text), 120)
    if reason.kind is ReasonKind.LIKED:
        return Because("because it is close to", quoted, _liked(reason, timezone, language))
    if reason.kind is ReasonKind.MUST:
        return Because("because you always want", quoted)
    if reason.kind is ReasonKind.TRENDING:
        return Because(trend(item.work, language))
    if reason.kind is ReasonKind.EXPLORE:
        return Because("far from what you follow")
    return Because("because you follow", quoted) if quoted else Because("because of what you follow")


def _liked(reason: Reason, timezone: str, language: str) -> str:
    if reason.liked_at is None:
        return ", which you liked"
    return f", which you liked on {short_date(local_day(reason.liked_at, timezone), language)}"


def trend(work: Work, language: str = "en") -> str:
    """How a work trends, from what its mentions say."""
    names = sources(work)
    facts = [f"{format_decimal(work.upvotes, locale=locale(language))} votes"] if work.upvotes and work.upvotes > 1 else []
    facts += [f"in {number(len(names), language)} sources"] if len(names) > 1 else []
    return f"Trending: {listed(facts)}" if facts else f"New in {listed(names[:1]) or 'your sources'}"


def sources(work: Work) -> list[str]:
    return list(dict.fromkeys(plain(mention.source_name) for mention in work.mentions))


def authors(work: Work) -> str:
    """The first three, and how many more."""
    names = [shorten(plain(name), 60) for name in work.authors]
    return ", ".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "")


def facts(item: DigestItem, digest: Digest, *, timezone: str, language: str) -> list[str]:
    """Authors; place and age; where else it stands; votes; what changed."""
    work, today = item.work, local_day(digest.cutoff, timezone)
    when = ago(local_day(work.published or work.first_seen_at, timezone), today, language)
    also = [shorten(plain(name), 90) for name in item.also]
    found = [authors(work), ", ".join([*sources(work)[:1], when])]
    found += [f"also in {listed(also)}"] if also else []
    if work.upvotes and work.upvotes > 1 and item.reason.kind is not ReasonKind.TRENDING:
        found.append(f"{format_decimal(work.upvotes, locale=locale(language))} votes")
    if work.change and work.changed_at and work.changed_at > digest.since:
        found.append(shorten(plain(work.change), 160))
    return [fact for fact in found if fact]


# ---------------------------------------------------------------- what is said of an issue


def span(digest: Digest, schedule: str, *, timezone: str, language: str) -> str:
    """The time an issue is about: today, this week, this month, or since when."""
    cadence = schedule.split()[0].casefold() if schedule.split() else ""
    if cadence in ("weekly", "monthly"):
        return "this week" if cadence == "weekly" else "this month"
    days = digest.cutoff - digest.since
    if days <= timedelta(hours=36):
        return "today"
    since = local_day(digest.since, timezone)
    return f"since {weekday(since, language) if days < timedelta(days=6) else short_date(since, language)}"


def line(digest: Digest, schedule: str, strengths: Sequence[str], *, timezone: str, language: str) -> str:
    """One sentence on what this issue brings: "Five of 214 new papers today; two are strong." `strengths`: the words of the chosen."""
    when = span(digest, schedule, timezone=timezone, language=language)
    chosen, of = len(digest.chosen), max(digest.candidates, len(digest.chosen))
    new = f"{number(of, language)} new paper{'s' if of != 1 else ''}"
    if not chosen:
        return f"{capital(new)} {when}, and none that fits." if of else f"No new papers {when}."
    if digest.kind == "trending":
        return f"The {number(chosen, language) if chosen > 1 else 'one'} most talked about of {new} {when}."
    start = f"{capital(number(chosen, language))} of {new} {when}" if of > chosen else f"{capital(new)} {when}"
    strong = sum(word in STRENGTHS[2:] for word in strengths)
    if not strong or strong == chosen == 1:
        return f"{start}."
    return f"{start}; {'all' if strong == chosen else number(strong, language)} {'is' if strong == 1 else 'are'} strong."
