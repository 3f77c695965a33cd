"""A real SMTP server (aiosmtpd) that misbehaves on demand, for tests of delivery; also a program:

    python tests/delivery/smtp_server.py --port N --log FILE [--fault STEP=DO[*TIMES]]… [--size BYTES] [--latency SECONDS]

It prints `ready PORT` and appends each accepted Message-ID (one a line, with brackets) to FILE right before it answers 250 to the dot.
STEP: banner ehlo helo starttls auth mail rcpt data body dot rset noop. DO: a reply ("450 4.2.0 later"; a 421 closes after it), or
drop, half (half a reply, then gone), stall, garbage, accept-and-drop (dot only: accepted and logged, the reply never comes).
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, syntax

CERTIFICATE = Path(__file__).with_name("localhost.pem")  # self-signed for localhost, made for these tests, secret to nobody
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>\r\n]+>)", re.I | re.M)


@dataclass(kw_only=True)
class Fault:
    step: str
    do: str
    times: int = -1  # -1: always
    when: Callable[[str], bool] = lambda argument: True  # on the command's argument; at dot: on the recipient


@dataclass(frozen=True, kw_only=True)
class Accepted:
    message_id: str
    sender: str
    recipient: str
    content: bytes
    connection: int


@dataclass(kw_only=True)
class ScriptedServer:
    """`async with ScriptedServer(faults=[…]) as server:` then `server.port`, `server.accepted`, `server.commands`."""

    faults: list[Fault] = field(default_factory=list)
    size: int | None = None
    smtputf8: bool = False
    starttls: bool = False
    tls: bool = False  # from the first byte
    users: dict[str, str] | None = None
    auth_in_clear: bool = False  # offers AUTH before TLS, as careless servers do
    latency: float = 0.0  # seconds before each reply
    most: int | None = None  # sessions at a time; one more is told 421 at its banner
    log: Path | None = None
    port: int = 0
    keep_content: bool = True
    accepted: list[Accepted] = field(default_factory=list)
    commands: list[tuple[int, str]] = field(default_factory=list)  # (connection, line as the client said it)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0

    async def __aenter__(self) -> "ScriptedServer":
        self._protocols: set[_Session] = set()
        context = server_tls() if self.tls else None
        self._server = await asyncio.get_running_loop().create_server(lambda: _Session(self), "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        self._log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if self.log else None
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for protocol in list(self._protocols):
            if protocol.transport is not None:
                protocol.transport.close()
        await self._server.wait_closed()
        await asyncio.sleep(0)
        if self._log is not None:
            os.close(self._log)

    @property
    def message_ids(self) -> list[str]:
        return [accepted.message_id for accepted in self.accepted]

    def said(self, verb: str) -> list[str]:
        return [line for _, line in self.commands if line.upper().startswith(verb.upper())]

    def fault(self, step: str, argument: str) -> str | None:
        for fault in self.faults:
            if fault.step == step and fault.times != 0 and fault.when(argument):
                fault.times -= 1
                return fault.do
        return None

    def record(self, accepted: Accepted) -> None:
        if self._log is not None:
            os.write(self._log, accepted.message_id.encode() + b"\n")
        self.accepted.append(accepted)


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def trusting() -> ssl.SSLContext:
    """A client's context that knows the server's certificate."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


