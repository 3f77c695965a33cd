"""Profile form: what a form says as the values of a profile file, and a profile as what a form shows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from starlette.datastructures import FormData

from paperround.digests.due_dates import DAYS, parse_schedule
from paperround.models import Profile
from paperround.sources.references import references
from paperround.web.wording import marked as _

RHYTHMS = (
    ("weekdays", _("Monday to Friday")),
    ("daily", _("Every day")),
    ("weekly", _("Once a week")),
    ("monthly", _("Once a month")),
    ("off", _("Never")),
)
WEIGHTS = ((0.5, _("a little")), (1.0, _("normally")), (2.0, _("much")), (4.0, _("very much")))
CHANNELS = (("email feed", _("By mail and as a feed")), ("email", _("By mail")), ("feed", _("As a feed only: no mail address needed")))
STRENGTHS = (
    ("auto", _("what is likely to interest me")),
    ("0.25", _("also what may")),
    ("0.75", _("only what is very close")),
    ("0", _("everything, best first")),
)
DAY_NAMES = (_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"), _("Sunday"))
SPARE_ROWS = 3  # empty lines for more interests
TEXT_KEYS = ("avoid", "must", "never")
_AREAS = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}


def lines(text: object) -> list[str]:
    """One text a line, without doubles."""
    return list(dict.fromkeys(tidy for line in str(text or "").splitlines() if (tidy := " ".join(line.split()))))


def schedule_of(form: Mapping[str, Any]) -> str:
    """The schedule that rhythm, day and time make; the caller checks it."""
    rhythm, clock = str(form.get("rhythm", "weekdays")), str(form.get("time") or "07:30")
    day = {"weekly": form.get("weekday") or "monday", "monthly": form.get("monthday") or "1"}.get(rhythm)
    return "off" if rhythm == "off" else " ".join(part for part in (rhythm, day and str(day), clock) if part)


def schedule_fields(schedule: str) -> dict[str, Any]:
    """A schedule as the form shows it."""
    plan = parse_schedule(schedule)
    return {
        "rhythm": plan.kind,
        "time": f"{plan.at:%H:%M}" if plan.kind != "off" else "07:30",
        "weekday": DAYS[plan.day] if plan.kind == "weekly" else "monday",
        "monthday": plan.day if plan.kind == "monthly" else 1,
    }


def timing_values(form: FormData) -> dict[str, object]:
    """What a link in an issue may change: schedule and zone."""
    values: dict[str, object] = {"schedule": schedule_of(form)}
    if form.get("timezone"):
        values["timezone"] = str(form["timezone"])
    return values


def sign_up_values(form: FormData) -> dict[str, object]:
    """What a sign-up wants, as far as the form names it."""
    values: dict[str, object] = {"interests": lines(form.get("interests"))}
    if liked := references(str(form.get("liked") or "")):
        values["liked"] = liked
    if form.get("channels"):
        values["channels"] = str(form["channels"]).split()
    if "rhythm" in form:
        values |= timing_values(form)
    if form.get("max_items"):
        values["max_items"] = whole_number(form["max_items"])
    return values


def profile_values(form: FormData) -> dict[str, object]:
    """Every key that the whole form shows."""
    score = str(form.get("min_score", "auto"))
    return {
        **timing_values(form),
        "name": str(form.get("name", "")),
        "language": str(form.get("language") or "en"),
        "max_items": whole_number(form.get("max_items", "5")),
        "min_score": score if score == "auto" else number(score),
        "channels": [str(each) for each in form.getlist("channels")],
        "empty": "note" if "note" in form else "skip",
        "explore": "explore" in form,
        "sources": [str(each) for each in form.getlist("sources")],
        "interests": weighted_interests(form),
        **{key: lines(form.get(key)) for key in TEXT_KEYS},
        "liked": references(str(form.get("liked") or "")),
    }


def weighted_interests(form: FormData) -> list[object]:
    """Rows of words and weight; a row without words is no interest."""
    found: list[object] = []
    for text, weight in zip(form.getlist("interest"), form.getlist("weight"), strict=False):
        if words := " ".join(str(text).split()):
            found.append({"text": words, "weight": number(str(weight))})
    return found


def whole_number(text: object) -> object:
    """The number, or the text as it stands for the check to refuse in words."""
    return int(str(text)) if str(text).strip().isdecimal() else text


def number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def choices(profile: Profile, source_names: Sequence[str]) -> dict[str, Any]:
    """Everything the whole form needs beside the profile itself."""
    rows = [(each.text, each.weight) for each in profile.interests] + [("", 1.0)] * SPARE_ROWS
    score = "auto" if profile.min_score is None else f"{profile.min_score:g}"
    return {
        **schedule_choices(profile.schedule, profile.timezone),
        "rows": rows,
        "weights": with_own(WEIGHTS, {weight: f"{weight:g} times" for _, weight in rows}),
        "strengths": with_own(STRENGTHS, {score: score}),
        "score": score,
        "sources": sorted({*source_names, *profile.sources}, key=str.casefold),
        "languages": languages(),
    }


def schedule_choices(schedule: str, timezone: str) -> dict[str, Any]:
    return {
        **schedule_fields(schedule),
        "rhythms": RHYTHMS,
        "days": tuple(zip(DAYS, DAY_NAMES, strict=True)),
        "zones": zones(),
        "timezone": timezone,
    }


def with_own(known: Sequence[tuple[Any, str]], own: Mapping[Any, str]) -> list[tuple[Any, str]]:
    """The choices, and the reader's own where it is none of them."""
    return [*known, *((value, label) for value, label in own.items() if value not in dict(known))]


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """The zones that people live in, by name."""
    return ("UTC", *sorted(zone for zone in available_timezones() if zone.partition("/")[0] in _AREAS))


@lru_cache(maxsize=1)
def languages() -> tuple[tuple[str, str], ...]:
    """The languages that the templates speak, by their own names."""
    return tuple((code, (Locale(code).get_display_name() or code).capitalize()) for code in ("en", "de", "fr"))


def guessed_zone(accept_language: str, fallback: str) -> str:
    """The zone of the country in the browser's first language, where its clocks agree all year; the fallback otherwise."""
    first = accept_language.partition(",")[0].partition(";")[0].strip().replace("-", "_")
    try:
        territory = Locale.parse(first).territory if "_" in first else None
    except (ValueError, UnknownLocaleError, TypeError):
        return fallback
    found = [zone for zone, country in get_global("zone_territories").items() if country == territory and zone in zones()]
    offsets = {tuple(datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for month in (1, 7)) for zone in found}
    return found[0] if len(offsets) == 1 else fallback
