"""Room: the keys of the configuration. Each key of paperround.toml with its default, its check and a sentence of documentation."""

import re
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationInfo
from pydantic.fields import FieldInfo

from paperround.models import ListIdentity, Profile

# ---------------------------------------------------------------- kinds of values


class Secret:
    """Marks a key that may hold a password: it is hidden when shown, and may also come from the file that KEY_file names."""


SECRET = Secret()
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> object:
    """Seconds as a number, or "90 s", "30m", "2 h", "4 d". Raises ValueError."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\w*\s*", value.lower())
        if not found:
            raise ValueError('must be a time such as "30 s", "30m", "2h" or "4d"')
        value = float(found[1]) * _UNITS[found[2] or "s"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    return value


def duration_text(value: timedelta) -> str:
    seconds = value.total_seconds()
    unit, size = next((unit, size) for unit, size in reversed(_UNITS.items()) if seconds % size == 0 or size == 1)
    return f"{seconds / size:g}{unit}"


def _longer_than_nothing(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("must be more than 0")
    return value


def _address(value: str) -> str:
    """Shape alone: the sender of a test installation may be paperround@localhost."""
    if not re.fullmatch(r"[^@\s<>,;:]+@[^@\s<>,;:]+", value):
        raise ValueError("must be a mail address such as paper@example.org, without a name")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():  # it goes into a mail header
        raise ValueError("must be one line without control characters")
    return value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://paper.example.org")
    return value.rstrip("/")


def _database(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ValueError("must look like sqlite:///PATH or postgresql+psycopg://user@host/name")
    return value


def _transport(value: str) -> str:
    if not re.match(r"smtps?://[^/\s]|(maildir|directory):.", value):
        raise ValueError("must look like smtp://host:port, smtps://host:port, maildir:PATH or directory:PATH")
    return value


def _below(path: Path, info: ValidationInfo) -> Path:
    """Relative paths start at the configuration file's folder: the context."""
    return info.context / path.expanduser() if info.context else path


def _placed(address: str, info: ValidationInfo) -> str:
    found = re.fullmatch(r"(sqlite:///|maildir:|directory:|unix:)(?!:memory:|file:)(.+)", address)
    return f"{found[1]}{_below(Path(found[2]), info)}" if found else address


