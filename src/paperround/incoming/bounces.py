"""Room: bounces. A mail that came back → what it says of whom: standard reports first, then complaints, auto-replies, and prose."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flufl.bounce import scan_message

from paperround.incoming import mail_parts
from paperround.incoming.mail_parts import Message
from paperround.models import BounceEvent

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_CODE = re.compile(r"(?<![\d.#-])([45]\d\d)(?=[ \-#:]|$)", re.M)

# Reasons in words. The order of the table is the order of judgement: what speaks of the sender or of the mail comes before what speaks
# of the recipient, because policy replies like to mention users and mailboxes, never the other way round.
_FULL = (
    r"mailbox (is )?(currently )?(full|exceeds)|(quota|storage|mailbox|inbox|disk) .{0,40}(exceeded|full|limit)|over ?quota|out of storage|"
    r"exceed(ed|s|ing)? (the |its |his |their )?(storage|quota|mailbox|disk)|insufficient (system )?storage|account is full|no space left|"
    r"too many messages in|not enough (storage )?space|too much mail data|user .{0,20}full"
)
_GONE = (
    r"(user|recipient|mailbox|account|address(ee)?|alias|inbox|person|name|mail ?drop|e-?mail|local part|destination)\b[^\n]{0,80}?"
    r"\b(unknown|not (be )?(found|exist|known|valid|listed|recogni[sz]ed|a valid)|(does|do|did)( not|n'?t) (exist|have)|is(n'?t| not) (a )?(known|valid|"
    r"listed|found|here)|invalid|no longer (valid|exist|available|here|active|in use|on server)|has (moved|left|been deleted|been removed))|"
    r"(unknown|no such|invalid|bad|non-?existent|unrouteable|undeliverable|not a (valid|known)) (local )?(local-part|user|recipient|mailbox|account|address|"
    r"e-?mail|person|alias|destination|domain|host)|no mailbox( here)? by that name|not our customer|no (known )?(user|mailbox|account|recipient)s? (here|by|with|found|"
    r"named|for)|doesn'?t have an? .{0,60}account|nosuchuser|user(unknown| not found)|mail ?box unavailable|not in (our |my |the )?(directory|address book|control)|"
    r"(host|domain|name|mx)\b[^\n]{0,60}\b(not found|unknown|not exist|does ?n.t exist|nonexistent)|host or domain name not found|no (such|mail) (domain|host)|"
    r"domain of .{0,40}not|unrouteable|nullmx|null mx|does not accept (any )?mail|name service error for name=[^ ]+ type=\w+: (host|domain) not found|nxdomain|"
    r"has (moved|changed)|new (e-?mail )?address|recipient address rejected: .{0,40}(unknown|undeliverable)|wrong address|ｕｎｋｎｏｗｎ"
)
_OURS = (
    r"\bspam\b|\bspf\b|\bdkim\b|\bdmarc\b|black ?list|block ?list|\brbl\b|\bdnsbl\b|reputation|reverse dns|\bptr\b|\brdns\b|unsolicited|phish|virus|malware|"
    r"authentication[- ]?(fail|required|check|result)|unauthenticated|not (been )?authenticated|policy|relay(ing)? (access )?(denied|not)|not permitted to relay|"
    r"rate ?limit|too many (connections|messages|mails|errors|recipients|emails)|throttl|"
    r"banned|blocked|prohibited|forbidden|suspicious|rejected for|complaint|message (size|too (large|big|long))|size limit|too (large|big)|exceeds? (the )?(maximum )?size|"
    r"content (rejected|restriction|filter)|rfc ?\d{3,4}|not rfc|header (error|missing)|sender (address )?(rejected|denied|verify)|"
    r"access (denied|not allowed)|not authori[sz]ed|not allowed|unable to verify|does not (resolve|match)|greylist|connect(ing)? (server|host|ip)"
)
_ASIDE = (
    r"disabled|suspended|inactive|discontinued|deactivated|locked|on hold|restrict|temporarily|try (again )?later|timed? ?out|delayed|refused to (talk|connect)|"
    r"connection (refused|lost|reset|timed)|loop|too many hops|unavailable|defer|retry|system error|internal error|administrator|filter"
)
_WORDS = tuple((kind, re.compile(words, re.I)) for kind, words in (("full", _FULL), ("ours", _OURS), ("gone", _GONE), ("aside", _ASIDE)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    recipient: str
    status: str | None
    text: str


def classify(raw: bytes) -> list[BounceEvent]:
    """What a mail that came in says, one event a recipient; `none` alone where it is no report at all. Never raises.

    RFC 3464 reports first (per recipient; delayed, relayed, expanded and delivered are no failures), RFC 5965 complaints, RFC 3834 auto-
    replies, then the ways of systems that write prose, flufl.bounce last. `verp` is the address the mail came to."""
    try:
        message = mail_parts.parse(raw)
        verp = _came_to(message)
        events = _complaint(message) or _reported(message) or _auto_reply(message) or _told(message)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, AssertionError):
        return [BounceEvent(recipient=None, kind="none")]
    return [
        BounceEvent(recipient=each.recipient, kind=each.kind, status=each.status, text=each.text[:500], verp=verp) for each in events
    ] or [BounceEvent(recipient=None, kind="none", verp=verp)]


def _came_to(message: Message) -> str | None:
    for name in ("Delivered-To", "X-Original-To", "Envelope-To", "To"):
        if found := mail_parts.addresses(mail_parts.header(message, name)):
            return found[0]
    return None


# ---------------------------------------------------------------- RFC 3464


_FIELD = re.compile(r"^(original-recipient|final-recipient|x-actual-recipient|action|status|diagnostic-code):[ \t]*", re.I)
_NO_FAILURE = {"relayed", "expanded", "delivered", "deliverable"}


def _reported(message: Message) -> list[BounceEvent]:
    """One event for each recipient that a delivery status names."""
    events: dict[str, BounceEvent] = {}
    for fields in _recipient_blocks(message):
        recipient = _recipient(fields)
        if recipient is None:
            continue
        action = fields.get("action", "").partition(" ")[0].lower()
        text, status = fields.get("diagnostic-code", ""), _status(fields)
        prose = _passage(_notice(message), recipient) if not text else ""
        kind = {"delayed": "delayed"}.get(action) or ("none" if action in _NO_FAILURE else _kind(status, f"{text}\n{prose}"))
        events.setdefault(recipient, BounceEvent(recipient=recipient, kind=kind, status=status, text=text or prose))
    return list(events.values())


def _recipient_blocks(message: Message) -> Iterable[Mapping[str, str]]:
    """The per-recipient groups of fields, also where the MIME around them is broken: they are found by their own names."""
    for part in mail_parts.parts(message):
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
            inside = part.get_payload()
            text = "\n\n".join(str(each) for each in inside) if isinstance(inside, list) else mail_parts.body(part)
        elif part.get_content_maintype() == "text" and re.search(r"^final-recipient:", mail_parts.body(part), re.I | re.M):
            text = mail_parts.body(part)
        else:
            continue
        for block in re.split(r"\n[ \t]*\n", text):
            fields = _fields(block)
            if any(name in fields for name in ("final-recipient", "original-recipient", "x-actual-recipient")):
                yield fields


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if found := _FIELD.match(line):
            name = found[1].lower()
            fields.setdefault(name, line[found.end() :].strip())
        elif name and line[:1] in " \t":
            fields[name] += " " + line.strip()
        else:
            name = ""
    return fields


def _recipient(fields: Mapping[str, str]) -> str | None:
    """The address we wrote to (Original-Recipient) before the one it was passed on to."""
    for name in ("original-recipient", "final-recipient", "x-actual-recipient"):
        if found := mail_parts.addresses(fields.get(name, "").partition(";")[2] or fields.get(name, "")):
            return found[0]
    return None


def _status(fields: Mapping[str, str]) -> str | None:
    """The most telling status: the server's own words know more than an X.0.0 or the timeout (4.4.7) they were kept under."""
    told, given = _STATUS.search(fields.get("diagnostic-code", "")), _STATUS.search(fields.get("status", ""))
    if told and not told[0].endswith(".0.0"):
        return told[0]
    return (given or told)[0] if given or told else None  # type: ignore[index]  # one of them is there


