"""Deliver: claim what is due, say `sending` before MAIL, hand it to the relay, write down what the relay answered."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Generic, TypeVar

from paperround.delivery import outbox
from paperround.delivery.pacing import Lanes, PaceRules, domain_of
from paperround.errors import PaperroundError, StorageError, TemplateError
from paperround.models import Delivery, DeliveryId, DeliveryState, EngineId, SendResult, SmtpPhase
from paperround.pipeline.interfaces import Clock, Storage, Transport
from paperround.pipeline.messages import Letter, Messages

CLAIM = 200  # deliveries claimed at once and waiting here at most, about; it bounds memory
LEASE = timedelta(minutes=10)
LOOK_AGAIN = 5.0  # seconds between two looks past a domain that fills the window: each reads all its rows
GATHERING = 0.001  # seconds in which others may join a commit: it brings a twentieth more mails, three times as long a tenth fewer
POLICY_STORM = 20  # refusals X.7.x in a row: they mean us, not the recipients

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Grouped(Generic[Item, Answer]):
    """Many callers, one commit at a time: whoever comes while a commit runs, or right before one, shares it or the next."""

    def __init__(self, commit: Callable[[list[Item]], Awaitable[Sequence[Answer]]]) -> None:
        self._commit = commit
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHERING)
            group, self._waiting = self._waiting, []
            try:
                answers = await self._commit([item for item, _ in group])
            except Exception as error:
                for _, future in group:
                    if not future.done():  # a caller that was cancelled waits for nothing
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(group, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverRules:
    retries: outbox.RetryRules
    workers: int = 4  # mails under way at once; no more than the transport has connections
    engine: EngineId
    silent_after: float = 60.0  # seconds without a sign of life after which an engine is taken for dead (design, decision 8)
    pace: PaceRules = field(default_factory=PaceRules)
    quotas: Mapping[timedelta, int] = field(default_factory=dict)  # mails in so much time, of all engines together


@dataclass(slots=True, kw_only=True)
class Delivered:
    """Counts of one run; `fault` says why it stopped early, `notes` what it left for later on purpose."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    in_doubt: int = 0
    cancelled: int = 0
    fault: str | None = None
    failures: list[tuple[str, str]] = field(default_factory=list)  # recipient, what the relay said
    notes: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.sent + self.deferred + self.failed + self.in_doubt


