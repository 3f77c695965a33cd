"""Room: dates and times as people write them in a mail, in English, German and French."""

import re
from calendar import monthrange
from datetime import date, timedelta

WEEKDAYS = (
    ("monday", r"\b(?:mon(?:day)?s?|montags?|lundis?)\b"),
    ("tuesday", r"\b(?:tue(?:s|sday)?s?|dienstags?|mardis?)\b"),
    ("wednesday", r"\b(?:wed(?:s|nesday)?s?|mittwochs?|mercredis?)\b"),
    ("thursday", r"\b(?:thu(?:rs?|rsday)?s?|donnerstags?|jeudis?)\b"),
    ("friday", r"\b(?:fri(?:day)?s?|freitags?|vendredis?)\b"),
    ("saturday", r"\b(?:sat(?:urday)?s?|samstags?|sonnabends?|samedis?)\b"),
    ("sunday", r"\b(?:sun(?:day)?s?|sonntags?|dimanches?)\b"),
)
_MONTHS = (
    r"jan(?:uary|uar|vier)?|jänner|janv",
    r"feb(?:ruary|ruar)?|février|fevrier|févr",
    r"mar(?:ch|s)?|märz|maerz",
    r"apr(?:il)?|avril|avr",
    r"may|mai",
    r"june?|juni|juin",
    r"july?|juli|juillet|juil",
    r"aug(?:ust)?|août|aout",
    r"sept?(?:ember|embre)?",
    r"oct(?:ober|obre)?|okt(?:ober)?",
    r"nov(?:ember|embre)?",
    r"dec(?:ember)?|dez(?:ember)?|décembre|decembre|déc",
)
_MONTH = "|".join(f"(?P<m{number}>{names})" for number, names in enumerate(_MONTHS, 1))
_DAY_MONTH = re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th|er|\.)?(?: of)? ?\b(?:{_MONTH})\b\.?,?(?: (?P<year>\d{{4}}))?", re.I)
_MONTH_DAY = re.compile(rf"\b(?:{_MONTH})\b\.? ?(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b,?(?: (?P<year>\d{{4}}))?", re.I)
_MONTH_ALONE = re.compile(rf"\b(?:{_MONTH})\b(?: (?P<year>\d{{4}}))?", re.I)
_ISO = re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b")
_NUMERIC = re.compile(r"\b(?P<first>\d{1,2})(?P<mark>[./])(?P<second>\d{1,2})(?:[./](?P<year>\d{4}|\d{2})?)?(?!\d)")
_COUNTS = {
    word: number
    for number, words in enumerate(
        ("a an one ein eine einen einer un une", "two zwei deux", "three drei trois", "four vier quatre", "five fünf cinq", "six sechs"), 1
    )
    for word in words.split()
}
_SPAN = re.compile(
    rf"\b(?P<count>\d{{1,3}}|{'|'.join(_COUNTS)}|next|nächsten?|nächster)"
    r" (?P<unit>days?|tagen?|tage?|jours?|weeks?|wochen?|semaines?|months?|monate?n?|mois)\b",
    re.I,
)
_NEXT_UNIT = re.compile(r"\b(?:semaine|mois) prochaine?\b|\bla semaine prochaine\b", re.I)


def spoken_date(words: str, *, today: date, language: str = "en") -> date | None:
    """The day that words like "until 3 January", "bis Montag", "pendant deux semaines" mean, seen from `today`; None where none is meant
    or it is past. A date without a year is the next such one; 3/1 is month first in English unless it cannot be."""
    words = " ".join(words.lower().split())
    for reading in (_iso, _named, _numeric, _relative):
        if (found := reading(words, today, language)) is not None:
            return found if found >= today else None
    return None


def _iso(words: str, today: date, language: str) -> date | None:  # noqa: ARG001  (one shape for all readings)
    found = _ISO.search(words)
    return _day(int(found["year"]), int(found["month"]), int(found["day"])) if found else None


def _named(words: str, today: date, language: str) -> date | None:  # noqa: ARG001
    for pattern in (_DAY_MONTH, _MONTH_DAY):
        if found := pattern.search(words):
            return _coming(today, _month(found), int(found["day"]), found["year"])
    if found := _MONTH_ALONE.search(words):
        return _coming(today, _month(found), 1, found["year"])
    return None


def _month(found: re.Match[str]) -> int:
    return next(number for number in range(1, 13) if found[f"m{number}"])


def _numeric(words: str, today: date, language: str) -> date | None:
    found = _NUMERIC.search(words)
    if found is None:
        return None
    first, second = int(found["first"]), int(found["second"])
    month_first = found["mark"] == "/" and language.startswith("en") and first <= 12
    day, month = (second, first) if month_first or second > 12 else (first, second)
    return _coming(today, month, day, found["year"])


def _relative(words: str, today: date, language: str) -> date | None:  # noqa: ARG001
    if re.search(r"\b(tomorrow|morgen|demain)\b", words):
        return today + timedelta(days=1)
    if re.search(r"\b(end of (the )?month|monatsende|ende des monats|fin du mois)\b", words):
        return today.replace(day=monthrange(today.year, today.month)[1])
    if found := _SPAN.search(words):
        return _after(today, _COUNTS.get(found["count"]) or (int(found["count"]) if found["count"].isdecimal() else 1), found["unit"])
    if found := _NEXT_UNIT.search(words):
        return _after(today, 1, found[0].split()[-2])
    for number, (_, pattern) in enumerate(WEEKDAYS):
        if re.search(pattern, words):
            return today + timedelta(days=(number - today.weekday() - 1) % 7 + 1)
    return None


def _after(today: date, count: int, unit: str) -> date | None:
    if unit.startswith(("mo",)):
        month = today.month - 1 + min(count, 24)
        year, month = today.year + month // 12, month % 12 + 1
        return date(year, month, min(today.day, monthrange(year, month)[1]))
    return today + timedelta(days=count * (7 if unit.startswith(("week", "woche", "semaine")) else 1))


def _coming(today: date, month: int, day: int, year: str | None) -> date | None:
    if year is not None:
        return _day(int(year) + (2000 if len(year) == 2 else 0), month, day)
    this = _day(today.year, month, day)
    return this if this is not None and this >= today else _day(today.year + 1, month, day)


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def spoken_time(words: str) -> str | None:
    """HH:MM for "at 7", "7:30", "8am", "um 7 Uhr", "à 8h", "à 8h30"; None where no time is said."""
    found = re.search(
        r"\b(\d{1,2})[:.h](\d{2})(?!\d) ?(am|pm)?|\b(\d{1,2}) ?(am|pm|uhr|h)\b|\b(?:at|um|à) (\d{1,2})\b(?![:.h]\d)", words, re.I
    )
    if found is None:
        return None
    hour, minute = int(found[1] or found[4] or found[6]), int(found[2] or 0)
    half = (found[3] or found[5] or "").lower()
    if half in ("am", "pm") and hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return f"{hour:02}:{minute:02}" if hour < 24 and minute < 60 else None
