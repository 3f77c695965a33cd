"""Room: bounces. A mail that came back → what it says of whom: standard reports first, then complaints, auto-replies, and prose."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from flufl.bounce import scan_message

from paperround.incoming import mail_parts
from paperround.incoming.mail_parts import Message
from paperround.models import BounceEvent
from paperround.refusals import reason

READ = 250_000  # bytes of a report; what comes later is the mail that was sent back
RECIPIENTS = 100

_STATUS = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")


def classify(raw: bytes) -> list[BounceEvent]:
    """What a mail that came in says, one event a recipient; `none` alone where it is no report at all. Never raises.

    RFC 3464 reports first (per recipient; delayed, relayed, expanded and delivered are no failures), RFC 5965 complaints, RFC 3834 auto-
    replies, then the ways of systems that write prose, flufl.bounce last."""
    try:
        message = mail_parts.parse(raw[:READ])
        ways = (_complaint, _reported, _notified, _auto_reply, _told, _from_nobody)
        events = next((events for way in ways if (events := way(message))), [])
    except Exception:  # whatever the standard library's parser was not written for: one mail must not stop an inbox
        return [BounceEvent(recipient=None, kind="none")]
    return [replace(each, text=each.text[:500]) for each in events] or [BounceEvent(recipient=None, kind="none")]


# ---------------------------------------------------------------- RFC 3464


_FIELD = re.compile(r"^(original-recipient|final-recipient|x-actual-recipient|action|status|diagnostic-code):[ \t]*", re.I)
_NO_FAILURE = {"relayed", "expanded", "delivered", "deliverable"}


def _reported(message: Message) -> list[BounceEvent]:
    """One event for each recipient that a delivery status names."""
    blocks = {recipient: fields for fields in list(_recipient_blocks(message))[::-1] if (recipient := _recipient(fields))}
    notice = _notice(message)
    return [_event(recipient, fields, notice, list(blocks)) for recipient, fields in list(reversed(blocks.items()))[:RECIPIENTS]]


def _event(recipient: str, fields: Mapping[str, str], notice: str, others: list[str]) -> BounceEvent:
    action, status = fields.get("action", "").partition(" ")[0].lower(), _status(fields)
    text = fields.get("diagnostic-code") or _passage(notice, recipient, others)
    if action == "delayed":
        kind = "delayed"
    else:
        kind = "none" if action in _NO_FAILURE else reason(status, text, recipient=recipient, around=notice)
    return BounceEvent(recipient=recipient, kind=kind, status=status, text=text)


def _recipient_blocks(message: Message) -> Iterable[Mapping[str, str]]:
    """The per-recipient groups of fields, also where the MIME around them is broken: they are found by their own names."""
    for part in mail_parts.parts(message):
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
            text = _inside(part)
        elif (
            not part.is_multipart()
            and part.get_content_maintype() in ("text", "multipart")
            and re.search(r"^final-recipient:", mail_parts.body(part), re.I | re.M)
        ):
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
    for line in block.splitlines()[:100]:
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
    best = told if told and not told[0].endswith(".0.0") else given or told
    return best[0] if best else None


# ---------------------------------------------------------------- RFC 5965


_FEEDBACK = {"opt-out": "unsubscribe", "opt-out-list": "unsubscribe", "not-spam": "none", "auth-failure": "none", "dmarc": "none"}


def _complaint(message: Message) -> list[BounceEvent]:
    report = next((part for part in mail_parts.parts(message) if part.get_content_type() == "message/feedback-report"), None)
    titled = re.match(r"(complaint|abuse (report|complaint))\b", mail_parts.header(message, "Subject"), re.I)
    if report is None and not (titled and _has_returned_mail(message)):
        return []
    text = _inside(report) if report is not None else ""
    named = re.findall(r"^(?:original-rcpt-to|removal-recipient|original-recipient):(.*)$", text, re.I | re.M)
    recipients = mail_parts.addresses(" ".join(named)) or _returned_to(message)[:RECIPIENTS]
    feedback = re.search(r"^feedback-type:\s*([\w-]+)", text, re.I | re.M)
    kind = _FEEDBACK.get(feedback[1].lower() if feedback else "", "complaint")
    return [BounceEvent(recipient=each, kind=kind, text=text) for each in recipients] or [BounceEvent(recipient=None, kind=kind, text=text)]


def _inside(part: Message) -> str:
    """The text of a report part: its fields, which the parser takes for messages of their own."""
    inside = part.get_payload()
    text = "\n\n".join(str(each) for each in inside) if isinstance(inside, list) else mail_parts.decoded(part)
    return text.encode("ascii", "ignore").decode("iso2022_jp", "replace") if "\x1b$" in text else text


def _returned_to(message: Message) -> list[str]:
    """Whom the mail that came back was for."""
    for part in list(mail_parts.parts(message))[1:]:
        headers = mail_parts.header(part, "To")
        if part.get_content_type() == "text/rfc822-headers":
            headers = " ".join(re.findall(r"^To:(.*(?:\n[ \t].*)*)", mail_parts.decoded(part), re.I | re.M))
        if found := mail_parts.addresses(headers):
            return found
    return []


# ---------------------------------------------------------------- notifications as JSON, mailed on (Amazon SES)


def _notified(message: Message) -> list[BounceEvent]:
    text = _notice(message).replace('\\"', '"')
    listed = re.search(r'"(bounced|complained)Recipients"\s*:\s*\[(.*?)\]', text, re.S)
    if listed is None:
        return []
    events = []
    for item in re.findall(r"\{[^{}]*\}", listed[2]):
        values = dict(re.findall(r'"(\w+)"\s*:\s*"([^"]*)"', item))
        status, words = values.get("status"), values.get("diagnosticCode", "")
        for recipient in mail_parts.addresses(values.get("emailAddress", "")):
            kind = "complaint" if listed[1] == "complained" else reason(status, words, recipient=recipient)
            events.append(BounceEvent(recipient=recipient, kind=kind, status=status, text=words))
    return events


# ---------------------------------------------------------------- RFC 3834


_DAEMON = re.compile(r"mailer.?daemon|postmaster|mail[ .]?deliver|delivery (sub)?system|mail administrator|bounce|majordomo|sysadm", re.I)
_RETURNED = re.compile(
    r"undeliver|non-?deliver|nondeliverable|unzustellbar|not (be )?delivered|unable to deliver|user unknown|permanent delivery|bounce"
    r"|returned (mail|to sender)|failure (notice|notification)|mail (delivery|system)|warning: (message|could not)"
    r"|delivery (status|fail|notification|report|problem|error)|(mail|message|delivery) (could )?(not|failed|failure|error|delayed)",
    re.I,
)
_AWAY = re.compile(
    r"^(re: ?)?(auto(matic|mated)?[ -]?(re(ply|sponse)|antwort)|out of (the )?office|vacation|abwesen|away|réponse auto|respuesta auto)",
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
    r"^[ \t>=*-]{0,100}("
    r"((this is a |below this line is )?(a )?copy of (the|your) (original )?(message|mail)"
    r"|(the )?(original|returned|undelivered|unsent) (message|mail)"
    r"|(the )?(header|body|text|first).{0,40}(original|returned|your) (message|mail)"
    r"|included is a copy|(message|mail) (headers|contents|text)? ?follows?)[^\n]*"
    r"|content-type: message/rfc822.*|received: (from|by) .*|return-path: .*)$",
    re.I | re.M,
)
_HEAD = re.compile(r"^[ \t>*•\-]{0,40}(?:[45]\d\d[ -])?<?(" + mail_parts.ADDRESS.pattern + r")>?(?![\w@])", re.M)
_SAID = re.compile(
    r"(?:RCPT TO:|(?:deliver(?:ed|y)?|undeliverable|message|mail|sent|gateway) (?:to|for)|recipients?(?:\(s\))?:?|to:|failed:|user"
    r"|address(?:es)?:?|for)\s*(?:address|the following[^\n]{0,80}?)?:?\s{0,20}<?" + mail_parts.ADDRESS.pattern,
    re.I,
)
_DELAYED = re.compile(r"\bdelayed\b|will (be retried|continue|keep|try)|still (being )?(try|queue)|no action is required", re.I)


def _told(message: Message) -> list[BounceEvent]:
    """A bounce in prose: whom its notice names, judged by the words that stand with each."""
    sender, subject = mail_parts.header(message, "From"), mail_parts.header(message, "Subject")
    notice = _notice(message)
    announced = _RETURNED.search(subject) and not subject.lower().startswith(("re:", "aw:", "tr:", "fwd:", "fw:"))  # a reader's own words
    returned = mail_parts.null_sender(message) or _has_returned_mail(message)
    said = _RETURNED.search(notice) or (returned and announced)
    if not (message.get("X-Failed-Recipients") or _DAEMON.search(sender) or ((returned or announced) and said)):
        return []
    delayed = _DELAYED.search(f"{subject}\n{notice}")
    events = []
    for recipient in (named := _named(message, notice)):
        text = _passage(notice, recipient, named)
        status = found[0] if (found := _STATUS.search(text)) else None
        later = delayed and not (status or "4").startswith("5")
        words = text if len(named) > 1 else f"{subject}\n{text}"
        kind = "delayed" if later else reason(status, words, recipient=recipient, around=notice)
        events.append(BounceEvent(recipient=recipient, kind=kind, status=status, text=text))
    return events


def _from_nobody(message: Message) -> list[BounceEvent]:
    """A person's address over a null sender, and no word of a failure: an auto-reply that does not say so (RFC 3834, 3.3)."""
    sender = mail_parts.header(message, "From")
    if not mail_parts.null_sender(message) or _DAEMON.search(sender) or mail_parts.is_report(message):
        return []
    return [BounceEvent(recipient=next(iter(mail_parts.addresses(sender)), None), kind="auto-reply")]