class DeliveryRun:
    """One engine at work: claims in order, keeps `workers` mails under way, stops quietly when told."""

    def __init__(
        self,
        storage: Storage,
        transport: Transport,
        messages: Messages,
        clock: Clock,
        wall: Clock,
        rules: DeliverRules,
        lanes: Lanes[Letter] | None = None,
    ) -> None:
        """`clock` is the time of the step; `wall` the time that heartbeats are about; `lanes` know what earlier runs learned."""
        self.storage, self.transport, self.messages = storage, transport, messages
        self.clock, self.wall, self.rules = clock, wall, rules
        self.lanes = lanes or Lanes[Letter](rules.pace)
        self.result = Delivered()
        self.stopping = asyncio.Event()
        self._changed = asyncio.Event()  # something ended, so something may begin
        self._under_way = 0
        self._claiming = self._reserving = False
        self._dry: dict[frozenset[str], float] = {}  # with these domains passed over nothing was left; until when that is believed
        self._record = Grouped[DeliveryId | Delivery, bool](self._record_all)
        self._refusals = 0
        self._jitter = Random()  # noqa: S311 - spreads retries, guards nothing

    async def run(self) -> Delivered:
        """Deliver until nothing is due. Claims of engines that died are taken over first."""
        await self.storage.recover(self.wall.now(), silent_for=self.rules.silent_after)
        await self.storage.start_engine(self.rules.engine, self.wall.now())
        beat = asyncio.create_task(self._beat())
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._send_all(tasks)
        except ExceptionGroup as group:
            if all(isinstance(error, StorageError) for error in group.exceptions):
                raise group.exceptions[0] from None  # one line for what stopped all of them
            raise
        finally:
            self.lanes.empty()
            beat.cancel()
            with suppress(asyncio.CancelledError):
                await beat
            await self.storage.stop_engine(self.rules.engine)
        return self.result

    def stop(self, fault: str | None = None) -> None:
        """Finish what is under way, give the rest back."""
        self.result.fault = self.result.fault or fault
        self.stopping.set()
        self._changed.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.rules.silent_after / 4)
            with suppress(StorageError):  # a database that comes back in time finds the engine alive
                await self.storage.heartbeat(self.rules.engine, self.wall.now())
                await self.storage.recover(self.wall.now(), silent_for=self.rules.silent_after)

    async def _send_all(self, tasks: asyncio.TaskGroup) -> None:
        """Claim ahead, begin whatever may begin, and sleep until that changes."""
        time = asyncio.get_running_loop().time
        while not self.stopping.is_set():
            self._changed.clear()
            if not self._claiming and self._wants_more(time()):
                self._claiming = True
                tasks.create_task(self._claim())
            wanted = self.lanes.wanted(time())
            if wanted and not self._reserving:
                self._reserving = True
                tasks.create_task(self._reserve(wanted))
            while self._under_way < self.rules.workers and (taken := self.lanes.take(time())):
                self._under_way += 1
                tasks.create_task(self._carry(*taken))
            if not (self._claiming or self.lanes.waiting or self._under_way):
                break
            rest = self.lanes.wait(time()) if self._under_way < self.rules.workers else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), rest)

    def _wants_more(self, moment: float) -> bool:
        crowded = self.lanes.crowded(CLAIM // 2)
        few = self.lanes.waiting < 4 * CLAIM and self.lanes.waiting_outside(crowded) < CLAIM // 2
        return few and self._dry.get(crowded, 0.0) <= moment

    async def _claim(self) -> None:
        """Fill up; domains of which enough wait here are passed over, so that a slow one never fills the window."""
        try:
            crowded, moment = self.lanes.crowded(CLAIM // 2), asyncio.get_running_loop().time()
            limit = min(CLAIM, await self._allowance())
            left_out = crowded | self.lanes.resting(moment)
            until = self.wall.now() + LEASE
            claimed = (
                await self.storage.claim(self.rules.engine, self.clock.now(), limit=limit, until=until, left_out=left_out)
                if limit > 0
                else []
            )
            if not claimed:
                self._dry[crowded] = moment + LOOK_AGAIN if crowded else math.inf
            for letter in await self.messages.letters(claimed) if claimed else ():
                self.lanes.add(domain_of(letter.delivery.recipient), letter)
        finally:
            self._claiming = False
            self._changed.set()

    async def _reserve(self, wanted: Mapping[str, tuple[int, float]]) -> None:
        """Slots for what waits, of those that all engines share."""
        try:
            got = await self.storage.reserve({f"mail:{name}": slots for name, slots in wanted.items()}, self.wall.now())
            now = asyncio.get_running_loop().time()
            for name, (count, _) in wanted.items():
                self.lanes.grant(name, now + got[f"mail:{name}"], count)
        finally:
            self._reserving = False
            self._changed.set()

    async def _allowance(self) -> int:
        """How many mails may still be begun by the quotas. One that ends while the database counts is counted twice rather than never."""
        allowed = CLAIM
        for span, most in self.rules.quotas.items():
            left = most - (self.lanes.waiting + self._under_way) - await self.storage.count_sent(self.clock.now() - span)
            if left <= 0:
                self.result.notes.append(f"the quota of {most} mails in {span} is used up")
            allowed = min(allowed, left)
        return allowed

    async def _carry(self, domain: str, letter: Letter) -> None:
        result: SendResult | None = None
        try:
            result = await self._send(letter)
        finally:
            self._under_way -= 1
            given_back = self.lanes.done(domain, result, asyncio.get_running_loop().time())
            self._changed.set()
        if given_back:
            await self.storage.release([each.delivery.id for each in given_back])
            self.result.notes.append(f"{domain} keeps saying later ({result.reply if result else ''}): it rests a while")

    async def _send(self, letter: Letter) -> SendResult | None:
        """One mail; whatever is wrong with it is written down as its own failure."""
        delivery = letter.delivery
        begun = False

        async def before_mail() -> bool:
            nonlocal begun
            begun = await self._record(delivery.id)
            return begun

        try:
            envelope = self.messages.envelope(letter, self.clock.now())
        except TemplateError as error:  # no word on this mail: it waits until the template is mended
            result: SendResult | None = SendResult(accepted=False, phase=SmtpPhase.LOCAL, reply=str(error))
        except (PaperroundError, ValueError) as error:
            result = SendResult(accepted=False, phase=SmtpPhase.LOCAL, enhanced="5.6.0", reply=str(error))
        else:
            result = await self.transport.send(envelope, before_mail=before_mail)
        if result is None:  # cancelled between claim and MAIL
            self.result.cancelled += 1
            return None
        tried = replace(delivery, state=DeliveryState.SENDING) if begun else delivery
        await self._settle(tried, result)
        return result

    async def _settle(self, delivery: Delivery, result: SendResult) -> None:
        """Write down what became of one mail; stop the run when the fault is ours or the relay's."""
        now = self.clock.now()
        verdict = outbox.after_attempt(delivery, result, now=now, rules=self.rules.retries, jitter=self._jitter.random())
        await self._record(verdict.delivery)
        self._count(verdict.delivery)
        if verdict.recipient_event == "dead" or (verdict.recipient_event == "soft" and await self._keeps_failing(delivery)):
            await self.storage.suppress(delivery.recipient, reason="bounced", evidence=result.reply, now=now)
        self._refusals = self._refusals + 1 if verdict.policy else 0
        if verdict.sender_fault or verdict.relay_down:
            self.stop(verdict.sender_fault or f"the relay cannot be used ({result.phase}): {result.reply}")
        elif self._refusals >= POLICY_STORM:
            self.stop(f"{self._refusals} refusals by policy in a row, the latest: {result.reply}")

    async def _keeps_failing(self, delivery: Delivery) -> bool:
        if delivery.subscriber_id is None:
            return False
        return outbox.keeps_failing(await self.storage.deliveries_of(delivery.subscriber_id, limit=50))

    def _count(self, delivery: Delivery) -> None:
        state, result = delivery.state, self.result
        result.sent += state is DeliveryState.SENT
        result.deferred += state is DeliveryState.DEFERRED
        result.failed += state is DeliveryState.FAILED
        result.in_doubt += state is DeliveryState.IN_DOUBT
        if state is not DeliveryState.SENT:
            result.failures.append((delivery.recipient, delivery.reply or state.value))

    async def _record_all(self, steps: list[DeliveryId | Delivery]) -> list[bool]:
        """One commit for deliveries as they ended, and for ids of those about to say MAIL, who learn whether they may."""
        finished = [each for each in steps if isinstance(each, Delivery)]
        beginning = [each for each in steps if not isinstance(each, Delivery)]
        going = set(await self.storage.mark_sending(beginning, self.clock.now(), finished=finished))
        return [isinstance(each, Delivery) or each in going for each in steps]
