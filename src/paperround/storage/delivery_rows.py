"""Deliveries: the outbox's rows, claimed by engines and never by two at a time."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, or_, select, update

from paperround.models import ConsentState, Delivery, DeliveryId, DeliveryState, DigestId, EngineId, MailKind, SubscriberId
from paperround.records import NewDelivery
from paperround.storage.database import Database, batches
from paperround.storage.schema import WAITING, deliveries, engines, subscribers, suppressions

HIDDEN = frozenset(("folded", "claimed_by", "claimed_until"))
QUEUED, SENDING, DEFERRED, IN_DOUBT = (
    each.value for each in (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.DEFERRED, DeliveryState.IN_DOUBT)
)
BEGUN = [each.value for each in DeliveryState if each.value not in (QUEUED, DEFERRED)]  # said so: for IN, SQLite reads the whole queue
UNCLAIMED: dict[str, Any] = {"claimed_by": None, "claimed_until": None}


def delivery_row(new: NewDelivery, fold: Callable[[str], str], *, digest_id: DigestId | None, now: datetime) -> dict[str, Any]:
    return {
        "kind": new.kind.value,
        "subscriber_id": new.subscriber_id,
        "digest_id": digest_id,
        "recipient": new.recipient,
        "folded": fold(new.recipient),
        "message_id": new.message_id,
        "state": QUEUED,
        "created_at": now,
        "next_attempt_at": now,
        "values": dict(new.values),
    }


def delivery_of(row: Row[Any]) -> Delivery:
    values = {name: value for name, value in row._mapping.items() if name not in HIDDEN}
    return Delivery(**{**values, "kind": MailKind(row.kind), "state": DeliveryState(row.state)})


# An issue needs a reader who may be mailed; the short mails (a confirmation, an answer) go to whoever asked for them.
# The state is asked for mail by mail: as an EXISTS beside an OR, PostgreSQL reads all subscribers for each claim.
state_of_reader = select(subscribers.c.state).where(subscribers.c.id == deliveries.c.subscriber_id).scalar_subquery()
SUPPRESSED = select(suppressions.c.address).where(suppressions.c.address == func.lower(deliveries.c.recipient)).exists()
MAY_GO = and_(~SUPPRESSED, or_(deliveries.c.kind != MailKind.ISSUE.value, state_of_reader == ConsentState.ACTIVE.value))


def _finish(connection: Connection, finished: Sequence[Delivery]) -> None:
    names = ("attempts", "next_attempt_at", "first_attempt_at", "finished_at", "code", "reply")
    own = (deliveries.c.id == bindparam("own"), deliveries.c.state != DeliveryState.CANCELLED.value)
    rows = [{"own": each.id, "state": each.state.value, **{name: getattr(each, name) for name in names}, **UNCLAIMED} for each in finished]
    if rows:
        connection.execute(update(deliveries).where(*own), rows)


class DeliveryRows:
    """The DeliveryStore."""

    db: Database

    async def queue(self, delivery: NewDelivery, *, now: datetime) -> Delivery:
        async with self.db.writing() as connection:
            row = delivery_row(delivery, self.db.fold, digest_id=None, now=now)
            queued = delivery_of((await connection.execute(deliveries.insert().returning(*deliveries.c), row)).one())
            await self.db.announce(connection, "deliveries", [queued.id])
            return queued

    # ------------------------------------------------------------ engines

    async def start_engine(self, engine: EngineId, now: datetime) -> None:
        await self.db.write(self.db.upsert(engines, ["id"], ["seen_at"]).values(id=engine, started_at=now, seen_at=now))

    async def heartbeat(self, engine: EngineId, now: datetime) -> None:
        await self.db.write(update(engines).where(engines.c.id == engine).values(seen_at=now))

    async def stop_engine(self, engine: EngineId) -> None:
        mine = deliveries.c.claimed_by == engine
        async with self.db.writing() as connection:
            await connection.execute(update(deliveries).where(mine, deliveries.c.state != SENDING).values(**UNCLAIMED))
            doubt = {"state": IN_DOUBT, **UNCLAIMED}
            await connection.execute(update(deliveries).where(mine, deliveries.c.state == SENDING).values(**doubt))
            await connection.execute(delete(engines).where(engines.c.id == engine))

    async def recover(self, now: datetime, *, silent_for: float) -> tuple[int, int]:
        alive = select(engines.c.id).where(engines.c.seen_at > now - timedelta(seconds=silent_for))
        dead = and_(deliveries.c.claimed_by.is_not(None), deliveries.c.claimed_by.not_in(alive))
        async with self.db.writing() as connection:
            doubt = update(deliveries).where(dead, deliveries.c.state == SENDING).values(state=IN_DOUBT, **UNCLAIMED)
            in_doubt = (await connection.execute(doubt)).rowcount
            back = (await connection.execute(update(deliveries).where(dead).values(**UNCLAIMED))).rowcount
            await connection.execute(delete(engines).where(engines.c.seen_at <= now - timedelta(seconds=silent_for)))
        return back, in_doubt

    # ------------------------------------------------------------ claiming and sending

    async def claim(
        self, engine: EngineId, now: datetime, *, limit: int, until: datetime, left_out: Collection[str] = ()
    ) -> list[Delivery]:
        due = select(deliveries.c.id).where(WAITING, deliveries.c.next_attempt_at <= now, MAY_GO)
        if left_out:
            due = due.where(self._domain().not_in(left_out))
        due = due.order_by(deliveries.c.next_attempt_at, deliveries.c.id).limit(limit)
        if not self.db.sqlite:
            due = due.with_for_update(skip_locked=True)
        found = due.cte("due")  # evaluated once: as a plain subquery it may lock more rows than its limit
        mine = update(deliveries).where(deliveries.c.id.in_(select(found.c.id))).values(claimed_by=engine, claimed_until=until)
        rows = await self.db.at_once(lambda connection: connection.execute(mine.returning(*deliveries.c)).all())
        return sorted(map(delivery_of, rows), key=lambda each: (each.next_attempt_at or each.created_at, each.id))

    def _domain(self) -> Any:
        """The recipient's domain, where it can be asked for."""
        recipient = func.lower(deliveries.c.recipient)
        if self.db.sqlite:
            return func.substr(recipient, func.instr(recipient, "@") + 1)
        return func.split_part(recipient, "@", -1)

    async def mark_sending(self, ids: Sequence[DeliveryId], now: datetime, *, finished: Sequence[Delivery] = ()) -> list[DeliveryId]:
        wanted = (deliveries.c.state.not_in(BEGUN), deliveries.c.claimed_by.is_not(None), MAY_GO)
        values = {"state": SENDING, "first_attempt_at": func.coalesce(deliveries.c.first_attempt_at, now)}
        sending = update(deliveries).where(*wanted).values(**values).returning(deliveries.c.id)

        def mark(connection: Connection) -> list[DeliveryId]:
            _finish(connection, finished)
            return [DeliveryId(row.id) for batch in batches(ids) for row in connection.execute(sending.where(deliveries.c.id.in_(batch)))]

        return await self.db.at_once(mark)

    async def finish(self, finished: Sequence[Delivery]) -> None:
        await self.db.at_once(lambda connection: _finish(connection, finished))

    async def release(self, ids: Sequence[DeliveryId]) -> None:
        free = update(deliveries).where(deliveries.c.state != SENDING).values(**UNCLAIMED)
        for batch in batches(ids):
            await self.db.write(free.where(deliveries.c.id.in_(batch)))

    async def resend_in_doubt(self, now: datetime) -> int:
        return await self.db.write(update(deliveries).where(deliveries.c.state == IN_DOUBT).values(state=QUEUED, next_attempt_at=now))

    # ------------------------------------------------------------ reading

    async def _delivery(self, *wanted: Any) -> Delivery | None:
        return next(map(delivery_of, await self.db.rows(select(deliveries).where(*wanted))), None)

    async def delivery(self, delivery_id: DeliveryId) -> Delivery | None:
        return await self._delivery(deliveries.c.id == delivery_id)

    async def delivery_by_message_id(self, message_id: str) -> Delivery | None:
        return await self._delivery(deliveries.c.message_id == message_id)

    async def deliveries_of(self, subscriber_id: SubscriberId, *, limit: int) -> list[Delivery]:
        query = select(deliveries).where(deliveries.c.subscriber_id == subscriber_id)
        return [delivery_of(row) for row in await self.db.rows(query.order_by(deliveries.c.id.desc()).limit(limit))]

    async def count_sent(self, since: datetime) -> int:
        sent = select(func.count()).where(deliveries.c.state == DeliveryState.SENT.value, deliveries.c.finished_at >= since)
        return int(await self.db.value(sent))

    async def count_deliveries(self) -> dict[DeliveryState, int]:
        counted = select(deliveries.c.state, func.count().label("n")).group_by(deliveries.c.state)
        return {DeliveryState(row.state): row.n for row in await self.db.rows(counted)}

    async def outcomes(self, since: datetime) -> dict[tuple[str, DeliveryState, int | None], int]:
        domain, state, code = self._domain().label("domain"), deliveries.c.state, deliveries.c.code
        counted = select(domain, state, code, func.count().label("n")).where(deliveries.c.created_at >= since).group_by(domain, state, code)
        return {(row.domain, DeliveryState(row.state), row.code): row.n for row in await self.db.rows(counted)}

    async def last_mail_to(self, recipient: str, kind: MailKind) -> datetime | None:
        wanted = (deliveries.c.folded == self.db.fold(recipient), deliveries.c.kind == kind.value)
        found: datetime | None = await self.db.value(select(func.max(deliveries.c.created_at)).where(*wanted))
        return found
