"""Room: ways out. A transport address becomes a transport: SMTP, a Maildir, or a folder of .eml files."""

import asyncio
import hashlib
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from paperround.delivery.outbox import relay_is_down
from paperround.delivery.smtp import Sessions, SmtpSettings, SmtpTransport, loopback, wire_address
from paperround.errors import ConfigError
from paperround.models import Envelope, SendResult, SmtpPhase
from paperround.pipeline.interfaces import Transport

log = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[^A-Za-z0-9.@_+=-]+")
_PORTS = {"smtp": 25, "smtps": 465}
SESSIONS = Sessions()


class _FileTransport:
    """A message becomes a file: written beside its place, synced, renamed. Its name comes from the Message-ID alone, so that a second try
    of the same delivery replaces the file and never doubles it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, envelope: Envelope, *, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        if not await before_mail():
            return None
        try:
            path = await asyncio.to_thread(self._write, envelope)
        except (OSError, ValueError) as error:
            return SendResult(accepted=False, phase=SmtpPhase.LOCAL, reply=f"{self._folder}: {error}")
        return SendResult(accepted=True, code=250, reply=f"written to {path.name}")

    def _write(self, envelope: Envelope) -> Path:
        raise NotImplementedError

    async def close(self) -> None:
        return None


class DirectoryTransport(_FileTransport):
    """`directory:PATH`: one message a .eml file, CRLF."""

    def _write(self, envelope: Envelope) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{file_stem(envelope.message_id)}.eml"
        return _replace(path, path.with_name(f".{path.name}.part"), envelope.message)


class MaildirTransport(_FileTransport):
    """`maildir:PATH`: as a local mailbox. The envelope goes into Return-Path and Delivered-To (RFC 5321, 4.4)."""

    def _write(self, envelope: Envelope) -> Path:
        for part in ("tmp", "new", "cur"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        stem = file_stem(envelope.message_id)
        trace = f"Return-Path: <{envelope.sender}>\r\nDelivered-To: {wire_address(envelope.recipient)}\r\n".encode()
        return _replace(self._folder / "new" / stem, self._folder / "tmp" / stem, trace + envelope.message)


class RelayChain:
    """Several relays in order of preference. One that cannot be used is passed over for a while; what it says of a mail or of us stands,
    for another relay may not be asked what the first has refused."""

    def __init__(self, relays: Sequence[tuple[str, Transport]], *, again_after: float) -> None:
        """`relays` with the names that logs use; `again_after` in seconds."""
        self._relays, self._again_after = relays, again_after
        self._down_until: dict[str, float] = {}

    async def send(self, envelope: Envelope, *, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        now = time.monotonic()
        up = [each for each in self._relays if self._down_until.get(each[0], 0.0) <= now]
        result: SendResult | None = None
        for name, relay in up or self._relays:
            result = await relay.send(envelope, before_mail=before_mail)
            if result is None or not relay_is_down(result):
                break
            if self._down_until.get(name, 0.0) <= now:
                log.warning("relay %s cannot be used (%s): %s", name, result.phase, result.reply or "no answer")
            self._down_until[name] = time.monotonic() + self._again_after
        return result

    async def close(self) -> None:
        for _, relay in self._relays:
            await relay.close()


def _replace(path: Path, temporary: Path, content: bytes) -> Path:
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)  # the name is part of the promise too
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def file_stem(message_id: str) -> str:
    """A file name for a Message-ID: the same for the same, different for different ones, whatever letters stand in it."""
    stem = _UNSAFE.sub("_", message_id.strip("<> ")).lstrip(".")[:120]
    if stem and stem == message_id:
        return stem
    return f"{stem}-{hashlib.sha256(message_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def is_loopback(url: str) -> bool:
    """Whether mails given to that transport address stay on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("maildir", "directory") or loopback(parts.hostname or "")


def redacted(url: str) -> str:
    """The address without its password, for people's eyes."""
    return re.sub(r"(//[^:/@]*):.*@", r"\1:…@", url)


def open_relays(urls: Sequence[str], *, folder: Path = Path(), sessions: Sessions = SESSIONS, again_after: float = 300.0) -> Transport:
    """The transport behind several addresses, in order of preference; `again_after` in seconds. Raises ConfigError."""
    opened = [open_transport(url, folder=folder, sessions=sessions) for url in urls]
    if len(opened) == 1:
        return opened[0]
    return RelayChain([(redacted(url), each) for url, each in zip(urls, opened, strict=True)], again_after=again_after)


def open_transport(url: str, *, folder: Path = Path(), sessions: Sessions = SESSIONS) -> Transport:
    """The transport behind an address: `smtp://[user:pass@]host[:port][?starttls=auto|required|never]`, `smtps://…`, `maildir:PATH`,
    `directory:PATH` (relative to `folder`). Opens nothing yet. Raises ConfigError that names the address without its password."""
    try:
        scheme, _, rest = url.partition(":")
        if scheme in ("maildir", "directory"):
            return (MaildirTransport if scheme == "maildir" else DirectoryTransport)(_path(rest, folder))
        return SmtpTransport(_smtp_settings(urlsplit(url), sessions))
    except ValueError as error:
        raise ConfigError(f"transport: {redacted(url)!r}: {error}") from None


def _path(rest: str, folder: Path) -> Path:
    if not rest or "\0" in rest:
        raise ValueError("a path must follow the colon")
    return folder / Path(rest).expanduser()


def _smtp_settings(parts: SplitResult, sessions: Sessions) -> SmtpSettings:
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it must look like smtp://host:port, smtps://host:port, maildir:PATH or directory:PATH")
    if parts.path not in ("", "/") or parts.fragment:
        raise ValueError("nothing may stand between the port and the question mark (write / : @ # ? in a password as %2F %3A %40 %23 %3F)")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    starttls = query.pop("starttls", "auto")
    if query or starttls not in ("auto", "required", "never"):
        raise ValueError("the only option is starttls=auto, required or never")
    if parts.username and starttls == "never" and parts.scheme == "smtp" and not loopback(parts.hostname):
        raise ValueError("credentials are not sent without TLS to another machine; drop starttls=never")
    return SmtpSettings(
        **asdict(sessions),
        host=parts.hostname,
        port=parts.port or _PORTS[parts.scheme],
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "smtps",
        starttls=starttls,
    )
