"""Pruning: what retention no longer keeps goes in small transactions, so that no writer waits long."""

from typing import Any

from sqlalchemy import Table, delete, exists, func, select, tuple_, update

from paperround.models import DeliveryState
from paperround.records import Outdated
from paperround.storage.database import Database
from paperround.storage.schema import backgrounds, deliveries, digest_items, digests, text_vectors, votes, work_vectors, works

ENDED = tuple(each.value for each in (DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.CANCELLED))
NO_SENTENCES: dict[str, Any] = {"sentences": [], "sentence_vectors": b""}


def outdated_rows(old: Outdated) -> dict[str, tuple[Table, Any]]:
    """By kind, in this order (works are free when the issues that held them are gone): the table, and which of its rows."""
    kept = exists().where(digest_items.c.work_id == works.c.id) | exists().where(votes.c.work_id == works.c.id)
    of_old_works = exists().where(works.c.id == work_vectors.c.work_id, works.c.first_seen_at < old.sentences)
    found = {
        "digests": (digests, digests.c.created_at < old.digests),
        "deliveries": (deliveries, (deliveries.c.created_at < old.deliveries) & deliveries.c.state.in_(ENDED)),
        "works": (works, (works.c.first_seen_at < old.works) & ~kept),
        "sentences": (work_vectors, of_old_works & (func.length(work_vectors.c.sentence_vectors) > 0)),
    }
    return found | {
        f"{table.name} of other models": (table, table.c.model != old.model) for table in (work_vectors, text_vectors, backgrounds)
    }


class PruneRows:
    """The part of the Storage protocol that forgets."""

    db: Database

    async def prune(self, old: Outdated, *, limit: int) -> dict[str, int]:
        """At most `limit` rows of each kind, each kind in a transaction of its own; the oldest first."""
        removed = {}
        for kind, (table, wanted) in outdated_rows(old).items():
            key = list(table.primary_key)
            some = select(*key).where(wanted).order_by(*key).limit(limit)
            gone = update(table).values(**NO_SENTENCES) if kind == "sentences" else delete(table)
            removed[kind] = await self.db.write(gone.where(tuple_(*key).in_(some)))
        return removed

    async def outdated(self, old: Outdated) -> dict[str, int]:
        """How many rows of each kind `prune` would find."""
        counted = {kind: select(func.count()).select_from(table).where(wanted) for kind, (table, wanted) in outdated_rows(old).items()}
        return {kind: await self.db.value(query) for kind, query in counted.items()}
