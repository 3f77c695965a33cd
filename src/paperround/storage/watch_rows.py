"""Watching: the rows of what steps took, of what is late, and of what the administrator was told."""

from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, delete, func, or_, select

from paperround.models import ConsentState, DeliveryState, ItemRole, MailKind
from paperround.records import Backlog, LateMail, NewDelivery, Run
from paperround.storage.database import VERSION, Database, fields_of
from paperround.storage.delivery_rows import delivery_row
from paperround.storage.figure_rows import FigureRows
from paperround.storage.schema import deliveries, digest_items, digests, matters, runs, subscribers, works


class WatchRows(FigureRows):
    """The WatchStore."""

    db: Database

    _unembedded: Callable[[str], Any]  # of VectorRows

    async def still_ours(self) -> bool:
        return bool(await self.db.value(VERSION) == self.db.version)

    async def record_run(self, run: Run) -> None:
        await self.db.write(runs.insert().values(**asdict(run)))

    async def runs(self, since: datetime) -> list[Run]:
        query = select(runs).where(runs.c.at >= since).order_by(runs.c.at, runs.c.id)
        return [Run(**fields_of(row, Run)) for row in await self.db.rows(query)]

    async def forget_runs(self, before: datetime) -> int:
        return await self.db.write(delete(runs).where(runs.c.at < before))

    async def yields(self, since: datetime) -> list[tuple[datetime, int, int]]:
        chosen = select(digest_items.c.digest_id).where(
            digest_items.c.digest_id == digests.c.id, digest_items.c.role == ItemRole.CHOSEN.value
        )
        counts = func.count().label("issues"), func.sum(case((chosen.exists(), 1), else_=0)).label("full")
        query = select(digests.c.created_at, *counts).where(digests.c.created_at >= since).group_by(digests.c.created_at)
        return [(row.created_at, row.issues, int(row.full)) for row in await self.db.rows(query)]

    async def late_mails(self, *, since: datetime, stuck: datetime, limit: int) -> list[LateMail]:
        row, state = deliveries.c, DeliveryState
        late = or_(
            and_(row.state == state.FAILED.value, row.finished_at >= since),
            and_(row.state == state.IN_DOUBT.value, row.created_at >= since),
            and_(row.state == state.DEFERRED.value, row.created_at < stuck),
        )
        columns = (row.subscriber_id, row.recipient, row.state, row.created_at, row.reply)
        query = (
            select(*columns)
            .join(subscribers)
            .where(late, row.kind == MailKind.ISSUE.value, subscribers.c.state == ConsentState.ACTIVE.value)
        )
        found = await self.db.rows(query.order_by(row.id.desc()).limit(limit))
        return [LateMail(**{**each._mapping, "state": DeliveryState(each.state)}) for each in found]

    async def backlogs(self, model: str, before: datetime) -> dict[str, Backlog]:
        late = deliveries.c.state == DeliveryState.QUEUED.value, deliveries.c.created_at < before
        since = func.coalesce(works.c.changed_at, works.c.first_seen_at)
        waiting = {
            "mails": select(func.count().label("n"), func.min(deliveries.c.created_at).label("oldest")).where(*late),
            "works": select(func.count().label("n"), func.min(since).label("oldest")).where(self._unembedded(model), since < before),
        }
        found = {name: (await self.db.rows(query))[0] for name, query in waiting.items()}
        return {name: Backlog(count=row.n, oldest=row.oldest) for name, row in found.items() if row.n}

    async def matters(self) -> dict[str, datetime]:
        return {row.key: row.told_at for row in await self.db.rows(select(matters))}

    async def settle_matters(self, *, told: Collection[str], over: Collection[str], now: datetime, mail: NewDelivery | None = None) -> bool:
        async with self.db.writing() as connection:
            if mail:
                row = delivery_row(mail, self.db.fold, digest_id=None, now=now)
                new = self.db.insert(deliveries).values(row).on_conflict_do_nothing(index_elements=["message_id"])
                if (queued := (await connection.execute(new.returning(deliveries.c.id))).scalar()) is None:
                    return False
                await self.db.announce(connection, "deliveries", [queued])
            for key in over:
                await connection.execute(delete(matters).where(matters.c.key == key))
            for key in told:
                await connection.execute(self.db.upsert(matters, ["key"], ["told_at"]).values(key=key, told_at=now))
        return True
