"""Room: configuration. paperround.toml and the environment become one frozen Settings; every value knows where it came from (I/O)."""

import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from paperround.config_keys import (
    RelaySettings,
    Settings,
    duration_text,
    is_loopback,
    is_secret,
    is_secret_file,
    keys,
    redacted,
    shown_key,
    tables,
)
from paperround.errors import ConfigError

__all__ = ["Settings", "Shown", "example_config", "load_settings", "provenance", "read_keys", "redacted", "write_new_key"]

DEFAULT_FILE = "paperround.toml"
PREFIX = "PAPERROUND_"
_NOT_KEYS = ("PAPERROUND_CONFIG",)
_NOT_KEYS_PREFIX = "PAPERROUND_TEST_"

# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class _Given:
    """Where a value was given: a file with its key, or a variable."""

    place: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.key}" if self.key else self.place


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The configuration of `path`, else of $PAPERROUND_CONFIG, else of ./paperround.toml; without that file all defaults, relative to the
    current folder. Variables PAPERROUND_KEY and PAPERROUND_TABLE_KEY go before the file. Raises ConfigError, one line that names file (or
    variable) and key."""
    named = path or (Path(environ["PAPERROUND_CONFIG"]) if environ.get("PAPERROUND_CONFIG") else None)
    file = named or Path(DEFAULT_FILE)
    folder = file.absolute().parent
    values: dict[tuple[str, ...], tuple[object, _Given]] = {}
    if named or file.is_file():
        values |= _resolve_files(_from_file(file), folder)
    values |= _resolve_files(_from_environment(environ), folder)
    try:
        settings = Settings.model_validate(_nested({key: value for key, (value, _) in values.items()}), context=folder)
    except ValidationError as error:
        raise ConfigError(_explained(error, values)) from None
    settings._folder = folder
    settings._sources = {".".join(key): given.place for key, (_, given) in values.items()}
    _refuse_plain_http(settings, values.get(("base_url",)))
    return settings


def _from_file(file: Path) -> dict[tuple[str, ...], tuple[object, _Given]]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; `paperround init` writes one") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: is no TOML: {error}") from None
    known = {key: shown_key(key) for key in keys()}
    found: dict[tuple[str, ...], tuple[object, _Given]] = {}
    for key, value in _leaves(document):
        if key not in known and not (len(key) == 1 and key[0] in tables() and not isinstance(value, dict)):
            raise ConfigError(f"{file}: {shown_key(key)}: unknown key{_meant(shown_key(key), known.values())}")
        found[key] = value, _Given(str(file), shown_key(key))
    return found


def _leaves(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in document.items():
        if isinstance(value, dict) and (name in tables() or name not in Settings.model_fields):
            yield from (((name, key), each) for key, each in value.items())
            if not value and name not in tables():
                yield (name,), value
        else:
            yield (name,), value


def _from_environment(environ: Mapping[str, str]) -> dict[tuple[str, ...], tuple[object, _Given]]:
    names = {PREFIX + "_".join(key).upper(): key for key in keys()}
    found: dict[tuple[str, ...], tuple[object, _Given]] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in _NOT_KEYS or name.startswith(_NOT_KEYS_PREFIX):
            continue
        if name not in names:
            raise ConfigError(f"{name}: unknown variable{_meant(name, names)}")
        found[names[name]] = _from_text(names[name], name, text), _Given(name)
    return found


def _from_text(key: tuple[str, ...], name: str, text: str) -> object:
    """A variable's value: lists as in the file, or for texts separated by commas; all else as it stands. An empty optional one is none."""
    info = keys()[key]
    if get_origin(info.annotation) is tuple:
        if not text.lstrip().startswith("["):
            return [each.strip() for each in text.split(",") if each.strip()]
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{name}: is no list as in a TOML file: {error}") from None
    return None if text == "" and type(None) in get_args(info.annotation) else text


def _resolve_files(values: dict[tuple[str, ...], tuple[object, _Given]], folder: Path) -> dict[tuple[str, ...], tuple[object, _Given]]:
    """KEY_file becomes KEY with the file's content, for secrets."""
    found = dict(values)
    for key, (value, given) in values.items():
        if is_secret_file(key):
            plain = (*key[:-1], key[-1].removesuffix("_file"))
            if plain in values:
                raise ConfigError(f"{given}: {shown_key(plain)} is given too; one of the two must go")
            del found[key]
            found[plain] = _secret_in(value, given, folder), given
    if ("relays",) in found:
        relays, given = found["relays",]
        found["relays",] = [_relay(relay, given, folder) for relay in relays] if isinstance(relays, list | tuple) else relays, given
    return found


def _relay(relay: object, given: _Given, folder: Path) -> object:
    if not isinstance(relay, dict):
        return {"transport": relay}
    if "transport_file" in relay and "transport" not in relay:
        return {
            **{k: v for k, v in relay.items() if k != "transport_file"},
            "transport": _secret_in(relay["transport_file"], given, folder),
        }
    return relay


