"""The rules that mails are held to find what is planted: a rule that never fails shows nothing."""

import base64
import re
from collections.abc import Callable
from types import ModuleType

import pytest

from paperround.digests.mail_content import render_issue
from paperround.digests.mime import build_message
from paperround.digests.template_loader import Templates
from paperround.models import MailKind

Change = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def good(samples: ModuleType, templates: Templates) -> bytes:
    identity, links = samples.identity(logo_url="https://logo.example/logo.png"), samples.links()
    content = render_issue(
        templates, samples.digest(), samples.subscriber(), identity, links, now=samples.NOW, strength_word=samples.strength_word
    )
    return build_message(
        content,
        identity=identity,
        recipient="ada@example.org",
        recipient_name="Ada",
        message_id="128@example.org",
        date=samples.NOW,
        links=links,
        kind=MailKind.ISSUE,
    )


def test_a_good_mail_breaks_none(good: bytes, mail_rules: ModuleType) -> None:
    assert mail_rules.broken(good, postal_address="Example Lab, 1 Example Street, Exampleton") == []


def header(before: bytes, after: bytes) -> Change:
    return lambda raw: raw.replace(before, after, 1)


def html(pattern: str, after: str) -> Change:
    """The same mail with another HTML part."""

    def change(raw: bytes) -> bytes:
        head, encoding, rest = raw.rpartition(b"base64\r\n\r\n")
        body, end = rest.split(b"\r\n--=_", 1)
        changed, count = re.subn(pattern, lambda _: after, base64.b64decode(body).decode(), count=1)
        assert count
        return head + encoding + base64.encodebytes(changed.encode()).replace(b"\n", b"\r\n").rstrip() + b"\r\n--=_" + end

    return change


PLANTED = {
    "Subject stands 2 times": header(b"Subject:", b"Subject: a\r\nSubject:"),
    "Bcc": header(b"Subject:", b"Bcc: eve@example.org\r\nSubject:"),
    "Date without numeric zone": header(b" +0000\r\n", b" GMT\r\n"),
    "Message-ID elsewhere": header(b"<128@example.org>", b"<128@elsewhere.example>"),
    "a line that does not end in CRLF": header(b"\r\nSubject:", b"\nSubject:"),
    "a line over 998 octets": header(b"Subject:", b"X-Long: " + b"x" * 1000 + b"\r\nSubject:"),
    "an encoded word in List-Unsubscribe": header(b"List-Unsubscribe: <", b"List-Unsubscribe: =?utf-8?q?=3C?= <"),
    "Precedence: ": header(b"Precedence: bulk\r\n", b""),
    "List-Unsubscribe-Post: ": header(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
    "no List-Owner": header(b"List-Owner:", b"X-Owner:"),
    "tags or entities in the text part": header(b"THE PAPERROUND", b"<b>THE</b> &amp;"),
    "no title": html("<title>[^<]*</title>", "<title> </title>"),
    "no lang or dir on html": html(' lang="en"', ""),
    "a table without role": html('(?<=cellspacing="0") role="presentation" width', " width"),
    "an image without alt, width or height": html(' alt=""', ""),
    "2 h1": html("</h1>", "</h1><h1>Again</h1>"),
    "<script>": html("</h1>", "</h1><script></script>"),
    "an attribute onload": html("<h1", '<h1 onload="x"'),
    "a style sheet from elsewhere": html("<title>", '<link rel="stylesheet" href="https://e.example/"><title>'),
    "no dark palette": html("prefers-color-scheme", "prefers-contrast"),
    "a preheader of 3 characters": html(r'(?<=overflow:hidden">)[^<\u034f&]+', "abc"),
    "2 links read 'Why 2?'": html("Why 1[?]", "Why 2?"),
    "a link to 'javascript:x'": html('(?<=href=")[^"]+', "javascript:x"),
    "a link to 'https://e.example/?utm_source=x'": html('(?<=href=")[^"]+', "https://e.example/?utm_source=x"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(good: bytes, mail_rules: ModuleType, fault: str) -> None:
    assert fault in mail_rules.broken(PLANTED[fault](good))
