"""Room: MIME. A mail's content as message bytes with list headers, assembled directly (pure)."""

import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.base64mime import header_encode
from email.utils import format_datetime
from functools import lru_cache

import numpy as np
import pybase64
from email_validator import validate_email

from paperround.digests.mail_content import MailContent
from paperround.digests.wording import plain
from paperround.models import ListIdentity, MailKind, ReaderLinks

_LONGEST_LINE = 998  # RFC 5322 section 2.1.1
_ATOMS = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]*")
_URI = re.compile(r"[!-;=?-~]+")  # visible ASCII without the brackets that would end it
_ROWS = re.compile(r"(.{50,60}\S*|.+)(?: (?=\S)|$)")
_PLAIN = b"\n" + bytes(range(32, 127))  # bytes that quoted-printable leaves as they are, once "=" is done
_PRINTABLE = re.compile(r"[ -~]*")


def build_message(
    content: MailContent,
    *,
    identity: ListIdentity,
    recipient: str,
    recipient_name: str,
    message_id: str,
    date: datetime,
    links: ReaderLinks | None,
    kind: MailKind,
    list_headers: Mapping[str, str] | None = None,
) -> bytes:
    """One message, multipart/alternative of text and HTML, lines ending in CRLF, ready for DATA.

    `message_id` without angle brackets, `date` aware: the time of sending. `list_headers` are further headers or others in their place
    (Feedback-ID, Reply-To, In-Reply-To …), ASCII. `links` None: no way out is needed (a confirmation). Raises ValueError for what cannot
    stand in a header, such as an address with a newline in it."""
    headers = dict(_headers(content, identity, _address(recipient), recipient_name, message_id, date, kind))
    if links is not None:
        headers |= _list_headers(identity, links, kind)
    for name, value in (list_headers or {}).items():
        headers[name] = _ascii(name, value)
    boundary = f"=_{zlib.crc32(message_id.encode()):08x}"  # neither base64 nor quoted-printable holds "=_"
    headers["Content-Type"] = f'multipart/alternative;\r\n boundary="{boundary}"'
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("ascii")
    return b"".join((head, *_body(content, boundary.encode())))


def _body(content: MailContent, boundary: bytes) -> Iterator[bytes]:
    """Text quoted-printable, HTML base64, always: so no line is too long and nothing is 8 bit, whatever a feed holds."""
    start = b"\r\n--" + boundary + b"\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n"
    yield start % (b"plain", b"quoted-printable")
    yield _quoted(content.text)
    yield start % (b"html", b"base64")
    yield from _lines(pybase64.b64encode(content.octets))
    yield b"\r\n--" + boundary + b"--\r\n"


def _quoted(text: str) -> bytes:
    """Quoted-printable (RFC 2045 section 6.7), lines of at most 76 ending in CRLF; in half of `binascii`'s time."""
    data = text.encode()
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = b"\n" + data.rstrip(b"\n").replace(b"=", b"=3D") + b"\n"
    for other in set(data.translate(None, _PLAIN)):
        data = data.replace(bytes((other,)), b"=%02X" % other)
    array = np.frombuffer(data, np.uint8)
    ends = (array == 10).nonzero()[0]
    if (array[ends - 1] == 32).any():
        data = data.replace(b" \n", b"=20\n")
        ends = (np.frombuffer(data, np.uint8) == 10).nonzero()[0]
    long = (ends[1:] - ends[:-1] > 77).nonzero()[0]
    parts, done = [], 0
    for start, end in zip(ends[long].tolist(), ends[long + 1].tolist(), strict=True):
        cut = start + 1
        while end - cut > 76:
            cut += 75 - (data[cut + 74] == 61) - 2 * (data[cut + 73] == 61)  # never within "=3D"
            parts.append(data[done:cut])
            done = cut
    parts.append(data[done:])
    return b"=\n".join(parts).replace(b"\n", b"\r\n")[2:]


def _lines(block: bytes) -> tuple[bytes, bytes]:
    """Lines of 76: as columns of one array, a seventh of the time of slicing."""
    whole = len(block) // 76
    rows = np.empty((whole, 78), np.uint8)
    rows[:, :76] = np.frombuffer(block, np.uint8, whole * 76).reshape(whole, 76)
    rows[:, 76:] = (13, 10)
    return rows.tobytes(), block[whole * 76 :]


def _headers(
    content: MailContent,
    identity: ListIdentity,
    recipient: str,
    recipient_name: str,
    message_id: str,
    date: datetime,
    kind: MailKind,
) -> Iterator[tuple[str, str]]:
    """What every mail has, in the order mail programs write it."""
    if date.tzinfo is None:
        raise ValueError(f"{date!r} has no time zone")
    ours = _of_list(identity)
    yield "From", ours["From"]
    yield "To", _mailbox(recipient_name, recipient)
    if "Reply-To" in ours:
        yield "Reply-To", ours["Reply-To"]
    yield "Subject", _words("Subject", content.subject)
    yield "Date", _date(date.replace(microsecond=0))
    yield "Message-ID", f"<{_uri('Message-ID', message_id)}>"
    yield "MIME-Version", "1.0"
    yield "Auto-Submitted", "auto-replied" if kind is MailKind.ANSWER else "auto-generated"  # RFC 3834 section 5
    if kind is MailKind.ISSUE:
        yield "Precedence", "bulk"
    yield "List-Id", ours["List-Id"]


