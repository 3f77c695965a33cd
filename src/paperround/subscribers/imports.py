"""Room: imports. Rows of lists that were kept elsewhere: who comes, with which evidence of consent, and who must not be mailed (pure).

Known by their columns: Mailchimp's audience exports, listmonk's subscriber export, our own, and any with a column `email`."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from paperround.subscribers.consent import address_prefix
from paperround.subscribers.profile_values import CHECKS

LEFT = "left"  # they left the list elsewhere: no load brings them, their own sign-up does
LISTS = ("channels", "sources", "interests", "avoid", "must", "never", "liked")
# What a list says of somebody who must not be mailed, as our reason; a complaint stays one.
GONE = {
    **{"unsubscribed": LEFT, "disabled": LEFT, "forgotten": LEFT, "left": LEFT},
    **{"bounced": "bounced", "cleaned": "bounced", "complained": "complained", "blocklisted": "admin"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One person of a list. `evidence`: when and how they consented, in words; `gone`: why they must not be mailed."""

    email: str
    values: Mapping[str, Any] = field(default_factory=dict)  # keys of a profile, not yet checked
    evidence: str | None = None
    network: str | None = None  # that the consent came from, /24 or /48
    gone: str | None = None
    paused: bool = False


def read_row(given: Mapping[str, object]) -> Row:
    """One row by its columns, however they are spelt; unknown ones are passed over."""
    row: dict[str, Any] = {re.sub(r"\W+", "_", str(key).strip().casefold()): value for key, value in given.items() if key}
    row = {key: value.strip() if isinstance(value, str) else value for key, value in row.items() if value not in (None, "")}
    profile = row.get("profile")
    foreign = bool({"leid", "optin_time", "member_rating"} & row.keys()) or {"uuid", "attributes"} <= row.keys()
    address = next((ip for key in ("optin_ip", "confirm_ip", "ip") if (ip := address_prefix(str(row.get(key, ""))))), None)
    return Row(
        email=str(row.get("email") or row.get("email_address") or ""),
        values=_of_elsewhere(row) if foreign else dict(profile) if isinstance(profile, Mapping) else _of_columns(row),
        evidence=_evidence(row),
        network=address,
        gone=_gone(row),
        paused=row.get("state") == "paused",
    )


def _evidence(row: Mapping[str, Any]) -> str | None:
    """Of Mailchimp's, both times: who was put on the list by its owner has only that of confirming."""
    if row.get("optin_time") and row.get("confirm_time"):
        return f"opted in {row['optin_time']}, confirmed {row['confirm_time']}"
    if row.get("consented_at") and row.get("state", "active") in ("active", "paused"):
        return f"consented {row['consented_at']}"
    return None


def _gone(row: Mapping[str, Any]) -> str | None:
    if row.get("clean_time"):
        return "bounced"
    if row.get("unsub_time"):
        return "complained" if re.search("spam|abuse|complain", str(row.get("unsub_reason", "")), re.I) else LEFT
    if row.get("suppressed"):
        return GONE.get(str(row["suppressed"]).casefold(), "admin")
    return GONE.get(str(row.get("status") or row.get("state") or "").casefold())


def _of_elsewhere(row: Mapping[str, Any]) -> dict[str, Any]:
    """What another program's list says that a profile can use: a name, interests, a zone if it is one."""
    with suppress(ValueError):
        attributes = json.loads(str(row.get("attributes")))
        row = {**(attributes if isinstance(attributes, dict) else {}), **row}
    name = row.get("name") or " ".join(filter(None, (row.get("first_name"), row.get("last_name"))))
    values: dict[str, Any] = {"name": name} if name else {}
    if interests := _texts(row.get("interests", ""), "[;,]"):
        values["interests"] = interests
    with suppress(ValueError, KeyError, OSError):
        values["timezone"] = ZoneInfo(str(row["timezone"])).key
    return values


def _of_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns that are called as the keys of a profile file; lists are separated by semicolons."""
    values: dict[str, Any] = {}
    for key in CHECKS.keys() & row.keys():
        text = row[key]
        values[key] = _texts(text, ";") if key in LISTS else _plain(text) if key in ("max_items", "min_score", "explore") else text
    return values


def _texts(value: object, separator: str) -> list[Any]:
    texts = re.split(separator, value) if isinstance(value, str) else value if isinstance(value, list) else []
    return [each.strip() if isinstance(each, str) else each for each in texts if each and str(each).strip()]


def _plain(text: object) -> object:
    with suppress(ValueError):
        return json.loads(str(text).lower())
    return text