def _secret_in(value: object, given: _Given, folder: Path) -> str:
    try:
        return (folder / Path(str(value)).expanduser()).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{given}: cannot read {value}: {getattr(error, 'strerror', None) or error}") from None


def _nested(values: Mapping[tuple[str, ...], object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if len(key) == 1:
            found[key[0]] = value
        else:
            found.setdefault(key[0], {})[key[1]] = value
    return found


def _explained(error: ValidationError, values: Mapping[tuple[str, ...], tuple[object, _Given]]) -> str:
    """The first fault in one line. Pydantic's own words, without its prefix; never the value, which may be a password."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = tuple(str(part) for part in first["loc"])
    given = next((values[key[:length]][1] for length in (2, 1) if key[:length] in values), _Given("configuration", shown_key(key)))
    beyond = "" if given.key in ("", shown_key(key)) and key[0] != "relays" else f" {'.'.join(key[1:])}"
    return f"{given}{beyond.rstrip()}: {first['msg'].removeprefix('Value error, ')}"


def _meant(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _refuse_plain_http(settings: Settings, given: tuple[object, _Given] | None) -> None:
    """Links in mails carry signed tokens: they must not cross the net in clear."""
    if settings.base_url.startswith("https:"):
        return
    for address in settings.transports:
        host = urlsplit(address).hostname if address.startswith("smtp") else None
        if host and not is_loopback(host):
            place = given[1] if given else _Given("configuration", "base_url")
            raise ConfigError(f"{place}: must begin with https:// when mail goes to {host}; links in mails are secrets")


# ---------------------------------------------------------------- showing


@dataclass(frozen=True, slots=True)
class Shown:
    """One value in force. `source` is a file, a variable or "default"."""

    key: str
    value: str
    source: str


def provenance(settings: Settings) -> list[Shown]:
    """Every key with its value and where it comes from; passwords hidden."""
    rows = []
    for key in keys():
        if is_secret_file(key):
            continue
        value: Any = settings
        for part in key:
            value = getattr(value, part)
        rows.append(Shown(".".join(key), _shown(value), settings._sources.get(".".join(key), "default")))
    return rows


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, tuple):
        return ", ".join(redacted(each.transport) if isinstance(each, RelaySettings) else str(each) for each in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else redacted(str(value))


def example_config() -> str:
    """A paperround.toml with every key, explained. What stands commented out shows the default, or a value to follow."""
    lines = ["# Paperround. Every key is optional; what stands here are the defaults. Relative paths start at this file's folder.", ""]
    lines += ["# Each key is also an environment variable: PAPERROUND_BASE_URL, PAPERROUND_WEB_PORT, PAPERROUND_LIST_REPLY_TO …", ""]
    for name, info in Settings.model_fields.items():
        if name not in tables() and name != "relays":
            lines += _documented(name, info)
    for name, table in tables().items():
        lines += ["", f"[{name}]"]
        for key, info in table.model_fields.items():
            lines += _documented(key, info)
    lines += ["", f"# {Settings.model_fields['relays'].description}"]
    for host in ("relay-1", "relay-2"):
        lines += ["# [[relays]]", f'# transport = "smtp://{host}.example.org:587"']
    return "\n".join(lines) + "\n"


def _documented(key: str, info: FieldInfo) -> list[str]:
    secret = f" Or {key}_file = a file that holds it." if is_secret(info) else ""
    shown, commented = (info.examples[0], "# ") if info.examples else (info.default, "")
    return [f"# {info.description}{secret}", f"{commented}{key} = {_toml(shown)}"]


def _toml(value: object) -> str:
    import tomlkit

    match value:
        case timedelta():
            value = duration_text(value)
        case tuple():
            value = list(value)
        case Path():
            value = str(value)
    return tomlkit.item(value).as_string()


# ---------------------------------------------------------------- keys


def read_keys(settings: Settings) -> tuple[bytes, ...]:
    """The key ring: one key a line, the first signs. Raises ConfigError."""
    path = settings.secret_key_file
    try:
        found = tuple(line.strip() for line in path.read_bytes().splitlines() if line.strip() and not line.startswith(b"#"))
    except OSError as error:
        raise ConfigError(f"secret_key_file: {path}: {error.strerror}; `paperround init` makes one, --config names another place") from None
    if not found or min(map(len, found)) < 32:
        raise ConfigError(
            f"secret_key_file: {path}: must hold a key of at least 32 characters a line; `paperround init` makes one where none is"
        )
    return found


def write_new_key(path: Path) -> None:
    """A new key file, readable by its owner alone. Raises FileExistsError: a key in use is never overwritten."""
    with open(path, "x", encoding="ascii", opener=_owner_only) as file:
        file.write(secrets.token_hex(32) + "\n")


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