# ---------------------------------------------------------------- kinds


def _kind(status: str | None, text: str) -> str:
    """dead, soft or sender, from the enhanced status (RFC 3463) and the words. Dead needs a permanent failure that nothing else explains."""
    subject = (status or "").partition(".")[2]
    words = next((kind for kind, pattern in _WORDS if pattern.search(text)), None)
    if subject.startswith("7.") or subject in {"2.3", "3.4", "1.7", "1.8", "5.3", "4.5"} or subject.startswith("6."):
        return "sender"
    if subject == "2.2" or words == "full":
        return "soft"
    if words == "ours":
        return "sender"
    if (status or "5").startswith("4"):
        return "soft"
    if subject in {"1.1", "1.2", "1.3", "1.6", "1.10", "4.4"} or words == "gone":
        return "dead"
    return "soft"


# ---------------------------------------------------------------- RFC 5965


def _complaint(message: Message) -> list[BounceEvent]:
    report = next((part for part in mail_parts.parts(message) if part.get_content_type() == "message/feedback-report"), None)
    if report is None and not re.match(r"(complaint|abuse (report|complaint))\b", mail_parts.header(message, "Subject"), re.I):
        return []
    text = (
        ""
        if report is None
        else "\n".join(str(each) for each in inside)
        if isinstance(inside := report.get_payload(), list)
        else str(inside)
    )
    named = re.findall(r"^(?:original-rcpt-to|removal-recipient|original-recipient|x-hmxmroriginalrecipient):(.*)$", text, re.I | re.M)
    recipients = mail_parts.addresses(" ".join(named)) or _returned_to(message)
    kind = "unsubscribe" if re.search(r"^feedback-type:\s*opt-out", text, re.I | re.M) else "complaint"
    if re.search(r"^feedback-type:\s*not-spam", text, re.I | re.M):
        kind = "none"
    return [BounceEvent(recipient=each, kind=kind, text=text) for each in recipients] or [BounceEvent(recipient=None, kind=kind, text=text)]


