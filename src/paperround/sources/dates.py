"""Dates: those that feedparser cannot read, as they stand in real feeds (pure)."""

import re
from datetime import UTC, datetime, timedelta, timezone

from paperround.sources.safe_html import one_line

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier janv ene enero gen gennaio",
            "feb february februar février fév févr febrero febbraio",
            "mar march märz mär mars marzo mrz",
            "apr april avril avr abril abr aprile",
            "may mai mayo mag maggio",
            "jun june juni juin junio giu giugno",
            "jul july juli juillet juil julio lug luglio",
            "aug august août aou aout agosto ago",
            "sep sept september septembre septiembre set settembre",
            "oct october oktober okt octobre octubre ott ottobre",
            "nov november novembre noviembre",
            "dec december dezember dez décembre déc diciembre dic dicembre",
        ),
        1,
    )
    for name in names.split()
}
_ZONES = {"utc": 0, "gmt": 0, "z": 0, "ut": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_ZONES |= {"cet": 1, "cest": 2, "bst": 1, "jst": 9}
_TIME = re.compile(r"\b(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:\s*([ap])\.?m\.?(?![a-z]))?", re.I)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})(?=z?$|\s|\)|$)", re.I)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_SLASHED = re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{2,4})\b")


def parse_date(text: str) -> datetime | None:
    """An aware time in UTC, or None. A date without time is midnight, without zone UTC, without day the first of the month."""
    text = one_line(text.replace("\\n", " "))
    if re.fullmatch(r"\d{9,10}", text):
        return datetime.fromtimestamp(int(text), UTC)
    day = _iso(text) or _slashed(text) or _worded(text)
    if day is None:
        return None
    try:
        hour, minute, second = _time(text)
        return datetime(*day, hour, minute, second, tzinfo=_zone(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _iso(text: str) -> tuple[int, int, int] | None:
    found = _ISO.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _slashed(text: str) -> tuple[int, int, int] | None:
    """Month first, as those who write slashes and a clock mostly do; day first where the first cannot be a month."""
    found = _SLASHED.search(text)
    if not found:
        return None
    first, second, year = int(found[1]), int(found[2]), int(found[3])
    month, day = (second, first) if first > 12 else (first, second)
    return (year + 2000 if year < 70 else year + 1900 if year < 100 else year, month, day)


def _worded(text: str) -> tuple[int, int, int] | None:
    without = _TIME.sub(" ", text)
    words = re.findall(r"[^\W\d_]+", without.casefold())
    month = next((_MONTHS[word] for word in reversed(words) if word in _MONTHS), None)  # "mar." may be mardi, before the day
    numbers = [int(each) for each in re.findall(r"(?<![\d+:-])\d{1,4}(?=(?:st|nd|rd|th)?\b)", re.sub(_OFFSET, " ", without))]
    year = next((each for each in numbers if each > 999), None)
    if month is None or year is None:
        return None
    day = next((each for each in numbers if 1 <= each <= 31), 1)
    return year, month, day


def _time(text: str) -> tuple[int, int, int]:
    found = _TIME.search(text.replace("T", " ")) if "T" in text and _ISO.search(text) else _TIME.search(text)
    if not found:
        return 0, 0, 0
    hour = int(found[1])
    half = (found[4] or "").lower()
    if half == "p" and hour < 12:
        hour += 12
    if half == "a" and hour == 12:
        hour = 0
    return hour, int(found[2]), int(found[3] or 0)


def _zone(text: str) -> timezone:
    found = _OFFSET.search(_SLASHED.sub(" ", _ISO.sub(" ", text)))
    if found:
        minutes = int(found[2]) * 60 + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    words = [word for word in re.findall(r"[a-z]+", text.casefold()) if word in _ZONES]
    return timezone(timedelta(hours=_ZONES[words[-1]])) if words else UTC
