"""Every line of the SMTP rules, on a real server that misbehaves on demand."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.delivery.smtp import SmtpSettings, SmtpTransport, stuffed, wire_address
from paperround.models import Envelope, SendResult, SmtpPhase


def mail(number: int = 1, *, recipient: str = "ada@example.org", body: bytes = b"hello\r\n", sender: str = "b@lists.example") -> Envelope:
    message_id = f"{number}@lists.example"
    message = b"Message-ID: <%s>\r\nSubject: x\r\n\r\n%s" % (message_id.encode(), body)
    return Envelope(sender=sender, recipient=recipient, message=message, message_id=message_id)


async def go() -> bool:
    return True


async def stay() -> bool:
    return False


def relay(server: Any, **more: Any) -> SmtpTransport:
    times = {"connect_timeout": 5.0, "command_timeout": 5.0, "dot_timeout": 5.0} | more
    return SmtpTransport(SmtpSettings(host="127.0.0.1", port=server.port, hostname="lists.example", **times))


async def sent(transport: SmtpTransport, envelope: Envelope, before: Callable[[], Awaitable[bool]] = go) -> SendResult:
    result = await transport.send(envelope, before_mail=before)
    assert result is not None
    return result


async def one(
    smtp_server: ModuleType, envelope: Envelope | None = None, *, faults: Any = (), times: Any = None, **server: Any
) -> tuple[SendResult, Any]:
    """One mail to a server of its own: what came of it, and the server's memory."""
    async with smtp_server.ScriptedServer(faults=list(faults), **server) as running:
        transport = relay(running, **(times or {}))
        try:
            return await sent(transport, envelope or mail()), running
        finally:
            await transport.close()


async def test_a_mail_arrives_byte_for_byte_with_one_recipient_and_its_envelope(smtp_server: ModuleType) -> None:
    envelope = mail(body=b".hidden\r\n..two\r\n.\r\nend\r\n", sender="bounce+abc.def@lists.example")
    result, server = await one(smtp_server, envelope)
    assert (result.accepted, result.code, result.enhanced) == (True, 250, "2.0.0")
    (accepted,) = server.accepted
    assert accepted.content == envelope.message
    assert (accepted.sender, accepted.recipient) == (envelope.sender, envelope.recipient)
    assert server.said("RCPT") == ["RCPT TO:<ada@example.org>"]
    assert server.said("EHLO") == ["EHLO lists.example"]


LATER, NEVER = "450 4.2.0 later", "550 5.1.1 never"


@pytest.mark.parametrize("reply", [LATER, NEVER, "421 4.3.2 closing"])
@pytest.mark.parametrize("step", ["banner", "ehlo", "mail", "rcpt", "data", "dot"])
async def test_a_reply_is_reported_with_its_phase_and_codes(smtp_server: ModuleType, step: str, reply: str) -> None:
    result, server = await one(smtp_server, faults=[smtp_server.Fault(step=step, do=reply)])
    assert not result.accepted
    assert result.phase == SmtpPhase(step)
    assert result.code == int(reply[:3])
    assert step == "banner" or result.enhanced == reply.split()[1]
    assert reply.split()[-1] in result.reply
    assert server.accepted == []


@pytest.mark.parametrize("how", ["drop", "half", "garbage", "stall"])
@pytest.mark.parametrize("step", ["banner", "ehlo", "mail", "rcpt", "data", "dot"])
async def test_silence_and_gibberish_are_reported_as_no_answer_in_their_phase(smtp_server: ModuleType, step: str, how: str) -> None:
    short = {"connect_timeout": 0.3, "command_timeout": 0.3, "dot_timeout": 0.3}
    result, server = await one(smtp_server, faults=[smtp_server.Fault(step=step, do=how)], times=short)
    assert (result.accepted, result.code) == (False, None)
    assert result.phase == (SmtpPhase.CONNECT if step == "banner" else SmtpPhase(step))
    assert server.accepted == []


async def test_a_loss_right_after_the_final_dot_is_told_from_one_before_it(smtp_server: ModuleType) -> None:
    after, server = await one(smtp_server, faults=[smtp_server.Fault(step="dot", do="accept-and-drop")])
    assert (after.accepted, after.phase, after.code) == (False, SmtpPhase.DOT, None)
    assert server.message_ids == ["<1@lists.example>"]
    before, server = await one(smtp_server, faults=[smtp_server.Fault(step="data", do="drop")])
    assert (before.phase, before.code, server.accepted) == (SmtpPhase.DATA, None, [])


async def test_nobody_listening_is_a_connection_that_failed(unused_port: int) -> None:
    transport = SmtpTransport(SmtpSettings(host="127.0.0.1", port=unused_port))
    result = await sent(transport, mail())
    assert (result.accepted, result.phase, result.code, result.enhanced) == (False, SmtpPhase.CONNECT, None, None)


