"""What every issue's bytes must satisfy, each rule with a sentence: read from the bytes alone, knowing nothing of how they are made."""

import email
import email.policy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import parseaddr, parsedate_to_datetime
from html.parser import HTMLParser

MOST_BYTES = 90 * 1024
ONCE = ("From", "To", "Date", "Message-ID", "Subject", "MIME-Version")
MACHINES = ("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "Message-ID")
NEVER = {"script", "form", "iframe", "svg", "object", "embed", "math", "base", "input", "video", "audio"}
TRACKERS = re.compile(r"[?&](utm_\w+|fbclid|gclid|mc_[ce]id)=", re.IGNORECASE)
INVISIBLE = "\u034f\u200c\xa0 "  # what fills a preheader up


class Page(HTMLParser):
    """The HTML part as a mail program sees it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.links: list[tuple[str, str]] = []  # text, address
        self.title = self.preheader = self.styles = ""
        self.words: list[str] = []
        self._open: list[str] = []
        self._href: str | None = None
        self._text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self._open.append("hidden" if "display:none" in found.get("style", "").replace(" ", "") else tag)
        if tag == "a":
            self._href, self._text = found.get("href", ""), []

    def handle_endtag(self, tag: str) -> None:
        while self._open and (last := self._open.pop()) != tag and last != "hidden":
            pass
        if tag == "a" and self._href is not None:
            self.links.append(("".join(self._text), self._href))
            self._href = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.title += data
        elif "hidden" in self._open:
            self.preheader += data
        elif "style" in self._open:
            self.styles += data
        else:
            self.words.append(data)
            self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [found for name, found in self.tags if name == tag]


@dataclass
class Mail:
    """One message taken apart."""

    raw: bytes
    message: EmailMessage = field(init=False)
    head: bytes = field(init=False)  # unfolded
    text: str = field(init=False)
    html: str = field(init=False)
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.message = parsed
        self.head = re.sub(rb"\r\n[ \t]+", b" ", self.raw.split(b"\r\n\r\n", 1)[0])
        parts = list(parsed.iter_parts())
        self.text, self.html = (str(part.get_content()).replace("\r\n", "\n") for part in parts)  # type: ignore[attr-defined]
        self.page = Page(self.html)

    def header(self, name: str) -> str:
        """As it stands in the bytes, unfolded."""
        start = f"{name}: ".lower().encode()
        return next((line[len(start) :].decode() for line in self.head.split(b"\r\n") if line.lower().startswith(start)), "")

    def secrets(self, host: str) -> set[str]:
        """The tokens in its addresses at that host."""
        addresses = re.findall(rf"https://{re.escape(host)}/[^\s>\"]+", self.header("List-Unsubscribe") + self.text + self.html)
        return set(re.findall(r"[\w-]{22,}", " ".join(addresses)))


def broken(raw: bytes, *, domain: str = "example.org", postal_address: str = "", offers_mail: bool = True) -> list[str]:
    """The rules that a message breaks."""
    mail = Mail(raw)
    return [*_headers(mail, domain), *_list_headers(mail, offers_mail), *_structure(mail), *_text(mail, postal_address), *_html(mail)]


def _headers(mail: Mail, domain: str) -> Iterator[str]:
    message = mail.message
    yield from (f"{name} stands {len(message.get_all(name) or [])} times" for name in ONCE if len(message.get_all(name) or []) != 1)
    if message["Bcc"]:
        yield "Bcc"
    if not re.search(r" [+-]\d{4}$", mail.header("Date")) or parsedate_to_datetime(mail.header("Date")).tzinfo is None:
        yield "Date without numeric zone"
    if not re.fullmatch(rf"<[^\s<>@]+@(?:[\w-]+\.)*{re.escape(domain)}>", mail.header("Message-ID")):
        yield "Message-ID elsewhere"
    if b"\n" in mail.raw.replace(b"\r\n", b"") or b"\r" in mail.raw.replace(b"\r\n", b""):
        yield "a line that does not end in CRLF"
    if max(map(len, mail.raw.split(b"\r\n"))) > 998:
        yield "a line over 998 octets"
    yield from (f"an encoded word in {name}" for name in MACHINES if "=?" in mail.header(name))
    for name, value in message.items():
        if re.search(r"[\x00-\x1f\x7f]", str(value)):
            yield f"a control character in {name}"
    if not mail.head.isascii():
        yield "8-bit headers"


def _list_headers(mail: Mail, offers_mail: bool) -> Iterator[str]:
    out = mail.header("List-Unsubscribe")
    way = r"<https://[^<>@\s]+>(?:, <mailto:[^<>\s]+>)?" if offers_mail else r"<https://[^<>@\s]+>"
    if not re.fullmatch(way, out):
        yield f"List-Unsubscribe: {out}"
    if max(map(len, re.findall(r"[\w-]{22,}", out)), default=0) < 22:  # 128 bit in base64
        yield "a short token in List-Unsubscribe"
    wanted = {
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "Precedence": "bulk",
        "List-Post": "NO",
    }
    yield from (f"{name}: {mail.header(name)}" for name, value in wanted.items() if mail.header(name) != value)
    if not re.search(r"<[\w.-]+>$", mail.header("List-Id")):
        yield "List-Id"
    if mail.header("Feedback-ID").count(":") > 3:
        yield "Feedback-ID of more than four fields"
    yield from (f"no {name}" for name in ("List-Help", "List-Owner") if not mail.header(name))


def _structure(mail: Mail) -> Iterator[str]:
    parts = [(part.get_content_type(), part.get_content_charset()) for part in mail.message.iter_parts()]
    if mail.message.get_content_type() != "multipart/alternative" or parts != [("text/plain", "utf-8"), ("text/html", "utf-8")]:
        yield f"parts: {parts}"
    yield from (f"an empty {name} part" for name, text in (("text", mail.text), ("html", mail.html)) if not text.strip())


def _text(mail: Mail, postal_address: str) -> Iterator[str]:
    if re.search(r"&(?:\w+|#\d+);|</?(?:p|div|td|a|br|b|script|img|svg|style)\b[^\n]*>", mail.text, re.IGNORECASE):
        yield "tags or entities in the text part"
    out = re.findall(r"https://[^>]+", mail.header("List-Unsubscribe"))
    for name, text in (("text", mail.text), ("html", mail.html)):
        if not out or out[0] not in text:
            yield f"no way out in the {name} part"
    words = " ".join(mail.text.split())
    for name, text in (("text", words), ("html", mail.page.text)):
        yield from (
            f"no {wanted!r} in the {name} part" for wanted in (parseaddr(mail.header("From"))[0], postal_address) if wanted not in text
        )
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", mail.text + mail.html):
        yield "characters that control"


def _html(mail: Mail) -> Iterator[str]:
    page, names = mail.page, Counter(name for name, _ in mail.page.tags)
    if len(mail.html.encode()) > MOST_BYTES:
        yield f"{len(mail.html.encode())} bytes of HTML"
    if not page.title.strip():
        yield "no title"
    first = page.tags[next(place for place, (name, _) in enumerate(page.tags) if name == "body") + 1][1]
    for name, found in (("html", page.all("html")[0]), ("the first in body", first)):
        if not found.get("lang") or found.get("dir") not in ("ltr", "rtl"):
            yield f"no lang or dir on {name}"
    yield from ("a table without role" for found in page.all("table") if found.get("role") != "presentation")
    yield from ("an image without alt, width or height" for found in page.all("img") if not {"alt", "width", "height"} <= set(found))
    if names["h1"] != 1:
        yield f"{names['h1']} h1"
    yield from (f"<{name}>" for name in NEVER & set(names))
    if any("stylesheet" in found.get("rel", "") for found in page.all("link")) or "@import" in page.styles:
        yield "a style sheet from elsewhere"
    yield from (f"an attribute {name}" for _, found in page.tags for name in found if name.startswith("on"))
    metas = {found.get("name") for found in page.all("meta")}
    if not {"color-scheme", "supported-color-schemes"} <= metas or "prefers-color-scheme: dark" not in page.styles:
        yield "no dark palette"
    if not 40 <= len(page.preheader.strip(INVISIBLE)) <= 130:
        yield f"a preheader of {len(page.preheader.strip(INVISIBLE))} characters"
    texts = Counter(text for text, _ in page.links)
    yield from (f"{count} links read {text[:60]!r}" for text, count in texts.items() if count > 1)
    yield from (f"a link to {url[:80]!r}" for _, url in page.links if not re.match(r"https?://[^\s]+$", url) or TRACKERS.search(url))
