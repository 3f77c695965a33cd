"""Room: what DNS says of the sender. Each rule is a generator: it yields questions, is sent answers, and returns findings (pure)."""

import base64
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from paperround.operation.doctor import aligned, private, tag_list
from paperround.operation.findings import Finding, found

Question = tuple[str, str]  # a name and a type of record
Answer = tuple[str, ...]  # as text, empty where there is none; TXT strings joined, MX as "PREFERENCE HOST."
Asking = Generator[Question, Answer, list[Finding]]

MOST_LOOKUPS, MOST_VOID = 10, 2  # RFC 7208, 4.6.4
_TERM = re.compile(
    r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?::((?:%\{[^}]*\}|[^/])*))?((?:/\d+)?(?://\d+)?)$|(redirect|exp)=(.+)$", re.I
)
_UNKNOWN_MODIFIER = re.compile(r"[a-z][a-z0-9._-]*=", re.I)  # to be ignored (RFC 7208, 6)
_SPKI_1024, _SPKI_2048 = 160, 290  # bytes of an RSA key as published


# ---------------------------------------------------------------- SPF


@dataclass(slots=True)
class _Walk:
    """What reading an SPF record with all that it includes came upon."""

    lookups: int = 0
    void: int = 0
    allowed: list[IPv4Network | IPv6Network] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    whole: bool = True  # whether `allowed` is all of it: exists, ptr and macros depend on the mail


def spf(domain: str, sending: Sequence[str] = ()) -> Asking:
    """The record of the envelope's domain; `sending`: addresses that mail leaves from, where they are known."""
    records = yield from _spf_records(domain)
    mechanisms = [f"ip{ip_address(each).version}:{each}" for each in sending] or ["include:YOUR.RELAY"]
    if not records:
        return [found("spf-missing", f"{domain} has no SPF record", f'{domain}. TXT "v=spf1 {" ".join(mechanisms)} -all"')]
    if len(records) > 1:
        return [found("spf-several", f"{domain} has {len(records)} SPF records", f"{domain}. TXT: keep one, with the terms of all")]
    walk = _Walk()
    yield from _walk(domain, records[0], walk, f"{domain}. TXT", 0)
    if walk.lookups > MOST_LOOKUPS:
        walk.findings.append(
            found("spf-lookups", f"{domain}: its SPF asks {walk.lookups} questions", f'{domain}. TXT "{records[0]}": drop an include')
        )
    elif walk.void > MOST_VOID:
        walk.findings.append(
            found("spf-void", f"{domain}: {walk.void} names in its SPF have no address", f'{domain}. TXT "{records[0]}": drop them')
        )
    if walk.whole and not walk.findings:
        for each in sending:
            if not any(ip_address(each) in network for network in walk.allowed):
                record = re.sub(r" ([?~-]?all|redirect=\S+)$", "", records[0])
                walk.findings.append(
                    found(
                        "spf-sender",
                        f"{domain}: SPF does not allow {each}",
                        f'{domain}. TXT "{record} ip{ip_address(each).version}:{each} -all"',
                    )
                )
    return walk.findings


def _spf_records(domain: str) -> Generator[Question, Answer, list[str]]:
    texts = yield domain, "TXT"
    return [text for text in texts if re.match(r"v=spf1( |$)", text, re.I)]


def _walk(domain: str, record: str, walk: _Walk, line: str, depth: int) -> Generator[Question, Answer, None]:
    closed = False
    for term in record.split()[1:]:
        parsed = _TERM.match(term)
        if not parsed:
            if not _UNKNOWN_MODIFIER.match(term):
                walk.findings.append(found("spf-broken", f"{domain}: {term!r} in its SPF is no term", f'{line} "{record}"'))
            continue
        sign, mechanism, target, prefix, modifier, other = parsed.groups()
        kind = (mechanism or modifier).lower()
        if kind == "all":
            closed = True
            if sign in ("", "+", "?") and depth == 0:
                walk.findings.append(found("spf-open", f"{domain}: its SPF ends in {term}", f'{line} "{record.replace(term, "-all")}"'))
        elif kind in ("ip4", "ip6"):
            _allow(walk, sign, target or "", prefix, f"{domain}: {term!r} in its SPF is no address", f'{line} "{record}"')
        elif kind != "exp":
            closed = closed or kind == "redirect"
            yield from _look_up(kind, sign, other or target or domain, prefix, walk, f'{line} "{record}": drop {term}', depth)
    if not closed and depth == 0:
        walk.findings.append(found("spf-open", f"{domain}: its SPF does not end in all", f'{line} "{record} -all"'))


def _allow(walk: _Walk, sign: str, address: str, prefix: str, what: str, change: str) -> None:
    try:
        network = ip_network(address + prefix.replace("//", "/"), strict=False)
    except ValueError:
        walk.findings.append(found("spf-broken", what, change))
        return
    if sign in ("", "+"):
        walk.allowed.append(network)


def _look_up(kind: str, sign: str, target: str, prefix: str, walk: _Walk, change: str, depth: int) -> Generator[Question, Answer, None]:
    """A term that costs a question."""
    walk.lookups += 1
    target = target.rstrip(".").lower()
    if walk.lookups > 2 * MOST_LOOKUPS:  # loops and hoaxes
        return
    if kind in ("exists", "ptr") or "%" in target:
        walk.whole = False
    elif kind in ("include", "redirect"):
        yield from _include(target, walk, change, depth)
    else:
        hosts = [target] if kind == "a" else [host for host in (yield from _mail_hosts(target)) if host]
        addresses = []
        for host in hosts:
            addresses += yield from _addresses(host)
        walk.void += not addresses
        narrow4, _, narrow6 = prefix.partition("//")
        for each in addresses:
            width = narrow4 if ip_address(each).version == 4 else f"/{narrow6}" if narrow6 else ""
            _allow(walk, sign, each, width, f"{target}{prefix} is no network", change)


def _include(target: str, walk: _Walk, change: str, depth: int) -> Generator[Question, Answer, None]:
    records = yield from _spf_records(target)
    if len(records) != 1:
        counted = "no SPF record" if not records else f"{len(records)} SPF records"
        walk.findings.append(found("spf-include", f"{target} is included and has {counted}", change))
    elif re.fullmatch(r"v=spf1\s+[-~?]all", records[0], re.I):
        walk.findings.append(found("spf-include-empty", f"{target} is included and says only {records[0]!r}", change))
    else:
        yield from _walk(target, records[0], walk, f"{target}. TXT", depth + 1)


def _addresses(host: str) -> Generator[Question, Answer, list[str]]:
    four = yield host, "A"
    six = yield host, "AAAA"
    return [*four, *six]


def _mail_hosts(domain: str) -> Generator[Question, Answer, list[str]]:
    """In order of preference; "" is the null MX."""
    answers = yield domain, "MX"
    pairs = sorted((int(preference), host.rstrip(".").lower()) for preference, _, host in (each.partition(" ") for each in answers))
    return [host for _, host in pairs]


# ---------------------------------------------------------------- DKIM and DMARC


def dkim_key(domain: str, selector: str) -> Asking:
    """The published half of a key (RFC 6376, 3.6.1)."""
    name = f"{selector}._domainkey.{domain}"
    texts = yield name, "TXT"
    if not texts:
        return [found("dkim-missing", f"{name} has no key", f'{name}. TXT "v=DKIM1; k=rsa; p=…", as opendkim-genkey printed it')]
    tags = tag_list(texts[0])
    renewed = f"run: opendkim-genkey -b 2048 -d {domain} -s NEW_SELECTOR; publish it, then use it"
    if len(texts) > 1 or "p" not in tags:
        return [found("dkim-broken", f"{name} holds several records, or one without p=", f"{name}. TXT: the one line of opendkim-genkey")]
    if not tags["p"]:
        return [found("dkim-revoked", f"{name} is withdrawn", renewed)]
    findings, size = [], _key_size(tags["p"])
    if size is None:
        findings.append(found("dkim-broken", f"{name} is no base64", renewed))
    elif size < _SPKI_2048 and tags.get("k", "rsa").lower() == "rsa":
        findings.append(found("dkim-weak", f"{name} has less than {1024 if size < _SPKI_1024 else 2048} bits", renewed))
    if "y" in tags.get("t", "").split(":"):
        findings.append(found("dkim-testing", f"{name} is marked as a test", f"{name}. TXT: without t=y"))
    return findings


def _key_size(published: str) -> int | None:
    try:
        return len(base64.b64decode(published, validate=True))
    except ValueError:
        return None


def dmarc(from_domain: str, envelope_domain: str, signing: Sequence[str]) -> Asking:
    """The record that holds for From, and whether the envelope's or a signature's domain is aligned with it. `signing`: domains that sign,
    as far as known."""
    place, records = yield from _dmarc_records(from_domain)
    line = f"_dmarc.{place}. TXT"
    if not records:
        record = f'_dmarc.{from_domain}. TXT "v=DMARC1; p=none; rua=mailto:postmaster@{from_domain}"'
        return [found("dmarc-missing", f"{from_domain} has no DMARC record", record)]
    if len(records) > 1:
        return [found("dmarc-several", f"{place} has {len(records)} DMARC records", f"{line}: keep one")]
    tags = tag_list(records[0])
    if tags.get("p", "").lower() not in ("none", "quarantine", "reject"):
        return [found("dmarc-broken", f"{place}: its DMARC record has no valid p=", f'{line} "v=DMARC1; p=none; …"')]
    findings = []
    by_spf = yield from _aligned(envelope_domain, from_domain, tags.get("aspf", "r"))
    by_dkim = False
    for domain in signing:
        by_dkim = by_dkim or (yield from _aligned(domain, from_domain, tags.get("adkim", "r")))
    if not by_spf and not by_dkim:
        findings.append(
            found(
                "dmarc-unaligned",
                f"neither the envelope's domain {envelope_domain} nor a signature is of {from_domain}",
                f'[list] address = "list@{from_domain}", or sign as d={from_domain}',
            )
        )
    if "rua" not in tags:
        findings.append(
            found(
                "dmarc-silent",
                f"{place}: its DMARC record asks for no reports",
                f'{line} "{records[0].rstrip("; ")}; rua=mailto:postmaster@{place}"',
            )
        )
    return findings


def _dmarc_records(domain: str) -> Generator[Question, Answer, tuple[str, list[str]]]:
    """The nearest records at or above the domain, up to two labels, and where they stand."""
    while True:
        texts = yield f"_dmarc.{domain}", "TXT"
        records = [text for text in texts if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text, re.I)]
        if records or domain.count(".") < 2:
            return domain, records
        domain = domain.partition(".")[2]


