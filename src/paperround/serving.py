"""`serve`: web, scheduler, delivery and inbox in one process, started in order and stopped in reverse order."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog
import uvicorn

from paperround.config import Settings
from paperround.errors import ConfigError
from paperround.scheduler import Ticker, build_scheduler, tick_once
from paperround.wiring import Parts, open_parts

if TYPE_CHECKING:
    from starlette.applications import Starlette

log = structlog.get_logger()
STOP_WITHIN = 8.0  # seconds for what is under way; a supervisor kills at 10


def serve_forever(settings: Settings, *, web: bool, scheduler: bool, delivery: bool, inbox: bool) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(serve(settings, web=web, scheduler=scheduler, delivery=delivery, inbox=inbox))


async def serve(settings: Settings, *, web: bool, scheduler: bool, delivery: bool, inbox: bool) -> None:
    """Start what is asked for; stop everything within ten seconds of the signal."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(settings, serving=True))
        if web:
            await stack.enter_async_context(web_server(parts))
        if inbox:
            await stack.enter_async_context(parts.open_inbox())
        await stack.enter_async_context(ticking(parts, tickers(parts, scheduler=scheduler, delivery=delivery)))
        log.info("serving", web=web, scheduler=scheduler, delivery=delivery, inbox=inbox)
        await stopping.wait()
        log.info("stopping")


def tickers(parts: Parts, *, scheduler: bool, delivery: bool) -> list[Ticker]:
    """What is looked for, and how often."""
    steps = parts.steps
    table = []
    if scheduler:
        table += [
            Ticker("read", 60, parts.read_news),
            Ticker("compose", 20, parts.compose_due),
            Ticker("pauses", 300, parts.end_pauses),
            Ticker("profiles", 300, parts.sync_folder),
            Ticker("prune", 3600, steps.prune),
        ]
    if delivery:
        table.append(Ticker("deliver", 10, parts.deliver_due))
    return table


@asynccontextmanager
async def ticking(parts: Parts, table: list[Ticker]) -> AsyncIterator[None]:
    """Tick once at once, then by the table; on the way out mails under way are finished, nothing new is begun."""
    engine = build_scheduler(table)
    first = asyncio.create_task(first_ticks(table))
    engine.start()
    try:
        yield
    finally:
        engine.shutdown(wait=False)
        first.cancel()
        parts.steps.stop_delivering()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(parts.steps.delivered.wait(), STOP_WITHIN)


async def first_ticks(table: list[Ticker]) -> None:
    for ticker in table:
        await tick_once(ticker)


class QuietServer(uvicorn.Server):
    """A server that leaves the signals to us."""

    def capture_signals(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


@asynccontextmanager
async def web_server(parts: Parts) -> AsyncIterator[None]:
    """Uvicorn in this loop. Raises ConfigError when the address cannot be listened on."""
    host, port = parts.settings.web.host, parts.settings.web.port
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"[web] host, port: cannot listen on {host}:{port}: {error.strerror}") from error
    config = uvicorn.Config(
        application(parts),
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


def application(parts: Parts) -> "Starlette":
    from paperround.web.app import create_app
    from paperround.web.services import from_parts

    return create_app(from_parts(parts))