def _returned_to(message: Message) -> list[str]:
    """Whom the mail that came back was for."""
    for part in list(mail_parts.parts(message))[1:]:
        if part.get("To") and (found := mail_parts.addresses(mail_parts.header(part, "To"))):
            return found
    return []


# ---------------------------------------------------------------- RFC 3834


_DAEMON = re.compile(
    r"mailer-?daemon|postmaster|mail ?delivery|delivery (sub)?system|mail\.delivery|mail (deliver|administrator)|bounce|majordomo|sysadm",
    re.I,
)
_RETURNED = re.compile(
    r"undeliver|returned (mail|to sender)|delivery (status|failure|notification|report|problem|error)|failure (notice|notification)|mail (delivery|system)|"
    r"(mail|message|delivery) (could )?(not|failed|failure|error|delayed)|non-?delivery|unzustellbar|nondeliverable|warning: (message|could not)|"
    r"unable to deliver|user unknown|not (be )?delivered|permanent delivery|delivery fail|bounce",
    re.I,
)
_AWAY = re.compile(
    r"^(re: ?)?(auto(matic|mated)?[ -]?(re(ply|sponse)|antwort)|out of (the )?office|vacation|abwesen|away|réponse automatique|respuesta autom)",
    re.I,
)


def _auto_reply(message: Message) -> list[BounceEvent]:
    """A person's machine says that the person is away: it changes nothing. Some mailers mark their bounces so too; those are not meant."""
    sender, subject = mail_parts.header(message, "From"), mail_parts.header(message, "Subject")
    if message.get("X-Failed-Recipients") or _DAEMON.search(sender) or mail_parts.is_report(message):
        return []
    replied = mail_parts.header(message, "Auto-Submitted").lower().startswith(("auto-replied", "auto-notified"))
    other = message.get("X-Autoreply") or message.get("X-Autorespond") or mail_parts.header(message, "Precedence").lower() == "auto_reply"
    if not (replied or other or _AWAY.match(subject) or mail_parts.header(message, "X-Apple-Action") == "VACATION"):
        return []
    return [BounceEvent(recipient=next(iter(mail_parts.addresses(sender)), None), kind="auto-reply", text=subject)]


# ---------------------------------------------------------------- prose


