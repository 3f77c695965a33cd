"""Status: what is there, what is due, what failed, in a few counts."""

from datetime import datetime
from typing import Any

from paperround.models import SourceState
from paperround.pipeline.interfaces import Storage


async def status(storage: Storage, model: str, *, now: datetime) -> dict[str, Any]:
    """Counts by kind and state, and a line for everything that needs somebody's attention."""
    sources = await storage.sources()
    due = await storage.due_subscribers(now, after=None, limit=1_000_000)
    failing = [f"source {source.name}: {source.error}" for source in sources if source.error]
    given_up = [f"source {source.name} is {source.state}" for source in sources if source.state is not SourceState.ACTIVE]
    return {
        "now": now,
        "sources": len(sources),
        "works": await storage.count_works(),
        "not_embedded": await storage.count_to_embed(model),
        "subscribers": await storage.count_subscribers(),
        "due": len(due),
        "deliveries": {state.value: count for state, count in (await storage.count_deliveries()).items()},
        "attention": failing + given_up,
    }
