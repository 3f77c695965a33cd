"""Room: the doctor's probes. Each asks one part of the world within its own time; none changes or sends anything (I/O)."""

import asyncio
import shutil
import sqlite3
import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import aiosmtplib
import dns.asyncresolver
import dns.exception
import dns.resolver
import httpx2

from paperround.errors import EmbeddingError, StorageError
from paperround.models import DeliveryState
from paperround.operation import doctor, mail_dns
from paperround.operation.doctor import Certificate, DatabaseFacts, FileFacts, ModelFacts, Relay, RelayFacts, Setup, WebFacts
from paperround.operation.findings import Finding, found
from paperround.operation.mail_dns import Answer, Question
from paperround.pipeline.interfaces import Embedder, Storage
from paperround.pipeline.status import LOOKING_BACK, status

Result = TypeVar("Result")

PATIENCE = {"files": 5.0, "database": 120.0, "model": 120.0, "relay": 20.0, "web": 20.0, "DNS": 30.0}  # seconds for each probe
STEP, DNS_STEP = 8.0, 5.0  # seconds for one answer
LOCK_STEP = 3.0  # seconds that a write of another may take
ABSTRACT = "Visual tokens are dropped layer by layer where attention no longer reads them, and the model keeps its accuracy. " * 8
ABSTRACTS = 16
NEWEST = 200  # mails of an inbox that are looked through for one of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How the probes reach the world. `resolver`: HOST[:PORT], not the system's; `one_click`: the path of a link signed for nobody."""

    files: Callable[[], list[FileFacts]]
    database: Callable[[], AbstractAsyncContextManager[Storage]]
    database_shown: str
    database_file: Path | None  # None: a server
    embedder: Embedder
    one_click: str | None
    resolver: str | None = None
    signed: Path | None = None
    maildir: Path | None = None
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)


async def examine(setup: Setup, ways: Ways, *, now: datetime, connections: int) -> list[Finding]:
    """All that is found, worst first. A probe that fails or takes too long is a finding itself and stops no other."""
    findings: list[Finding] = []

    async def within(name: str, probe: Awaitable[Result]) -> Result | None:
        patience = next(seconds for start, seconds in PATIENCE.items() if name.startswith(start))
        try:
            async with asyncio.timeout(patience):
                return await probe
        except TimeoutError:
            findings.append(found("unexamined", f"{name}: no answer within {patience:.0f} s", "run: paperround doctor, again"))
        except Exception as error:  # whatever it is, the others go on
            findings.append(found("unexamined", f"{name}: {type(error).__name__}: {error}", "run: paperround doctor, again"))
        return None

    def start(name: str, probe: Awaitable[Result]) -> asyncio.Task[Result | None]:
        return asyncio.create_task(within(name, probe))

    model = start("model", look_at_model(ways.embedder))
    files = start("files", asyncio.to_thread(ways.files))
    looking = start("database", look_at_database(ways, setup.timezone, now))
    web = start("web", look_at_web(setup.base_url, ways.one_click, ways.tls, now))
    test_mail = start("files", asyncio.to_thread(signed_mail, ways, setup.list_id))
    relays = [start(f"relay {each.host}", look_at_relay(each, setup, ways.tls)) for each in setup.relays]
    mail, reached = await test_mail, [each for each in [await relay for relay in relays] if each]
    names = await start("DNS", look_at_names(setup, ways, reached, mail)) if setup.bulk and "." in setup.from_domain else None
    findings += [*doctor.of_setup(setup), *(names or [])]
    findings += [each for file in await files or [] for each in doctor.of_file(file)]
    database = await looking
    findings += doctor.of_database(database, now) if database else []
    for each in reached:
        beyond_ascii = database.beyond_ascii if database else 0
        findings += doctor.of_relay(
            each, sender=f"bounce@{setup.bounce_domain}", connections=connections, beyond_ascii=beyond_ascii, now=now
        )
    answered, read = await web, await model
    findings += doctor.of_web(answered, setup.base_url, bulk=setup.bulk, now=now) if answered else []
    findings += doctor.of_mail(mail, setup.from_domain) if mail else []
    findings += doctor.of_model(read) if read else []
    if not available_timezones():
        findings.append(found("zones", "this machine has no time zone data", "run: pip install tzdata"))
    order = ["fault", "warning", "note"]
    return sorted(dict.fromkeys(findings), key=lambda each: order.index(each.severity))


