"""Room: the keys of a profile. What each may hold, as plain values of a profile file, checked one by one (pure)."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from zoneinfo import ZoneInfo

from paperround.errors import ProfileError
from paperround.models import Channel

MAX_ITEMS = 50  # what one mail can hold before mail programs clip it
MAX_TEXTS = 200  # in one list
MAX_LENGTH = 2000  # characters of one text
MAX_WEIGHT = 10.0

Check = Callable[[object], object]
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


def check_values(values: Mapping[str, object], place: str, check_schedule: Callable[[str], object] | None = None) -> dict[str, object]:
    """The same keys with tidied values. `place` names the file or person in errors; `check_schedule` raises ValueError for a bad schedule.

    Raises ProfileError that names place, key and reason for the first key that is unknown or holds what it must not."""
    found = {}
    for key, value in values.items():
        if key not in CHECKS:
            raise ProfileError(place, key, unknown(key, CHECKS))
        try:
            found[key] = CHECKS[key](value)
            if key == "schedule" and check_schedule:
                check_schedule(str(found[key]))
        except ValueError as error:
            raise ProfileError(place, key, str(error)) from None
    return found


def unknown(key: str, known: Mapping[str, object]) -> str:
    """The reason for an unknown key, with the known one that is nearest."""
    near = get_close_matches(key, list(known), n=1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known are {', '.join(known)}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotation marks, not {value!r}")
    tidy = " ".join(value.split())
    if len(tidy) > MAX_LENGTH or not tidy.isprintable():
        raise ValueError(f"must be a text of at most {MAX_LENGTH} characters, without control characters")
    return tidy


def _nonempty(value: object) -> str:
    tidy = _text(value)
    if not tidy:
        raise ValueError("must not be an empty text")
    return tidy


def _list(value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise ValueError(f'must be a list such as ["one", "two"], not {value!r}')
    if len(value) > MAX_TEXTS:
        raise ValueError(f"must hold at most {MAX_TEXTS} texts, not {len(value)}")
    return list(value)


def _texts(value: object) -> list[object]:
    return list(dict.fromkeys(map(_nonempty, _list(value))))


def _number(value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"must be a number from {least:g} to {most:g}, not {value!r}")
    return value


def _interest(value: object) -> object:
    """A text, or a table of text and weight; a weight of 1 says nothing."""
    if not isinstance(value, Mapping):
        return _nonempty(value)
    if wrong := set(value) - {"text", "weight"}:
        raise ValueError(f"an interest has a text and a weight, not {', '.join(sorted(map(str, wrong)))}")
    text, weight = _nonempty(value.get("text", "")), _number(value.get("weight", 1.0), 0, MAX_WEIGHT)
    if weight == 0:
        raise ValueError("the weight of an interest must be more than 0; leave the interest out instead")
    return text if weight == 1 else {"text": text, "weight": float(weight)}


def _interests(value: object) -> list[object]:
    tidy = [_interest(each) for each in _list(value)]
    last = {(each["text"] if isinstance(each, dict) else each): each for each in tidy}
    return list(last.values())


def _zone(value: object) -> str:
    name = _text(value)
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError; a folder's name gives an OSError
        raise ValueError(_no_zone(name)) from None
    return name


def _no_zone(name: str) -> str:
    from zoneinfo import available_timezones  # reads a folder: only when something is wrong

    near = get_close_matches(name, available_timezones(), n=1)
    return f"{name!r} is no time zone{f'; did you mean {near[0]}?' if near else ' such as Europe/Berlin'}"


def _language(value: object) -> str:
    tag = _text(value)
    if not _LANGUAGE.fullmatch(tag):
        raise ValueError(f"must be a language tag such as en or pt-BR, not {value!r}")
    return tag


def _max_items(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"must be a whole number from 1 to {MAX_ITEMS}, not {value!r}")
    return int(_number(value, 1, MAX_ITEMS))


def _min_score(value: object) -> object:
    if value == "auto":
        return "auto"
    try:
        return float(_number(value, 0, 1))
    except ValueError:
        raise ValueError(f'must be "auto" or a number from 0 to 1, not {value!r}') from None


def _channels(value: object) -> list[object]:
    names = _texts(value)
    known = [channel.value for channel in Channel]
    if not names or not set(names) <= set(known):
        raise ValueError(f"must hold one or both of {', '.join(known)}, not {value!r}")
    return names


def _empty(value: object) -> str:
    if value not in ("skip", "note"):
        raise ValueError(f'must be "skip" or "note", not {value!r}')
    return str(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "name": _text,
        "timezone": _zone,
        "language": _language,
        "schedule": _nonempty,
        "max_items": _max_items,
        "min_score": _min_score,
        "channels": _channels,
        "empty": _empty,
        "explore": _flag,
        "sources": _texts,
        "interests": _interests,
        "avoid": _texts,
        "must": _texts,
        "never": _texts,
        "liked": _texts,
    }
)
