"""Room: SMTP. Reused connections to one relay, each handing over one message at a time and saying exactly how far it came (aiosmtplib)."""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from weakref import WeakSet

import aiosmtplib
import numpy as np
from email_validator import validate_email

from paperround.models import Envelope, SendResult, SmtpPhase

_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")
_LONE_ENDS = re.compile(rb"\r\n|\r|\n")
_UNSAFE_IN_ADDRESS = re.compile(r"[\x00-\x20\x7f<>]")  # would end the path and start parameters of its own
_NO_EHLO = {500, 502, 504}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """How every relay is used. `max_age` in seconds."""

    hostname: str | None = None  # said in EHLO
    connections: int = 4
    max_messages: int = 500  # a connection
    max_age: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings(Sessions):
    """One relay. Times in seconds; the wait after the final dot is long on purpose (RFC 5321, 4.5.3.2.6): hanging up there makes doubt."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False  # from the first byte (smtps)
    starttls: str = "auto"  # when offered; or required, never
    idle_check: float = 15.0  # a connection idle for longer is asked with NOOP first
    connect_timeout: float = 30.0
    command_timeout: float = 120.0
    dot_timeout: float = 600.0
    tls_context: ssl.SSLContext | None = field(default=None, repr=False)


class _Stop(Exception):  # noqa: N818  (no error: how far one message came)
    def __init__(self, result: SendResult) -> None:
        super().__init__(result.reply)
        self.result = result


def _answer(phase: SmtpPhase, code: int, text: str) -> SendResult:
    """A reply as a result. A code below 200 is aiosmtplib's mark of a reply that is none: as good as silence."""
    clean = _UNPRINTABLE.sub(" ", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).strip()[:500]
    found = _ENHANCED.search(clean)
    enhanced = found[1] if found and found[1][0] == str(code)[:1] else None
    return SendResult(accepted=False, phase=phase, code=code if code >= 200 else None, enhanced=enhanced, reply=clean)


def _refusal(phase: SmtpPhase, enhanced: str, reply: str) -> SendResult:
    """A refusal of our own: there is no reply code, the enhanced code says which kind (RFC 3463)."""
    return SendResult(accepted=False, phase=phase, enhanced=enhanced, reply=reply)


@contextmanager
def _during(phase: SmtpPhase) -> Iterator[None]:
    """Whatever goes wrong inside went wrong in that phase."""
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        at = SmtpPhase.BANNER if isinstance(error, aiosmtplib.SMTPConnectResponseError) else phase
        raise _Stop(_answer(at, error.code, error.message)) from error
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise _Stop(_refusal(SmtpPhase.STARTTLS, "5.7.5", f"the certificate does not verify: {error}")) from error
        raise _Stop(_answer(phase, 0, f"no answer: {error}")) from error