# ---------------------------------------------------------------- this machine


def look_at_file(path: Path, kind: str, *, check: Callable[[], object]) -> FileFacts:
    """`check` raises where the content cannot be used."""
    try:
        check()
        return FileFacts(path=str(path), mode=path.stat().st_mode, kind=kind)
    except Exception as error:  # of the configuration's own kind, which this room does not know
        return FileFacts(path=str(path), kind=kind, fault=str(error))


async def look_at_database(ways: Ways, timezone: str, now: datetime) -> DatabaseFacts:
    """Opens it as every command does, which asks for the write lock and compares the schema; then reads."""
    facts = DatabaseFacts(shown=ways.database_shown)
    if file := ways.database_file:
        folder = next(each for each in file.parents if each.exists())
        facts = replace(facts, free=shutil.disk_usage(folder).free, absent=not file.exists())
        if facts.absent:
            return facts
        facts = replace(facts, size=file.stat().st_size, locked=await asyncio.to_thread(_locked, file))
    if facts.locked:
        return facts
    try:
        async with ways.database() as storage:
            return await _read(storage, facts, ways.embedder.model, timezone, now)
    except StorageError as error:
        return replace(facts, problem=str(error))


def _locked(file: Path) -> bool:
    with suppress(sqlite3.Error):  # what else is wrong is told when it is opened
        connection = sqlite3.connect(f"{file.as_uri()}?mode=rw", timeout=LOCK_STEP, isolation_level=None, uri=True)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
        finally:
            connection.close()
    return False


async def _read(storage: Storage, facts: DatabaseFacts, model: str, timezone: str, now: datetime) -> DatabaseFacts:
    try:
        faults = await storage.check()
    except StorageError as error:
        faults = [str(error)]
    if faults:
        return replace(facts, faults=tuple(faults))
    zones, beyond_ascii = {timezone}, 0
    async for batch in storage.subscribers(states=("pending", "active", "paused")):
        zones |= {each.profile.timezone for each in batch}
        beyond_ascii += sum(not (each.email or "").rpartition("@")[0].isascii() for each in batch)
    counted = await storage.outcomes(now - LOOKING_BACK)
    return replace(
        facts,
        unknown_zones=tuple(sorted(filter(_unknown, zones))),
        beyond_ascii=beyond_ascii,
        latest=max((each.last_polled_at for each in await storage.sources() if each.last_polled_at), default=None),
        skew=(await storage.clock() - datetime.now(UTC)) / timedelta(seconds=1),
        sent=sum(count for (_, state, _), count in counted.items() if state is DeliveryState.SENT),
        refused=sum(count for (_, state, _), count in counted.items() if state is DeliveryState.FAILED),
        complaint_rate=(await status(storage, model, now=now))["complaint_rate"],
    )


