"""Metrics: counts and ages for Prometheus, made when asked for; nothing of any person, and not for the world."""

import hmac
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paperround.config_keys import is_loopback
from paperround.pipeline.interfaces import Storage
from paperround.records import Run
from paperround.web.services import services_of

DAY = timedelta(days=1)
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # a proxy speaks from this machine for somebody else
Family = tuple[str, str, str, dict[str, float]]  # name, help, label ("" for none), values by the label's value


async def show(request: Request) -> Response:
    """For whoever shows the token; without one for this machine itself. Anybody else learns no more than that nothing is here."""
    services = services_of(request)
    if not allowed(request, services.metrics_token):
        raise HTTPException(404)
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, ProcessCollector, generate_latest

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for name, told, label, values in await families(services.storage, services.model, services.clock.now(), services.stalled):
        gauge = Gauge(f"paperround_{name}", told, [label] if label else [], registry=registry)
        for key, value in values.items():
            (gauge.labels(key) if label else gauge).set(value)
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def allowed(request: Request, token: str | None) -> bool:
    if token:
        return hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode())
    return bool(request.client and is_loopback(request.client.host)) and not any(name in request.headers for name in FORWARDED)


async def families(storage: Storage, model: str, now: datetime, stalled: Callable[[], bool]) -> list[Family]:
    """What docs/reference says of each."""
    sources, runs = await storage.sources(), await storage.runs(now - DAY)
    backlogs = await storage.backlogs(model, now)
    oldest = {name: (now - each.oldest).total_seconds() for name, each in backlogs.items()}
    states: dict[str, float] = defaultdict(float)
    for source in sources:
        states["failing" if source.failing_since and source.state == "active" else source.state.value] += 1
    return [
        ("subscribers", "Subscribers by state of consent.", "state", {**await storage.count_subscribers()}),
        ("deliveries", "Mails by state.", "state", {state.value: n for state, n in (await storage.count_deliveries()).items()}),
        ("sources", "Sources by state; failing ones are still asked.", "state", states),
        ("works", "Works known.", "", {"": await storage.count_works()}),
        ("waiting", "Mails not yet tried, and works without vectors.", "queue", {name: each.count for name, each in backlogs.items()}),
        ("waiting_oldest_seconds", "Age of the oldest of them.", "queue", oldest),
        ("sent_last_day", "Mails that servers accepted in 24 hours.", "", {"": await storage.count_sent(now - DAY)}),
        ("complaints_last_month", "Readers who called it spam in 30 days.", "", {"": await storage.count_complaints(now - 30 * DAY)}),
        ("scheduler_up", "1 while the scheduler of this process ticks.", "", {"": float(not stalled())}),
        *steps(runs, now),
    ]


def steps(runs: list[Run], now: datetime) -> Iterator[Family]:
    """Of the runs of the last 24 hours that did something."""
    by_step: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_step[run.step].append(run)
    of = by_step.items()
    yield "step_runs_last_day", "Runs that did something in 24 hours.", "step", {step: len(each) for step, each in of}
    yield "step_faults_last_day", "Runs that were stopped.", "step", {step: sum(bool(run.fault) for run in each) for step, each in of}
    yield (
        "step_items_last_day",
        "What they did: polls, vectors, issues, mails.",
        "step",
        {step: sum(r.count for r in each) for step, each in of},
    )
    yield "step_seconds_last_day", "How long they took together.", "step", {step: sum(run.seconds for run in each) for step, each in of}
    yield "step_age_seconds", "Since the latest of them began.", "step", {step: (now - each[-1].at).total_seconds() for step, each in of}
