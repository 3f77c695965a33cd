"""Ways in: a mailbox by IMAP, against a small scripted server on loopback."""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from paperround.config import load_settings
from paperround.errors import ConfigError, MailboxError, StorageError
from paperround.incoming.mailbox import ImapInbox
from paperround.wiring import imap_inbox

PASSWORD = 'p"a s\\s'
CERTIFICATE = Path(__file__).parents[1] / "delivery" / "localhost.pem"


@dataclass(kw_only=True)
class ImapServer:
    """One folder, what a client that empties it says, and the faults that servers have.

    `async with ImapServer(mails={1: b"…"}) as server:` then `server.port`, `server.flags`, `server.moved`, `server.said`."""

    mails: dict[int, bytes]
    tls: ssl.SSLContext | None = None
    drop_at: str | None = None  # the connection is lost at the first such command
    refuse: str | None = None  # this command is always answered NO
    validity: int = 7
    flags: dict[int, set[str]] = field(default_factory=dict)
    moved: dict[int, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)  # the commands, without tags
    connections: int = 0

    async def __aenter__(self) -> "ImapServer":
        self.flags = {uid: set() for uid in self.mails} | self.flags
        self._talks: list[Any] = []
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.append(asyncio.current_task())
        self.connections += 1
        writer.write(b"* OK ready\r\n")
        try:
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                tag, _, command = line.partition(" ")
                self.said.append(command)
                name = command.removeprefix("UID ").split()[0].upper()
                if name == self.drop_at:
                    self.drop_at = None
                    break
                refused = name == self.refuse or (name == "LOGIN" and command != 'LOGIN "paper@x.org" "p\\"a s\\\\s"')
                told = b"" if refused else self._do(name, command.removeprefix("UID "))
                writer.write(told + f"{tag} {'NO no' if refused else 'OK done'}\r\n".encode())
                await writer.drain()
                if name == "LOGOUT":
                    break
        except (OSError, asyncio.IncompleteReadError):  # the client went away
            pass
        finally:
            writer.close()

    def _do(self, name: str, command: str) -> bytes:
        numbers = re.findall(r"\d+", command)
        if name == "CAPABILITY":
            return b"* CAPABILITY IMAP4rev1 MOVE\r\n"
        if name == "SELECT":
            return f"* {len(self.mails)} EXISTS\r\n* OK [UIDVALIDITY {self.validity}] ok\r\n".encode()
        if name == "SEARCH":
            unseen = [str(uid) for uid in self.mails if "\\Seen" not in self.flags[uid]]
            return f"* SEARCH {' '.join(unseen)}\r\n".encode()
        if name == "FETCH" and (body := self.mails.get(int(numbers[0]))) is not None:
            cut = body[: int(numbers[-1])]
            return b"* 1 FETCH (UID %s BODY[]<0> {%d}\r\n%s)\r\n" % (numbers[0].encode(), len(cut), cut)
        if name == "STORE":
            self.flags[int(numbers[0])] |= set(re.findall(r"\\\w+", command))
        if name == "MOVE":
            self.mails.pop(int(numbers[0]))
            self.moved[int(numbers[0])] = command.split()[-1].strip('"')
        return b"* BYE\r\n" if name == "LOGOUT" else b""


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


def inbox(server: ImapServer, *, password: str = PASSWORD, **given: Any) -> ImapInbox:
    return ImapInbox(f"imap://paper%40x.org@127.0.0.1:{server.port}/Lists", password, clear=True, timeout=5, **given)


async def test_unseen_mails_are_handed_over_in_order_and_marked_once_they_are_handled() -> None:
    mails = {3: b"Delivered-To: list@x.org\r\n\r\nthree", 4: b"\r\nboom", 8: b"\r\nstorage", 9: b"\r\nnine", 10: b"\r\nseen"}
    kept = Kept()
    async with ImapServer(mails=mails, flags={10: {"\\Seen"}}) as server:
        assert await inbox(server).receive(kept) == {"3": True, "4": False, "8": None, "9": True}
        assert [(raw[-5:], to) for raw, to in kept.mails] == [(b"three", "list@x.org"), (b"\nnine", "")]
        assert server.flags == {3: {"\\Seen"}, 4: {"\\Seen", "\\Flagged"}, 8: set(), 9: {"\\Seen"}, 10: {"\\Seen"}}
        assert await inbox(server).receive(kept) == {"8": None}
        assert "EXPUNGE" not in server.said  # what others have marked as deleted is theirs
        assert 'SELECT "Lists"' in server.said
        assert server.said[-1] == "LOGOUT"
    assert len(kept.mails) == 2


