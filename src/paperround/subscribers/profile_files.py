"""Room: profile files. subscribers/*.toml ↔ profiles; an error names file, key and reason; one bad file stops no other (I/O)."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from paperround.errors import ProfileError
from paperround.models import Channel, Profile
from paperround.records import ProfileFile
from paperround.subscribers.profile_layers import profile_to_values, values_to_profile
from paperround.subscribers.profile_values import CHECKS, check_values, unknown
from paperround.subscribers.signed_links import fold_address, normalise_email

CheckSchedule = Callable[[str], object]
_IDENTITY = {"email": None, "id": None}


def read_profile_file(path: Path, check_schedule: CheckSchedule | None = None) -> ProfileFile:
    """Read one file. `check_schedule` raises ValueError for a schedule that is none. Raises ProfileError."""
    values = _read_toml(path)
    email, name = _email(values.pop("email", None), path), _id(values.pop("id", None), path)
    for key in values:
        if key not in CHECKS:
            raise ProfileError(str(path), key, unknown(key, {**_IDENTITY, **CHECKS}))
    checked = check_values(values, str(path), check_schedule)
    if email is None and Channel.EMAIL in values_to_profile(checked).channels:
        raise ProfileError(str(path), "email", 'is missing; only a reader with channels = ["feed"] and an id needs none')
    if email is None and name is None:
        raise ProfileError(str(path), "id", "is missing; a reader without email needs one")
    return ProfileFile(name=path.stem, email=email, id=name, values=checked)


def read_folder(folder: Path, check_schedule: CheckSchedule | None = None) -> tuple[list[ProfileFile], list[ProfileError]]:
    """Every *.toml of a folder by name, and an error for each that cannot be used. Raises ProfileError when there is no such folder."""
    if not folder.is_dir():
        raise ProfileError(str(folder), "folder", "there is no such folder")
    found: dict[str, ProfileFile] = {}
    errors: list[ProfileError] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            file = read_profile_file(path, check_schedule)
            key, who = ("email", fold_address(file.email)) if file.email else ("id", file.who)
            if who in found:
                raise ProfileError(str(path), key, f"{file.who} has a file already: {found[who].name}.toml")
            found[who] = file
        except ProfileError as error:
            errors.append(error)
    return list(found.values()), errors


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ProfileError(str(path), "file", error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise ProfileError(str(path), "file", "is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(str(path), "file", f"is no TOML (texts stand in quotes, lists in [ ]): {error}") from None


def _email(value: object, path: Path) -> str | None:
    if value is None:
        return None
    try:
        return normalise_email(value if isinstance(value, str) else str(value))
    except ValueError as error:
        raise ProfileError(str(path), "email", str(error)) from None


def _id(value: object, path: Path) -> str | None:
    if value is None or (isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable() and not set(value) & set(" @/")):
        return value
    raise ProfileError(str(path), "id", f"must be a short name without spaces, @ and /, not {value!r}")


def profile_text(profile: Profile, *, email: str | None = None) -> str:
    """A profile as a profile file: every key, lists of many one text a line. Reading it gives the same profile."""
    document = tomlkit.document()
    if email is not None:
        document["email"] = email
    for key, value in profile_to_values(profile).items():
        document[key] = _list_item(value) if isinstance(value, list) else value
    return tomlkit.dumps(document)


def _list_item(values: Sequence[Any]) -> Any:
    array = tomlkit.array()
    for value in values:
        if isinstance(value, dict):
            table = tomlkit.inline_table()
            table.update(value)
            array.append(table)
        else:
            array.append(value)
    array.multiline(len(str(values)) > 100)
    return array


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` as on a command line: values as in a profile file, a text also without its quotation marks. Checked but for the schedule.

    Raises ProfileError."""
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ProfileError("command line", text, "must look like KEY=VALUE, for example max_items=8")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value
    return check_values(values, "command line")