async def test_before_mail_is_asked_once_when_the_connection_stands_and_before_mail_is_said(smtp_server: ModuleType) -> None:
    async with smtp_server.ScriptedServer() as server:
        transport = relay(server)
        heard: list[list[str]] = []

        async def listen() -> bool:
            heard.append([line.split()[0] for _, line in server.commands])
            return True

        await sent(transport, mail(), listen)
        assert heard == [["EHLO"]]
        await transport.close()


async def test_a_no_before_mail_sends_nothing_and_keeps_the_connection(smtp_server: ModuleType) -> None:
    async with smtp_server.ScriptedServer() as server:
        transport = relay(server)
        assert await transport.send(mail(1), before_mail=stay) is None
        assert server.said("MAIL") == []
        assert (await sent(transport, mail(2))).accepted
        assert server.connections == 1
        await transport.close()


async def test_a_storage_error_before_mail_comes_through_and_nothing_is_said(smtp_server: ModuleType) -> None:
    async def broken() -> bool:
        raise RuntimeError("database is locked")

    async with smtp_server.ScriptedServer() as server:
        transport = relay(server)
        with pytest.raises(RuntimeError, match="locked"):
            await transport.send(mail(1), before_mail=broken)
        assert (await sent(transport, mail(2))).accepted
        assert (server.connections, server.message_ids) == (1, ["<2@lists.example>"])
        await transport.close()


async def test_a_refused_recipient_spoils_neither_the_connection_nor_the_next_mail(smtp_server: ModuleType) -> None:
    faults = [smtp_server.Fault(step="rcpt", do=NEVER, when=lambda argument: "bob" in argument)]
    async with smtp_server.ScriptedServer(faults=faults) as server:
        transport = relay(server, connections=1)
        codes = [(await sent(transport, mail(n, recipient=who))).code for n, who in enumerate(["bob@x.org", "ada@x.org", "bob@x.org"])]
        assert codes == [550, 250, 550]
        assert server.connections == 1
        assert [accepted.recipient for accepted in server.accepted] == ["ada@x.org"]
        await transport.close()


@pytest.mark.parametrize("step", ["rcpt", "dot"])
async def test_after_421_the_next_mail_goes_over_a_fresh_connection(smtp_server: ModuleType, step: str) -> None:
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step=step, do="421 bye", times=1)]) as server:
        transport = relay(server, connections=1)
        results = [await sent(transport, mail(n)) for n in (1, 2)]
        assert [result.code for result in results] == [421, 250]
        assert server.connections == 2
        await transport.close()


@pytest.mark.parametrize("do", ["421 4.4.2 too long idle", "drop"])
async def test_a_reused_connection_that_has_died_meanwhile_costs_the_mail_nothing(smtp_server: ModuleType, do: str) -> None:
    second = smtp_server.Fault(step="mail", do=do, times=1, when=lambda argument: "second" in argument)
    async with smtp_server.ScriptedServer(faults=[second]) as server:
        transport = relay(server, connections=1)
        asked = []

        async def ask() -> bool:
            asked.append(len(server.said("MAIL")))
            return True

        assert (await sent(transport, mail(1), ask)).accepted
        assert (await sent(transport, mail(2, sender="second@lists.example"), ask)).accepted
        assert (asked, server.connections) == ([0, 1], 2)
        assert server.message_ids == ["<1@lists.example>", "<2@lists.example>"]
        await transport.close()


async def test_a_hundred_mails_share_a_connection_and_a_worn_out_one_is_replaced(smtp_server: ModuleType) -> None:
    async with smtp_server.ScriptedServer() as server:
        transport = relay(server, connections=1, max_messages=100)
        assert all([(await sent(transport, mail(n))).accepted for n in range(101)])
        assert [sum(each.connection == n for each in server.accepted) for n in (1, 2)] == [100, 1]
        assert len(server.said("QUIT")) == 1
        await transport.close()


async def test_an_old_connection_is_replaced_and_an_idle_one_is_asked_first(smtp_server: ModuleType) -> None:
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step="noop", do="drop", times=1)]) as server:
        idle = relay(server, connections=1, idle_check=0.0)
        for number in (1, 2, 3):
            assert (await sent(idle, mail(number))).accepted
        assert (len(server.said("NOOP")), server.connections) == (2, 2)  # the first NOOP found it gone, the second found it well
        old = relay(server, connections=1, max_age=0.0)
        assert [(await sent(old, mail(number))).accepted for number in (4, 5)] == [True, True]
        assert server.connections == 4
        await idle.close()
        await old.close()