def stuffed(message: bytes) -> bytes:
    """The message as it goes over the wire after DATA, final dot included. Lone CR or LF would let a text smuggle a dot past a lax
    server, so they are made whole first; our own messages have none, and looking is cheaper than rewriting."""
    octets = np.frombuffer(message, np.uint8)
    ends = (octets == 10).nonzero()[0]
    if np.count_nonzero(octets == 13) != len(ends) or (octets[ends - 1] != 13).any() or not message.endswith(b"\r\n"):
        message = _LONE_ENDS.sub(b"\r\n", message)
        message += b"" if message.endswith(b"\r\n") else b"\r\n"
    elif message[0] != 46 and not (octets[ends[:-1] + 1] == 46).any():
        return message + b".\r\n"
    return (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def wire_address(address: str) -> str:
    """The address with its domain as A-labels (RFC 5891, UTS 46 without transitional mappings). Raises ValueError where it has none."""
    local, at, domain = address.rpartition("@")
    if _UNSAFE_IN_ADDRESS.search(address) or not (at and local and domain):
        raise ValueError(f"not an address that a mail server can be told: {address!r}")
    return address if domain.isascii() else f"{local}@{validate_email(f'x@{domain}', check_deliverability=False).ascii_domain}"


def loopback(host: str) -> bool:
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ip_address(name).is_loopback
    return False


class _Connection:
    """One session, used by one task at a time."""

    def __init__(self, settings: SmtpSettings, context: ssl.SSLContext) -> None:
        self._settings, self._context = settings, context
        self.client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=settings.command_timeout,
            local_hostname=settings.hostname or socket.gethostname() or "localhost",
            use_tls=settings.tls,
            start_tls=False,
            tls_context=context,
        )
        self.messages = 0
        self.opened = self.used = time.monotonic()

    async def open(self) -> None:
        """Connect, greet, encrypt, log in. Raises _Stop."""
        try:
            with _during(SmtpPhase.CONNECT):
                await self.client.connect(timeout=self._settings.connect_timeout)
            await self._greet()
            encrypted = self._settings.tls or await self._encrypt()
            if self._settings.username is not None:
                await self._log_in(self._settings.username, encrypted)
        except BaseException:
            self.client.close()
            raise

    async def _greet(self) -> None:
        with _during(SmtpPhase.EHLO):
            try:
                await self.client.ehlo()
            except aiosmtplib.SMTPHeloError as error:
                if error.code not in _NO_EHLO:
                    raise
                await self.client.helo()

    async def _encrypt(self) -> bool:
        if self._settings.starttls == "never":
            return False
        if not self.client.supports_extension("starttls"):
            if self._settings.starttls == "required":
                raise _Stop(_refusal(SmtpPhase.STARTTLS, "5.7.10", "STARTTLS is required and this server does not offer it"))
            return False
        with _during(SmtpPhase.STARTTLS):
            await self.client.starttls(tls_context=self._context)
        await self._greet()  # RFC 3207, 4.2: what was offered in the clear counts for nothing
        return True

    async def _log_in(self, username: str, encrypted: bool) -> None:
        if not encrypted and self._settings.starttls != "never":
            raise _Stop(_refusal(SmtpPhase.AUTH, "5.7.11", "no credentials are sent before TLS, and this server does not offer STARTTLS"))
        if not self.client.supported_auth_methods:
            raise _Stop(_refusal(SmtpPhase.AUTH, "5.7.4", "this server offers no way to log in that we know"))
        with _during(SmtpPhase.AUTH):
            await self.client.login(username, self._settings.password or "")

    def cannot_carry(self, sender: str, recipient: str, wire: bytes) -> SendResult | None:
        """Why this server cannot be given this mail at all, by its own announcement."""
        if not (sender + recipient).isascii() and not self.client.supports_extension("smtputf8"):
            reply = "the address has letters beyond ASCII before the @, and the mail server does not offer SMTPUTF8"
            return _refusal(SmtpPhase.LOCAL, "5.6.7", reply)
        limit = self.client.esmtp_extensions.get("size", "").strip()
        if limit.isdecimal() and 0 < int(limit) < len(wire):
            return _refusal(SmtpPhase.LOCAL, "5.3.4", f"the message has {len(wire)} bytes, the mail server takes {limit}")
        return None

    async def transfer(self, sender: str, recipient: str, wire: bytes) -> SendResult:
        """One transaction; never raises for the network."""
        self.messages += 1
        try:
            await self._command(SmtpPhase.MAIL, f"FROM:<{sender}>{self._parameters(sender + recipient, len(wire))}")
            await self._command(SmtpPhase.RCPT, f"TO:<{recipient}>")
            return await self._data(wire)
        except _Stop as stop:
            return stop.result
        finally:
            self.used = time.monotonic()

    def _parameters(self, addresses: str, size: int) -> str:
        parameters = f" SIZE={size}" if self.client.supports_extension("size") else ""
        return parameters if addresses.isascii() else parameters + " SMTPUTF8"

    async def _command(self, phase: SmtpPhase, argument: str) -> None:
        with _during(phase):
            reply = await self.client.execute_command(phase.upper().encode(), argument.encode())
            if reply.code // 100 != 2:
                raise aiosmtplib.SMTPResponseException(reply.code, reply.message)

    async def _data(self, wire: bytes) -> SendResult:
        with _during(SmtpPhase.DATA):
            reply = await self.client.execute_command(b"DATA")
            protocol = self.client.protocol
            if reply.code != 354 or protocol is None:
                raise aiosmtplib.SMTPResponseException(reply.code, reply.message)
            protocol.write(wire)  # raises while nothing has left; from here on only a reply tells
        with _during(SmtpPhase.DOT):
            reply = await protocol.read_response(timeout=self._settings.dot_timeout)
        result = _answer(SmtpPhase.DOT, reply.code, reply.message)
        return SendResult(accepted=reply.code // 100 == 2, code=result.code, enhanced=result.enhanced, reply=result.reply)

    async def reusable_after(self, result: SendResult) -> bool:
        """Whether the session is in a known state again; an open transaction is reset."""
        if result.accepted or (result.code is not None and result.phase in (SmtpPhase.MAIL, SmtpPhase.DOT)):
            return result.code != 421
        if result.code in (None, 421):
            return False
        return await self._ask(self.client.rset)

    async def alive(self) -> bool:
        """Whether the next message may go here: young, not worn out, and still answering after a rest."""
        now = time.monotonic()
        if not self.client.is_connected or self.messages >= self._settings.max_messages or now - self.opened > self._settings.max_age:
            return False
        return now - self.used <= self._settings.idle_check or await self._ask(self.client.noop)

    async def _ask(self, command: Callable[[], Awaitable[object]]) -> bool:
        try:
            await command()
        except (aiosmtplib.SMTPException, OSError):
            return False
        return True

    async def quit(self) -> None:
        if self.client.is_connected:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self.client.quit(timeout=5)
        self.client.close()


class SmtpTransport:
    """The relay as a Transport: at most `connections` sessions, each used by one send at a time."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._context = settings.tls_context or _tls_context(settings)
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[_Connection] = []
        self._sessions: WeakSet[_Connection] = WeakSet()
        self._closed = False

    async def send(self, envelope: Envelope, *, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        """See interfaces.Transport. LOCAL results bear an enhanced code: this mail can never go through this server."""
        try:
            sender, recipient = wire_address(envelope.sender), wire_address(envelope.recipient)
        except ValueError as error:
            return _refusal(SmtpPhase.LOCAL, "5.1.3", str(error))
        wire = stuffed(envelope.message)
        async with self._slots:
            try:
                return await self._send(sender, recipient, wire, before_mail)
            except _Stop as stop:
                return stop.result

    async def _send(self, sender: str, recipient: str, wire: bytes, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        connection = await self._connection()
        keep = False
        try:
            if problem := connection.cannot_carry(sender, recipient, wire):
                keep = True
                return problem
            try:
                go = await before_mail()
            finally:
                keep = True  # nothing was said, whatever storage answered
            if not go:
                return None
            keep, reused = False, connection.messages > 0
            result = await connection.transfer(sender, recipient, wire)
            if reused and result.phase is SmtpPhase.MAIL and result.code in (None, 421):  # it had closed while nobody looked
                connection.client.close()
                connection = await self._opened()
                result = await connection.transfer(sender, recipient, wire)
            keep = await connection.reusable_after(result)
            return result
        finally:
            self._put_back(connection, keep)

    def _put_back(self, connection: _Connection, keep: bool) -> None:
        if keep and connection.client.is_connected and not self._closed:
            self._idle.append(connection)
        else:
            connection.client.close()

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            try:
                if await connection.alive():
                    return connection
                await connection.quit()
            except BaseException:  # cancelled while asking
                connection.client.close()
                raise
        return await self._opened()

    async def _opened(self) -> _Connection:
        """A new session. Where the server takes no more of them beside those that stand, one of those is waited for instead, and from
        now on there are fewer."""
        connection = _Connection(self._settings, self._context)
        self._sessions.add(connection)
        try:
            await connection.open()
        except _Stop as stop:
            too_many = stop.result.phase in (SmtpPhase.CONNECT, SmtpPhase.BANNER, SmtpPhase.EHLO) and (stop.result.code or 400) // 100 == 4
            if not too_many or not any(each.client.is_connected for each in self._sessions):
                raise
            await self._slots.acquire()  # on top of the one this mail holds: that one is never given back
            return await self._connection()
        return connection

    async def close(self) -> None:
        """Say QUIT on the idle connections; those in use end with their message."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """Certificates are verified wherever TLS is a promise (smtps, required, credentials). With plain `auto` a stranger in the middle could
    as well strip STARTTLS, so an unverifiable certificate is still better than clear text (RFC 7435); no public name fits loopback."""
    context = ssl.create_default_context()
    promised = settings.tls or settings.starttls == "required" or settings.username is not None
    if not promised or loopback(settings.host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
