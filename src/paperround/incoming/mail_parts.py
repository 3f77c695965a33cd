"""Room: what stands where in a mail that came in, read so that no bytes whatever raise."""

import email.message
import email.parser
import email.policy
import email.utils
import html
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.header import decode_header, make_header

Message = email.message.Message
READ = 1_000_000  # bytes; reports and commands stand at the beginning, what follows is the mail sent back

_ATOM = r"A-Za-z0-9.!#$%&'*+/=?^_{|}~-"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}(?<!-))?"
ADDRESS = re.compile(rf"(?<![{_ATOM}])[{_ATOM}]{{1,128}}@{_LABEL}(?:\.{_LABEL})*", re.A)  # bounded: no text makes it slow
_TAG_BREAK = re.compile(r"<(?:br|/?p|/?div|/?tr|/?td|/?li|/?h\d|/?table|/?blockquote)\b[^>]*>", re.I)
_HIDDEN = re.compile(r"<(style|script|head)\b.*?(?:</\1\s*>|\Z)", re.I | re.S)
_TAG = re.compile(r"<[^<>@]*>")  # an address in brackets is no tag
_AUTOMATIC_PRECEDENCE = {"bulk", "junk", "list", "auto_reply"}
_AUTOMATIC_SENDER = re.compile(r"^(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?)\b", re.I)


def mailboxes(values: Iterable[str]) -> list[str]:
    """The bare addresses of address headers, also such as have letters beyond ASCII; the domain in lower case, without doubles."""
    found = [address.strip() for _, address in email.utils.getaddresses([value[:20_000] for value in values]) if "@" in address]
    return list(dict.fromkeys(f"{local}@{domain.lower()}" for local, _, domain in (each.rpartition("@") for each in found)))


def parse(raw: bytes) -> Message:
    """The message, or an empty one: zero bytes, no headers, lone CR, nesting a thousand deep and twenty megabytes all give something."""
    try:
        return email.parser.BytesParser(policy=email.policy.compat32).parsebytes(raw[:READ])
    except Exception:  # the parser is not proof against everything, nesting above all
        return Message()


def parts(message: Message) -> Iterator[Message]:
    """The message and all that is in it, outermost first, at most a few hundred."""
    waiting, seen = [message], 0
    while waiting and seen < 300:
        part = waiting.pop(0)
        seen += 1
        yield part
        if isinstance(inside := part.get_payload(), list):
            waiting[:0] = [each for each in inside if isinstance(each, Message)]


def header(message: Message, name: str) -> str:
    """The first such header, decoded, on one line; "" where there is none."""
    return next(iter(headers(message, name)), "")


def headers(message: Message, name: str) -> list[str]:
    return [_decoded(str(value)) for each, value in message.raw_items() if each.lower() == name.lower()]


def _decoded(raw: str) -> str:
    text = raw[:20_000].encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # RFC 6532: headers may be UTF-8 as they stand
    with suppress(ValueError, LookupError, AttributeError, TypeError):  # an unknown charset, broken base64
        text = str(make_header(decode_header(text)))
    return " ".join(text.encode("utf-8", "replace").decode().split())


def addresses(text: str) -> list[str]:
    """Every mail address in a text, in its order, without doubles, the domain in lower case."""
    found = (match[0] for match in ADDRESS.finditer(text[:100_000]))
    return list(dict.fromkeys(f"{local}@{domain.lower()}" for local, _, domain in (each.rpartition("@") for each in found)))


def decoded(part: Message) -> str:
    """A leaf's text as it was written, decoded as well as it can be; line ends are LF."""
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else str(part.get_payload() or "").encode("utf-8", "replace")
    try:
        text = raw.decode(part.get_content_charset() or "utf-8", "replace")
    except (LookupError, ValueError):
        text = raw.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def body(part: Message) -> str:
    """A leaf's text; HTML becomes plain."""
    return plain(decoded(part)) if part.get_content_type() == "text/html" else decoded(part)


def plain(markup: str) -> str:
    """The words of an HTML text, a line for each block. Good enough to read what a person or a mailer said, nothing is shown from it."""
    return html.unescape(_TAG.sub("", _TAG_BREAK.sub("\n", _HIDDEN.sub("", markup))))


def is_report(message: Message) -> bool:
    """Whether a mail system wrote it about a mail: a report by type, or from the null sender by a mailer's address."""
    kinds = {part.get_content_type() for part in parts(message)}
    return bool(kinds & {"message/delivery-status", "message/global-delivery-status", "message/feedback-report", "multipart/report"})


def null_sender(message: Message) -> bool:
    return header(message, "Return-Path").replace(" ", "") == "<>"


def is_automatic(message: Message) -> bool:
    """Whether a machine wrote it (RFC 3834 and what is seen beside it); such a mail is never answered and commands nothing."""
    if null_sender(message) or is_report(message):
        return True
    submitted = header(message, "Auto-Submitted").lower().partition(";")[0].strip()
    if submitted not in ("", "no") or header(message, "Precedence").lower() in _AUTOMATIC_PRECEDENCE:
        return True
    if any(message.get(name) for name in ("List-Id", "List-Unsubscribe", "X-Autoreply", "X-Autorespond", "Feedback-ID", "X-Loop")):
        return True
    if header(message, "X-Auto-Response-Suppress").lower() in ("all", "oof") or header(message, "X-Apple-Action") == "VACATION":
        return True
    return bool(_AUTOMATIC_SENDER.match((mailboxes([header(message, "From")]) or [""])[0]))