async def test_never_more_connections_than_allowed_and_each_carries_one_mail_at_a_time(smtp_server: ModuleType) -> None:
    async with smtp_server.ScriptedServer(latency=0.002) as server:
        transport = relay(server, connections=3)
        results = await asyncio.gather(*(transport.send(mail(n), before_mail=go) for n in range(30)))
        assert all(result is not None and result.accepted for result in results)
        assert (server.connections, server.most_open) == (3, 3)
        assert len(set(server.message_ids)) == 30
        await transport.close()
        assert len(server.said("QUIT")) == 3


async def test_a_send_that_is_cancelled_gives_its_place_back_but_not_its_connection(smtp_server: ModuleType) -> None:
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step="dot", do="stall", times=1)]) as server:
        transport = relay(server, connections=1)
        task = asyncio.create_task(transport.send(mail(1), before_mail=go))
        async with asyncio.timeout(5):
            while not server.said("DATA"):  # noqa: ASYNC110  (the server has no event to wait for)
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await sent(transport, mail(2))).accepted
        assert (server.connections, server.message_ids) == (2, ["<2@lists.example>"])
        await transport.close()


async def test_a_mail_under_way_is_finished_after_close_and_its_connection_does_not_linger(smtp_server: ModuleType) -> None:
    async with smtp_server.ScriptedServer(latency=0.02) as server:
        transport = relay(server, connections=1)
        under_way = asyncio.create_task(transport.send(mail(1), before_mail=go))
        await asyncio.sleep(0.05)
        await transport.close()
        result = await under_way
        assert result is not None
        assert result.accepted
        async with asyncio.timeout(5):
            while server.open_now:  # noqa: ASYNC110  (the server has no event to wait for)
                await asyncio.sleep(0.01)


# ---------------------------------------------------------------- TLS and credentials


async def test_starttls_is_used_when_offered_and_ehlo_is_said_again(smtp_server: ModuleType) -> None:
    result, server = await one(smtp_server, starttls=True)
    assert result.accepted
    assert [line.split()[0] for _, line in server.commands[:4]] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]


async def test_credentials_go_over_tls_alone(smtp_server: ModuleType) -> None:
    login = {"username": "ada", "password": "pass word", "tls_context": smtp_server.trusting()}
    result, server = await one(smtp_server, starttls=True, users={"ada": "pass word"}, times=login)
    assert result.accepted
    assert server.said("AUTH") == ["AUTH encrypted=True"]
    stripped, server = await one(smtp_server, users={"ada": "pass word"}, auth_in_clear=True, times=login)
    assert (stripped.accepted, stripped.phase, stripped.code, stripped.enhanced) == (False, SmtpPhase.AUTH, None, "5.7.11")
    assert server.said("AUTH") == []


async def test_wrong_credentials_are_the_servers_refusal_of_us(smtp_server: ModuleType) -> None:
    login = {"username": "ada", "password": "wrong", "tls_context": smtp_server.trusting()}
    result, server = await one(smtp_server, starttls=True, users={"ada": "right"}, times=login)
    assert (result.phase, result.code) == (SmtpPhase.AUTH, 535)
    assert server.said("MAIL") == []


async def test_a_stripped_starttls_is_refused_when_required(smtp_server: ModuleType) -> None:
    result, server = await one(smtp_server, times={"starttls": "required"})
    assert (result.accepted, result.phase, result.code, result.enhanced) == (False, SmtpPhase.STARTTLS, None, "5.7.10")
    assert server.said("MAIL") == []


async def test_a_certificate_that_does_not_verify_stops_where_tls_is_a_promise(smtp_server: ModuleType) -> None:
    strict = ssl.create_default_context()
    for server_options, times in (({"starttls": True}, {"starttls": "required"}), ({"tls": True}, {"tls": True})):
        result, server = await one(smtp_server, **server_options, times=times | {"tls_context": strict})
        assert (result.accepted, result.phase, result.enhanced) == (False, SmtpPhase.STARTTLS, "5.7.5")
        assert server.said("MAIL") == []


async def test_smtps_speaks_tls_from_the_first_byte(smtp_server: ModuleType) -> None:
    login = {"tls": True, "tls_context": smtp_server.trusting()}
    result, server = await one(smtp_server, tls=True, times=login)
    assert result.accepted
    assert server.said("STARTTLS") == []


async def test_a_refused_starttls_is_reported_as_such(smtp_server: ModuleType) -> None:
    result, _ = await one(smtp_server, starttls=True, faults=[smtp_server.Fault(step="starttls", do="454 4.7.0 not now")])
    assert (result.phase, result.code) == (SmtpPhase.STARTTLS, 454)