def _aligned(domain: str, from_domain: str, mode: str) -> Generator[Question, Answer, bool]:
    """Siblings are aligned where the same record above them holds for both."""
    if domain == from_domain or mode.lower() == "s":
        return domain == from_domain
    if aligned(domain, from_domain):
        return True
    ours, _ = yield from _dmarc_records(from_domain)
    theirs, records = yield from _dmarc_records(domain)
    return bool(records) and aligned(ours, theirs)


# ---------------------------------------------------------------- where mail comes back to, and where it leaves


def mail_exchange(domain: str) -> Asking:
    """Whether the domain takes mail (RFC 5321, 5.1)."""
    hosts = yield from _mail_hosts(domain)
    line = f"{domain}. MX 10 mail.{domain}."
    if hosts == [""]:
        return [found("mx-null", f"{domain} says that it takes no mail", line)]
    if not hosts:
        fallback = yield from _addresses(domain)
        return [] if fallback else [found("mx-missing", f"{domain} has no MX and no address", line)]
    findings = []
    for host in hosts:
        alias = yield host, "CNAME"
        addresses = yield from _addresses(host)
        if not addresses:
            findings.append(found("mx-host", f"the MX of {domain}, {host}, has no address", f"{host}. A ADDRESS"))
        elif alias:
            findings.append(found("mx-alias", f"the MX of {domain}, {host}, is an alias of {alias[0]}", f"{domain}. MX 10 {alias[0]}"))
    return findings


def sending_host(name: str) -> Generator[Question, Answer, tuple[list[str], list[Finding]]]:
    """The public addresses of our own relay's name, and whether each leads back to it (FCrDNS)."""
    addresses = yield from _addresses(name)
    if not addresses:
        return [], [found("relay-name-unknown", f"the relay's name {name} has no address", f"{name}. A ADDRESS")]
    public, findings = [each for each in addresses if not private(each)], []
    for address in public:
        reverse = ip_address(address).reverse_pointer
        names = yield reverse, "PTR"
        back = []
        for each in names:
            back += yield from _addresses(each.rstrip("."))
        if not names:
            findings.append(
                found("ptr-missing", f"{address}, which {name} sends from, has no name", f"{reverse}. PTR {name}. (at your hoster)")
            )
        elif address not in back:
            findings.append(
                found(
                    "ptr-unconfirmed",
                    f"{address} is called {names[0]}, which does not lead back",
                    f"{reverse}. PTR {name}. (at your hoster)",
                )
            )
    return public, findings