@lru_cache(maxsize=16)
def _of_list(identity: ListIdentity) -> Mapping[str, str]:
    """Headers that are the same in every mail."""
    headers = {
        "From": _mailbox(identity.name, _address(identity.sender)),
        "List-Id": f"{_phrase(plain(identity.name), ascii_only=True)}<{_uri('List-Id', identity.list_id)}>",
        "List-Owner": f"<mailto:{_address(identity.reply_to or identity.sender)}>",
    }
    if reply_to := identity.reply_to or identity.address:
        headers["Reply-To"] = _address(reply_to)
    if identity.address:
        headers["List-Subscribe"] = f"<mailto:{_address(identity.address)}?subject=subscribe>"
    return headers


@lru_cache(maxsize=16)
def _date(second: datetime) -> str:
    return format_datetime(second)


def _list_headers(identity: ListIdentity, links: ReaderLinks, kind: MailKind) -> dict[str, str]:
    """RFC 2369 and RFC 8058: one https way out first, then the mail one; folded at the comma, never within an address."""
    ours, out = _of_list(identity), [links.one_click, links.unsubscribe_mailto]
    headers = {
        "List-Unsubscribe": ",\r\n ".join(f"<{_uri('List-Unsubscribe', each)}>" for each in out if each),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Post": "NO",
        "List-Owner": ours["List-Owner"],
    }
    if links.preferences:
        headers["List-Help"] = f"<{_uri('List-Help', links.preferences)}>"
    if "List-Subscribe" in ours:
        headers["List-Subscribe"] = ours["List-Subscribe"]
        headers.setdefault("List-Help", ours["List-Subscribe"].replace("=subscribe>", "=help>"))
    if links.archive and kind is MailKind.ISSUE:
        headers["Archived-At"] = f"<{_uri('Archived-At', links.archive)}>"
    return headers


def _words(name: str, text: str) -> str:
    """Free text of a header: no control characters, encoded words where it is not ASCII, folded (RFC 2047)."""
    clean = plain(text)
    if _PRINTABLE.fullmatch(clean) and "=?" not in clean and max(map(len, clean.split(" "))) < _LONGEST_LINE // 2:
        return "\r\n ".join(_ROWS.findall(clean)) if len(name) + len(clean) > 75 else clean
    return _encoded(clean)


def _encoded(text: str) -> str:
    """Encoded words (RFC 2047) of at most 60 columns, a line each; `email.header` takes twenty times as long to find where to cut."""
    words, start = [], 0
    while start < len(text):
        end = start + 36  # bytes, of which base64 makes 48 columns
        while (over := len(text[start:end].encode()) - 36) > 0:
            end = min(end, len(text)) - (over + 3) // 4
        words.append(header_encode(text[start:end].encode(), "utf-8"))
        start = end
    return "\r\n ".join(words)


def _phrase(text: str, *, ascii_only: bool = False) -> str:
    """A display name with a space after it, quoted or encoded where it must be; empty for an empty name."""
    if not text:
        return ""
    if _PRINTABLE.fullmatch(text) and "=?" not in text and len(text) < 60:
        return f"{text} " if _ATOMS.fullmatch(text) else '"{}" '.format(re.sub(r'([\\"])', r"\\\1", text))
    return "" if ascii_only else f"{_encoded(text)}\r\n "


def _mailbox(name: str, address: str) -> str:
    return f"{_phrase(plain(name))}<{address}>"


def _address(address: str) -> str:
    """An address as headers hold it: an international domain as A-label. Raises ValueError for one that needs SMTPUTF8 or is none."""
    local, _, domain = address.strip().rpartition("@")
    if not domain.isascii():
        domain = validate_email(f"x@{domain}", check_deliverability=False).ascii_domain  # its error is a ValueError
    found = f"{local}@{domain}"
    if not local or not domain or not _URI.fullmatch(found):
        raise ValueError(f"{address!r} cannot stand in a header")
    return found


def _uri(name: str, uri: str) -> str:
    if not _URI.fullmatch(uri) or len(uri) > _LONGEST_LINE - 40:
        raise ValueError(f"{uri!r} cannot stand in {name}")
    return uri


def _ascii(name: str, value: str) -> str:
    if not _PRINTABLE.fullmatch(value) or len(name) + len(value) + 2 > _LONGEST_LINE:
        raise ValueError(f"{value!r} cannot stand in {name}")
    return value
