"""Digests: the decision records, with their items and the deliveries that were decided with them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, and_, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paperround.errors import NotFoundError
from paperround.models import Digest, DigestId, DigestItem, ItemRole, Reason, SubscriberId, Work, WorkId
from paperround.records import Judged, NewDigest
from paperround.storage.database import Database, add_rows, among, batches, insert_many
from paperround.storage.delivery_rows import delivery_row
from paperround.storage.schema import deliveries, digest_items, digests, subscribers, votes

REASON = TypeAdapter(Reason)  # ↔ JSON


class DigestRows:
    """The DigestStore."""

    db: Database

    _works: Callable[[AsyncConnection, Sequence[int]], Awaitable[dict[WorkId, Work]]]  # of EntryRows

    async def record_digests(self, decided: Sequence[NewDigest]) -> list[Digest]:
        if not decided:
            return []
        recorded = []
        async with self.db.writing() as connection:
            ids = await self._insert_new(connection, decided)
            for each in decided:
                number = ids.get((each.digest.subscriber_id, each.digest.period))
                if number is not None:
                    recorded.append((each, replace(each.digest, id=DigestId(number))))
            await add_rows(connection, digest_items, [row for _, digest in recorded for row in item_rows(digest)])
            queued = [
                delivery_row(each.delivery, self.db.fold, digest_id=digest.id, now=digest.created_at)
                for each, digest in recorded
                if each.delivery
            ]
            if queued:
                mails = await connection.execute(deliveries.insert().returning(deliveries.c.id), queued)
                await self.db.announce(connection, "deliveries", mails.scalars().all())
            await self._move_on(connection, decided, ids)
        return [digest for _, digest in recorded]

    async def _insert_new(self, connection: AsyncConnection, decided: Sequence[NewDigest]) -> dict[tuple[int, date], int]:
        """The ids of the digests that were not there, by subscriber and period."""
        names = ("subscriber_id", "period", "number", "due_at", "since", "cutoff", "created_at", "candidates", "kind")
        rows = [{**{name: getattr(each.digest, name) for name in names}, "notes": list(each.digest.notes)} for each in decided]
        statement = self.db.insert(digests).on_conflict_do_nothing(index_elements=["subscriber_id", "period"])
        result = await connection.execute(statement.returning(digests.c.id, digests.c.subscriber_id, digests.c.period), rows)
        return {(row.subscriber_id, row.period): row.id for row in result}

    async def _move_on(self, connection: AsyncConnection, decided: Sequence[NewDigest], ids: Collection[tuple[int, date]]) -> None:
        """The readers' next due times; where the issue is new their cutoff and number, too."""
        new, again = [], []
        for each in decided:
            row = {"own": each.digest.subscriber_id, "next_due_at": each.next_due_at}
            if (each.digest.subscriber_id, each.digest.period) in ids:
                new.append({**row, "last_cutoff": each.digest.cutoff})
            else:
                again.append(row)
        own = update(subscribers).where(subscribers.c.id == bindparam("own"))
        await insert_many(connection, own.values(issues=subscribers.c.issues + 1), new)
        await insert_many(connection, own, again)

    async def digest(self, digest_id: DigestId) -> Digest:
        found = await self.digests([digest_id])
        if digest_id not in found:
            raise NotFoundError(f"there is no issue {digest_id}")
        return found[digest_id]

    async def digests(self, ids: Sequence[DigestId]) -> dict[DigestId, Digest]:
        rows = [row async for row in self.db.rows_among(ids, digests.c.id, select(digests))]
        async with self.db.reading() as connection:
            return {digest.id: digest for digest in await self._digests(connection, rows)}

    async def digests_of(self, subscriber_id: SubscriberId, *, limit: int) -> list[Digest]:
        query = select(digests).where(digests.c.subscriber_id == subscriber_id)
        async with self.db.reading() as connection:
            rows = (await connection.execute(query.order_by(digests.c.created_at.desc(), digests.c.id.desc()).limit(limit))).all()
            return await self._digests(connection, rows)

    async def _digests(self, connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Digest]:
        """Rows with their items, in the rows' order."""
        items: dict[int, list[Row[Any]]] = {}
        query = select(digest_items).order_by(digest_items.c.place)
        async for item in among(connection, [row.id for row in rows], digest_items.c.digest_id, query):
            items.setdefault(item.digest_id, []).append(item)
        found = await self._works(connection, sorted({item.work_id for several in items.values() for item in several}))
        return [digest_of(row, items.get(row.id, []), found) for row in rows]

    async def issued_works(
        self, subscriber_ids: Sequence[SubscriberId], *, among: Sequence[WorkId]
    ) -> dict[SubscriberId, dict[WorkId, datetime]]:
        issued: dict[SubscriberId, dict[WorkId, datetime]] = {}
        shown = digest_items.c.role != ItemRole.BELOW.value
        query = (
            select(digests.c.subscriber_id, digest_items.c.work_id, digests.c.created_at)
            .join(digests, digests.c.id == digest_items.c.digest_id)
            .where(shown)
            .order_by(digests.c.created_at)
        )
        for some in batches(among):
            async for row in self.db.rows_among(subscriber_ids, digests.c.subscriber_id, query.where(digest_items.c.work_id.in_(some))):
                issued.setdefault(SubscriberId(row.subscriber_id), {})[WorkId(row.work_id)] = row.created_at
        return issued

    async def judged(self, *, since: datetime, subscriber_ids: Sequence[SubscriberId] | None = None) -> list[Judged]:
        mine = and_(votes.c.subscriber_id == digests.c.subscriber_id, votes.c.work_id == digest_items.c.work_id, votes.c.value != 0)
        voted = (
            select(digest_items.c.digest_id)
            .join(digests, digests.c.id == digest_items.c.digest_id)
            .join(votes, mine)
            .where(digests.c.created_at >= since)
        )
        columns = (digests.c.subscriber_id, digest_items.c.digest_id, digests.c.cutoff, digest_items.c.work_id)
        value = func.coalesce(votes.c.value, 0).label("value")
        query = (
            select(*columns, digest_items.c.score, digest_items.c.strength, value)
            .join(digests, digests.c.id == digest_items.c.digest_id)
            .outerjoin(votes, mine)
            .where(digest_items.c.role == ItemRole.CHOSEN.value, digest_items.c.strength > 0)  # trending and must words say nothing
            .order_by(digests.c.cutoff, digest_items.c.digest_id, digest_items.c.place)
        )
        found: list[Judged] = []
        async with self.db.reading() as connection:
            for batch in [None] if subscriber_ids is None else list(batches(subscriber_ids)):
                narrow = [] if batch is None else [digests.c.subscriber_id.in_(batch)]
                wanted = query.where(digest_items.c.digest_id.in_(voted.where(*narrow)), *narrow)
                found += [Judged(**row._mapping) for row in await connection.execute(wanted)]
        return found

    async def feed_items(self, subscriber_id: SubscriberId, *, limit: int, since: datetime) -> list[tuple[Digest, DigestItem]]:
        mine = (digests.c.subscriber_id == subscriber_id, digests.c.created_at >= since, digest_items.c.role != ItemRole.BELOW.value)
        newest = select(digests.c.id).join(digest_items).where(*mine).order_by(digests.c.created_at.desc(), digests.c.id.desc())
        async with self.db.reading() as connection:
            ids = [DigestId(each) for each in dict.fromkeys((await connection.execute(newest.limit(limit))).scalars())]
        found = await self.digests(ids)
        shown = [(found[id_], item) for id_ in ids if id_ in found for item in found[id_].items if item.role is not ItemRole.BELOW]
        return shown[:limit]


