"""`paperround doctor`: what is wrong with this installation, why it matters, and the line to change."""

import re
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paperround.cli.output import err, print_json, say
from paperround.cli.session import CommandFailedError, JsonFlag, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from paperround.config import Settings
    from paperround.operation.doctor import FileFacts, Setup
    from paperround.operation.findings import Finding
    from paperround.operation.probes import Ways
    from paperround.pipeline.interfaces import Storage

PASSWORD = re.compile(r"^[^#\n]*://[^:/@\s\"']*:(?!\d+/)[^\s\"']+@", re.M)  # a port and a path with an @ are none
SignedOption = Annotated[
    Path | None,
    typer.Option("--signed", metavar="FILE.eml", help="A mail of ours as it arrived somewhere else: its signature is looked at."),
]


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(context: typer.Context, signed: SignedOption = None, json_: JsonFlag = False) -> None:
    """Look at everything mail depends on; say what to change.

    \b
    Configuration, database, model, clock, relay, DNS and pages. Nothing is changed and no mail is sent.
    Exit status 1 where there is a fault or a warning, 2 where the configuration cannot be read.
    Example:
      paperround doctor --json
    """
    import asyncio
    from datetime import UTC, datetime

    from paperround.errors import ConfigError
    from paperround.operation.findings import Severity, found

    if signed and not signed.is_file():
        raise CommandFailedError(f"{signed}: there is no such file")
    try:
        loaded = settings(context)
    except ConfigError as error:
        tell([found("configuration", str(error), "the key that is named")], json_=json_)
        raise
    from paperround.operation.probes import examine

    with err.status("looking at configuration, database, model, relay, DNS and pages"):
        probing = examine(setup_of(loaded), ways_of(loaded, signed), now=datetime.now(UTC), connections=loaded.delivery.connections)
        findings = asyncio.run(probing)
    tell(findings, json_=json_)
    if any(each.severity is not Severity.NOTE for each in findings):
        raise CommandFailedError


def tell(findings: "list[Finding]", *, json_: bool) -> None:
    from paperround.operation.findings import Severity

    healthy = all(each.severity is Severity.NOTE for each in findings)
    if json_:
        print_json({"healthy": healthy, "findings": [each.as_json() for each in findings]})
        return
    for each in findings:
        say(f"{each.severity.value}: {each.what} [{each.code}]\n  {each.why}\n  → {each.change}")
    if healthy:
        say("all is well")


def setup_of(loaded: "Settings") -> "Setup":
    """The configuration as the doctor reads it."""
    from paperround.config import redacted
    from paperround.operation.doctor import Setup, relay_of

    relays = tuple(filter(None, (relay_of(each, redacted(each)) for each in loaded.transports)))
    return Setup(
        base_url=loaded.base_url,
        sender=loaded.list.sender,
        bounce_domain=loaded.bounce_domain.lower(),
        reply_to=loaded.list.reply_to or loaded.list.address or loaded.list.sender,
        hostname=loaded.delivery.hostname or socket.gethostname(),
        list_id=loaded.identity.list_id,
        list_address=loaded.list.address,
        postal_address=loaded.list.postal_address,
        transactional=loaded.delivery.transactional,
        inbox=bool(loaded.inbox.lmtp or loaded.inbox.maildir or loaded.inbox.imap),
        relays=relays,
        bulk=(bool(relays) and loaded.mail_domain != "localhost") or any(not each.own for each in relays),
        timezone=loaded.digest.timezone,
        selectors=loaded.doctor.dkim_selectors,
        direct=loaded.doctor.direct,
    )


def ways_of(loaded: "Settings", signed: Path | None) -> "Ways":
    """The real ones. The database is opened without the key file: that is looked at by itself."""
    from paperround.operation.probes import Ways
    from paperround.wiring import build_embedder, open_parts

    @asynccontextmanager
    async def database() -> "AsyncIterator[Storage]":
        async with open_parts(loaded, keys=[bytes(32)]) as parts:
            yield parts.storage

    file = loaded.database.removeprefix("sqlite:///")
    return Ways(
        files=lambda: files_of(loaded),
        database=database,
        database_shown=loaded.shown_database,
        database_file=Path(file) if file != loaded.database else None,
        embedder=build_embedder(loaded),
        one_click=one_click_of(loaded),
        resolver=loaded.doctor.resolver,
        signed=signed,
        maildir=loaded.inbox.maildir,
    )


def files_of(loaded: "Settings") -> "list[FileFacts]":
    """The key, the files that hold passwords (configuration files with one in an address, and the inbox's), and the database."""
    from paperround.config import provenance, read_keys
    from paperround.operation.probes import look_at_file

    places = {Path(row.source) for row in provenance(loaded)}
    holding = [each for each in places if each.is_file() and PASSWORD.search(each.read_text(encoding="utf-8"))]
    given = [loaded.inbox.imap_password_file] if loaded.inbox.imap_password_file else []
    database = Path(loaded.database.removeprefix("sqlite:///"))
    return [
        look_at_file(loaded.secret_key_file, "key", check=lambda: read_keys(loaded)),
        *(look_at_file(each, "config", check=each.read_bytes) for each in [*holding, *given]),
        *(look_at_file(each, "database", check=each.stat) for each in [database] if each.is_file()),
    ]


def one_click_of(loaded: "Settings") -> str | None:
    """A well-signed way out of nobody: it must be answered like any other (RFC 8058)."""
    from paperround.config import read_keys
    from paperround.errors import ConfigError
    from paperround.subscribers.signed_links import KeyRing, Purpose, make_token

    try:
        return f"u/{make_token(KeyRing(read_keys(loaded)), Purpose.UNSUBSCRIBE, 'doctor', 0)}"
    except ConfigError:
        return None
