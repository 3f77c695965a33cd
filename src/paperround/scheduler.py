"""The scheduler: a table of (name, interval, tick). APScheduler only calls it; what is due stands in the database."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from paperround.errors import PaperroundError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ticker:
    """`tick` looks for what is due and does it; calling it too often does no harm. Words that it returns are logged."""

    name: str
    seconds: int
    tick: Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Pulse:
    """Whether the scheduler still ticks: its own ticker, which does nothing else."""

    seconds: int = 15
    last: float | None = None  # None: there is no scheduler here

    async def beat(self) -> None:
        self.last = monotonic()

    def lost(self) -> bool:
        return self.last is not None and monotonic() - self.last > 8 * self.seconds


async def tick_once(ticker: Ticker) -> None:
    """One tick; what goes wrong is logged and tried again at the next one."""
    try:
        outcome = await ticker.tick()
    except PaperroundError as error:
        log.error("tick failed", ticker=ticker.name, error=str(error))
    except Exception:
        log.exception("tick failed unexpectedly", ticker=ticker.name)
    else:
        if isinstance(outcome, str):
            log.info("tick", ticker=ticker.name, outcome=outcome)


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
