"""Status: what is there, what is due, what failed, in a few counts."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from paperround.delivery.pacing import domain_class
from paperround.models import DeliveryState, SourceState
from paperround.pipeline.interfaces import Storage

LOOKING_BACK = timedelta(days=30)
WORRYING, HARMFUL = 0.001, 0.003  # shares of complaints: the first is what large providers ask for, at the second they turn mail away


async def status(storage: Storage, model: str, *, now: datetime) -> dict[str, Any]:
    """Counts by kind and state, and a line for everything that needs somebody's attention."""
    sources = await storage.sources()
    failing = [f"source {source.name}: {source.error}" for source in sources if source.error]
    given_up = [f"source {source.name} is {source.state}" for source in sources if source.state is not SourceState.ACTIVE]
    outcomes, complaints = await _mails(storage, now - LOOKING_BACK)
    sent = sum(count for name, count in outcomes.items() if name.endswith(" sent"))
    rate = complaints / sent if sent else None
    return {
        "now": now,
        "sources": len(sources),
        "works": await storage.count_works(),
        "not_embedded": await storage.count_to_embed(model),
        "subscribers": await storage.count_subscribers(),
        "due": await storage.count_due(now),
        "deliveries": {state.value: count for state, count in (await storage.count_deliveries()).items()},
        "outcomes": outcomes,
        "complaints": complaints,
        "complaint_rate": rate,
        "attention": failing + given_up + _told(rate),
    }


async def _mails(storage: Storage, since: datetime) -> tuple[dict[str, int], int]:
    """Mails by class of domain and what became of them, with the server's code where it refused; and how many complained."""
    counted: Counter[str] = Counter()
    for (domain, state, code), count in (await storage.outcomes(since)).items():
        refused = code is not None and state is not DeliveryState.SENT
        counted[f"{domain_class(domain)} {state.value}{f' ({code})' if refused else ''}"] += count
    return dict(sorted(counted.items())), await storage.count_complaints(since)


def _told(rate: float | None) -> list[str]:
    """A line where too many readers call it spam."""
    if rate is None or rate < WORRYING:
        return []
    worse = "providers turn such mail away: send no more before you know why" if rate >= HARMFUL else "more than 0.1 % is too many"
    return [f"{rate:.2%} of the mails of 30 days were called spam; {worse}"]