def _unknown(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        return True
    return False


async def look_at_model(embedder: Embedder) -> ModelFacts:
    """Loads it, which compares its digest, and reads a few abstracts."""
    name = embedder.model.partition("@")[0]
    try:
        await embedder.embed(["A first text, which loads the model."])
        start = time.monotonic()
        await embedder.embed([f"{number} {ABSTRACT}" for number in range(ABSTRACTS)])
    except EmbeddingError as error:
        return ModelFacts(name=name, problem=str(error))
    return ModelFacts(name=name, speed=ABSTRACTS / max(time.monotonic() - start, 1e-6))


def signed_mail(ways: Ways, list_id: str) -> bytes | None:
    """The mail that was given, else the newest of ours in the inbox that bears a signature. Raises OSError."""
    if ways.signed:
        return ways.signed.read_bytes()
    mails = [each for part in ("new", "cur") for each in (ways.maildir / part).glob("*")] if ways.maildir else []
    for path in sorted(mails, key=lambda each: each.stat().st_mtime, reverse=True)[:NEWEST]:
        mail = path.read_bytes()
        if f"<{list_id}>".encode() in mail and doctor.signatures(mail):
            return mail
    return None


# ---------------------------------------------------------------- the relay


async def look_at_relay(relay: Relay, setup: Setup, context: ssl.SSLContext) -> RelayFacts:
    """A session as delivery has it, up to MAIL, which is taken back. A certificate that does not verify ends it where delivery would
    stop too; elsewhere it is told and the session is had without."""
    facts = await _session(relay, setup, _lax() if relay.own and not relay.promised else context)
    if facts.certificate and facts.certificate.fault and not relay.promised:
        again = await _session(relay, setup, _lax())
        return replace(again, certificate=facts.certificate)
    return facts


def _lax() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _session(relay: Relay, setup: Setup, context: ssl.SSLContext) -> RelayFacts:
    client = aiosmtplib.SMTP(
        hostname=relay.host,
        port=relay.port,
        timeout=STEP,
        local_hostname=setup.hostname,
        use_tls=relay.tls,
        start_tls=False,
        tls_context=context,
    )
    facts, step = RelayFacts(relay=relay), "banner"
    try:
        greeting = await client.connect()
        facts = replace(facts, banner=greeting.message, name=greeting.message.partition(" ")[0].rstrip("."))
        step = "ehlo"
        await client.ehlo()
        if not relay.tls and relay.starttls != "never" and client.supports_extension("starttls"):
            step = "starttls"
            await client.starttls(tls_context=context)
            await client.ehlo()
        facts = replace(facts, **_announced(client, relay))
        if relay.never_in_clear and not facts.encrypted:
            return facts  # as far as delivery would go, too
        if relay.username and facts.methods:
            step = "auth"
            await client.login(relay.username, relay.password or "")
        step, start = "mail", time.monotonic()
        await client.mail(f"bounce@{setup.bounce_domain}")
        taken = time.monotonic()
        await client.rset()
        facts = replace(facts, round_trip=min(taken - start, time.monotonic() - taken))
        await client.quit()
    except aiosmtplib.SMTPResponseException as error:
        return replace(facts, refused=(step, f"{error.code} {error.message}".replace("\n", " ")))
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        if fault := certificate_fault(error):
            return replace(facts, certificate=Certificate(fault=fault))
        return replace(facts, unreachable=f"{type(error).__name__}: {error}" if step == "banner" else f"no answer to {step}: {error}")
    finally:
        client.close()
    return facts


def _announced(client: aiosmtplib.SMTP, relay: Relay) -> dict[str, Any]:
    """What the server says it can do, and over what it says so."""
    said = client.esmtp_extensions
    size = said.get("size", "").strip()
    encrypted = relay.tls or client.get_transport_info("sslcontext") is not None
    return {
        "extensions": frozenset(name.lower() for name in said),
        "size": int(size) if size.isdecimal() else None,
        "encrypted": encrypted,
        "certificate": certificate_of(client.get_transport_info("peercert")) if encrypted else None,
        "methods": tuple(client.supported_auth_methods),
    }


def certificate_of(decoded: Any) -> Certificate | None:
    """None where it was not verified: then nothing of it is known."""
    return Certificate(ends=datetime.fromtimestamp(ssl.cert_time_to_seconds(decoded["notAfter"]), UTC)) if decoded else None


def certificate_fault(error: BaseException | None) -> str | None:
    """What the TLS library said of a certificate, wherever in the chain of causes."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message)
        error = error.__cause__ or error.__context__
    return None


# ---------------------------------------------------------------- the pages


async def look_at_web(base_url: str, one_click: str | None, context: ssl.SSLContext, now: datetime) -> WebFacts:
    """The public address as a provider reaches it: no redirect followed, no cookie, no proxy."""
    async with httpx2.AsyncClient(verify=context, follow_redirects=False, trust_env=False, timeout=STEP) as client:
        try:
            async with client.stream("GET", f"{base_url}/health") as answer:
                wire = answer.extensions["network_stream"].get_extra_info("ssl_object")
                certificate = certificate_of(wire.getpeercert()) if wire else None
                health = answer.status_code, (await answer.aread())[:100].decode("utf-8", "replace").strip()
            left = await client.post(f"{base_url}/{one_click}", data={"List-Unsubscribe": "One-Click"}) if one_click else None
        except httpx2.HTTPError as error:
            fault = certificate_fault(error)
            told = str(error) or type(error).__name__
            return WebFacts(certificate=Certificate(fault=fault)) if fault else WebFacts(unreachable=told)
    status_left = left.status_code if left else None
    return WebFacts(certificate=certificate, health=health, one_click=status_left, skew=_skew(answer.headers.get("date"), now))


def _skew(date: str | None, now: datetime) -> float | None:
    with suppress(ValueError, TypeError):
        return (parsedate_to_datetime(date or "") - now) / timedelta(seconds=1)
    return None


# ---------------------------------------------------------------- the names


class Resolver:
    """Answers the questions of the rules in `mail_dns`; keeps those that nobody answered, with the reason."""

    def __init__(self, address: str | None) -> None:
        self.unanswered: dict[Question, str] = {}
        self._answers: dict[Question, Answer] = {}
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=address is None)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = dns.asyncresolver.Resolver(configure=False)
        if address:
            host, _, port = address.rpartition(":") if address.count(":") == 1 or "]" in address else (address, "", "53")
            self._resolver.nameservers, self._resolver.port = [host.strip("[]")], int(port)
        self._resolver.lifetime = DNS_STEP

    async def follow(self, rule: Generator[Question, Answer, Result]) -> Result | None:
        """Ask until the rule knows enough; None where a question was not answered."""
        try:
            question = next(rule)
            while True:
                question = rule.send(await self._ask(question))
        except StopIteration as end:
            result: Result = end.value
            return result
        except dns.exception.DNSException as error:
            self.unanswered[question] = str(error) or type(error).__name__
            return None

    async def _ask(self, question: Question) -> Answer:
        if question not in self._answers:
            try:
                found_records = await self._resolver.resolve(*question)
                self._answers[question] = tuple(_text(record) for record in found_records)
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                self._answers[question] = ()
        return self._answers[question]


def _text(record: Any) -> str:
    return b"".join(record.strings).decode("utf-8", "replace") if hasattr(record, "strings") else str(record)


async def look_at_names(setup: Setup, ways: Ways, relays: Sequence[RelayFacts], mail: bytes | None) -> list[Finding]:
    """SPF, DKIM, DMARC, MX and PTR, as other servers will ask for them."""
    resolver = Resolver(ways.resolver)
    sending: list[str] = []
    findings: list[Finding] = []
    names = {each.name for each in relays if each.relay.own and not doctor.private(each.name)} if setup.direct else set()
    for name in sorted(names):
        addresses, told = await resolver.follow(mail_dns.sending_host(name)) or ([], [])
        sending, findings = sending + addresses, findings + told
    signed = doctor.signatures(mail) if mail else []
    keys = {(each.domain, each.selector) for each in signed} | {(setup.from_domain, each) for each in setup.selectors}
    if not keys:
        findings.append(
            found(
                "dkim-unknown",
                f"no DKIM selector of {setup.from_domain} is known",
                '[doctor] dkim_selectors = ["mail"], or --signed FILE.eml',
            )
        )
    rules = [
        mail_dns.spf(setup.bounce_domain, sending),
        mail_dns.dmarc(setup.from_domain, setup.bounce_domain, [domain for domain, _ in keys]),
        *(mail_dns.mail_exchange(each) for each in setup.mail_domains),
        *(mail_dns.dkim_key(*each) for each in sorted(keys)),
    ]
    for answered in await asyncio.gather(*map(resolver.follow, rules)):
        findings += answered or []
    if resolver.unanswered:
        asked = ", ".join(f"{name} {kind}" for name, kind in resolver.unanswered)
        reason = next(iter(resolver.unanswered.values()))
        findings.append(found("dns", f"not answered: {asked} ({reason})", '[doctor] resolver = "HOST:PORT", or /etc/resolv.conf'))
    return findings
