"""The bytes of a mail, read back as a mail program reads them."""

import email
import email.policy
import quopri
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paperround.digests.mail_content import MailContent
from paperround.digests.mime import _quoted, build_message
from paperround.models import ListIdentity, MailKind, ReaderLinks

NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
CONTENT = MailContent(
    subject="Half the Tokens and 4 more", preheader="…", octets="<p>Grüße 🎉</p>".encode(), text="Grüße\n.\n\n" + "x" * 1200 + "\n"
)
IDENTITY = ListIdentity(name="The Paperround", sender="round@example.org", address="in@example.org", list_id="paperround.example.org")
LINKS = ReaderLinks(
    one_click="https://paperround.example/u/" + "a1B2" * 30,
    unsubscribe_mailto="mailto:in@example.org?subject=unsubscribe",
    preferences="https://paperround.example/p/x",
    archive="https://paperround.example/a/x",
)


def built(content: MailContent = CONTENT, **given: Any) -> bytes:
    values: dict[str, Any] = {
        "identity": IDENTITY,
        "recipient": "ada@example.org",
        "recipient_name": "Ada",
        "message_id": "0123456789abcdef@example.org",
        "date": NOW,
        "links": LINKS,
        "kind": MailKind.ISSUE,
    }
    return build_message(content, **{**values, **given})


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    return message


def lines(raw: bytes) -> list[bytes]:
    return raw.split(b"\r\n")


def test_every_header_stands_once_and_every_line_ends_well() -> None:
    raw = built()
    message = parsed(raw)
    for name in ("From", "To", "Date", "Message-ID", "Subject", "MIME-Version", "Reply-To", "List-Id", "List-Unsubscribe"):
        assert len(message.get_all(name, [])) == 1
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, lines(raw))) <= 998
    assert raw.isascii()


def test_the_headers_say_what_a_list_mail_says() -> None:
    message = parsed(built())
    assert str(message["From"]) == "The Paperround <round@example.org>"
    assert str(message["To"]) == "Ada <ada@example.org>"
    assert str(message["Reply-To"]) == "in@example.org"
    assert str(message["Date"]) == "Fri, 20 Nov 2026 06:30:00 +0000"
    assert str(message["Message-ID"]) == "<0123456789abcdef@example.org>"
    assert str(message["List-Id"]) == "The Paperround <paperround.example.org>"
    assert str(message["List-Unsubscribe"]) == f"<{LINKS.one_click}>, <{LINKS.unsubscribe_mailto}>"
    assert str(message["List-Unsubscribe-Post"]) == "List-Unsubscribe=One-Click"
    assert str(message["List-Post"]) == "NO"
    assert str(message["List-Help"]) == f"<{LINKS.preferences}>"
    assert str(message["List-Owner"]) == "<mailto:round@example.org>"
    assert str(message["List-Subscribe"]) == "<mailto:in@example.org?subject=subscribe>"
    assert str(message["Archived-At"]) == f"<{LINKS.archive}>"
    assert str(message["Auto-Submitted"]) == "auto-generated"
    assert str(message["Precedence"]) == "bulk"


def test_text_comes_before_html_and_both_read_back() -> None:
    message = parsed(built())
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n") == CONTENT.text
    assert html.get_content() == CONTENT.html


def test_an_unsubscribe_address_longer_than_a_line_is_neither_folded_nor_encoded() -> None:
    raw = built(links=replace(LINKS, one_click="https://paperround.example/u/" + "Zz9-_" * 100))
    (line,) = [each for each in lines(raw) if each.startswith(b"List-Unsubscribe: ")]
    assert line == b"List-Unsubscribe: <https://paperround.example/u/" + b"Zz9-_" * 100 + b">,"


def test_a_confirmation_is_no_bulk_mail_and_needs_no_way_out() -> None:
    message = parsed(built(kind=MailKind.CONFIRMATION, links=None, list_headers={"Reply-To": "yes+abc@example.org"}))
    assert not {"Precedence", "List-Unsubscribe", "Archived-At"} & set(message.keys())
    assert str(message["Reply-To"]) == "yes+abc@example.org"
    assert str(message["Auto-Submitted"]) == "auto-generated"
    assert str(parsed(built(kind=MailKind.ANSWER))["Auto-Submitted"]) == "auto-replied"


