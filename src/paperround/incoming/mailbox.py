"""Room: ways in. Mail comes over LMTP from a local mail server, lies in a Maildir or in a mailbox by IMAP; each goes to one handler, and
none is lost."""

import asyncio
import imaplib
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import imap_tools
from aiosmtpd.lmtp import LMTP

from paperround.errors import ConfigError, MailboxError, StorageError

log = logging.getLogger(__name__)
Handler = Callable[[bytes, str], Awaitable[None]]  # the raw mail with Return-Path, and whom it is for ("" = unknown)
SIZE_LIMIT = 25_000_000  # bytes
_TRANSIENT = (OSError, StorageError, TimeoutError)  # of ours: the mail stays where it is and comes again
_RECIPIENT = re.compile(rb"^(?:Delivered-To|X-Original-To|Envelope-To):[ \t]*<?([^\s<>]+)", re.I | re.M)


class LmtpServer:
    """LMTP (RFC 2033) at `host:port`, `[v6]:port` or `unix:PATH`, inside the running loop. A mail is answered with 250 only after the
    handler has returned; when that raises, the answer is 451 and the mail server brings it again."""

    def __init__(self, address: str, handler: Handler, *, size_limit: int = SIZE_LIMIT) -> None:
        self._address, self._handler, self._size_limit = address, handler, size_limit
        self._server: asyncio.Server | None = None
        self._sessions: set[_LmtpSession] = set()

    async def start(self) -> None:
        """Raises ConfigError for an address that is none, OSError when it is taken."""
        loop = asyncio.get_running_loop()
        kind, _, rest = self._address.partition(":")
        if kind == "unix":
            await asyncio.to_thread(Path(rest).unlink, missing_ok=True)  # left by a process that was killed
            self._server = await loop.create_unix_server(self._session, rest)
            return
        host, _, port = self._address.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigError(f"inbox: lmtp {self._address!r} must look like 127.0.0.1:8024 or unix:PATH")
        self._server = await loop.create_server(self._session, host.strip("[]"), int(port))

    @property
    def port(self) -> int:
        """The port in use, for an address that asked for port 0."""
        assert self._server is not None, "not started"
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for session in list(self._sessions):
            session.hang_up()
        await self._server.wait_closed()

    def _session(self) -> "_LmtpSession":
        return _LmtpSession(self._handler, self._size_limit, self._sessions)