class _Session(SMTP):
    def __init__(self, script: ScriptedServer) -> None:
        self.script = script
        self.number = script.connections = script.connections + 1
        self.greeted = self.crowded = False
        options: dict[str, Any] = {}
        if script.users is not None:
            options = {"auth_required": True, "auth_require_tls": not script.auth_in_clear, "authenticator": self._check_login}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it warns of a server as careless as we ask it to be
            self._become(script, options)

    def _become(self, script: ScriptedServer, options: dict[str, Any]) -> None:
        super().__init__(
            self,
            data_size_limit=script.size,
            enable_SMTPUTF8=script.smtputf8,
            hostname="scripted.test",
            tls_context=server_tls() if script.starttls else None,
            loop=asyncio.get_running_loop(),
            **options,
        )

    def _check_login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        users = self.script.users or {}
        good = isinstance(data, LoginPassword) and users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=good, handled=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self.script._protocols:
            self.script._protocols.add(self)
            self.script.open_now += 1
            self.crowded = self.script.most is not None and self.script.open_now > self.script.most
            self.script.most_open = max(self.script.most_open, self.script.open_now)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.script._protocols:
            self.script._protocols.discard(self)
            self.script.open_now -= 1
        super().connection_lost(error)

    async def push(self, status: Any) -> None:
        if not self.greeted:
            self.greeted = True
            if do := "421 4.7.0 too many connections" if self.crowded else self.script.fault("banner", ""):
                await self._misbehave(do)
                return
        await self._push(status)

    async def _push(self, status: str | bytes) -> None:
        if self.script.latency:
            await asyncio.sleep(self.script.latency)
        await super().push(status)

    async def _misbehave(self, do: str) -> None:
        if do == "half":
            self._writer.write(b"25")
            await self._writer.drain()
        if do in ("drop", "half"):
            self.transport.close()
        if do in ("drop", "half", "stall"):
            await asyncio.Event().wait()  # until the connection's end cancels this
        await self._push(b"\x00\xff\xfe mail? what mail?" if do == "garbage" else do)
        if do.startswith("421"):
            self.transport.close()
            await asyncio.Event().wait()

    async def _step(self, step: str, line: str, argument: str, go_on: Callable[[], Any]) -> None:
        self.script.commands.append((self.number, line))
        do = self.script.fault(step, argument)
        await (go_on() if do is None else self._misbehave(do))

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        await self._step("ehlo", f"EHLO {hostname}", hostname or "", lambda: super(_Session, self).smtp_EHLO(hostname))

    @syntax("HELO hostname")
    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        await self._step("helo", f"HELO {hostname}", hostname or "", lambda: super(_Session, self).smtp_HELO(hostname))

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        await self._step("starttls", "STARTTLS", arg or "", lambda: super(_Session, self).smtp_STARTTLS(arg))

    @syntax("AUTH mechanism")
    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        encrypted = self._tls_protocol is not None or self.script.tls
        await self._step("auth", f"AUTH encrypted={encrypted}", arg or "", lambda: super(_Session, self).smtp_AUTH(arg))

    @syntax("MAIL FROM: <address>")
    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self._step("mail", f"MAIL {arg}", arg or "", lambda: super(_Session, self).smtp_MAIL(arg))

    @syntax("RCPT TO: <address>")
    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self._step("rcpt", f"RCPT {arg}", arg or "", lambda: super(_Session, self).smtp_RCPT(arg))

    @syntax("RSET")
    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        await self._step("rset", "RSET", arg or "", lambda: super(_Session, self).smtp_RSET(arg))

    @syntax("NOOP")
    async def smtp_NOOP(self, arg: str) -> None:  # noqa: N802
        await self._step("noop", "NOOP", arg or "", lambda: super(_Session, self).smtp_NOOP(arg))

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802
        await self._step("quit", "QUIT", arg or "", lambda: super(_Session, self).smtp_QUIT(arg))

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        await self._step("data", "DATA", arg or "", lambda: self._body(arg))

    async def _body(self, arg: str) -> None:
        if self.script.fault("body", ""):  # 354 and gone, before the dot
            await self._push("354 go on")
            await self._misbehave("drop")
        await super().smtp_DATA(arg)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        content: bytes = envelope.content
        found = _MESSAGE_ID.search(content)
        accepted = Accepted(
            message_id=found[1].decode() if found else "",
            sender=envelope.mail_from,
            recipient=envelope.rcpt_tos[0],
            content=content if self.script.keep_content else b"",
            connection=self.number,
        )
        do = self.script.fault("dot", accepted.recipient)
        if do == "accept-and-drop":
            self.script.record(accepted)
            await self._misbehave("drop")
        if do in ("drop", "half", "stall", "garbage") or (do or "").startswith("421"):
            await self._misbehave(do or "")
            return "250 late"
        if do is not None:
            return do
        self.script.record(accepted)
        return f"250 2.0.0 OK {len(self.script.accepted)}"


def _fault(text: str) -> Fault:
    step, _, do = text.partition("=")
    do, star, times = do.partition("*")
    return Fault(step=step, do=do, times=int(times) if star else -1)


async def _serve(arguments: argparse.Namespace) -> None:
    server = ScriptedServer(
        port=arguments.port,
        log=arguments.log,
        faults=arguments.fault,
        size=arguments.size,
        latency=arguments.latency,
        keep_content=False,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print("ready", server.port, flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="an SMTP server that misbehaves on demand")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--fault", type=_fault, action="append", default=[])
    parser.add_argument("--size", type=int)
    parser.add_argument("--latency", type=float, default=0.0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
