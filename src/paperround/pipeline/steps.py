"""Steps: the whole round in its order — sync, collect, embed, compose, deliver, prune — over the parts that wiring built."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import TypeVar

from paperround.delivery.pacing import Lanes
from paperround.errors import PaperroundError
from paperround.models import Source, Subscriber, SubscriberId
from paperround.pipeline.collect import Collected, collect
from paperround.pipeline.compose import Composed, ComposeRules, compose, preview
from paperround.pipeline.deliver import Delivered, DeliverRules, DeliveryRun
from paperround.pipeline.embed import Embedded, embed
from paperround.pipeline.interfaces import Clock, Embedder, Fetcher, Progress, Storage, Transport
from paperround.pipeline.messages import Letter, Messages
from paperround.records import Outdated, Run
from paperround.sources.polling import PollingRules

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is no longer needed is kept."""

    entries: timedelta = timedelta(days=400)
    pending: timedelta = timedelta(days=7)
    sentences: timedelta = timedelta(days=180)  # of works, with their vectors: what an issue shows of a work is kept with the issue
    issues: timedelta = timedelta(days=800)
    mails: timedelta = timedelta(days=400)  # sent, failed or cancelled
    evidence: timedelta = timedelta(days=30)  # the network prefix of a consent
    unread: timedelta = timedelta(days=90)  # a feed without a mail address that nobody reads


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRules:
    polling: PollingRules
    compose: ComposeRules
    deliver: DeliverRules
    retention: Retention = Retention()


@dataclass(slots=True, kw_only=True)
class Round:
    """What one whole round came to."""

    collected: Collected
    embedded: Embedded
    composed: Composed
    delivered: Delivered


class Steps:
    """The steps of the pipeline. Each can be run alone, repeated and interrupted: storage stands between them."""

    def __init__(
        self,
        *,
        storage: Storage,
        fetcher: Fetcher,
        embedder: Embedder,
        open_transport: Callable[[], Transport],
        messages: Messages,
        clock: Clock,
        wall: Clock,
        rules: StepRules,
    ) -> None:
        """`open_transport` is called for a delivery: the other steps need no relay."""
        self.storage, self.fetcher, self.embedder = storage, fetcher, embedder
        self.open_transport, self.messages = open_transport, messages
        self.clock, self.wall, self.rules = clock, wall, rules
        self.noted: Callable[[Run], None] = lambda _: None  # told of each run that did something
        self._lanes = Lanes[Letter](rules.deliver.pace)
        self._delivering: DeliveryRun | None = None
        self._quiet = asyncio.Event()  # set while nothing is being delivered
        self._quiet.set()

    async def collect(self, sources: list[Source] | None = None) -> Collected:
        done = collect(self.storage, self.fetcher, now=self.clock.now(), rules=self.rules.polling, sources=sources)
        return await self._noted("collect", done, lambda each: (len(each.outcomes), None))

    async def embed(self, progress: Progress | None = None) -> Embedded:
        done = embed(self.storage, self.embedder, now=self.clock.now(), progress=progress)
        return await self._noted("embed", done, lambda each: (each.works + each.texts, None))

    async def compose(self, *, first: SubscriberId | None = None, last: SubscriberId | None = None, keep: bool = False) -> Composed:
        done = compose(self.storage, self.rules.compose, now=self.clock.now(), first=first, last=last, keep=keep)
        return await self._noted("compose", done, lambda each: (each.due, None))

    async def deliver(self) -> Delivered:
        return await self._noted("deliver", self._deliver(), lambda each: (each.tried, each.fault))

    async def _noted(self, step: str, work: Awaitable[Result], told: Callable[[Result], tuple[int, str | None]]) -> Result:
        """Run a step and note how long it took; `told`: how much it did and what stopped it. One that did nothing leaves no note."""
        at, begun = self.clock.now(), perf_counter()
        try:
            result = await work
        except Exception as error:
            with suppress(PaperroundError):  # the database itself may be the fault
                await self._note(Run(step=step, at=at, seconds=perf_counter() - begun, count=0, fault=str(error) or repr(error)))
            raise
        count, fault = told(result)
        if count or fault:
            await self._note(Run(step=step, at=at, seconds=perf_counter() - begun, count=count, fault=fault))
        return result

    async def _note(self, run: Run) -> None:
        self.noted(run)
        await self.storage.record_run(run)

    async def _deliver(self) -> Delivered:
        """Until nothing is due. The transport is closed again: between two runs no connection stays open. Cancelled, it stops quietly."""
        transport = self.open_transport()
        self._delivering = DeliveryRun(self.storage, transport, self.messages, self.clock, self.wall, self.rules.deliver, self._lanes)
        self._quiet.clear()
        running = asyncio.ensure_future(self._delivering.run())
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._delivering.stop()
            await running  # a mail between its last dot and the reply would be in doubt
            raise
        finally:
            self._delivering = None
            await transport.close()
            self._quiet.set()

    async def stop_delivering(self) -> None:
        """Let the mails under way finish, give the others back."""
        if self._delivering:
            self._delivering.stop()
        await self._quiet.wait()

    async def read(self) -> tuple[Collected, Embedded]:
        """Collect and embed: what makes works ready to be chosen."""
        return await self.collect(), await self.embed()

    async def send_test(self, subscriber: Subscriber) -> str | None:
        """Send a subscriber the next issue once, to look at; nothing is recorded. What went wrong, or None."""
        now = self.clock.now()
        digest = await preview(self.storage, self.rules.compose, subscriber, now=now)
        transport = self.open_transport()
        try:
            result = await transport.send(self.messages.test_envelope(digest, subscriber, now), before_mail=yes)
        finally:
            await transport.close()
        return None if result and result.accepted else result.reply if result else "not sent"

    async def prune(self, *, limit: int = 500) -> dict[str, int]:
        """Remove what retention no longer keeps, small steps with as much time between them: others write, too. How many of each kind."""
        now, kept = self.clock.now(), self.rules.retention
        prefixes = await self.storage.erase_prefixes(now - kept.evidence)
        unread = await self.storage.remove_unread(now - kept.unread)
        removed = Counter(unconfirmed=await self.storage.remove_pending(now - kept.pending), unread=unread, prefixes=prefixes)
        while True:
            begun = perf_counter()
            step = await self.storage.prune(self._outdated(), limit=limit)
            removed.update(step)
            if max(step.values()) < limit:
                return dict(removed)
            await asyncio.sleep(min(1.0, perf_counter() - begun))

    async def to_prune(self) -> dict[str, int]:
        """How much of what grows would go."""
        return await self.storage.outdated(self._outdated())

    def _outdated(self) -> Outdated:
        now, kept = self.clock.now(), self.rules.retention
        return Outdated(
            works=now - kept.entries,
            sentences=now - kept.sentences,
            digests=now - kept.issues,
            deliveries=now - kept.mails,
            model=self.embedder.model,
        )

    async def round(self, progress: Progress | None = None) -> Round:
        """All of it, for what is due."""
        done = Round(
            collected=await self.collect(),
            embedded=await self.embed(progress),
            composed=await self.compose(),
            delivered=await self.deliver(),
        )
        await self.prune()
        return done


async def yes() -> bool:
    """Nothing is written down before a test mail."""
    return True
