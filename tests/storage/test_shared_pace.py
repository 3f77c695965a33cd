"""Two processes' worth of parts on one database keep the rates that they share."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from paperround.delivery.outbox import RetryRules
from paperround.delivery.pacing import PaceRules
from paperround.models import Delivery, EngineId, Envelope, MailKind, SendResult
from paperround.pipeline.deliver import DeliverRules, DeliveryRun
from paperround.pipeline.messages import Letter
from paperround.records import NewDelivery
from paperround.sources.fetcher import HttpFetcher
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.testing import FixedClock

MAILS, RATE = 40, 40.0
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Bare:
    """Letters without content."""

    async def letters(self, deliveries: list[Delivery]) -> list[Letter]:
        return [Letter(delivery=each) for each in deliveries]

    def envelope(self, letter: Letter, _now: datetime) -> Envelope:
        return Envelope(sender="a@example.org", recipient=letter.delivery.recipient, message=b"", message_id="")


@dataclass
class Timed:
    began: list[float] = field(default_factory=list)

    async def send(self, _envelope: Envelope, *, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        self.began.append(time.monotonic())
        return SendResult(accepted=True, code=250) if await before_mail() else None

    async def close(self) -> None: ...


@asynccontextmanager
async def two(url: str) -> AsyncIterator[list[SqlStorage]]:
    async with AsyncExitStack() as stack:
        opened = [await open_storage(url) for _ in range(2)]
        for each in opened:
            stack.push_async_callback(each.close)
        yield opened


async def test_two_engines_together_keep_the_rate_that_they_share(url: str) -> None:
    async with two(url) as storages:
        for number in range(MAILS):
            new = NewDelivery(
                kind=MailKind.ANSWER, subscriber_id=None, recipient=f"r{number}@example.org", message_id=str(number), values={}
            )
            await storages[0].queue(new, now=NOW)
        timed, clock = Timed(), FixedClock(NOW)
        pace = PaceRules(per_second=RATE, domain_per_second=RATE, shared=True)
        runs = [
            DeliveryRun(each, timed, Bare(), clock, WallClock(), DeliverRules(retries=RetryRules(), engine=EngineId(name), pace=pace))  # type: ignore[arg-type]
            for each, name in zip(storages, "ab", strict=True)
        ]
        started = time.monotonic()
        done = await asyncio.gather(*(run.run() for run in runs))
    assert sum(each.sent for each in done) == MAILS
    assert max(timed.began) - started >= (MAILS - 1) / RATE - 0.01


async def test_two_fetchers_together_keep_the_pace_of_a_host(url: str) -> None:
    asked: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(time.monotonic())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def turn(host: str, pace: float) -> float:
        return (await storages[0].reserve({host: (1, pace)}, datetime.now(UTC)))[host]

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    given = {"user_agent": "test", "allow_private_hosts": ["localhost"], "pace": {"localhost": 0.2}, "turn": turn}
    async with two(url) as storages, server, aclosing(HttpFetcher(**given)) as one, aclosing(HttpFetcher(**given)) as other:
        started = time.monotonic()
        await asyncio.gather(*(fetcher.fetch(f"http://localhost:{port}/") for fetcher in (one, other) for _ in range(2)))
    assert max(asked) - started >= 3 * 0.2 - 0.01