def test_further_headers_are_taken_as_they_are() -> None:
    assert str(parsed(built(list_headers={"Feedback-ID": "a:b:c"}))["Feedback-ID"]) == "a:b:c"


def test_the_same_delivery_gives_the_same_bytes() -> None:
    assert built() == built()
    assert built() != built(message_id="another@example.org")


def test_an_international_domain_is_written_as_its_a_label() -> None:
    assert "<ada@xn--bcher-kva.example>" in str(parsed(built(recipient="ada@bücher.example"))["To"])


@pytest.mark.parametrize(
    "given",
    [
        {"recipient": "ada@example.org\r\nBcc: x@example.org"},
        {"recipient": "ada example.org"},
        {"recipient": "ádá@example.org"},  # needs SMTPUTF8
        {"recipient": "@example.org"},
        {"recipient": "<ada@example.org>"},
        {"message_id": "a b@example.org"},
        {"message_id": "a@example.org>\r\nX: y"},
        {"date": datetime(2026, 11, 20)},  # noqa: DTZ001 - the point
        {"links": replace(LINKS, one_click="https://e.example/\r\nX: y")},
        {"links": replace(LINKS, one_click="https://e.example/ü")},
        {"list_headers": {"Feedback-ID": "a\r\nBcc: x@example.org"}},
        {"list_headers": {"Feedback-ID": "x" * 1000}},
    ],
)
def test_what_cannot_stand_in_a_header_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cannot stand|no time zone"):
        built(**given)


words = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="aé日🎉ابت =?_\r\n\t\x00\x7f\u2028", max_size=200),
    st.text(alphabet='ab "\\,;:<>@()[]', max_size=80),
)


@given(words, words, words)
@example("x" * 300, "Ada\r\nBcc: eve@example.org", "=?utf-8?q?x?=")
@example("قراءة الشفاه بأربع لغات " * 9, "日本" * 100, "🎉" * 70)
@example("a" * 75 + " " + "b" * 500, 'O\'Hara, Ada "The" <x>', "Liste der Bücher")
def test_no_words_break_a_header_and_all_of_them_read_back(subject: str, name: str, list_name: str) -> None:
    raw = built(replace(CONTENT, subject=subject), recipient_name=name, identity=replace(IDENTITY, name=list_name))
    message = parsed(raw)
    assert max(map(len, lines(raw))) <= 998
    assert {each.lower() for each in message} <= {
        *("from", "to", "reply-to", "subject", "date", "message-id", "mime-version", "auto-submitted", "precedence", "list-id"),
        *("list-unsubscribe", "list-unsubscribe-post", "list-post", "list-owner", "list-help", "list-subscribe", "archived-at"),
        "content-type",
    }
    readable = re.compile(r"[\x00-\x20\x7f-\xa0\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff\s]+")
    assert readable.sub("", str(message["Subject"])) == readable.sub("", subject)
    (to,) = message["To"].addresses
    assert (to.addr_spec, readable.sub("", to.display_name)) == ("ada@example.org", readable.sub("", name))
    (sender,) = message["From"].addresses
    assert readable.sub("", sender.display_name) == readable.sub("", list_name)
    head = raw.split(b"\r\n\r\n", 1)[0]
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
    assert not any(b"=?" in each for each in unfolded if each.startswith((b"List-", b"Message-ID")))


@given(st.lists(st.text(alphabet="abc,.-:", min_size=1, max_size=30), min_size=1, max_size=40))
def test_a_long_subject_is_folded_between_words_and_unfolds_to_itself(parts: list[str]) -> None:
    subject = " ".join(parts)
    (found,) = re.findall(rb"\r\nSubject: (.*?)\r\n(?! )", built(replace(CONTENT, subject=subject)), re.DOTALL)
    assert found.replace(b"\r\n ", b" ").decode() == subject
    assert all(len(line) <= 60 + 31 for line in found.split(b"\r\n"))


