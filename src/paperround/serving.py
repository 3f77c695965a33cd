"""`serve`: web, scheduler, delivery and inbox in one process, started in order and stopped in reverse order."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from paperround.config import Settings
from paperround.errors import ConfigError
from paperround.records import Run
from paperround.scheduler import Pulse, Ticker, build_scheduler, tick_once
from paperround.subscribers.redaction import redacted
from paperround.wiring import Parts, imap_inbox, lmtp_server, maildir_inbox, open_parts, sync_folder

if TYPE_CHECKING:
    from starlette.applications import Starlette

log = structlog.get_logger()
TIMED = structlog.processors.TimeStamper("iso")
STOP_WITHIN = 8.0  # seconds for what is under way; a supervisor kills at 10


def serve_forever(settings: Settings, *, web: bool, scheduler: bool, delivery: bool, inbox: bool) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError where workers own the steps."""
    if settings.engine == "queue" and (scheduler or delivery):
        raise ConfigError('engine: with "queue" workers do the steps: start `serve --no-scheduler --no-delivery`')
    write_logs(settings.log_format)
    asyncio.run(serve(settings, web=web, scheduler=scheduler, delivery=delivery, inbox=inbox))


class Redacting(logging.Formatter):
    """What libraries log, as our own lines: errors, and whatever their messages quote."""

    def __init__(self, render: Callable[..., Any]) -> None:
        super().__init__()
        self.render = render

    def format(self, record: logging.LogRecord) -> str:
        said = {"event": redacted(super().format(record)), "level": record.levelname.lower(), "logger": record.name}
        return str(self.render(None, "", TIMED(None, "", said)))


def write_logs(form: str) -> None:
    """One line ("text") or JSON document ("json") an event on standard error, without addresses and tokens."""
    told = structlog.processors
    render = told.JSONRenderer(ensure_ascii=False) if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler()
    handler.setFormatter(Redacting(render))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    structlog.configure(
        processors=[told.add_log_level, TIMED, told.format_exc_info, redact, render],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def redact(_logger: object, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    return {name: redacted(value) if isinstance(value, str) else value for name, value in event.items()}


async def serve(settings: Settings, *, web: bool, scheduler: bool, delivery: bool, inbox: bool) -> None:
    """Start what is asked for; stop everything within ten seconds of the signal."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    pulse = Pulse()
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(settings, serving=True))
        if web:
            await stack.enter_async_context(web_server(parts, pulse))
        if inbox:
            await stack.enter_async_context(lmtp_server(settings, receiver(parts)))
        parts.steps.noted = noted
        table = tickers(parts, scheduler=scheduler, delivery=delivery, inbox=inbox and not parts.queue)
        await stack.enter_async_context(ticking(parts, table, pulse))
        log.info("serving", web=web, scheduler=scheduler, delivery=delivery, inbox=inbox)
        await stopping.wait()
        log.info("stopping")


def tickers(parts: Parts, *, scheduler: bool, delivery: bool, inbox: bool) -> list[Ticker]:
    """What is looked for, and how often."""
    steps = parts.steps
    table = []
    if scheduler:
        table += [
            Ticker("profiles", 300, lambda: profiles(parts)),
            Ticker("pauses", 300, lambda: parts.actions.end_pauses(parts.clock.now())),
            Ticker("read", 60, steps.read),
            Ticker("compose", 20, steps.compose),
            Ticker("prune", 3600, steps.prune),
        ]
    if delivery:
        table.append(Ticker("deliver", 10, steps.deliver))
    if scheduler:
        table.append(Ticker("watch", 3600, parts.watch.tick))  # after the others: what a first round mends is no matter
    folder = maildir_inbox(parts.settings) if inbox else None
    if folder:
        table.append(Ticker("inbox", 15, lambda: folder.receive(receiver(parts))))
    box = imap_inbox(parts.settings) if inbox else None
    if box:
        table.append(Ticker("imap", 60, lambda: box.receive(receiver(parts))))
    return table


@asynccontextmanager
async def ticking(parts: Parts, table: list[Ticker], pulse: Pulse) -> AsyncIterator[None]:
    """Tick once at once, then by the table; on the way out mails under way are finished, nothing new is begun."""
    engine = build_scheduler([*table, Ticker("pulse", pulse.seconds, pulse.beat)])
    await pulse.beat()
    first = asyncio.create_task(first_ticks(table))
    engine.start()
    try:
        yield
    finally:
        engine.pause()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(parts.steps.stop_delivering(), STOP_WITHIN)
        first.cancel()
        engine.shutdown(wait=False)


async def profiles(parts: Parts) -> None:
    """Bring the folder of profile files into force, where one is set."""
    if parts.settings.subscribers.folder:
        _, refused = await sync_folder(parts)
        for line in refused:
            log.warning("profile refused", why=line)


async def first_ticks(table: list[Ticker]) -> None:
    for ticker in table:
        await tick_once(ticker)


def receiver(parts: Parts) -> Callable[[bytes, str], Awaitable[None]]:
    """What happens to a mail that comes in."""

    async def receive(raw: bytes, recipient: str) -> None:
        log.info("mail received", did=await parts.inbox.receive(raw, recipient))

    return receive


class QuietServer(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def web_server(parts: Parts, pulse: Pulse) -> AsyncIterator[None]:
    """Uvicorn in this loop. Raises ConfigError when the address cannot be listened on."""
    host, port = parts.settings.web.host, parts.settings.web.port
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"[web] host, port: cannot listen on {host}:{port}: {error.strerror}") from error
    config = uvicorn.Config(
        application(parts, pulse),
        log_config=None,
        access_log=False,  # paths hold tokens
        server_header=False,
        timeout_graceful_shutdown=3,
        lifespan="off",
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
        listening.close()


def noted(run: Run) -> None:
    log.info("step", step=run.step, count=run.count, seconds=round(run.seconds, 2), **({"fault": run.fault} if run.fault else {}))


def application(parts: Parts, pulse: Pulse) -> "Starlette":
    from paperround.web.app import create_app
    from paperround.web.services import from_parts

    return create_app(from_parts(parts, stalled=pulse.lost))