def item_rows(digest: Digest) -> list[dict[str, Any]]:
    return [
        {
            "digest_id": digest.id,
            "place": place,
            "work_id": item.work.id,
            "role": item.role.value,
            "number": item.number,
            "score": item.score,
            "strength": item.strength,
            "reason": stored_reason(item),
            "excerpt": list(item.excerpt),
            "best": item.best,
            "also": list(item.also),
        }
        for place, item in enumerate(digest.items)
    ]


def stored_reason(item: DigestItem) -> dict[str, Any]:
    """Issues are most of what a database holds: the sentence stands in the excerpt already, and what is as ever is not written."""
    values: dict[str, Any] = REASON.dump_python(item.reason, mode="json", exclude_defaults=True)
    if item.best is not None and item.reason.sentence == item.excerpt[item.best]:
        del values["sentence"]
    return values


def reason_of(row: Row[Any]) -> Reason:
    told = {} if row.best is None else {"sentence": row.excerpt[row.best]}
    return REASON.validate_python(told | row.reason)


def digest_of(row: Row[Any], items: Sequence[Row[Any]], works: dict[WorkId, Work]) -> Digest:
    shown = tuple(
        DigestItem(
            work=works[WorkId(item.work_id)],
            role=ItemRole(item.role),
            number=item.number,
            score=item.score,
            strength=item.strength,
            reason=reason_of(item),
            excerpt=tuple(item.excerpt),
            best=item.best,
            also=tuple(item.also),
        )
        for item in items
    )
    return Digest(**{**row._mapping, "notes": tuple(row.notes)}, items=shown)
