"""Wording: in which language a page speaks, and moments as the pages say them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from starlette.requests import Request

from paperround.digests.catalogues import LANGUAGES, speech
from paperround.digests.wording import local_day, long_date


def marked(message: str) -> str:
    """What a template will say by `_`: as `_("…")` in a module it comes into the catalogues."""
    return message


def language_of(request: Request, fallback: str) -> str:
    """The first language of the browser that we speak, else the list's."""
    wanted = (each.strip()[:2].lower() for each in request.headers.get("accept-language", "").split(","))
    return next((each for each in wanted if each in LANGUAGES), fallback)


def moment(value: datetime | None, timezone: str, language: str = "en") -> str:
    """ "on Friday 3 January 2025 at 07:30", in the reader's zone; "" for none."""
    if value is None:
        return ""
    day, clock = long_date(local_day(value, timezone), language), f"{value.astimezone(ZoneInfo(timezone)):%H:%M}"
    return speech(language)("on {day} at {time}", day=day, time=clock)