Place = Annotated[Path, AfterValidator(_below)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_longer_than_nothing)]
Address = Annotated[str, AfterValidator(_address)]
Line = Annotated[str, AfterValidator(_one_line)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
TransportAddress = Annotated[str, AfterValidator(_transport), AfterValidator(_placed), SECRET]
DatabaseAddress = Annotated[str, AfterValidator(_database), AfterValidator(_placed), SECRET]
Listener = Annotated[str, Field(pattern=r"^(unix:.+|.+:\d+)$"), AfterValidator(_placed)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


class Table(BaseModel):
    """A table of the file; its field descriptions are its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return False


def redacted(address: str) -> str:
    """An address without its password, which may hold any letter: databases take a / and an @ in it as they stand."""
    return re.sub(r"(://[^:/@\s]*):\S*@", r"\1:…@", address)


# ---------------------------------------------------------------- the tables


class RelaySettings(Table):
    transport: TransportAddress = Field(description="As the transport above.")


class WebSettings(Table):
    host: str = Field(default="127.0.0.1", description="The address the pages listen on; 0.0.0.0 = all (behind a proxy that speaks https).")
    port: int = Field(default=8080, ge=0, le=65535, description="The port the pages listen on.")
    metrics_token: Annotated[str, Field(min_length=16), SECRET] | None = Field(
        default=None,
        examples=["a long random word"],
        description="What Prometheus has to show (Authorization: Bearer …); without one /metrics answers this machine alone.",
    )


class ListSettings(Table):
    name: Line = Field(default="Paperround", description="What the list is called, in From and on pages.")
    sender: Address = Field(default="paperround@localhost", description="The From address of every mail.")
    reply_to: Address | None = Field(
        default=None, examples=["editor@example.org"], description="Where answers go; default: address, else the sender."
    )
    address: Address | None = Field(
        default=None,
        examples=["paper@example.org"],
        description="The list's own address: mails to it subscribe and command. Set it when [inbox] is read.",
    )
    admin_address: Address | None = Field(
        default=None,
        examples=["admin@example.org"],
        description="Who is told of what needs somebody, once a matter, and weekly of the sources' health; default: the log alone.",
    )
    postal_address: str = Field(
        default="", description="The sender's postal address; every issue must name it before mail leaves this machine."
    )
    privacy_url: WebAddress | None = Field(
        default=None, examples=["https://example.org/privacy"], description="Your privacy notice, linked from sign-up and mails."
    )
    consent_text: str = Field(
        default="Please send me my own digest by mail. I can leave at any time with the link in every mail.",
        description="What a reader agrees to; a hash of it is kept with each consent.",
    )
    language: str = Field(
        default="en", pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", description="The language of readers who name none."
    )
    colour: Colour = Field(default="#9a3412", description="The accent colour of mails and pages.")
    colour_dark: Colour = Field(default="#f4a261", description="The same for the dark palette.")
    logo_url: WebAddress | None = Field(
        default=None, examples=["https://example.org/logo.png"], description="A picture at the head of each mail."
    )
    list_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.-]+$",
        examples=["paperround.example.org"],
        description="List-Id (RFC 2919), never changed later; default: paperround. and the sender's domain.",
    )


class SubscribersSettings(Table):
    folder: Place | None = Field(
        default=None, examples=["subscribers"], description="A folder of profile files, brought into force by run and serve; default: none."
    )


class EmbeddingSettings(Table):
    model: str = Field(
        default="all-MiniLM-L6-v2", description="Any sentence-transformers model by name or path; the default comes with the program."
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        default="auto", description="auto uses bf16 where the processor or graphics card is quicker by it."
    )


class DigestSettings(Table):
    schedule: str = Field(default="weekdays 07:30", description="For readers whose profile names none.")
    timezone: str = Field(default="UTC", description="For readers whose profile names none.")
    max_items: int = Field(default=5, ge=1, le=50, description="For readers whose profile names none.")
    explore: bool = Field(default=True, description="One item from outside the profile, for readers whose profile does not say.")


class PollingSettings(Table):
    interval: Duration = Field(default=timedelta(hours=1), description="The shortest time between two polls of one source.")
    contact: Line | None = Field(
        default=None,
        examples=["editor@example.org"],
        description="Named in the User-Agent, so that a site can reach you; default: base_url.",
    )


class DeliverySettings(Table):
    connections: Count = Field(default=4, description="Connections to a relay at the same time.")
    max_messages: Count = Field(default=500, description="Mails over one connection before it is closed.")
    max_age: Duration = Field(default=timedelta(minutes=5), description="How long one connection is used before it is closed.")
    per_second: Rate | None = Field(
        default=None,
        examples=[20],
        description="Mails a second at most, of each process; of all together on PostgreSQL. Default: as fast as it goes.",
    )
    per_hour: Count | None = Field(default=None, examples=[5000], description="Mails in any hour at most, of all processes together.")
    per_day: Count | None = Field(default=None, examples=[50000], description="Mails in any 24 hours at most, of all processes together.")
    domain_per_second: Rate | None = Field(default=None, examples=[5], description="The same, to one recipient domain.")
    domain_connections: Count | None = Field(
        default=None,
        examples=[2],
        description="Mails on their way to one recipient domain at the same time; default: three quarters of connections.",
    )
    hostname: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.:\[\]-]+$",
        examples=["paper.example.org"],
        description="What we call ourselves in EHLO; default: this machine's name.",
    )
    transactional: bool = Field(default=False, description="Not bulk mail: no postal address is asked for.")
    retry_first: Duration = Field(default=timedelta(minutes=30), description="Until the next try, for the first tries.")
    quick_tries: Count = Field(default=2, description="How many tries follow each other that fast.")
    retry_later_min: Duration = Field(default=timedelta(hours=2), description="Afterwards, at least …")
    retry_later_max: Duration = Field(default=timedelta(hours=3), description="… and at most so long.")
    give_up_after: Duration = Field(default=timedelta(days=4), description="Since the first try.")
    silent_after: Duration = Field(
        default=timedelta(seconds=60), description="An engine that gave no sign of life for so long is dead; its claims are taken over."
    )
    relay_down: Duration = Field(default=timedelta(minutes=5), description="Until a relay that cannot be used is asked again.")


class InboxSettings(Table):
    lmtp: Listener | None = Field(
        default=None,
        examples=["127.0.0.1:8024"],
        description="Take mail by LMTP at HOST:PORT or unix:PATH, from a mail server on this machine.",
    )
    maildir: Place | None = Field(default=None, examples=["inbox"], description="Read mail from a Maildir.")
    imap: str | None = Field(
        default=None,
        pattern=r"^imaps?://[^/:@]+(@[^/:@]+)?@[^/@]+(/.*)?$",
        examples=["imaps://paper@mail.example.org/INBOX"],
        description="Read the unseen mails of imaps://USER@HOST[:PORT]/FOLDER, or imap:// with STARTTLS.",
    )
    imap_password_file: Place | None = Field(
        default=None, examples=["imap.password"], description="The file that holds the password for it."
    )
    imap_done: str | None = Field(
        default=None, examples=["Done"], description="The folder there that handled mails move to; without one they stay, seen."
    )


class RetentionSettings(Table):
    entries: Duration = Field(default=timedelta(days=400), description="How long works that nobody liked are kept.")
    sentences: Duration = Field(
        default=timedelta(days=180), description="How long the sentences of works are kept to quote from; issues keep what they quoted."
    )
    issues: Duration = Field(default=timedelta(days=800), description="How long issues are kept, with their pages, mails and citations.")
    mails: Duration = Field(default=timedelta(days=400), description="How long it is kept what became of a mail.")
    pending: Duration = Field(default=timedelta(days=7), description="How long an unconfirmed subscription is kept.")
    evidence: Duration = Field(default=timedelta(days=30), description="How long the network prefix of a consent is kept.")
    unread: Duration = Field(default=timedelta(days=90), description="How long a feed without a mail address is kept that nobody reads.")


class LimitsSettings(Table):
    sign_ups_per_network: Count = Field(default=5, description="Sign-ups an hour from one network (/24 or /48).")
    sign_ups: Count = Field(default=200, description="Sign-ups an hour in all.")
    fetch_bytes: Count = Field(default=10_000_000, description="The largest feed or page that is read, after decompression.")
    fetch_time: Duration = Field(default=timedelta(seconds=60), description="The longest time one feed or page may take.")


class DoctorSettings(Table):
    resolver: str | None = Field(
        default=None, examples=["9.9.9.9"], description="The name server that `paperround doctor` asks, HOST[:PORT]; default: the system's."
    )
    dkim_selectors: tuple[str, ...] = Field(
        default=(), examples=[["mail"]], description="The selectors that your relay signs with, so that doctor can look at their keys."
    )
    direct: bool = Field(
        default=True, description="Whether a relay of your own hands mail to the readers' servers itself, and not to a smart host."
    )


class Settings(Table):
    """The whole configuration, checked. Paths are absolute. Where each value came from: `provenance`."""

    database: DatabaseAddress = Field(
        default="sqlite:///paperround.db", description="sqlite:///PATH or postgresql+psycopg://user:password@host/name."
    )
    engine: Literal["scheduler", "queue"] = Field(
        default="scheduler",
        description="Who does the steps: the scheduler inside serve, or a queue in PostgreSQL that processes of worker take from.",
    )
    database_connections: Count = Field(
        default=10, description="Connections to PostgreSQL that one process keeps open; at a peak as many more."
    )
    transport: TransportAddress = Field(
        default="directory:out/mail",
        description="Where mail goes: smtp://[user:password@]host:port[?starttls=auto|required|never], smtps:, maildir: or directory:PATH.",
    )
    relays: tuple[RelaySettings, ...] = Field(default=(), description="Several relays in order of preference, instead of transport.")
    base_url: WebAddress = Field(
        default="http://localhost:8080", description="How readers reach the pages; https once mail leaves this machine."
    )
    secret_key_file: Place = Field(
        default=Path("paperround.key"),
        description="The keys that sign links, one a line; the first signs, all verify. Keep it secret, back it up.",
    )
    templates: Place | None = Field(
        default=None,
        examples=["templates"],
        description="A folder of your own templates, looked at before the ones that come with the program.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How serve and worker write their log: a line or a JSON document."
    )
    allow_private_hosts: tuple[str, ...] = Field(default=(), description="Hosts in private networks that sources may be read from.")
    web: WebSettings = WebSettings()
    list: ListSettings = ListSettings()
    subscribers: SubscribersSettings = SubscribersSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    digest: DigestSettings = DigestSettings()
    polling: PollingSettings = PollingSettings()
    delivery: DeliverySettings = DeliverySettings()
    inbox: InboxSettings = InboxSettings()
    retention: RetentionSettings = RetentionSettings()
    limits: LimitsSettings = LimitsSettings()
    doctor: DoctorSettings = DoctorSettings()

    _folder: Path = PrivateAttr(default_factory=Path)
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The configuration file's folder: relative paths start there."""
        return self._folder

    @property
    def transports(self) -> tuple[str, ...]:
        """The addresses mail goes to, in order of preference."""
        return tuple(relay.transport for relay in self.relays) or (self.transport,)

    @property
    def identity(self) -> ListIdentity:
        """Who sends this, as mails and pages need it."""
        shown = self.list.model_dump(exclude={"consent_text", "list_id", "reply_to", "admin_address"})
        return ListIdentity(
            **shown, reply_to=self.list.reply_to or self.list.address, list_id=self.list.list_id or f"paperround.{self.mail_domain}"
        )

    @property
    def mail_domain(self) -> str:
        """The sender's domain: that of Message-IDs."""
        return self.list.sender.rpartition("@")[2]

    @property
    def bounce_domain(self) -> str:
        """The domain of envelope senders: where the inbox reads, else the sender's."""
        return (self.list.address or self.list.sender).rpartition("@")[2]

    @property
    def default_profile(self) -> Profile:
        """What a profile has in the keys that it does not name."""
        return Profile(language=self.list.language, **self.digest.model_dump())

    @property
    def shown_database(self) -> str:
        return redacted(self.database)


# ---------------------------------------------------------------- what the tables say of themselves


def tables() -> dict[str, type[Table]]:
    return {name: info.annotation for name, info in Settings.model_fields.items() if _is_table(info.annotation)}  # type: ignore[misc]  # only tables


def _is_table(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Table)


def keys() -> dict[tuple[str, ...], FieldInfo]:
    """Every key that may be given, with its field; secrets also as KEY_file."""
    found: dict[tuple[str, ...], FieldInfo] = {}
    for name, info in Settings.model_fields.items():
        table = tables().get(name)
        fields = {(name, key): each for key, each in table.model_fields.items()} if table else {(name,): info}
        for key, each in fields.items():
            found[key] = each
            if is_secret(each):
                found[(*key[:-1], f"{key[-1]}_file")] = each
    return found


def is_secret(info: FieldInfo) -> bool:
    return SECRET in info.metadata or any(
        SECRET in getattr(each, "__metadata__", ())
        for each in (get_args(info.annotation) if get_origin(info.annotation) in (Union, UnionType) else ())
    )


def is_secret_file(key: tuple[str, ...]) -> bool:
    name = key[-1]
    return name.endswith("_file") and key in keys() and (*key[:-1], name.removesuffix("_file")) in keys()


def shown_key(key: tuple[str, ...]) -> str:
    """As a person would say it: `base_url`, `[web] port`."""
    return f"[{key[0]}] {'.'.join(key[1:])}" if len(key) > 1 and key[0] != "relays" else "[[relays]]" if key[0] == "relays" else key[0]
