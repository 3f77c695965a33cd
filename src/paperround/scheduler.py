"""The scheduler: a table of (name, interval, tick). APScheduler only calls it; what is due stands in the database."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from paperround.errors import PaperroundError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ticker:
    """`tick` looks for what is due and does it; calling it too often does no harm."""

    name: str
    seconds: int
    tick: Callable[[], Awaitable[object]]


async def tick_once(ticker: Ticker) -> None:
    """One tick; what goes wrong is logged and tried again at the next one."""
    try:
        outcome = await ticker.tick()
    except PaperroundError as error:
        log.error("tick failed", ticker=ticker.name, error=str(error))
    except Exception:
        log.exception("tick failed unexpectedly", ticker=ticker.name)
    else:
        if outcome:
            log.info("tick", ticker=ticker.name, outcome=str(outcome))


def build_scheduler(tickers: Sequence[Ticker]) -> AsyncIOScheduler:
    """Started by the caller inside a running loop. UTC and plain intervals: zone-aware triggers fire twice in the autumn hour."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    for ticker in tickers:
        scheduler.add_job(
            tick_once,
            IntervalTrigger(seconds=ticker.seconds, timezone="UTC"),
            args=[ticker],
            id=ticker.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
    return scheduler
