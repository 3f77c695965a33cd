"""Subscribers: the people, their consent, layers, votes and suppressions."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paperround.errors import AlreadyExistsError, NotFoundError
from paperround.models import (
    Channel,
    ConsentEvent,
    ConsentState,
    DeliveryState,
    Interest,
    MailKind,
    Profile,
    Subscriber,
    SubscriberId,
    Vote,
)
from paperround.records import Layer
from paperround.storage.database import Database, fields_of, insert_many
from paperround.storage.schema import (
    consent_events,
    deliveries,
    digest_items,
    digests,
    interest_texts,
    profile_layers,
    subscribers,
    suppressions,
    text_vectors,
    votes,
)
from paperround.storage.vectors import text_hash

NOT_KEPT = frozenset(("folded", "file_id"))
NOBODYS = ~exists().where(interest_texts.c.text_hash == text_vectors.c.text_hash)  # vectors of words that no profile holds
STILL_TO_GO = (DeliveryState.QUEUED.value, DeliveryState.DEFERRED.value)


def profile_json(profile: Profile) -> dict[str, Any]:
    values = {name: getattr(profile, name) for name in Profile.__dataclass_fields__}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {**plain, "interests": [[each.text, each.weight] for each in profile.interests]}


def profile_of(values: dict[str, Any]) -> Profile:
    listed = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    interests = tuple(Interest(text=words, weight=weight) for words, weight in values["interests"])
    return Profile(**{**values, **listed, "interests": interests, "channels": tuple(map(Channel, values["channels"]))})


WITH_SUPPRESSION = (
    select(subscribers, suppressions.c.reason.label("suppressed"))
    .select_from(subscribers.outerjoin(suppressions, suppressions.c.address == subscribers.c.folded))
    .order_by(subscribers.c.id)
)


def subscriber_of(row: Row[Any]) -> Subscriber:
    values = {name: value for name, value in row._mapping.items() if name not in NOT_KEPT}
    return Subscriber(**{**values, "state": ConsentState(values["state"]), "profile": profile_of(values["profile"])})


class SubscriberRows:
    """The SubscriberStore."""

    db: Database

    async def _one(self, *wanted: Any) -> Subscriber | None:
        rows = await self.db.rows(WITH_SUPPRESSION.where(*wanted))
        return subscriber_of(rows[0]) if rows else None

    async def add_subscriber(
        self,
        *,
        email: str | None,
        public_id: str,
        profile: Profile,
        event: ConsentEvent,
        next_due_at: datetime | None,
        file_id: str | None = None,
    ) -> Subscriber:
        folded = email.casefold() if email else None
        async with self.db.writing() as connection:
            same = [column == value for column, value in ((subscribers.c.folded, folded), (subscribers.c.file_id, file_id)) if value]
            if same and (await connection.execute(select(subscribers.c.id).where(or_(*same)))).first():
                raise AlreadyExistsError(f"{email or file_id} is a subscriber already")
            row = {
                "public_id": public_id,
                "email": email,
                "folded": folded,
                "file_id": file_id,
                "state": event.state.value,
                "profile": profile_json(profile),
                "created_at": event.at,
                "consented_at": event.at if event.state is ConsentState.ACTIVE else None,
                "next_due_at": next_due_at,
            }
            added = (await connection.execute(subscribers.insert().returning(subscribers.c.id), row)).scalar_one()
            await self._write_event(connection, SubscriberId(added), event)
            await self._write_texts(connection, SubscriberId(added), profile)
        return await self.subscriber(SubscriberId(added))

    async def _write_event(self, connection: AsyncConnection, subscriber_id: SubscriberId, event: ConsentEvent) -> None:
        values = {**asdict(event), "state": event.state.value, "kind": str(event.kind)}
        await connection.execute(consent_events.insert().values(subscriber_id=subscriber_id, **values))

    async def _write_texts(self, connection: AsyncConnection, subscriber_id: SubscriberId, profile: Profile) -> None:
        """The free texts of a profile, for the embed step."""
        await connection.execute(delete(interest_texts).where(interest_texts.c.subscriber_id == subscriber_id))
        await insert_many(
            connection,
            interest_texts.insert(),
            [{"subscriber_id": subscriber_id, "text_hash": text_hash(each), "text": each} for each in profile.own_words],
        )
        await self.db.announce(connection, "texts", [subscriber_id] if profile.own_words else [])

    async def find_subscriber(self, email_or_id: str) -> Subscriber:
        name = email_or_id.strip()
        wanted = or_(subscribers.c.folded == name.casefold(), subscribers.c.public_id == name, subscribers.c.file_id == name)
        found = await self._one(wanted)
        if found is None:
            raise NotFoundError(f"there is no subscriber {name!r}; `paperround subscribers list` shows them")
        return found

    async def subscriber(self, subscriber_id: SubscriberId) -> Subscriber:
        found = await self._one(subscribers.c.id == subscriber_id)
        if found is None:
            raise NotFoundError(f"there is no subscriber with the number {subscriber_id}")
        return found

    async def subscribers_by_id(self, ids: Sequence[SubscriberId]) -> dict[SubscriberId, Subscriber]:
        rows = self.db.rows_among(ids, subscribers.c.id, WITH_SUPPRESSION)
        return {SubscriberId(row.id): subscriber_of(row) async for row in rows}

    async def by_public_id(self, public_id: str) -> Subscriber | None:
        return await self._one(subscribers.c.public_id == public_id)

    async def subscribers(self, *, states: Sequence[str] = (), batch: int = 500) -> AsyncIterator[list[Subscriber]]:
        last = 0
        while True:
            query = WITH_SUPPRESSION.where(subscribers.c.id > last).limit(batch)
            if states:
                query = query.where(subscribers.c.state.in_(states))
            found = [subscriber_of(row) for row in await self.db.rows(query)]
            if not found:
                return
            last = found[-1].id
            yield found

    async def due_subscribers(
        self, now: datetime, *, after: SubscriberId | None, limit: int, last: SubscriberId | None = None
    ) -> list[Subscriber]:
        due = WITH_SUPPRESSION.where(
            subscribers.c.state == ConsentState.ACTIVE.value, subscribers.c.next_due_at <= now, subscribers.c.id > (after or 0)
        )
        if last is not None:
            due = due.where(subscribers.c.id <= last)
        return [subscriber_of(row) for row in await self.db.rows(due.limit(limit))]

    async def count_due(self, now: datetime) -> int:
        due = select(func.count().label("n")).where(subscribers.c.state == ConsentState.ACTIVE.value, subscribers.c.next_due_at <= now)
        return int(await self.db.value(due))

    async def due_shards(self, now: datetime, size: int) -> list[tuple[SubscriberId, SubscriberId]]:
        place = func.row_number().over(order_by=subscribers.c.id) - 1
        due = (
            select(subscribers.c.id, place.label("place"))
            .where(subscribers.c.state == ConsentState.ACTIVE.value, subscribers.c.next_due_at <= now)
            .subquery()
        )
        ends = select(func.min(due.c.id).label("low"), func.max(due.c.id).label("high")).group_by(due.c.place - due.c.place % size)
        return sorted((SubscriberId(row.low), SubscriberId(row.high)) for row in await self.db.rows(ends))

    async def save_profile(self, subscriber_id: SubscriberId, profile: Profile, *, next_due_at: datetime | None) -> None:
        async with self.db.writing() as connection:
            values = {"profile": profile_json(profile), "next_due_at": next_due_at}
            await connection.execute(update(subscribers).where(subscribers.c.id == subscriber_id).values(**values))
            await self._write_texts(connection, subscriber_id, profile)

    async def record_consent(
        self,
        subscriber_id: SubscriberId,
        event: ConsentEvent,
        *,
        next_due_at: datetime | None,
        paused_until: datetime | None = None,
        resumed_at: datetime | None = None,
        raise_feed_epoch: bool = False,
    ) -> None:
        row = subscribers.c
        values: dict[str, Any] = {
            "state": event.state.value,
            "next_due_at": next_due_at,
            "paused_until": paused_until,
            "feed_epoch": row.feed_epoch + int(raise_feed_epoch),
        }
        if resumed_at:
            values["resumed_at"] = resumed_at
        if event.state is ConsentState.ACTIVE:
            values["consented_at"] = func.coalesce(row.consented_at, event.at)
        async with self.db.writing() as connection:
            await connection.execute(update(subscribers).where(row.id == subscriber_id).values(**values))
            await self._write_event(connection, subscriber_id, event)
            if event.state is not ConsentState.ACTIVE:
                await cancel(connection, event.at, deliveries.c.subscriber_id == subscriber_id)

    async def consent_events(self, subscriber_id: SubscriberId) -> list[ConsentEvent]:
        query = select(consent_events).where(consent_events.c.subscriber_id == subscriber_id).order_by(consent_events.c.id)
        rows = [fields_of(row, ConsentEvent) for row in await self.db.rows(query)]
        return [ConsentEvent(**{**values, "state": ConsentState(values["state"])}) for values in rows]

    async def raise_epochs(self, subscriber_id: SubscriberId, *, link: bool = False, feed: bool = False) -> None:
        values = {"link_epoch": subscribers.c.link_epoch + int(link), "feed_epoch": subscribers.c.feed_epoch + int(feed)}
        await self.db.write(update(subscribers).where(subscribers.c.id == subscriber_id).values(**values))

    async def move_address(self, subscriber_id: SubscriberId, email: str, event: ConsentEvent) -> None:
        row, folded = subscribers.c, email.casefold()
        values = {"email": email, "folded": folded, "link_epoch": row.link_epoch + 1}
        waiting = (deliveries.c.state.in_(STILL_TO_GO), deliveries.c.kind == MailKind.ISSUE.value)
        async with self.db.writing() as connection:
            if (await connection.execute(select(row.id).where(row.folded == folded, row.id != subscriber_id))).first():
                raise AlreadyExistsError("a paper comes to that address already")
            await connection.execute(update(subscribers).where(row.id == subscriber_id).values(**values))
            moved = update(deliveries).where(deliveries.c.subscriber_id == subscriber_id, *waiting)
            await connection.execute(moved.values(recipient=email, folded=self.db.fold(email)))
            await self._write_event(connection, subscriber_id, event)

    async def note_feed_read(self, subscriber_id: SubscriberId, now: datetime) -> None:
        await self.db.write(update(subscribers).where(subscribers.c.id == subscriber_id).values(feed_read_at=now))

    async def layers(self, subscriber_id: SubscriberId) -> list[Layer]:
        query = select(profile_layers).where(profile_layers.c.subscriber_id == subscriber_id)
        rows = await self.db.rows(query.order_by(profile_layers.c.layer, profile_layers.c.key))
        return [Layer(**fields_of(row, Layer)) for row in rows]

    async def save_layers(self, subscriber_id: SubscriberId, layers: Sequence[Layer]) -> None:
        upsert = self.db.upsert(profile_layers, ["subscriber_id", "layer", "key"], ["value", "changed_at"])
        async with self.db.writing() as connection:
            await insert_many(connection, upsert, [{"subscriber_id": subscriber_id, **asdict(each)} for each in layers])

    async def drop_layer(self, subscriber_id: SubscriberId, layer: str) -> None:
        wanted = (profile_layers.c.subscriber_id == subscriber_id, profile_layers.c.layer == layer)
        await self.db.write(delete(profile_layers).where(*wanted))

    # ------------------------------------------------------------ votes

    async def save_vote(self, subscriber_id: SubscriberId, vote: Vote) -> None:
        upsert = self.db.upsert(votes, ["subscriber_id", "work_id"], ["value", "at", "way", "title"])
        await self.db.write(upsert.values(subscriber_id=subscriber_id, **asdict(vote)))

    async def votes(self, subscriber_ids: Sequence[SubscriberId]) -> dict[SubscriberId, list[Vote]]:
        found: dict[SubscriberId, list[Vote]] = {}
        query = select(votes).where(votes.c.value != 0).order_by(votes.c.at, votes.c.work_id)
        async for row in self.db.rows_among(subscriber_ids, votes.c.subscriber_id, query):
            found.setdefault(SubscriberId(row.subscriber_id), []).append(Vote(**fields_of(row, Vote)))
        return found

    async def paused_until(self, now: datetime) -> list[Subscriber]:
        ended = WITH_SUPPRESSION.where(subscribers.c.state == ConsentState.PAUSED.value, subscribers.c.paused_until <= now)
        return [subscriber_of(row) for row in await self.db.rows(ended)]

    # ------------------------------------------------------------ leaving

    async def forget(self, subscriber_id: SubscriberId, *, address_hash: str, event: ConsentEvent) -> None:
        own = subscribers.c.id == subscriber_id
        async with self.db.writing() as connection:
            for table in (consent_events, profile_layers, interest_texts, votes):
                await connection.execute(delete(table).where(table.c.subscriber_id == subscriber_id))
            await connection.execute(delete(text_vectors).where(NOBODYS))  # of earlier words of theirs, too
            await cancel(connection, event.at, deliveries.c.subscriber_id == subscriber_id)
            erased: dict[str, Any] = {"recipient": "", "folded": "", "values": {}, "reply": None}
            await connection.execute(update(deliveries).where(deliveries.c.subscriber_id == subscriber_id).values(**erased))
            issues = select(digests.c.id).where(digests.c.subscriber_id == subscriber_id)
            await connection.execute(delete(digest_items).where(digest_items.c.digest_id.in_(issues)))
            bare = {"email": None, "folded": None, "file_id": None, "profile": profile_json(Profile()), "next_due_at": None}
            await connection.execute(update(subscribers).where(own).values(state=event.state.value, **bare))
            await self._write_event(connection, subscriber_id, event)
            row = {"address": address_hash, "reason": "forgotten", "evidence": "asked to be forgotten", "at": event.at}
            await connection.execute(self.db.insert(suppressions).values(**row).on_conflict_do_nothing())
        await self._sweep()

    async def _sweep(self) -> None:
        """Nothing of what was erased stays in the write-ahead log."""
        if self.db.sqlite:
            with self.db.explained():
                async with self.db.engine.connect() as connection:
                    await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    async def erase_prefixes(self, before: datetime) -> int:
        old = (consent_events.c.at < before, consent_events.c.address_prefix.is_not(None))
        return await self.db.write(update(consent_events).where(*old).values(address_prefix=None))

    async def remove_pending(self, before: datetime) -> int:
        async with self.db.writing() as connection:
            stale = (subscribers.c.state == ConsentState.PENDING.value, subscribers.c.created_at < before)
            removed = (await connection.execute(delete(subscribers).where(*stale))).rowcount
            await connection.execute(delete(text_vectors).where(NOBODYS))  # words of visitors who looked and went
            return removed

    async def remove_unread(self, before: datetime) -> int:
        row = subscribers.c
        by_feed = (row.email.is_(None), row.file_id.is_(None), row.state != ConsentState.FORGOTTEN.value)
        return await self.db.write(delete(subscribers).where(*by_feed, func.coalesce(row.feed_read_at, row.created_at) < before))

    async def count_subscribers(self) -> dict[str, int]:
        counted = select(subscribers.c.state, func.count().label("n")).group_by(subscribers.c.state)
        return {row.state: row.n for row in await self.db.rows(counted)}

    # ------------------------------------------------------------ suppressions

    async def suppress(self, address: str, *, reason: str, evidence: str, now: datetime) -> None:
        row = {"address": address.casefold(), "reason": reason, "evidence": evidence[:500], "at": now}
        async with self.db.writing() as connection:
            await connection.execute(self.db.insert(suppressions).values(**row).on_conflict_do_nothing())
            wanted = func.lower(deliveries.c.recipient) == address.casefold()
            await cancel(connection, now, wanted)

    async def unsuppress(self, address: str) -> bool:
        return await self.db.write(delete(suppressions).where(suppressions.c.address == address.casefold())) > 0

    async def suppression(self, names: Sequence[str]) -> str | None:
        wanted = suppressions.c.address.in_([name.casefold() for name in names])
        return next((row.reason for row in await self.db.rows(select(suppressions.c.reason).where(wanted))), None)

    async def suppressions(self) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in await self.db.rows(select(suppressions).order_by(suppressions.c.at))]

    async def count_complaints(self, since: datetime) -> int:
        complained = suppressions.c.reason == "complained", suppressions.c.at >= since
        return int(await self.db.value(select(func.count()).select_from(suppressions).where(*complained)))


async def cancel(connection: AsyncConnection, now: datetime, *wanted: Any) -> None:
    """What has not gone yet does not go any more. Confirmations and answers are no issues and stay."""
    waiting = (deliveries.c.state.in_(STILL_TO_GO), deliveries.c.kind == MailKind.ISSUE.value)
    values = {"state": DeliveryState.CANCELLED.value, "finished_at": now, "claimed_by": None, "claimed_until": None}
    await connection.execute(update(deliveries).where(*waiting, *wanted).values(**values))
