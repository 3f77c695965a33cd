"""The engine, with a real database and a mail server that misbehaves at every step: what each answer comes to for a reader."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from paperround.delivery.outbox import RetryRules
from paperround.delivery.pacing import PaceRules
from paperround.delivery.smtp import Sessions
from paperround.delivery.transports import open_relays
from paperround.models import Delivery, DeliveryState, EngineId, Envelope, MailKind
from paperround.pipeline.deliver import Delivered, DeliverRules, DeliveryRun
from paperround.pipeline.messages import Letter
from paperround.records import NewDelivery
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers.signed_links import KeyRing, fold_address, read_verp, verp_address
from paperround.testing import FixedClock

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
KEYS = KeyRing((b"k" * 32,))


class PlainMessages:
    """Letters whose words do not matter here."""

    async def letters(self, deliveries: Sequence[Delivery]) -> list[Letter]:
        return [Letter(delivery=each) for each in deliveries]

    def envelope(self, letter: Letter, now: datetime) -> Envelope:
        each = letter.delivery
        message = f"Message-ID: <{each.message_id}>\r\nSubject: x\r\n\r\nhello\r\n".encode()
        sender = verp_address(KEYS, each.id, "lists.example")
        return Envelope(sender=sender, recipient=each.recipient, message=message, message_id=each.message_id)


@dataclass
class Engine:
    storage: SqlStorage
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))

    async def queue(self, *recipients: str) -> None:
        for number, recipient in enumerate(recipients):
            name = f"{number}.{recipient.partition('@')[0]}@lists.example"
            new = NewDelivery(kind=MailKind.ANSWER, subscriber_id=None, recipient=recipient, message_id=name, values={})
            await self.storage.queue(new, now=self.clock.now())

    def run(self, *servers: Any, pace: PaceRules | None = None, workers: int = 2, **rules: Any) -> tuple[DeliveryRun, Any]:
        ports = [server if isinstance(server, int) else server.port for server in servers]
        sessions = Sessions(connections=workers, hostname="lists.example")
        transport = open_relays([f"smtp://127.0.0.1:{port}?starttls=never" for port in ports], sessions=sessions)
        given = DeliverRules(retries=RetryRules(), workers=workers, engine=EngineId("test"), pace=pace or PaceRules(), **rules)
        return DeliveryRun(self.storage, transport, PlainMessages(), self.clock, self.clock, given), transport  # type: ignore[arg-type]

    async def deliver(self, *servers: Any, **more: Any) -> Delivered:
        run, transport = self.run(*servers, **more)
        try:
            return await run.run()
        finally:
            await transport.close()

    async def rows(self) -> list[Delivery]:
        return [each for number in range(1, 400) if (each := await self.storage.delivery(number)) is not None]  # type: ignore[arg-type]

    async def states(self) -> list[str]:
        return [each.state.value for each in await self.rows()]

    async def suppressed(self) -> list[str]:
        return [row["address"] for row in await self.storage.suppressions()]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    storage = await open_storage(f"sqlite:///{tmp_path}/test.db", fold=fold_address)
    yield Engine(storage)
    await storage.close()


# ---------------------------------------------------------------- each answer at each step


@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("reply", ["421 4.3.2 closing", "450 4.2.1 busy", "451 4.3.0 trouble", "452 4.2.2 full"])
async def test_later_at_any_step_of_a_mail_defers_that_mail_alone(engine: Engine, smtp_server: ModuleType, step: str, reply: str) -> None:
    await engine.queue("ada@example.org", "bob@example.org")
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step=step, do=reply, times=1)]) as server:
        done = await engine.deliver(server, workers=1)
    assert (done.sent, done.deferred, done.fault) == (1, 1, None)
    assert await engine.suppressed() == []
    (waiting,) = [each for each in await engine.rows() if each.state is DeliveryState.DEFERRED]
    assert waiting.next_attempt_at is not None
    assert timedelta(minutes=27) <= waiting.next_attempt_at - NOW <= timedelta(minutes=33)


@pytest.mark.parametrize("step", ["rcpt", "data", "dot"])
async def test_never_at_the_recipient_or_the_message_fails_at_once(engine: Engine, smtp_server: ModuleType, step: str) -> None:
    await engine.queue("ada@example.org", "bob@example.org")
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step=step, do="550 5.1.1 no such user", times=1)]) as server:
        done = await engine.deliver(server, workers=1)
    assert (done.sent, done.failed, done.fault) == (1, 1, None)
    assert await engine.suppressed() == ["ada@example.org"]


@pytest.mark.parametrize("step", ["banner", "auth", "mail"])
async def test_a_refusal_of_us_stops_the_run_and_suppresses_nobody(engine: Engine, smtp_server: ModuleType, step: str) -> None:
    await engine.queue("ada@example.org", "bob@example.org", "eve@example.org")
    fault = smtp_server.Fault(step=step, do="550 5.7.1 your server is not welcome")
    async with smtp_server.ScriptedServer(faults=[fault], users={"ada": "x"}, auth_in_clear=True) as server:
        run, transport = engine.run(server, workers=1)
        transport._settings = type(transport._settings)(host="127.0.0.1", port=server.port, username="ada", password="x", starttls="never")
        done = await run.run()
        await transport.close()
    assert step in str(done.fault)
    assert "your server is not welcome" in str(done.fault)
    assert (done.sent, done.failed) == (0, 0)
    assert await engine.suppressed() == []
    assert set(await engine.states()) <= {"queued", "deferred"}
    assert all(each.attempts == 0 for each in await engine.rows())


async def test_a_storm_of_policy_refusals_stops_the_run_and_suppresses_nobody(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue(*(f"reader{n}@example.org" for n in range(60)))
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step="rcpt", do="550 5.7.1 no such user; blocked")]) as server:
        done = await engine.deliver(server)
    assert "refusals by policy in a row" in str(done.fault)
    assert await engine.suppressed() == []
    assert (await engine.states()).count("queued") >= 35


async def test_a_refusal_for_size_at_the_recipient_counts_as_later(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue("ada@example.org")
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step="rcpt", do="552 5.2.2 mailbox full")]) as server:
        assert (await engine.deliver(server)).deferred == 1
    assert await engine.suppressed() == []


@pytest.mark.parametrize("how", ["accept-and-drop", "drop", "half", "garbage"])
async def test_a_loss_after_the_final_dot_is_in_doubt_and_never_sent_again_by_itself(
    engine: Engine, smtp_server: ModuleType, how: str
) -> None:
    await engine.queue("ada@example.org")
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step="dot", do=how, times=1)]) as server:
        assert (await engine.deliver(server)).in_doubt == 1
        engine.clock.advance(days=2)
        assert (await engine.deliver(server)).sent == 0
        assert len(server.said("DATA")) == 1
        assert await engine.storage.resend_in_doubt(engine.clock.now()) == 1
        assert (await engine.deliver(server)).sent == 1
    assert set(server.message_ids) == {"<0.ada@lists.example>"}


@pytest.mark.parametrize(("step", "how"), [("data", "drop"), ("data", "half"), ("rcpt", "half"), ("mail", "garbage")])
async def test_a_loss_before_the_final_dot_is_tried_again(engine: Engine, smtp_server: ModuleType, step: str, how: str) -> None:
    await engine.queue("ada@example.org")
    async with smtp_server.ScriptedServer(faults=[smtp_server.Fault(step=step, do=how, times=1)]) as server:
        lost = await engine.deliver(server)
        assert (lost.deferred, lost.in_doubt) == (1, 0)
        engine.clock.advance(hours=1)
        assert (await engine.deliver(server)).sent == 1


async def test_every_mail_has_one_recipient_and_a_sender_that_names_its_delivery(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue("ada@example.org", "bob@example.org")
    async with smtp_server.ScriptedServer() as server:
        await engine.deliver(server)
    assert len(server.said("RCPT")) == len(server.said("DATA")) == 2
    senders = {each.recipient: each.sender for each in server.accepted}
    assert {each.recipient: each.id for each in await engine.rows()} == {who: read_verp(KEYS, sender) for who, sender in senders.items()}
    name, _, domain = senders["ada@example.org"].partition("@")
    assert read_verp(KEYS, f"{name[:-1]}{'a' if name[-1] != 'a' else 'b'}@{domain}") is None


# ---------------------------------------------------------------- several relays


async def test_a_second_relay_takes_over_when_the_first_is_down_and_the_first_is_left_alone(
    engine: Engine, smtp_server: ModuleType, unused_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.queue(*(f"reader{n}@example.org" for n in range(9)))
    async with smtp_server.ScriptedServer() as second:
        done = await engine.deliver(unused_port, second)
    assert (done.sent, done.fault, len(second.accepted)) == (9, None, 9)
    assert all(each.attempts == 1 for each in await engine.rows())
    assert "cannot be used" in caplog.text


async def test_the_relay_that_stands_first_is_preferred(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue("ada@example.org", "bob@example.org")
    async with smtp_server.ScriptedServer() as first, smtp_server.ScriptedServer() as second:
        assert (await engine.deliver(first, second)).sent == 2
    assert (len(first.accepted), second.connections) == (2, 0)


async def test_a_relay_that_says_later_at_its_banner_hands_over_to_the_next(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue("ada@example.org")
    closed = smtp_server.Fault(step="banner", do="421 4.3.2 down for work")
    async with smtp_server.ScriptedServer(faults=[closed]) as first, smtp_server.ScriptedServer() as second:
        assert (await engine.deliver(first, second)).sent == 1
    assert first.accepted == []


async def test_what_one_relay_refuses_for_good_no_other_is_asked(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue("ada@example.org")
    refusing = smtp_server.Fault(step="banner", do="554 5.7.1 you are listed")
    async with smtp_server.ScriptedServer(faults=[refusing]) as first, smtp_server.ScriptedServer() as second:
        done = await engine.deliver(first, second)
    assert "you are listed" in str(done.fault)
    assert second.connections == 0


async def test_when_all_relays_are_down_the_run_stops_and_every_mail_waits(engine: Engine, unused_port: int) -> None:
    await engine.queue("ada@example.org", "bob@example.org")
    done = await engine.deliver(unused_port, unused_port)
    assert "the relay cannot be used" in str(done.fault)
    assert await engine.states() == ["queued", "queued"]


async def test_a_relay_that_allows_fewer_connections_is_used_with_fewer(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue(*(f"reader{n}@example.org" for n in range(30)))
    async with smtp_server.ScriptedServer(latency=0.002, most=2) as server:
        done = await engine.deliver(server, workers=6)
    assert (done.sent, done.fault) == (30, None)


# ---------------------------------------------------------------- pace


async def test_a_slow_domain_slows_only_itself(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue(*(f"s{n}@slow.example" for n in range(250)), *(f"f{n}@fast.example" for n in range(50)))
    stall = smtp_server.Fault(step="rcpt", do="stall", when=lambda argument: "slow.example" in argument)
    async with smtp_server.ScriptedServer(faults=[stall]) as server:
        run, transport = engine.run(server, workers=4, pace=PaceRules(domain_connections=3))
        task = asyncio.create_task(run.run())
        async with asyncio.timeout(20):
            while len(server.accepted) < 50:  # noqa: ASYNC110  (the server has no event to wait for)
                await asyncio.sleep(0.01)
        assert {each.recipient.partition("@")[2] for each in server.accepted} == {"fast.example"}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await transport.close()


async def test_a_domain_that_keeps_saying_later_rests_and_its_mails_stay_untried(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue(*(f"s{n}@busy.example" for n in range(40)), *(f"f{n}@fast.example" for n in range(20)))
    later = smtp_server.Fault(step="rcpt", do="451 4.7.0 slow down", when=lambda argument: "busy.example" in argument)
    async with smtp_server.ScriptedServer(faults=[later]) as server:
        done = await engine.deliver(server, pace=PaceRules(most_refusals=5))
    assert done.sent == 20
    assert 5 <= done.deferred <= 7
    assert (await engine.states()).count("queued") == 40 - done.deferred
    assert any("busy.example" in note for note in done.notes)


async def test_a_quota_is_never_passed_and_counts_what_went_before(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue(*(f"reader{n}@example.org" for n in range(12)))
    hourly = {timedelta(hours=1): 5}
    async with smtp_server.ScriptedServer() as server:
        counts = []
        for _ in range(3):
            counts += [(await engine.deliver(server, quotas=hourly)).sent for _ in range(2)]
            engine.clock.advance(minutes=61)
    assert counts == [5, 0, 5, 0, 2, 0]


async def test_a_mail_that_ends_while_the_quota_is_counted_is_not_forgotten(
    engine: Engine, smtp_server: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.queue(*(f"reader{n}@example.org" for n in range(12)))
    count = engine.storage.count_sent

    async def counted_earlier(since: datetime) -> int:
        counted = await count(since)
        await asyncio.sleep(0.1)
        return counted

    monkeypatch.setattr(engine.storage, "count_sent", counted_earlier)
    async with smtp_server.ScriptedServer() as server:
        assert (await engine.deliver(server, quotas={timedelta(hours=1): 5})).sent == 5


# ---------------------------------------------------------------- stopping


async def test_a_quiet_stop_finishes_what_is_under_way_and_gives_the_rest_back(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue(*(f"reader{n}@example.org" for n in range(40)))
    async with smtp_server.ScriptedServer(latency=0.01) as server:
        run, transport = engine.run(server)
        task = asyncio.create_task(run.run())
        async with asyncio.timeout(10):
            while len(server.accepted) < 3:  # noqa: ASYNC110  (the server has no event to wait for)
                await asyncio.sleep(0.005)
        run.stop()
        done = await task
        await transport.close()
        assert done.sent == len(server.accepted) < 40
        assert sorted(set(await engine.states())) == ["queued", "sent"]
        assert done.sent + (await engine.deliver(server)).sent == 40
    assert len(set(server.message_ids)) == len(server.message_ids) == 40


async def test_memory_holds_a_window_of_the_queue_and_never_all_of_it(engine: Engine, smtp_server: ModuleType) -> None:
    await engine.queue(*(f"reader{n}@domain{n % 3}.example" for n in range(390)))
    async with smtp_server.ScriptedServer(keep_content=False) as server:
        run, transport = engine.run(server)
        most = 0
        claim = engine.storage.claim

        async def watched(*given: Any, **more: Any) -> list[Delivery]:
            nonlocal most
            claimed = await claim(*given, **more)
            most = max(most, run.lanes.waiting + len(claimed))
            return claimed

        engine.storage.claim = watched  # type: ignore[method-assign]
        assert (await run.run()).sent == 390
        await transport.close()
    assert most <= 300