class _LmtpSession(LMTP):
    line_length_limit = 1_000_000  # real mail holds longer lines than the standard allows; refusing it would bounce at a reader

    def __init__(self, handler: Handler, size_limit: int, sessions: "set[_LmtpSession]") -> None:
        self._deliver, self._sessions = handler, sessions
        options: dict[str, Any] = {"hostname": "localhost", "ident": "LMTP", "loop": asyncio.get_running_loop()}
        super().__init__(self, data_size_limit=size_limit, enable_SMTPUTF8=True, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._sessions.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802, ARG002
        if envelope.rcpt_tos:  # LMTP answers once a recipient after the dot; aiosmtpd answers once a mail
            return "452 4.5.3 one recipient at a time, please"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002
        trace = f"Return-Path: <{(envelope.mail_from or '').strip('<>')}>\r\n".encode("utf-8", "replace")
        try:
            await self._deliver(trace + envelope.content, envelope.rcpt_tos[0])
        except Exception as error:  # whatever it is, the mail must not be lost
            log.exception("a mail is not taken now")
            return f"451 4.3.0 not taken now: {type(error).__name__}"
        return "250 2.0.0 OK"


Outcomes = dict[str, bool | None]
"""What one pass over a mailbox came to, by names of files or numbers of mails: True handled, False set aside, None left for the next."""


async def handed_over(handler: Handler, raw: bytes) -> bool | None:
    """Whether the handler took a mail: None while storage or disk fail, False where it would fail for ever."""
    try:
        await handler(raw, recipient_of(raw))
    except _TRANSIENT:
        return None
    except Exception:  # one mail that breaks us must not stop the others, nor come again for ever
        log.exception("a mail that breaks us is set aside")
        return False
    return True


class MaildirInbox:
    """The `new` folder of a Maildir: handled mails move to `cur` as seen, those that break the handler into `poison` beside it."""

    def __init__(self, folder: Path, *, size_limit: int = SIZE_LIMIT) -> None:
        self._folder, self._size_limit = folder, size_limit

    async def receive(self, handler: Handler, *, limit: int = 1000) -> Outcomes:
        """Hand over up to `limit` new mails, oldest name first."""
        outcomes: Outcomes = {}
        for path in (await asyncio.to_thread(self._new))[:limit]:
            outcomes[path.name] = None
            with suppress(OSError):
                raw = await asyncio.to_thread(self._read, path)
                outcomes[path.name] = await handed_over(handler, raw)
            if (fine := outcomes[path.name]) is not None:
                part, name = ("cur", path.name.partition(":")[0] + ":2,S") if fine else ("poison", path.name)
                await asyncio.to_thread(self._move, path, part, name)
        return outcomes

    def _new(self) -> list[Path]:
        return sorted(path for path in (self._folder / "new").glob("*") if path.is_file() and not path.name.startswith("."))

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            return file.read(self._size_limit)

    def _move(self, path: Path, part: str, name: str) -> None:
        (self._folder / part).mkdir(exist_ok=True)
        path.replace(self._folder / part / name)


class ImapInbox:
    """The unseen mails of a folder at `imaps://USER@HOST[:PORT]/FOLDER`; `imap://` begins TLS by STARTTLS, or does without it if `clear`.

    A mail is marked as seen, or moved to `done`, only after it was handled; one that breaks the handler is flagged too and stays. One
    connection a pass: what a lost one left undone comes again with the next, and nothing that this process handled is handled twice."""

    def __init__(
        self,
        address: str,
        password: str,
        *,
        done: str | None = None,
        clear: bool = False,
        size_limit: int = SIZE_LIMIT,
        timeout: float = 60,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port
        self._user, self._password = unquote(parts.username or ""), password
        self._folder, self._done = unquote(parts.path.strip("/")) or "INBOX", done
        self._direct, self._clear = parts.scheme == "imaps", clear
        self._size_limit, self._timeout = size_limit, timeout
        self._tls = tls or ssl.create_default_context()  # imaplib's own checks no certificate
        self._settled: dict[tuple[str, str], bool] = {}  # handled and not yet marked, by validity of numbers and number: whether well

    async def receive(self, handler: Handler, *, limit: int = 100) -> Outcomes:
        """Hand over up to `limit` unseen mails, oldest first. Raises MailboxError when the server cannot be used at all."""
        outcomes: Outcomes = {}
        box, validity = await self._told(self._open)
        try:
            for uid in (await self._told(box.uids, "UNSEEN UNDELETED", None))[:limit]:
                fine = self._settled.get((validity, uid))
                if fine is None:
                    raw = await self._told(self._fetch, box, uid)
                    if raw is None:
                        continue
                    fine = await handed_over(handler, raw)
                outcomes[uid] = fine
                if fine is None:
                    continue
                self._settled[validity, uid] = fine
                await self._told(self._mark, box, uid, fine)
                del self._settled[validity, uid]
        finally:
            await asyncio.to_thread(self._close, box)
        return outcomes

    async def _told(self, work: Callable[..., Any], *given: Any) -> Any:
        """The answer of the server, waited for in a thread; its faults and the network's as one error without the password."""
        try:
            return await asyncio.to_thread(work, *given)
        except (imaplib.IMAP4.error, imap_tools.ImapToolsError, OSError) as error:
            raise MailboxError(f"{self._host}: {type(error).__name__}: {str(error)[:200]}") from error

    def _open(self) -> tuple[imap_tools.BaseMailBox, str]:
        """Logged in, the folder chosen; and what its numbers are valid with."""
        box: imap_tools.BaseMailBox
        if self._direct:
            box = imap_tools.MailBox(self._host, self._port or 993, timeout=self._timeout, ssl_context=self._tls)
        else:
            box = imap_tools.MailBoxUnencrypted(self._host, self._port or 143, timeout=self._timeout)
        try:
            if not self._direct and not self._clear:
                box.client.starttls(self._tls)
            log_in = box.login if (self._user + self._password).isascii() else box.login_utf8
            log_in(self._user, self._password, self._folder)
        except BaseException:
            self._close(box)
            raise
        return box, str(box.client.response("UIDVALIDITY")[1])

    def _fetch(self, box: imap_tools.BaseMailBox, uid: str) -> bytes | None:
        """At most so many bytes, which the server itself cuts off; None for a mail that somebody took away meanwhile."""
        _, answer = box.client.uid("FETCH", uid, f"(BODY.PEEK[]<0.{self._size_limit}>)")
        return next((part[1] for part in answer if isinstance(part, tuple)), None)

    def _mark(self, box: imap_tools.BaseMailBox, uid: str, fine: bool) -> None:
        """Not by `flag` of the library, which expunges what others have deleted."""
        flags = r"(\Seen)" if fine else r"(\Seen \Flagged)"
        status, answer = box.client.uid("STORE", uid, "+FLAGS", flags)
        if status != "OK":
            raise MailboxError(f"{self._host}: mail {uid} cannot be marked as seen: {answer!r}")
        if fine and self._done:
            box.move(uid, self._done)

    def _close(self, box: imap_tools.BaseMailBox) -> None:
        with suppress(imaplib.IMAP4.error, OSError):
            box.client.logout()
        with suppress(OSError):
            box.client.shutdown()  # what a lost connection leaves open


def recipient_of(raw: bytes) -> str:
    """Whom the local mail server delivered it to, by the headers it wrote; "" where it wrote none."""
    end = min((at for at in (raw.find(b"\n\n"), raw.find(b"\r\n\r\n")) if at >= 0), default=65536)
    found = _RECIPIENT.search(raw[: min(end, 65536)])
    return found[1].decode("utf-8", "replace") if found else ""