def _notice(message: Message) -> str:
    """The mailer's own words: the readable parts up to where the returned mail begins."""
    texts = []
    for part in mail_parts.parts(message):
        if part.get_content_type() in ("message/rfc822", "text/rfc822-headers", "message/partial"):
            break
        if not part.is_multipart() and part.get_content_maintype() in ("text", "multipart"):  # a multipart that is none: broken boundaries
            texts.append(mail_parts.body(part))
        elif part.is_multipart() and isinstance(part.preamble, str):
            texts.append(part.preamble)
    text = "\n".join(texts)[:50_000]
    found = _COPY.search(text)
    return text[: found.start()] if found and mail_parts.addresses(text[: found.start()]) else text


def _named(message: Message, notice: str) -> list[str]:
    """The failed addresses, from the surest sign to the weakest."""
    failed = mail_parts.addresses(" ".join(mail_parts.headers(message, "X-Failed-Recipients")))
    heads = [each for match in _HEAD.finditer(notice) for each in mail_parts.addresses(match[1])]
    said = [each for match in _SAID.finditer(notice) for each in mail_parts.addresses(match[0])[-1:]]
    senders = set(mail_parts.addresses(" ".join(mail_parts.header(message, name) for name in ("From", "Return-Path"))))
    ours = senders | set(mail_parts.addresses(" ".join(mail_parts.header(message, name) for name in ("To", "Delivered-To"))))
    strangers = set(heads) - ours
    if failed and (not strangers or strangers & set(failed)):
        return failed
    returned = _returned_to(message) or mail_parts.addresses(" ".join(re.findall(r"^To:(.*)$", _raw_text(message), re.I | re.M)))
    for candidates, not_meant in (
        (heads, ours),
        (said, ours),
        (heads, senders),
        ([each for each in mail_parts.addresses(notice) if each in returned], ours),
        (_by_flufl(message) if len(notice) < 20_000 else [], ours),
        (returned, senders),
    ):
        if meant := [each for each in dict.fromkeys(candidates) if each not in not_meant and not each.lower().startswith("mailer-daemon@")]:
            return meant[:RECIPIENTS]
    return []


