"""Transport addresses, and the transports that write files."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.delivery.smtp import SmtpTransport
from paperround.delivery.transports import DirectoryTransport, MaildirTransport, file_stem, is_loopback, open_transport, redacted
from paperround.errors import ConfigError
from paperround.models import Envelope, SendResult, SmtpPhase

MAIL = Envelope(
    sender="b@lists.example", recipient="ada@example.org", message=b"Subject: x\r\n\r\nhi\r\n", message_id="7.abc@lists.example"
)


async def go() -> bool:
    return True


async def stay() -> bool:
    return False


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


async def sent(transport: DirectoryTransport | MaildirTransport, envelope: Envelope) -> SendResult:
    result = await transport.send(envelope, before_mail=go)
    assert result is not None
    return result


async def test_a_directory_gets_one_eml_a_message_byte_for_byte(tmp_path: Path) -> None:
    transport = DirectoryTransport(tmp_path / "out" / "mail")
    assert (await sent(transport, MAIL)).accepted
    assert (await sent(transport, replace(MAIL, message_id="8.abc@lists.example"))).accepted
    assert sorted(path.name for path in (tmp_path / "out" / "mail").iterdir()) == ["7.abc@lists.example.eml", "8.abc@lists.example.eml"]
    assert (tmp_path / "out" / "mail" / "7.abc@lists.example.eml").read_bytes() == MAIL.message


async def test_a_retry_replaces_the_file_and_never_doubles_it(tmp_path: Path) -> None:
    transport = DirectoryTransport(tmp_path)
    await sent(transport, MAIL)
    await sent(transport, replace(MAIL, message=b"Subject: again\r\n\r\n"))
    (path,) = files(tmp_path)
    assert path.read_bytes() == b"Subject: again\r\n\r\n"


async def test_a_no_before_mail_writes_nothing(tmp_path: Path) -> None:
    for transport in (DirectoryTransport(tmp_path / "a"), MaildirTransport(tmp_path / "b")):
        assert await transport.send(MAIL, before_mail=stay) is None
    assert files(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_a_fault_of_ours_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = await sent(DirectoryTransport(tmp_path / "file"), MAIL)
    assert (result.accepted, result.phase, result.code, result.enhanced) == (False, SmtpPhase.LOCAL, None, None)
    assert str(tmp_path / "file") in result.reply


async def test_a_write_that_fails_halfway_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = DirectoryTransport(tmp_path)
    await sent(transport, MAIL)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = await sent(transport, replace(MAIL, message=b"new"))
    assert "No space left" in result.reply
    assert (tmp_path / "7.abc@lists.example.eml").read_bytes() == MAIL.message


async def test_a_maildir_message_says_whom_it_was_for_and_lies_in_new(tmp_path: Path) -> None:
    await sent(MaildirTransport(tmp_path), MAIL)
    (path,) = (tmp_path / "new").iterdir()
    assert path.read_bytes() == b"Return-Path: <b@lists.example>\r\nDelivered-To: ada@example.org\r\n" + MAIL.message
    assert list((tmp_path / "tmp").iterdir()) == []


@given(st.text(max_size=200), st.text(max_size=200))
def test_file_names_are_safe_and_tell_messages_apart(one: str, other: str) -> None:
    for message_id in (one, other):
        stem = file_stem(message_id)
        assert "/" not in stem
        assert "\0" not in stem
        assert not stem.startswith(".")
        assert 0 < len(stem) <= 140
    assert (file_stem(one) == file_stem(other)) == (one == other)


def test_addresses_open_the_transport_they_name(tmp_path: Path) -> None:
    assert isinstance(open_transport("directory:out/mail", folder=tmp_path), DirectoryTransport)
    assert isinstance(open_transport("maildir:/var/mail/x"), MaildirTransport)
    for url in (
        "smtp://localhost",
        "smtp://u:p%40ss@mx.example:587?starttls=required",
        "smtps://mx.example",
        "smtp://[::1]:2525?starttls=never",
    ):
        assert isinstance(open_transport(url), SmtpTransport)


async def test_a_relative_path_is_relative_to_the_folder_given(tmp_path: Path) -> None:
    transport = open_transport("directory:out/mail", folder=tmp_path)
    await transport.send(MAIL, before_mail=go)
    assert (tmp_path / "out" / "mail" / "7.abc@lists.example.eml").is_file()
    await transport.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "smtp://",
        "smtp://:25",
        "http://u:s3cret@mx.example",
        "smtp://u:s3cret@mx.example:99999",
        "smtp://u:s3cret@mx.example:x",
        "smtp://u:s3cret@mx.example?starttls=maybe",
        "smtp://u:s3cret@mx.example?tls=1",
        "smtp://u:s3cret@mx.example/path",
        "smtp://u:s3cret@mx.example?starttls=never",
        "smtp://u:s3/cret@mx.example",
        "smtp://u:s3cret#@mx.example",
        "smtp://[::1",
        "directory:",
        "maildir:",
        "nonsense",
    ],
)
def test_a_bad_address_is_refused_by_name_and_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_transport(url)
    assert "transport" in str(caught.value)
    assert "cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_description_of_an_address_holds_its_password() -> None:
    assert redacted("smtp://ada:s3cret@mx.example:587") == "smtp://ada:…@mx.example:587"
    assert redacted("smtp://ada:s@3c:ret@mx.example") == "smtp://ada:…@mx.example"
    assert redacted("directory:out/mail") == "directory:out/mail"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("smtp://localhost:25", True),
        ("smtp://127.8.9.1", True),
        ("smtps://[::1]:465", True),
        ("smtp://mail.localhost", True),
        ("directory:x", True),
        ("maildir:/x", True),
        ("smtp://mx.example", False),
        ("smtp://10.0.0.1", False),
        ("smtp://localhost.example", False),
        ("smtp://127.0.0.1.example", False),
        ("smtp://localhost@mx.example", False),
    ],
)
def test_whether_mail_leaves_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here
