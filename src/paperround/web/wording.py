"""Wording: moments as the pages say them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from paperround.digests.wording import local_day, long_date


def moment(value: datetime | None, timezone: str, language: str = "en") -> str:
    """ "on Friday 3 January 2025 at 07:30", in the reader's zone; "" for none."""
    if value is None:
        return ""
    return f"on {long_date(local_day(value, timezone), language)} at {value.astimezone(ZoneInfo(timezone)):%H:%M}"