FIELDS = ("recipient", "message_id", "one_click", "unsubscribe_mailto", "preferences", "archive", "sender", "list_id", "Feedback-ID")


@given(field=st.sampled_from(FIELDS), text=st.one_of(words, st.text(alphabet="a@.:/-<>\r\n \x00é", max_size=60)))
@example("one_click", "https://e.example/\r\nBcc: eve@example.org")
@example("recipient", "ada@example.org,eve@example.org\n")
@example("list_id", "x>\r\n\r\n<html>")
def test_whatever_a_field_holds_it_is_refused_or_stays_in_its_header(field: str, text: str) -> None:
    given: dict[str, Any] = {field: text}
    if field in {each.name for each in fields(ReaderLinks)}:
        given = {"links": replace(LINKS, **given)}
    elif field in {each.name for each in fields(ListIdentity)}:
        given = {"identity": replace(IDENTITY, **given)}
    elif field == "Feedback-ID":
        given = {"list_headers": given}
    try:
        raw = built(**given)
    except ValueError:
        return
    assert max(map(len, lines(raw))) <= 998
    heads = [re.sub(rb"\r\n[ \t]+", b" ", each.split(b"\r\n\r\n", 1)[0]).split(b"\r\n") for each in (raw, built(**plain_twin(given)))]
    names = [[line.split(b":", 1)[0] for line in head] for head in heads]
    assert names[0] == names[1]
    assert raw.isascii()


def plain_twin(given: dict[str, Any]) -> dict[str, Any]:
    """The same headers with nothing odd in them; where a link is empty its header is left out."""
    twin: dict[str, Any] = {"list_headers": {"Feedback-ID": "a"}} if "list_headers" in given else {}
    if links := given.get("links"):
        twin["links"] = replace(LINKS, **{each.name: None for each in fields(ReaderLinks) if not getattr(links, each.name)})
    return twin


@given(st.text(max_size=500), st.text(max_size=500))
def test_any_body_reads_back_and_no_line_is_long(text: str, html: str) -> None:
    clean = [part.encode("utf-8", "ignore").decode().replace("\r\n", "\n").replace("\r", "\n") for part in (text, html)]
    raw = built(replace(CONTENT, text=clean[0], octets=clean[1].encode()))
    parts = [part.get_payload(decode=True) for part in parsed(raw).iter_parts()]
    assert parts[0].decode().replace("\r\n", "\n") == clean[0].rstrip("\n") + "\n"  # type: ignore[union-attr]
    assert parts[1].decode() == clean[1]  # type: ignore[union-attr]
    assert max(map(len, raw.split(b"\r\n\r\n", 1)[1].split(b"\r\n"))) <= 76
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_two_readers_mails_share_no_token(samples: ModuleType, templates: Any) -> None:
    from paperround.digests.mail_content import render_issue

    mails = []
    for reader in ("9f1c2b3a4d5e6f708192a3b4c5d6e7f8", "00112233445566778899aabbccddeeff"):
        links = samples.links(reader)
        person = replace(samples.subscriber(), public_id=reader, email=f"{reader[:4]}@example.org")
        content = render_issue(templates, samples.digest(), person, samples.identity(), links, now=NOW, strength_word=samples.strength_word)
        raw = built(content, identity=samples.identity(), recipient=person.email, links=links)
        message = parsed(raw)
        whole = str(message) + "".join(part.get_content() for part in message.iter_parts())
        mails.append(set(re.findall(r"[\w.-]{22,}", whole.split("List-Unsubscribe", 1)[1])))
    tokens = [{word for word in words if "." in word and any(len(part) == 32 for part in word.split("."))} for words in mails]
    assert len(tokens[0]) > 10
    assert not tokens[0] & tokens[1]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",))) | st.text("a= é\n\r.—", min_size=60))
def test_the_text_part_is_quoted_printable_that_reads_back_to_the_same(text: str) -> None:
    quoted = _quoted(text)
    assert all(len(line) <= 76 and line.isascii() and line.rstrip(b" \t") == line for line in quoted.split(b"\r\n"))
    assert (
        quopri.decodestring(quoted).replace(b"\r\n", b"\n").rstrip(b"\n")
        == text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").encode()
    )