_COPY = re.compile(
    r"^[ \t]*(-{2,}|=|\*{3,}|>)?[ -]*((this is a |below this line is )?(a )?copy of (the|your) (original )?(message|mail)|(the )?(original|returned|undelivered|unsent) (message|mail)|"
    r"(the )?(header|body|text|first).{0,40}(original|returned|your) (message|mail)|included is a copy|(message|mail) (headers|contents|text)? ?follows?|"
    r"content-type: message/rfc822|received: (from|by) |return-path: )[^\n]*$",
    re.I | re.M,
)
_HEAD = re.compile(r"^[ \t>*•\-]*<?(" + mail_parts.ADDRESS.pattern + r")>?(?=$|[ \t]*[:;,(\[\-]|[ \t]+[^@\n]*$|\.{3})", re.M)
_SAID = re.compile(
    r"(?:RCPT TO:|(?:delivered?|delivery|undeliverable|message|mail|sent|gateway) (?:to|for)|recipient(?:s|\(s\))?:?|to:|failed:|user|address(?:es)?:?|for)\s*(?:address|the following[^\n]*?)?:?\s*<?"
    + mail_parts.ADDRESS.pattern,
    re.I,
)


def _told(message: Message) -> list[BounceEvent]:
    """A bounce in prose: whom its notice names, judged by the words that stand with each."""
    sender, subject = mail_parts.header(message, "From"), mail_parts.header(message, "Subject")
    if not (message.get("X-Failed-Recipients") or _DAEMON.search(sender) or mail_parts.null_sender(message) or _RETURNED.search(subject)):
        return []
    notice = _notice(message)
    delayed = re.search(
        r"\bdelayed\b|will (be retried|continue|keep|try)|still (being )?(try|queue)|no action is required", f"{subject}\n{notice}", re.I
    )
    events = []
    for recipient in _named(message, notice):
        text = _passage(notice, recipient)
        status = found[0] if (found := _STATUS.search(text)) else None
        kind = "delayed" if delayed and not (status or "4").startswith("5") else _kind(status, f"{subject}\n{text}")
        events.append(BounceEvent(recipient=recipient, kind=kind, status=status, text=text))
    return events


def _notice(message: Message) -> str:
    """The mailer's own words: the readable parts up to where the returned mail begins."""
    texts = []
    for part in mail_parts.parts(message):
        if part.get_content_type() in ("message/rfc822", "text/rfc822-headers", "message/partial"):
            break
        if not part.is_multipart() and part.get_content_maintype() == "text":
            texts.append(mail_parts.body(part))
        elif part.is_multipart() and isinstance(part.preamble, str):
            texts.append(part.preamble)
    text = "\n".join(texts)[:50_000]
    found = _COPY.search(text)
    return text[: found.start()] if found and mail_parts.addresses(text[: found.start()]) else text


def _named(message: Message, notice: str) -> list[str]:
    """The failed addresses, from the surest sign to the weakest."""
    if failed := mail_parts.addresses(" ".join(mail_parts.headers(message, "X-Failed-Recipients"))):
        return failed
    not_meant = set(
        mail_parts.addresses(" ".join(mail_parts.header(message, name) for name in ("From", "To", "Return-Path", "Delivered-To")))
    )
    returned = _returned_to(message) or mail_parts.addresses(" ".join(re.findall(r"^To:(.*)$", _raw_text(message), re.I | re.M)))
    heads = [each for match in _HEAD.finditer(notice) for each in mail_parts.addresses(match[1])]
    said = [each for match in _SAID.finditer(notice) for each in mail_parts.addresses(match[0])[-1:]]
    every = mail_parts.addresses(notice)
    for candidates in (heads, said, [each for each in every if each in returned], _by_flufl(message), returned):
        if meant := [
            each for each in dict.fromkeys(candidates) if each not in not_meant and not each.startswith(("postmaster@", "mailer-daemon@"))
        ]:
            return meant
    return []


def _raw_text(message: Message) -> str:
    return "\n".join(mail_parts.body(part) for part in mail_parts.parts(message) if not part.is_multipart())[:100_000]


def _by_flufl(message: Message) -> list[str]:
    try:
        found = scan_message(message)
    except Exception:  # its detectors meet mails they were not written for
        return []
    return [each for address in sorted(found) for each in mail_parts.addresses(address.decode("utf-8", "replace"))]


def _passage(notice: str, recipient: str) -> str:
    """What stands with that address: from its first mention to the next one's, or the whole where it stands alone."""
    local = recipient.lower()
    at = notice.lower().find(local)
    if at < 0:
        return notice[:3000]
    others = [notice.lower().find(each.lower(), at + len(local)) for each in mail_parts.addresses(notice) if each.lower() != local]
    end = min((other for other in others if other > at), default=len(notice))
    start = notice.rfind("\n", 0, at) + 1
    passage = notice[start:end]
    return passage if len(passage.strip()) > len(local) + 20 else notice[:3000]
