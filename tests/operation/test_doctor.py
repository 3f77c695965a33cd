"""The doctor against a scripted relay, a scripted name server and scripted pages: every planted fault is named, and health is silent."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.cli.doctor import setup_of, ways_of
from paperround.config import load_settings, write_new_key
from paperround.delivery import smtp, transports
from paperround.delivery.smtp import Sessions
from paperround.errors import EmbeddingError
from paperround.matching import embedder as embedding
from paperround.models import Channel, ConsentEvent, ConsentState, Profile
from paperround.operation import doctor, mail_dns, probes
from paperround.operation.findings import FINDINGS, Finding
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.testing import HashingEmbedder

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
OUT = "11.0.0.25"  # a public address that nothing is ever sent to
KEY = "v=DKIM1; k=rsa; p=" + base64.b64encode(bytes(294)).decode()


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each case gets a copy."""
    path = tmp_path_factory.mktemp("doctor") / "paperround.db"

    async def make() -> None:
        await (await open_storage(f"sqlite:///{path}")).close()

    asyncio.run(make())
    return path


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts of these tests are this machine; no other is ever asked for."""
    real = socket.getaddrinfo

    def local(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        assert name in ("127.0.0.1", "localhost", "relay", "smtp.news.example", "paper.news.example"), name
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    monkeypatch.setattr(probes, "LOCK_STEP", 0.1)
    monkeypatch.setattr(doctor, "FAR", 10.0)  # however busy this machine is


# ---------------------------------------------------------------- a world in which all is well

ZONE = {
    "news.example MX": ["10 mx.news.example."],
    "news.example TXT": ["v=spf1 ip4:11.0.1.0/24 include:_spf.news.example -all", "site-verification=abc"],
    "_spf.news.example TXT": ["v=spf1 mx:news.example a:other.news.example/28 ip6:2001:4860::/32 ~all"],
    "mx.news.example A": [OUT],
    "other.news.example A": ["11.0.2.1"],
    "mail._domainkey.news.example TXT": [KEY],
    "_dmarc.news.example TXT": ["v=DMARC1; p=quarantine; rua=mailto:dmarc@news.example"],
    "scripted.test A": [OUT],
    "25.0.0.11.in-addr.arpa PTR": ["scripted.test."],
}
SIGNED = (
    "DKIM-Signature: v=1; a=rsa-sha256; d=news.example; s=mail;\r\n"
    " h=From:To:Subject:Date:Message-ID:MIME-Version:Content-Type:List-Id:\r\n\tList-Unsubscribe:List-Unsubscribe-Post; bh=x; b=y\r\n"
    "Authentication-Results: mx.elsewhere.example; dkim=pass; spf=pass\r\n"
    "List-Id: Paper <paperround.news.example>\r\n"
    "List-Unsubscribe: <https://paper.news.example/u/x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nbody\r\n"
)


@dataclass
class World:
    """What the doctor meets; a plant changes one thing of it."""

    folder: Path
    smtp: ModuleType
    zone: dict[str, list[str]] = field(default_factory=lambda: {name: list(values) for name, values in ZONE.items()})
    lines: dict[str, str] = field(default_factory=dict)  # of the configuration, by key
    relay: dict[str, Any] = field(
        default_factory=lambda: {"starttls": True, "users": {"ada": "secret"}, "size": 10_000_000, "smtputf8": True}
    )
    transport: str = "smtp://ada:secret@smtp.news.example:{port}?starttls=required"
    answers: dict[str, tuple[int, str]] = field(default_factory=lambda: {"GET /health": (200, "alive\n"), "POST /u/": (200, "left")})
    date: datetime = NOW
    now: datetime = NOW
    mail: str = SIGNED
    embedder: Any = field(default_factory=HashingEmbedder)
    trusted: bool = True
    strict: bool = False
    web_tls: bool = True
    before: Callable[["World"], object] | None = None
    store: Callable[[SqlStorage], Any] | None = None
    around: Callable[["World"], Any] | None = None

    def behind_own_relay(self) -> None:
        self.transport = "smtp://relay:{port}"
        self.relay = {"size": 10_000_000, "smtputf8": True}

    def configuration(self, relay: int, web: int, names: int) -> str:
        keys = {
            "database": f'"sqlite:///{self.folder}/paperround.db"',
            "transport": f'"{self.transport.format(port=relay)}"',
            "base_url": f'"https://paper.news.example:{web}"',
            "list.sender": '"paper@news.example"',
            "list.address": '"list@news.example"',
            "list.postal_address": '"1 Example Street"',
            "delivery.hostname": '"app.news.example"',
            "inbox.maildir": '"inbox"',
            "doctor.resolver": f'"127.0.0.1:{names}"',
            "doctor.dkim_selectors": '["mail"]',
        } | self.lines
        return "\n".join(f"{key} = {value}" for key, value in keys.items() if value) + "\n"

    async def findings(self) -> list[Finding]:
        async with AsyncExitStack() as stack:
            web_tls = self.smtp.server_tls() if self.web_tls else None
            relay = await stack.enter_async_context(self.smtp.ScriptedServer(**self.relay))
            web = await stack.enter_async_context(scripted_pages(self, web_tls))
            port = await stack.enter_async_context(scripted_names(self.zone))
            file = self.folder / "paperround.toml"
            file.write_text(self.configuration(relay.port, web, port), encoding="utf-8")
            file.chmod(0o600)
            (self.folder / "test.eml").write_text(self.mail, encoding="utf-8", newline="")
            if self.before:
                self.before(self)
            if self.store:
                storage = await open_storage(f"sqlite:///{self.folder}/paperround.db")
                await self.store(storage)
                await storage.close()
            with self.around(self) if self.around else contextlib.nullcontext():
                settings = load_settings(file, {})
                context = self.smtp.trusting() if self.trusted else ssl.create_default_context()
                context.check_hostname = self.strict
                ways = ways_of(settings, self.folder / "test.eml" if self.mail else None)
                ways = replace(ways, tls=context, embedder=self.embedder)
                return await probes.examine(setup_of(settings), ways, now=self.now, connections=4)

    async def codes(self) -> set[str]:
        return {each.code for each in await self.findings()}


@pytest.fixture
def world(tmp_path: Path, smtp_server: ModuleType, empty_database: Path) -> World:
    shutil.copy(empty_database, tmp_path / "paperround.db")
    write_new_key(tmp_path / "paperround.key")
    return World(tmp_path, smtp_server)


@asynccontextmanager
async def scripted_names(zone: dict[str, list[str]]) -> AsyncIterator[int]:
    """A name server on UDP and TCP; "SERVFAIL" as a value answers so. Long answers are cut off on UDP, as real ones are."""

    def answer(wire: bytes, *, most: int) -> bytes:
        query = dns.message.from_wire(wire)
        reply = dns.message.make_response(query)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        values = zone.get(f"{name} {kind}", [])
        if values == ["SERVFAIL"]:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif values:
            shown = [" ".join(f'"{each[at : at + 250]}"' for at in range(0, len(each), 250)) if kind == "TXT" else each for each in values]
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *shown))
        elif not any(each.startswith(f"{name} ") for each in zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        whole = reply.to_wire()
        if len(whole) <= most:
            return whole
        cut = dns.message.make_response(query)
        cut.flags |= dns.flags.TC
        return cut.to_wire()

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            self.transport.sendto(answer(data, most=300), address)

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            wire = answer(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")), most=65_535)
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(stream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", port))
    try:
        yield port
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def scripted_pages(world: World, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            line = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0]
            status, body = next((told for start, told in world.answers.items() if line.startswith(start)), (404, "nothing"))
            head = f"HTTP/1.1 {status} X\r\nDate: {format_datetime(world.date, usegmt=True)}\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
            await writer.drain()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


# ---------------------------------------------------------------- health


async def test_a_healthy_installation_is_met_with_silence(world: World) -> None:
    assert await world.findings() == []


async def test_one_with_a_relay_of_its_own_too(world: World) -> None:
    world.behind_own_relay()
    world.mail = ""
    assert await world.findings() == []


async def test_a_fresh_installation_that_writes_to_a_folder_has_nothing_but_notes(tmp_path: Path) -> None:
    write_new_key(tmp_path / "paperround.key")
    (tmp_path / "paperround.toml").write_text('base_url = "http://localhost:1"', encoding="utf-8")
    settings = load_settings(tmp_path / "paperround.toml", {})
    ways = replace(ways_of(settings, None), embedder=HashingEmbedder())
    found = await probes.examine(setup_of(settings), ways, now=NOW, connections=4)
    assert {(each.code, each.severity.value) for each in found} == {("database-absent", "note"), ("web-idle", "note")}
    assert not (tmp_path / "paperround.db").exists()


# ---------------------------------------------------------------- planted faults, one each


def zone(**changes: list[str]) -> Callable[[World], None]:
    """TXT of names; `_` for the domain itself."""

    def plant(world: World) -> None:
        for name, values in changes.items():
            full = {"spf": "news.example", "dkim": "mail._domainkey.news.example", "dmarc": "_dmarc.news.example"}[name]
            world.zone[f"{full} TXT"] = values

    return plant


def records(name: str, values: list[str]) -> Callable[[World], None]:
    return lambda world: world.zone.update({name: values})


def line(key: str, value: str) -> Callable[[World], None]:
    return lambda world: world.lines.update({key: value})


def mail(old: str, new: str) -> Callable[[World], None]:
    def plant(world: World) -> None:
        assert old in world.mail
        world.mail = world.mail.replace(old, new)

    return plant


def pages(request: str, status: int, body: str = "") -> Callable[[World], None]:
    return lambda world: world.answers.update({request: (status, body)})


def relay(**changes: Any) -> Callable[[World], None]:
    return lambda world: world.relay.update(changes)


def refuses(step: str, reply: str) -> Callable[[World], None]:
    return lambda world: world.relay.update(faults=[world.smtp.Fault(step=step, do=reply)])


def own(plant: Callable[[World], None]) -> Callable[[World], None]:
    def both(world: World) -> None:
        world.behind_own_relay()
        plant(world)

    return both


def several(*plants: Callable[[World], None]) -> Callable[[World], None]:
    def each(world: World) -> None:
        for plant in plants:
            plant(world)

    return each


def attribute(**changes: Any) -> Callable[[World], None]:
    def plant(world: World) -> None:
        for name, value in changes.items():
            setattr(world, name, value)

    return plant


def file_mode(name: str, mode: int) -> Callable[[World], None]:
    return attribute(before=lambda world: (world.folder / name).chmod(mode))


@contextlib.contextmanager
def write_lock(world: World) -> Any:
    connection = sqlite3.connect(world.folder / "paperround.db", isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def spoil(world: World) -> None:
    """A row that points nowhere, as a broken restore leaves."""
    connection = sqlite3.connect(world.folder / "paperround.db")
    connection.execute("INSERT INTO work_aliases (alias, work_id) VALUES (7, 8)")
    connection.commit()
    connection.close()


def version(number: str) -> Callable[[World], None]:
    def before(world: World) -> None:
        connection = sqlite3.connect(world.folder / "paperround.db")
        connection.execute("UPDATE alembic_version SET version_num = ?", (number,))
        connection.commit()
        connection.close()

    return attribute(before=before)


@contextlib.contextmanager
def free_disk(amount: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(probes.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - amount, amount))
        yield


def disk(amount: int) -> Callable[[World], None]:
    return attribute(around=lambda _: free_disk(amount, pytest.MonkeyPatch()))


@contextlib.contextmanager
def nearer() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "FAR", 0.01)
        yield


@contextlib.contextmanager
def other_digest() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "DIGEST", "0" * 64)
        yield


async def add(storage: SqlStorage, email: str, zone: str = "UTC") -> None:
    event = ConsentEvent(at=NOW, kind="admin", state=ConsentState.ACTIVE, way="cli")
    profile = Profile(timezone=zone, channels=(Channel.EMAIL,))
    await storage.add_subscriber(email=email, public_id=email.encode().hex(), profile=profile, event=event, next_due_at=None)


def reader(email: str, zone: str = "UTC") -> Callable[[World], None]:
    return attribute(store=lambda storage: add(storage, email, zone))


class NoModel(HashingEmbedder):
    async def embed(self, texts: Any, *, progress: Any = None) -> Any:
        raise EmbeddingError("the model 'x' cannot be loaded: no such folder")


class SlowModel(HashingEmbedder):
    async def embed(self, texts: Any, *, progress: Any = None) -> Any:
        await asyncio.sleep(0.5 if len(texts) > 1 else 0)
        return await super().embed(texts)


PLANTED: dict[str, tuple[str, Callable[[World], None]]] = {
    # configuration and this machine
    "a sender at a mailbox provider": (
        "sender-freemail dmarc-missing mail-unaligned dkim-missing",
        line("list.sender", '"paper@gmail.com"'),
    ),
    "no postal address": ("postal-address", line("list.postal_address", "")),
    "a base address for this machine alone": ("base-url web-unreachable", line("base_url", '"https://localhost:1"')),
    "bounces that nobody reads": ("inbox", line("inbox.maildir", "")),
    "an inbox for a list without an address": ("list-address", line("list.address", "")),
    "a greeting that is no full name": ("hostname", line("delivery.hostname", '"app"')),
    "no key": ("key", attribute(before=lambda world: (world.folder / "paperround.key").unlink())),
    "a short key": ("key", attribute(before=lambda world: (world.folder / "paperround.key").write_text("short"))),
    "a key that others may read": ("key-readable", file_mode("paperround.key", 0o644)),
    "a password that others may read": ("config-readable", file_mode("paperround.toml", 0o640)),
    "readers' addresses that others may read": ("database-readable", file_mode("paperround.db", 0o644)),
    "a database of an older version": ("database", version("0001")),
    "a database of a newer version": ("database", version("9999")),
    "a file that is no database": (
        "database",
        attribute(before=lambda world: (world.folder / "paperround.db").write_text("hello, this is text")),
    ),
    "a locked database": ("database-locked", attribute(around=write_lock)),
    "a damaged database": ("database-damaged", attribute(before=spoil)),
    "a full disk": ("disk-full", disk(100_000_000)),
    "little room on the disk": ("disk-low", disk(600_000_000)),
    "a default time zone that is none": ("zone", line("digest.timezone", '"Europe/Atlantis"')),
    "a reader in a time zone that is none": ("zone", reader("ada@example.org", "Mars/Olympus")),
    "a clock that is wrong": ("clock", attribute(date=NOW + timedelta(minutes=10))),
    "a model that cannot be loaded": ("model", attribute(embedder=NoModel())),
    "weights that are not the model's": (
        "model",
        attribute(embedder=embedding.SentenceTransformerEmbedder(), around=lambda _: other_digest()),
    ),
    # relay
    "no relay": ("relay-unreachable", attribute(transport="smtp://ada:secret@smtp.news.example:1")),
    "a relay that turns us away": ("relay-refuses", refuses("banner", "554 5.7.1 go away")),
    "a relay that says nothing to EHLO": ("relay-unreachable", refuses("ehlo", "drop")),
    "a sender that the relay refuses": ("relay-refuses", refuses("mail", "553 5.7.1 not your address")),
    "a wrong password": ("relay-login", attribute(transport="smtp://ada:wrong@smtp.news.example:{port}")),
    "a relay without TLS where it was promised": ("relay-clear-promised", relay(starttls=False, users=None)),
    "a relay without TLS": (
        "relay-clear",
        several(relay(starttls=False, users=None), attribute(transport="smtp://smtp.news.example:{port}")),
    ),
    "a relay without a login": ("relay-no-login", own(attribute(transport="smtp://ada:secret@relay:{port}?starttls=never"))),
    "a certificate of another host": ("certificate", several(attribute(strict=True), pages("GET /health", 200, "alive"))),
    "a certificate that nobody vouches for": ("certificate", attribute(trusted=False)),
    "the same at a relay that promised nothing": (
        "certificate certificate-loose",
        several(relay(users=None), attribute(trusted=False, transport="smtp://smtp.news.example:{port}")),
    ),
    "certificates that end in a week": (
        "certificate-ends",
        attribute(now=datetime(2126, 10, 21, tzinfo=UTC), date=datetime(2126, 10, 21, tzinfo=UTC)),
    ),
    "a relay for small mails": ("relay-size", relay(size=100_000)),
    "a reader whom the relay cannot name": ("relay-no-utf8", several(relay(smtputf8=False), reader("jürgen@example.org"))),
    "a relay that is far away": ("relay-far", several(relay(latency=0.02), attribute(around=lambda _: nearer()))),
    "a box that overwrites what the relay says": ("relay-filtered", refuses("banner", "220 *******************************")),
    # names
    "no SPF": ("spf-missing", zone(spf=[])),
    "two SPF records": ("spf-several", zone(spf=["v=spf1 -all", "v=spf1 mx -all"])),
    "an SPF record with a word that is none": ("spf-broken", zone(spf=["v=spf1 ip4:11.0.0.0/24 inlcude:x.example -all"])),
    "an SPF address that is none": ("spf-broken", zone(spf=["v=spf1 ip4:11.0.0.999 -all"])),
    "an SPF record of eleven questions": ("spf-lookups", zone(spf=["v=spf1 " + "a:other.news.example " * 11 + "-all"])),
    "an SPF record that includes itself": ("spf-lookups", zone(spf=["v=spf1 include:news.example -all"])),
    "an SPF record with names that are nowhere": ("spf-void", zone(spf=["v=spf1 a:x1.example a:x2.example mx:x3.example -all"])),
    "an include without a record": ("spf-include", zone(spf=["v=spf1 include:nowhere.example -all"])),
    "an include that allows nobody": (
        "spf-include-empty",
        several(zone(spf=["v=spf1 include:closed.example -all"]), records("closed.example TXT", ["v=spf1 -all"])),
    ),
    "an SPF record for everybody": ("spf-open", zone(spf=["v=spf1 mx +all"])),
    "an SPF record without an end": ("spf-open", zone(spf=["v=spf1 mx"])),
    "SPF that leaves our relay out": ("spf-sender", own(zone(spf=["v=spf1 ip4:11.9.0.0/16 -all"]))),
    "no DKIM key": ("dkim-missing", zone(dkim=[])),
    "a withdrawn DKIM key": ("dkim-revoked", zone(dkim=["v=DKIM1; p="])),
    "a DKIM key that is none": ("dkim-broken", zone(dkim=["v=DKIM1; p=&&&"])),
    "a weak DKIM key": ("dkim-weak", zone(dkim=["v=DKIM1; k=rsa; p=" + base64.b64encode(bytes(162)).decode()])),
    "a DKIM key on trial": ("dkim-testing", zone(dkim=[KEY.replace("k=rsa", "k=rsa; t=y")])),
    "no selector known": ("dkim-unknown", several(line("doctor.dkim_selectors", ""), attribute(mail=""))),
    "no DMARC": ("dmarc-missing", zone(dmarc=[])),
    "two DMARC records": ("dmarc-several", zone(dmarc=["v=DMARC1; p=none; rua=mailto:x@x.example", "v=DMARC1; p=reject"])),
    "DMARC without a policy": ("dmarc-broken", zone(dmarc=["v=DMARC1; rua=mailto:x@x.example"])),
    "DMARC that asks for no reports": ("dmarc-silent", zone(dmarc=["v=DMARC1; p=none"])),
    "an envelope and a signature of others": (
        "dmarc-unaligned mail-unaligned spf-missing mx-missing dkim-missing",
        several(
            mail("d=news.example", "d=sender.example"), line("list.address", '"list@bounces.example"'), line("doctor.dkim_selectors", "")
        ),
    ),
    "a domain without mail": (
        "mx-missing spf-include",
        several(records("news.example MX", []), zone(spf=["v=spf1 include:nowhere.example -all"])),
    ),
    "a domain that takes no mail": ("mx-null", several(records("news.example MX", ["0 ."]), zone(spf=["v=spf1 ip4:11.0.0.0/8 -all"]))),
    "an MX that is nowhere": ("mx-host", records("news.example MX", ["5 mx.news.example.", "10 gone.news.example."])),
    "an MX that is an alias": (
        "mx-alias",
        several(records("mx.news.example CNAME", ["other.news.example."]), zone(spf=["v=spf1 ip4:11.0.0.0/8 -all"])),
    ),
    "a relay without a name of its own": ("ptr-missing", own(records("25.0.0.11.in-addr.arpa PTR", []))),
    "a name that does not lead back": ("ptr-unconfirmed", own(records("25.0.0.11.in-addr.arpa PTR", ["other.news.example."]))),
    "a relay whose name is nowhere": ("relay-name-unknown", own(records("scripted.test A", []))),
    "names that nobody answers": ("dns", records("mail._domainkey.news.example TXT", ["SERVFAIL"])),
    # the mail
    "an unsigned mail": ("mail-unsigned", mail("DKIM-Signature", "X-Was")),
    "a way out that is not signed": ("mail-way-out-unsigned", mail("List-Unsubscribe:List-Unsubscribe-Post; ", "List-Unsubscribe; ")),
    "a subject that is not signed": ("mail-headers-unsigned", mail("To:Subject:", "To:")),
    "a body that is signed in part": ("mail-partly-signed", mail("bh=x", "l=100; bh=x")),
    "a mail without one-click": ("mail-no-way-out", mail("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "")),
    "a mail that failed elsewhere": ("mail-failed", mail("dkim=pass", "dkim=fail")),
    # pages
    "pages that do not answer": ("web-unreachable", line("base_url", '"https://paper.news.example:1"')),
    "pages of somebody else": ("web-other", pages("GET /health", 200, "It works!")),
    "one-click that is sent elsewhere": ("one-click-redirect", pages("POST /u/", 301)),
    "one-click behind a password": ("one-click-refused", pages("POST /u/", 401)),
    "one-click of another key": ("one-click-key", pages("POST /u/", 404)),
}


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_fault_is_named_and_no_other(world: World, name: str) -> None:
    expected, plant = PLANTED[name]
    plant(world)
    found = await world.findings()
    assert {each.code for each in found} == set(expected.split()), found
    assert all(each.what and each.why and each.change for each in found)


@pytest.mark.parametrize("clear", [False, True])
async def test_a_password_goes_to_a_relay_in_clear_only_where_delivery_sends_it_so(smtp_server: ModuleType, clear: bool) -> None:
    async with smtp_server.ScriptedServer(users={"ada": "secret"}, auth_in_clear=True) as server:
        relay = doctor.relay_of(f"smtp://ada:secret@127.0.0.1:{server.port}{'?starttls=never' if clear else ''}", "x")
        assert relay is not None
        facts = await probes.look_at_relay(relay, SETUP, ssl.create_default_context())
    assert facts.methods
    assert bool(server.said("AUTH")) == clear
    found = doctor.of_relay(facts, sender="paper@news.example", connections=4, beyond_ascii=0, now=NOW)
    assert ("relay-clear-promised" in {each.code for each in found}) != clear


# ---------------------------------------------------------------- what no server is needed for

SETUP = doctor.Setup(
    base_url="https://paper.news.example",
    sender="paper@news.example",
    bounce_domain="news.example",
    reply_to="paper@news.example",
    list_address="list@news.example",
    hostname="app.news.example",
    postal_address="1 Example Street",
)
DATABASE = doctor.DatabaseFacts(shown="sqlite:///x.db", free=10**12)
PROVIDER = doctor.Relay(shown="smtp://smtp.news.example", host="smtp.news.example", port=587)


def of_relay(**facts: Any) -> list[Finding]:
    seen = doctor.RelayFacts(**{"relay": PROVIDER, "extensions": frozenset({"size"}), "encrypted": True} | facts)
    return list(doctor.of_relay(seen, sender="paper@news.example", connections=4, beyond_ascii=0, now=NOW))


JUDGED: dict[str, tuple[str, list[Finding]]] = {
    "a sender that is no domain": ("sender", list(doctor.of_setup(replace(SETUP, sender="paper@localhost")))),
    "a complaint in eight hundred": ("complaints", list(doctor.of_database(replace(DATABASE, complaint_rate=0.00125), NOW))),
    "three complaints in a thousand": ("complaints-harmful", list(doctor.of_database(replace(DATABASE, complaint_rate=0.003), NOW))),
    "a tenth of the readers gone": ("dead-addresses", list(doctor.of_database(replace(DATABASE, sent=900, refused=100), NOW))),
    "a database with a clock of its own": ("clock", list(doctor.of_database(replace(DATABASE, skew=-90.0), NOW))),
    "a clock put back": ("clock-back", list(doctor.of_database(replace(DATABASE, latest=NOW + timedelta(hours=1)), NOW))),
    "a disk smaller than a backup": ("disk-low", list(doctor.of_database(replace(DATABASE, free=5 * 10**9, size=6 * 10**9), NOW))),
    "a slow model": ("model-slow", list(doctor.of_model(doctor.ModelFacts(name="x", speed=0.5)))),
    "a relay called localhost": ("relay-name", of_relay(relay=replace(PROVIDER, own=True), name="localhost.localdomain".partition(".")[0])),
    "a relay in our own network without the TLS that it owes": (
        "relay-clear-promised",
        of_relay(relay=doctor.relay_of("smtp://relay.lan?starttls=required", "x"), encrypted=False),
    ),
    "a relay on this machine that offers no TLS for the password": (
        "relay-clear-promised",
        of_relay(relay=doctor.relay_of("smtp://ada:secret@localhost", "x"), encrypted=False, methods=("plain",)),
    ),
    "a relay on this machine without the TLS that is required": (
        "relay-clear-promised",
        of_relay(relay=doctor.relay_of("smtp://127.0.0.1?starttls=required", "x"), encrypted=False),
    ),
    "extensions made unreadable": ("relay-filtered", of_relay(extensions=frozenset({"size", "xxxxxxxa".replace("a", "x")}))),
}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "mail.localhost", "relay.lan", "10.0.0.5", "smtp.news.example"])
@pytest.mark.parametrize("form", ["smtp://{}", "smtps://{}", "smtp://{}?starttls=required", "smtp://ada:secret@{}"])
def test_a_certificate_is_asked_for_where_delivery_asks_for_it(host: str, form: str) -> None:
    address = form.format(host)
    relay, settings = doctor.relay_of(address, address), transports._smtp_settings(urlsplit(address), Sessions())
    assert relay is not None
    assert relay.promised == (smtp._tls_context(settings).verify_mode is ssl.CERT_REQUIRED)


@pytest.mark.parametrize("name", JUDGED)
def test_a_fact_that_is_bad_is_named(name: str) -> None:
    expected, found = JUDGED[name]
    assert [each.code for each in found] == [expected]


def test_good_facts_are_no_findings() -> None:
    good = replace(DATABASE, complaint_rate=0.0009, sent=960, refused=40, latest=NOW)
    assert [*doctor.of_setup(SETUP), *doctor.of_database(good, NOW), *of_relay()] == []
    assert list(doctor.of_setup(replace(SETUP, sender="paper@localhost", postal_address="", inbox=False, bulk=False))) == []


def test_every_finding_there_is_has_a_case() -> None:
    planted = {code for codes, _ in PLANTED.values() for code in codes.split()} | {code for code, _ in JUDGED.values()}
    elsewhere = {"configuration", "database-absent", "web-idle", "unexamined", "zones"}  # each in a test of its own
    assert planted | elsewhere == set(FINDINGS)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=80), max_size=3),
    st.sampled_from(["", "v=spf1 ", "v=DMARC1; p=none; ", "v=DKIM1; p="]),
)
def test_no_record_however_hostile_stops_the_rules(texts: list[str], start: str) -> None:
    for rule in (
        mail_dns.spf("a.example", ["11.0.0.1"]),
        mail_dns.dmarc("a.example", "b.example", ["c.example"]),
        mail_dns.dkim_key("a.example", "s"),
    ):
        asked = 0
        with contextlib.suppress(StopIteration):
            _, kind = next(rule)
            while True:
                asked += 1
                assert asked < 500
                _, kind = rule.send(tuple(start + each for each in texts) if kind == "TXT" else ())


@given(st.binary(max_size=600))
def test_no_mail_however_hostile_stops_the_look_at_its_signature(rubbish: bytes) -> None:
    for raw in (rubbish, b"DKIM-Signature: " + rubbish, SIGNED.encode() + rubbish):
        assert all(each.code in FINDINGS for each in doctor.of_mail(raw, "news.example"))


def told(rule: Any, zone: dict[str, list[str]]) -> Any:
    """What a rule returns where the world is that zone."""
    try:
        question = next(rule)
        while True:
            question = rule.send(tuple(zone.get(" ".join(question), ())))
    except StopIteration as end:
        return end.value


NEAR = {
    "a.example A": ["11.0.0.1"],
    "a.example AAAA": ["2600::1"],
    "a.example MX": ["5 mx2.a.example.", "1 mx1.a.example."],
    "mx2.a.example A": ["11.0.0.25"],
    "b.example TXT": ["v=spf1 ip4:11.0.0.25 -all"],
    "c.example TXT": ["v=spf1 redirect=b.example"],
}
SENDING = [
    *("ip4:11.0.0.25", "ip4:11.0.0.0/24", "ip6:2600::/16", "a:a.example/24", "a:a.example//64", "a/24", "mx", "mx:a.example"),
    *("include:b.example", "+include:c.example", "IP4:11.0.0.25", "include:%{d}.example", "exists:%{ir/}.x.example", "ptr"),
]
ELSEWHERE = [
    "ip4:11.0.1.0/24",
    "?ip4:11.0.0.25",
    "-ip4:11.0.0.25",
    "a",
    "a:a.example/28",
    "ip6:2601::/32",
    "a:a.example//128",
    "mx:b.example",
    "x=y",
]


@pytest.mark.parametrize("term", SENDING)
def test_an_spf_record_that_allows_our_host_or_may_do_so_is_fine(term: str) -> None:
    host = "2600::99" if term in ("ip6:2600::/16", "a:a.example//64") else OUT
    assert told(mail_dns.spf("a.example", [host]), NEAR | {"a.example TXT": [f"v=spf1 {term} -all"]}) == []


@pytest.mark.parametrize("term", ELSEWHERE)
def test_an_spf_record_that_allows_others_alone_is_told(term: str) -> None:
    found = told(mail_dns.spf("a.example", [OUT]), NEAR | {"a.example TXT": [f"v=spf1 {term} -all"]})
    assert [each.code for each in found] == ["spf-sender"]
    assert f'"v=spf1 {term} ip4:{OUT} -all"' in found[0].change


@pytest.mark.parametrize(
    ("envelope", "signing", "mode", "fine"),
    [
        ("a.example", [], "", True),
        ("bounces.a.example", [], "", True),
        ("bounces.a.example", [], "; aspf=s", False),
        ("bounces.a.example", ["a.example"], "; aspf=s", True),
        ("bounces.a.example", ["mail.a.example"], "; aspf=s; adkim=s", False),
        ("other.example", ["a.example"], "", True),
        ("other.example", ["other.example"], "", False),
        ("", [], "", False),
    ],
)
def test_alignment_is_judged_as_dmarc_does(envelope: str, signing: list[str], mode: str, fine: bool) -> None:
    zone = {"_dmarc.a.example TXT": [f"v=DMARC1; p=none; rua=mailto:x@a.example{mode}"]}
    codes = [each.code for each in told(mail_dns.dmarc("a.example", envelope, signing), zone)]
    assert codes == ([] if fine else ["dmarc-unaligned"])


def test_siblings_below_one_record_are_aligned_and_those_below_none_are_not() -> None:
    zone = {"_dmarc.lab.example TXT": ["v=DMARC1; p=none; rua=mailto:x@lab.example"]}
    assert told(mail_dns.dmarc("news.lab.example", "bounces.lab.example", []), zone) == []
    zone["_dmarc.news.lab.example TXT"] = zone["_dmarc.lab.example TXT"]
    assert told(mail_dns.dmarc("news.lab.example", "bounces.lab.example", []), zone) == []
    assert [each.code for each in told(mail_dns.dmarc("news.lab.example", "lab2.example", []), zone)] == ["dmarc-unaligned"]


def test_the_reference_names_every_finding() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "doctor.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `")] == [
        f"| `{code}` | {severity} | {why} |" for code, (severity, why) in FINDINGS.items()
    ]


# ---------------------------------------------------------------- how it goes about it


async def test_a_probe_that_breaks_or_hangs_is_told_and_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaks(HashingEmbedder):
        async def embed(self, texts: Any, *, progress: Any = None) -> Any:
            raise RuntimeError("out of memory")

    world.embedder = Breaks()
    world.zone["news.example TXT"] = []
    world.relay["faults"] = [world.smtp.Fault(step="mail", do="stall")]
    monkeypatch.setitem(probes.PATIENCE, "relay", 0.5)
    found = await world.findings()
    assert [each.code for each in found] == ["spf-missing", "unexamined", "unexamined"]
    assert {each.what.partition(":")[0] for each in found[1:]} == {"model", "relay smtp.news.example"}


async def test_without_zones_every_schedule_is_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "available_timezones", set)
    assert await world.codes() == {"zones"}


async def test_a_name_server_that_is_away_is_one_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.lines["doctor.resolver"] = '"127.0.0.1:1"'
    monkeypatch.setattr(probes, "DNS_STEP", 0.3)
    found = await world.findings()
    assert [each.code for each in found] == ["dns"]
    assert "news.example MX" in found[0].what


async def test_the_newest_of_our_signed_mails_in_the_inbox_is_looked_at(world: World) -> None:
    world.mail, folder = "", world.folder / "inbox" / "new"
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(b"List-Id: <paperround.news.example>\r\nSubject: not signed\r\n\r\n")
    (folder / "2").write_bytes(SIGNED.replace("s=mail;", "s=old;").encode())
    assert await world.codes() == {"dkim-missing"}


async def test_what_is_told_holds_no_password_and_nothing_was_sent(world: World) -> None:
    world.relay["faults"] = [world.smtp.Fault(step="mail", do="550 5.7.1 no")]
    server: list[Any] = []
    real = world.smtp.ScriptedServer

    def kept(**more: Any) -> Any:
        server.append(real(**more))
        return server[0]

    world.smtp = type("Module", (), vars(world.smtp) | {"ScriptedServer": staticmethod(kept)})  # type: ignore[assignment]
    found = await world.findings()
    assert [each.code for each in found] == ["relay-refuses"]
    assert "secret" not in json.dumps([each.as_json() for each in found])
    assert [server[0].said(verb) for verb in ("RCPT", "DATA")] == [[], []]


async def test_no_server_paints_the_administrators_terminal(world: World) -> None:
    world.relay["faults"] = [world.smtp.Fault(step="banner", do="554 \x1b[2J\x1b]0;all is well\x07 go")]
    world.zone["news.example TXT"] = ["v=spf1 \x1b[31mmx -all"]
    found = await world.findings()
    assert {each.code for each in found} == {"relay-refuses", "spf-broken"}
    assert all(text.isprintable() for each in found for text in each.as_json().values())


# ---------------------------------------------------------------- the command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a user does: the exit status is given by the console script."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PAPERROUND_")}
    command = [sys.executable, "-m", "paperround", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_command_says_so_in_one_line_when_all_is_well_and_counts_notes_as_such(tmp_path: Path) -> None:
    write_new_key(tmp_path / "paperround.key")
    config = tmp_path / "paperround.toml"
    config.write_text('base_url = "http://localhost:1"\n[embedding]\nmodel = "hashing"\n', encoding="utf-8")
    done = run("--config", str(config), "doctor")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all is well")
    answer = json.loads(run("--config", str(config), "doctor", "--json").stdout)
    assert (answer["healthy"], {each["severity"] for each in answer["findings"]}) == (True, {"note"})


def test_the_command_fails_with_a_fault_and_says_the_line_to_change(tmp_path: Path) -> None:
    config = tmp_path / "paperround.toml"
    config.write_text('base_url = "http://localhost:1"\n[embedding]\nmodel = "hashing"\n', encoding="utf-8")
    done = run("--config", str(config), "doctor")
    assert done.returncode == 1
    assert "[key]" in done.stdout
    assert "secret_key_file = PATH" in done.stdout
    config.write_text("transport = 'pigeon'", encoding="utf-8")
    done = run("--config", str(config), "doctor", "--json")
    assert done.returncode == 2
    assert [each["code"] for each in json.loads(done.stdout)["findings"]] == ["configuration"]
    assert len(done.stderr.splitlines()) == 1