async def test_handled_mails_move_away_where_a_folder_is_named_and_broken_ones_stay() -> None:
    async with ImapServer(mails={1: b"\r\none", 2: b"\r\nboom"}) as server:
        await inbox(server, done="Done").receive(Kept())
        assert (server.moved, list(server.mails)) == ({1: "Done"}, [2])


@pytest.mark.parametrize("command", ["LOGIN", "SELECT", "SEARCH", "FETCH", "STORE"])
async def test_wherever_the_connection_is_lost_the_next_pass_finishes_and_nothing_is_handled_twice(command: str) -> None:
    kept = Kept()
    async with ImapServer(mails={1: b"\r\none", 2: b"\r\ntwo"}, drop_at=command) as server:
        box = inbox(server)
        with pytest.raises(MailboxError, match=r"127\.0\.0\.1"):
            await box.receive(kept)
        assert await box.receive(kept) == {"1": True, "2": True}
        assert server.connections == 2
        assert server.flags == {1: {"\\Seen"}, 2: {"\\Seen"}}
    assert [raw for raw, _ in kept.mails] == [b"\r\none", b"\r\ntwo"]


async def test_numbers_of_a_folder_made_anew_are_other_mails() -> None:
    kept = Kept()
    async with ImapServer(mails={1: b"\r\nold"}, refuse="STORE") as server:
        box = inbox(server)
        for _ in range(2):
            with pytest.raises(MailboxError, match="marked as seen"):
                await box.receive(kept)
        server.mails, server.validity, server.refuse = {1: b"\r\nnew"}, 8, None
        await box.receive(kept)
    assert [raw for raw, _ in kept.mails] == [b"\r\nold", b"\r\nnew"]


async def test_an_enormous_mail_is_cut_by_the_server_itself_and_one_taken_away_is_no_trouble() -> None:
    kept = Kept()
    async with ImapServer(mails={1: b"x" * 50_000, 2: b"gone"}) as server:
        server.refuse = None
        box = inbox(server, size_limit=1000)
        assert await box.receive(kept, limit=1) == {"1": True}
        del server.mails[2]
        assert not await box.receive(kept)
    assert [len(raw) for raw, _ in kept.mails] == [1000]


async def test_a_wrong_password_is_told_without_it() -> None:
    async with ImapServer(mails={}) as server:
        with pytest.raises(MailboxError) as told:
            await inbox(server, password="wrong-secret").receive(Kept())
    assert "wrong-secret" not in str(told.value)


async def test_tls_is_the_rule_and_its_certificate_is_checked() -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(CERTIFICATE)
    kept = Kept()
    async with ImapServer(mails={1: b"\r\none"}, tls=server_side) as server:
        address = f"imaps://paper%40x.org@localhost:{server.port}/INBOX"
        with pytest.raises(MailboxError, match="CERTIFICATE"):
            await ImapInbox(address, PASSWORD).receive(kept)
        trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
        assert await ImapInbox(address, PASSWORD, tls=trusting).receive(kept) == {"1": True}
    async with ImapServer(mails={1: b"\r\none"}, refuse="STARTTLS") as server:
        with pytest.raises(MailboxError):  # never in clear, unless that was asked for
            await ImapInbox(f"imap://paper%40x.org@127.0.0.1:{server.port}", PASSWORD, timeout=5).receive(kept)
        assert not [each for each in server.said if each.startswith("LOGIN")]


def test_the_password_comes_from_a_file_and_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "paperround.toml"
    file.write_text('[inbox]\nimap = "imaps://paper@x.org@mail.x.org/INBOX"\n')
    with pytest.raises(ConfigError, match="imap_password_file"):
        imap_inbox(load_settings(file, {}))
    file.write_text(file.read_text() + 'imap_password_file = "secret"\n')
    with pytest.raises(ConfigError, match="imap_password_file"):
        imap_inbox(load_settings(file, {}))
    (tmp_path / "secret").write_text("hunter2\n")
    assert imap_inbox(load_settings(file, {})) is not None
    file.write_text("")
    assert imap_inbox(load_settings(file, {})) is None
