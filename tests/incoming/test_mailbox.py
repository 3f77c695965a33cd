"""Ways in: LMTP and Maildir."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from paperround.errors import ConfigError, StorageError
from paperround.incoming.mailbox import LmtpServer, MaildirInbox, recipient_of


class Kept:
    """A handler that keeps what it gets and breaks where the mail says so."""

    def __init__(self) -> None:
        self.mails: list[tuple[bytes, str]] = []

    async def __call__(self, raw: bytes, recipient: str) -> None:
        if b"storage" in raw:
            raise StorageError("database is locked")
        if b"boom" in raw:
            raise ZeroDivisionError("a bug")
        self.mails.append((raw, recipient))


@asynccontextmanager
async def lmtp(server: LmtpServer, *, path: str | None = None) -> AsyncIterator["Talk"]:
    await server.start()
    reader, writer = await (asyncio.open_unix_connection(path) if path else asyncio.open_connection("127.0.0.1", server.port))
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
        await server.close()


class Talk:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, line: bytes | None) -> str:
        if line is not None:
            self._writer.write(line + b"\r\n")
        while True:
            reply = (await self._reader.readline()).decode()
            if reply[3:4] != "-":
                return reply.strip()

    async def mail(self, body: bytes, *, sender: bytes = b"", recipient: bytes = b"list@x.org") -> list[str]:
        lines = [b"MAIL FROM:<%s>" % sender, b"RCPT TO:<%s>" % recipient, b"DATA", body + b"\r\n."]
        return [await self.say(line) for line in lines]


async def test_a_mail_over_lmtp_reaches_the_handler_with_its_envelope() -> None:
    kept = Kept()
    async with lmtp(LmtpServer("127.0.0.1:0", kept)) as talk:
        assert (await talk.say(None)).startswith("220")
        assert (await talk.say(b"LHLO mx.example")).startswith("250")
        replies = await talk.mail(b"Subject: hi\r\n\r\n" + b"long " * 1000, sender=b"ada@example.org")
        assert replies[-1].startswith("250")
        assert (await talk.mail(b"Subject: bounce\r\n\r\nx"))[-1].startswith("250")  # the null sender may write too
    assert [(raw.split(b"\r\n")[0], recipient) for raw, recipient in kept.mails] == [
        (b"Return-Path: <ada@example.org>", "list@x.org"),
        (b"Return-Path: <>", "list@x.org"),
    ]


async def test_a_mail_is_taken_only_when_the_handler_has_it_and_others_go_on() -> None:
    kept = Kept()
    async with lmtp(LmtpServer("127.0.0.1:0", kept, size_limit=5000)) as talk:
        await talk.say(None)
        await talk.say(b"LHLO mx.example")
        assert (await talk.mail(b"\r\nstorage"))[-1].startswith("451")
        assert (await talk.mail(b"\r\nboom"))[-1].startswith("451")
        assert (await talk.mail(b"\r\n" + b"x" * 6000))[-1].startswith("552")
        assert (await talk.mail(b"\r\nfine"))[-1].startswith("250")
    assert [raw.split(b"\r\n")[-2] for raw, _ in kept.mails] == [b"fine"]


async def test_one_recipient_a_mail_so_that_each_gets_an_answer_of_its_own() -> None:
    async with lmtp(LmtpServer("127.0.0.1:0", Kept())) as talk:
        await talk.say(None)
        await talk.say(b"LHLO mx.example")
        await talk.say(b"MAIL FROM:<>")
        assert (await talk.say(b"RCPT TO:<a@x.org>")).startswith("250")
        assert (await talk.say(b"RCPT TO:<b@x.org>")).startswith("452")


async def test_a_unix_socket_left_by_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    path.touch()
    async with lmtp(LmtpServer(f"unix:{path}", Kept()), path=str(path)) as talk:
        assert (await talk.say(None)).startswith("220")


@pytest.mark.parametrize("address", ["", "localhost", ":25", "127.0.0.1:x", "127.0.0.1:"])
async def test_an_address_that_is_none_is_refused_by_name(address: str) -> None:
    with pytest.raises(ConfigError, match="inbox"):
        await LmtpServer(address, Kept()).start()


def put(folder: Path, name: str, body: bytes) -> None:
    (folder / "new").mkdir(parents=True, exist_ok=True)
    (folder / "cur").mkdir(exist_ok=True)
    (folder / "new" / name).write_bytes(body)


def names(folder: Path) -> dict[str, list[str]]:
    return {part.name: sorted(path.name for path in part.iterdir()) for part in sorted(folder.iterdir())}


async def test_a_maildir_is_emptied_in_order_and_nothing_is_lost_or_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "2.b", b"Delivered-To: list@x.org\r\n\r\ntwo")
    put(tmp_path, "1.a", b"Return-Path: <>\nX-Original-To: <Stop@x.org>\n\none")
    put(tmp_path, "3.c", b"\r\nboom")
    put(tmp_path, "4.d", b"\r\nstorage")
    kept = Kept()
    inbox = MaildirInbox(tmp_path)
    assert list((await inbox.receive(kept)).items()) == [("1.a", True), ("2.b", True), ("3.c", False), ("4.d", None)]
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [ZeroDivisionError], "whoever runs this is told"
    assert [recipient for _, recipient in kept.mails] == ["Stop@x.org", "list@x.org"]
    assert names(tmp_path) == {"cur": ["1.a:2,S", "2.b:2,S"], "new": ["4.d"], "poison": ["3.c"]}
    assert await inbox.receive(kept) == {"4.d": None}
    assert len(kept.mails) == 2


async def test_an_absent_maildir_and_an_enormous_mail_are_no_trouble(tmp_path: Path) -> None:
    assert (await MaildirInbox(tmp_path / "absent").receive(Kept())) == {}
    put(tmp_path, "1", b"x" * 5000)
    kept = Kept()
    await MaildirInbox(tmp_path, size_limit=1000).receive(kept)
    assert [len(raw) for raw, _ in kept.mails] == [1000]


def test_a_recipient_in_the_body_is_not_believed() -> None:
    assert recipient_of(b"Subject: x\n\nDelivered-To: victim@x.org\n") == ""
    assert recipient_of(b"") == ""
