"""Worker: the same steps as tasks on many machines. Jobs stand in PostgreSQL and procrastinate hands them out; what is due stands in the
database as ever, so a job that runs twice, or not at all, changes nothing."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import structlog

from paperround.config import Settings
from paperround.errors import ConfigError
from paperround.models import SourceId, SubscriberId
from paperround.pipeline.embed import embed_words
from paperround.scheduler import Ticker, tick_once
from paperround.serving import STOP_WITHIN, noted, tickers, write_logs
from paperround.wiring import Parts, host_group, open_parts

log = structlog.get_logger()
QUEUES = ("collect", "embed", "compose", "deliver", "inbox", "upkeep")
SHARD = 5000  # subscriber ids a compose task covers: seconds of work, so that a dead worker costs little
PAUSE = 2.0  # seconds until a database that is away is asked again
KEPT_HOURS = 7 * 24  # a failed job is kept to be looked at
IMPATIENT = ("deliver", "sweep")  # side by side on several workers; of the others one runs at a time
OF_QUEUE = {"imap": "inbox"}  # the others have a queue of their name, or are upkeep


def work_forever(settings: Settings, *, queues: Sequence[str], concurrency: int) -> None:
    """Take jobs of these queues (none: of all) until SIGTERM or SIGINT. Raises ConfigError, StorageError."""
    if unknown := set(queues) - set(QUEUES):
        raise ConfigError(f"--queues: {', '.join(sorted(unknown))}: there are {', '.join(QUEUES)}")
    if settings.engine != "queue":
        raise ConfigError('engine: is "scheduler": the steps are done by `serve`; set engine = "queue" to have workers do them')
    write_logs(settings.log_format)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # that the database is away is said once, by us
    asyncio.run(work(settings, queues=queues or QUEUES, concurrency=concurrency))


async def work(settings: Settings, *, queues: Sequence[str], concurrency: int) -> None:
    stopping = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopping.set)
    async with open_parts(settings, serving=True, embeds="embed" in queues) as parts:
        worker = Worker(parts, stopping)
        parts.steps.noted = noted
        if "embed" in queues:
            await parts.embedder.embed(["words"])  # the model is there before the first who waits for it
        log.info("working", queues=list(queues), concurrency=concurrency)
        while not stopping.is_set():
            await worker.until_stopped_or_cut_off(queues, concurrency)
        log.info("stopped")


class Worker:
    """One process: its tasks, and what it takes jobs with."""

    def __init__(self, parts: Parts, stopping: asyncio.Event) -> None:
        if parts.queue is None:
            raise ConfigError('engine: must be "queue"')
        self.parts, self.stopping, self.app = parts, stopping, parts.queue.app
        self.silent_after = parts.settings.delivery.silent_after.total_seconds()
        self._delivering, self._wanted = asyncio.Lock(), asyncio.Event()
        for ticker in self.table():
            self._register(ticker)
        self.app.task(name="poll", queue="collect")(self.poll)
        self.app.task(name="shard", queue="compose")(self.shard)
        self.app.task(name="words", queue="embed")(self.words)

    def table(self) -> list[Ticker]:
        """What the scheduler would look for; here reading is parted by host, composing by subscribers."""
        own = {
            "collect": Ticker("collect", 60, self.plan_polls),
            "embed": Ticker("embed", 60, self.parts.steps.embed),
            "compose": Ticker("compose", 20, self.plan_shards),
            "deliver": Ticker("deliver", 10, self.deliver),
            "sweep": Ticker("sweep", 20, self.sweep),
        }
        others = tickers(self.parts, scheduler=True, delivery=True, inbox=True)
        return [*own.values(), *(each for each in others if each.name not in own and each.name != "read")]

    def _register(self, ticker: Ticker) -> None:
        """A periodic task: every worker puts it there when its time comes, and only the first of them succeeds."""
        name = ticker.name
        queue = OF_QUEUE.get(name, name if name in QUEUES else "upkeep")

        async def run(timestamp: int = 0) -> None:  # noqa: ARG001 - procrastinate says when it was due; what is due now counts
            await tick_once(ticker)

        task = self.app.task(name=name, queue=queue, lock=None if name in IMPATIENT else name, queueing_lock=name)(run)
        self.app.periodic(cron=cron(ticker.seconds), periodic_id=name)(task)

    # ------------------------------------------------------------ taking jobs

    async def until_stopped_or_cut_off(self, queues: Sequence[str], concurrency: int) -> None:
        """Take jobs. Returns when told to stop, with what was under way ended; or, after a pause, when the database went away."""
        from procrastinate.exceptions import ConnectorException
        from psycopg import Error, InterfaceError, OperationalError

        try:
            async with self.app.open_async():
                await self.sweep()
                taking = asyncio.create_task(
                    self.app.run_worker_async(
                        queues=list(queues),
                        concurrency=concurrency,
                        install_signal_handlers=False,
                        delete_jobs="successful",
                        shutdown_graceful_timeout=STOP_WITHIN,
                        update_heartbeat_interval=self.silent_after / 4,
                        stalled_worker_timeout=self.silent_after,
                    )
                )
                await self._watch_over(taking)
        except (ConnectorException, Error, OSError) as error:
            cause = error.__cause__ or error
            if not isinstance(cause, OperationalError | InterfaceError | OSError):
                raise
            log.warning("the database is away", why=str(cause).strip())
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), PAUSE)

    async def _watch_over(self, taking: "asyncio.Task[None]") -> None:
        told = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({taking, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if self.stopping.is_set():
            log.info("stopping")
            taking.cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.parts.steps.stop_delivering(), STOP_WITHIN)
        with suppress(asyncio.CancelledError):
            await taking

    # ------------------------------------------------------------ tasks

    async def plan_polls(self) -> None:
        """A task for each host that has sources due. Its lock lets one worker at a time ask that host."""
        hosts: dict[str, list[int]] = {}
        for source in await self.parts.storage.due_sources(self.parts.clock.now()):
            hosts.setdefault(host_group((urlsplit(source.location).hostname or "").rstrip(".")), []).append(source.id)
        for host, ids in hosts.items():
            await self._put_once("poll", f"host {host}", sources=ids)

    async def poll(self, sources: list[SourceId]) -> None:
        async def tick() -> object:
            due = await self.parts.storage.due_sources(self.parts.clock.now())
            return await self.parts.steps.collect([each for each in due if each.id in sources])

        await tick_once(Ticker("poll", 0, tick))

    async def plan_shards(self) -> None:
        """A task for each range of ids in which somebody is due. The ranges are the same ever, so one is never done twice at a time."""
        due = await self.parts.storage.due_shards(self.parts.clock.now(), SHARD)
        for number in sorted({shard for first, last in due for shard in range((first - 1) // SHARD, (last - 1) // SHARD + 1)}):
            await self._put_once("shard", f"shard {number}", number=number)

    async def shard(self, number: int) -> None:
        first, last = SubscriberId(number * SHARD + 1), SubscriberId((number + 1) * SHARD)
        await tick_once(Ticker("shard", 0, lambda: self.parts.steps.compose(first=first, last=last)))

    async def words(self, texts: list[str]) -> None:
        """Somebody waits for these; whoever asked looks for the vectors in the database."""
        await tick_once(Ticker("words", 0, lambda: embed_words(self.parts.storage, self.parts.embedder, texts)))

    async def deliver(self) -> None:
        """One engine in this process. It claims and records as ever; the job only wakes it, and one that comes meanwhile lets it look
        once more."""
        self._wanted.set()
        if self._delivering.locked():
            return
        async with self._delivering:
            while self._wanted.is_set() and not self.stopping.is_set():
                self._wanted.clear()
                await self.parts.steps.deliver()

    async def sweep(self) -> None:
        """Give the jobs of dead workers to others; forget old ones."""
        from procrastinate.exceptions import UniqueViolation
        from procrastinate.jobs import Status

        jobs = self.app.job_manager
        for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=self.silent_after):
            try:
                await jobs.retry_job(job)
            except UniqueViolation:  # the same waits already
                await jobs.finish_job(job, Status.ABORTED, delete_job=True)
        await jobs.delete_old_jobs(KEPT_HOURS, include_failed=True, include_cancelled=True, include_aborted=True)

    async def _put_once(self, task: str, lock: str, **arguments: object) -> None:
        from procrastinate.exceptions import AlreadyEnqueued

        with suppress(AlreadyEnqueued):
            await self.app.configure_task(task, lock=lock, queueing_lock=lock).defer_async(**arguments)  # type: ignore[arg-type]


def cron(seconds: int) -> str:
    """The same interval as procrastinate writes it, seconds last."""
    if seconds < 60:
        return f"* * * * * */{seconds}"
    return f"*/{seconds // 60} * * * *" if seconds < 3600 else f"0 */{seconds // 3600} * * *"