def _has_returned_mail(message: Message) -> bool:
    return any(part.get_content_type() in ("message/rfc822", "text/rfc822-headers") for part in mail_parts.parts(message))


def _raw_text(message: Message) -> str:
    return "\n".join(mail_parts.body(part) for part in mail_parts.parts(message) if not part.is_multipart())[:100_000]


def _by_flufl(message: Message) -> list[str]:
    try:
        found = scan_message(message)
    except Exception:  # its detectors meet mails they were not written for
        return []
    return [each for address in sorted(found) for each in mail_parts.addresses(address.decode("utf-8", "replace"))]


def _passage(notice: str, recipient: str, others: list[str]) -> str:
    """What stands with that address, up to the line of another failed one; the whole notice where it stands alone."""
    lower = notice.lower()
    at = lower.find(recipient.lower())
    if at < 0 or len(others) < 2:
        return notice[:3000]
    if transcript := re.search(rf"^[45]\d\d .*{re.escape(recipient)}>?\.\.\. .+$", notice, re.I | re.M):
        return transcript[0]
    ends = [lower.find(other.lower(), at + len(recipient)) for other in others if other != recipient]
    end = min((lower.rfind("\n", 0, end) for end in ends if end > at), default=len(notice))
    return notice[lower.rfind("\n", 0, at) + 1 : max(end, at + len(recipient))]
