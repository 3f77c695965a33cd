"""Sources: the rows of where entries come from."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, or_, select, update

from paperround.errors import AlreadyExistsError, NotFoundError
from paperround.models import Source, SourceId, SourceKind, SourceState
from paperround.records import Poll
from paperround.storage.database import Database
from paperround.storage.schema import mentions, sources

FIELDS = tuple(column.name for column in sources.columns)


def source_of(row: Row[Any]) -> Source:
    values = dict(zip(FIELDS, row, strict=True))
    return Source(
        **{
            **values,
            "id": SourceId(values["id"]),
            "kind": SourceKind(values["kind"]),
            "state": SourceState(values["state"]),
            "tags": tuple(values["tags"]),
        }
    )


class SourceRows:
    """The SourceStore."""

    db: Database

    async def add_source(self, new: Source) -> Source:
        async with self.db.writing() as connection:
            if (await connection.execute(select(sources.c.id).where(sources.c.location == new.location))).first():
                raise AlreadyExistsError(f"{new.location} is a source already")
            values = {name: getattr(new, name) for name in FIELDS if name != "id"}
            values |= {"kind": new.kind.value, "state": new.state.value, "tags": list(new.tags)}
            return source_of((await connection.execute(sources.insert().returning(*sources.c), values)).one())

    async def sources(self) -> list[Source]:
        return [source_of(row) for row in await self.db.rows(select(sources).order_by(sources.c.id))]

    async def find_source(self, name_or_location: str) -> Source:
        wanted = or_(sources.c.name == name_or_location, sources.c.location == name_or_location)
        for row in await self.db.rows(select(sources).where(wanted).order_by(sources.c.id)):
            return source_of(row)
        raise NotFoundError(f"there is no source {name_or_location!r}; `paperround sources list` shows them")

    async def due_sources(self, now: datetime) -> list[Source]:
        due = or_(sources.c.next_poll_at.is_(None), sources.c.next_poll_at <= now)
        query = select(sources).where(sources.c.state == SourceState.ACTIVE.value, due).order_by(sources.c.next_poll_at, sources.c.id)
        return [source_of(row) for row in await self.db.rows(query)]

    async def arrivals(self, since: datetime) -> dict[SourceId, list[tuple[datetime, int]]]:
        query = select(mentions.c.source_id, mentions.c.seen_at, func.count().label("n")).where(mentions.c.seen_at > since)
        found: dict[SourceId, list[tuple[datetime, int]]] = {}
        for row in await self.db.rows(query.group_by(mentions.c.source_id, mentions.c.seen_at)):
            found.setdefault(SourceId(row.source_id), []).append((row.seen_at, row.n))
        return found

    async def save_poll(self, source_id: SourceId, poll: Poll) -> None:
        values: dict[str, Any] = {"last_polled_at": poll.at, "next_poll_at": poll.next_poll_at, "error": poll.error}
        if poll.ok:
            values |= {"last_success_at": poll.at, "failures": 0, "failing_since": None}
        else:
            values |= {"failures": sources.c.failures + 1}
        if poll.body_read:
            values |= {"etag": poll.etag, "last_modified": poll.last_modified}
        if poll.new_entries:
            values["last_new_at"] = poll.at
        for name in ("state", "location", "redirect", "interval", "hints"):
            if (value := getattr(poll, name)) is not None:
                values[name] = value
        async with self.db.writing() as connection:
            if poll.location and (await connection.execute(select(sources.c.id).where(sources.c.location == poll.location))).first():
                del values["location"]  # two sources that moved to one place: one of them is enough
                values |= {"state": SourceState.STOPPED.value, "next_poll_at": None, "error": f"moved to {poll.location}, a source already"}
            await connection.execute(update(sources).where(sources.c.id == source_id).values(**values))
            if not poll.ok:
                first = update(sources).where(sources.c.id == source_id, sources.c.failing_since.is_(None))
                await connection.execute(first.values(failing_since=poll.at))

    async def remove_source(self, source_id: SourceId) -> None:
        await self.db.write(delete(sources).where(sources.c.id == source_id))