async def test_a_server_that_knows_no_ehlo_is_greeted_with_helo(smtp_server: ModuleType) -> None:
    result, server = await one(smtp_server, faults=[smtp_server.Fault(step="ehlo", do="502 what?")])
    assert result.accepted
    assert server.said("HELO") == ["HELO lists.example"]


# ---------------------------------------------------------------- size, addresses, bytes


async def test_the_announced_size_is_honoured_before_anything_is_said(smtp_server: ModuleType) -> None:
    result, server = await one(smtp_server, mail(body=b"x" * 70 + b"\r\n" * 2000), size=2000)
    assert (result.phase, result.code, result.enhanced) == (SmtpPhase.LOCAL, None, "5.3.4")
    assert server.said("MAIL") == []
    fitting, server = await one(smtp_server, size=2000)
    assert fitting.accepted
    assert " SIZE=" in server.said("MAIL")[0]


async def test_a_domain_beyond_ascii_is_said_as_a_labels(smtp_server: ModuleType) -> None:
    result, server = await one(smtp_server, mail(recipient="ada@bücher.example"))
    assert result.accepted
    assert server.said("RCPT") == ["RCPT TO:<ada@xn--bcher-kva.example>"]


async def test_a_local_part_beyond_ascii_needs_smtputf8_or_fails_clearly(smtp_server: ModuleType) -> None:
    accepted, server = await one(smtp_server, mail(recipient="jürgen@example.org"), smtputf8=True)
    assert accepted.accepted
    assert server.said("MAIL")[0].endswith(" SMTPUTF8")
    assert server.accepted[0].recipient == "jürgen@example.org"
    failed, server = await one(smtp_server, mail(recipient="jürgen@example.org"))
    assert (failed.accepted, failed.phase, failed.enhanced) == (False, SmtpPhase.LOCAL, "5.6.7")
    assert "SMTPUTF8" in failed.reply
    assert server.said("MAIL") == []


@pytest.mark.parametrize("address", ["a b@x.org", "a@x.org> SIZE=1", "a\r\nRSET@x.org", "<a@x.org>", "a", "@x.org", "a@", "a@\x00.org"])
async def test_an_address_that_could_say_more_than_itself_is_never_sent(smtp_server: ModuleType, address: str) -> None:
    result, server = await one(smtp_server, mail(recipient=address))
    assert (result.accepted, result.phase, result.enhanced) == (False, SmtpPhase.LOCAL, "5.1.3")
    assert server.commands == []


@given(st.text(max_size=40), st.text(max_size=40))
def test_an_address_goes_on_the_wire_whole_or_not_at_all(local: str, domain: str) -> None:
    try:
        wire = wire_address(f"{local}@{domain}")
    except ValueError:
        return
    assert not any(mark in wire for mark in "\r\n\0 <>")
    assert wire.rpartition("@")[2].isascii()


@given(st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b"\n", b"\r", b"\r\n.\r\n", b"\n.\r\n", b"\r.\r"]), max_size=30).map(b"".join))
def test_no_message_can_end_itself_early_or_lose_a_dot(message: bytes) -> None:
    wire = stuffed(message)
    lines = wire.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")
    whole = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert [line.removeprefix(b".") for line in lines[:-2]] == (whole[:-1] if whole[-1] == b"" and len(whole) > 1 else whole)


async def test_what_a_server_says_is_kept_short_and_printable(smtp_server: ModuleType) -> None:
    result, _ = await one(smtp_server, faults=[smtp_server.Fault(step="rcpt", do="550-5.7.1 first\r\n550 5.7.1 \x00\x1b[31m" + "x" * 900)])
    assert (result.code, result.enhanced) == (550, "5.7.1")
    assert result.reply.isprintable()
    assert len(result.reply) <= 500


# ---------------------------------------------------------------- the server as a program


def test_the_scripted_server_runs_as_a_program_and_logs_what_it_accepted(tmp_path: Path) -> None:
    program, log = Path(__file__).with_name("smtp_server.py"), tmp_path / "accepted.log"
    command = [sys.executable, str(program), "--port", "0", "--log", str(log), "--fault", "rcpt=450 4.2.0 later*1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[1])

            async def send_three() -> list[bool]:
                transport = SmtpTransport(SmtpSettings(host="127.0.0.1", port=port, connections=1))
                results = [await sent(transport, mail(number)) for number in (1, 2, 3)]
                await transport.close()
                return [result.accepted for result in results]

            assert asyncio.run(send_three()) == [False, True, True]
        finally:
            process.terminate()
    assert log.read_text().splitlines() == ["<2@lists.example>", "<3@lists.example>"]
    assert process.returncode == 0


def test_a_password_is_in_no_description_of_the_settings() -> None:
    assert "s3cret" not in repr(SmtpSettings(host="x", port=25, username="ada", password="s3cret"))
