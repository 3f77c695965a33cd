"""Entries: what sources carried, kept as works with their keys, aliases and mentions."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paperround.errors import NotFoundError
from paperround.models import Entry, Links, Mention, Source, Work, WorkId, split_reference
from paperround.records import KnownWork, Placement
from paperround.storage.database import Database, among, fields_of, insert_many
from paperround.storage.schema import digest_items, mentions, votes, work_aliases, work_keys, work_vectors, works

FIELDS = tuple(column.name for column in works.columns)
SAID = ("url", "position", "page_date", "upvotes", "version")  # what a mention keeps of its entry
KEPT = frozenset(("quiet", "content_hash", "version"))  # of the row, not of the noun


def content_hash(title: str, abstract: str) -> str:
    return hashlib.sha256(f"{title}\0{abstract}".encode()).hexdigest()


def work_of(row: Row[Any], found: Sequence[Mention]) -> Work:
    values = {name: value for name, value in zip(FIELDS, row, strict=True) if name not in KEPT}
    for name in ("authors", "categories", "keywords"):
        values[name] = tuple(values[name])
    return Work(**{**values, "id": WorkId(values["id"]), "links": Links(**values["links"]), "mentions": tuple(found)})


def identifier(entry: Entry) -> str:
    """What the source itself calls an entry."""
    return entry.guid or entry.url or entry.title


class EntryRows:
    """The WorkStore."""

    db: Database

    async def record_entries(
        self,
        source: Source,
        entries: Sequence[Entry],
        *,
        seen_at: datetime,
        place: Callable[[Sequence[Entry], Mapping[str, KnownWork]], Placement],
        keys: Callable[[Entry], frozenset[str]],
        material_change: Callable[[str, str], str | None],
        quiet: bool = False,
    ) -> int:
        if not entries:
            return 0
        async with self.db.writing() as connection:
            known = await known_works(connection, frozenset().union(*map(keys, entries)))
            placement = place(entries, known)
            united = {work_id for several in placement.works for work_id in several}
            rows = {row.id: dict(row._mapping) async for row in among(connection, united, works.c.id, select(works))}
            there = await self._there(connection, source, entries)
            # What stood there before is no news by standing there still.
            silent = [quiet or identifier(entry) in there for entry in entries]
            ids = await self._write_works(connection, entries, placement, rows, seen_at, material_change, silent)
            for several in placement.works:
                for other in several[1:]:
                    await self._merge(connection, other, several[0])
            await self._write_keys(connection, placement, ids)
            await self._write_mentions(connection, source, entries, placement, ids, seen_at)
        return len({identifier(entry) for entry in entries} - there)

    async def _there(self, connection: AsyncConnection, source: Source, entries: Sequence[Entry]) -> set[str]:
        """What of the entries the source carried already."""
        known = select(mentions.c.identifier).where(mentions.c.source_id == source.id)
        names = sorted({identifier(entry) for entry in entries})
        return {row.identifier async for row in among(connection, names, mentions.c.identifier, known)}

    async def _write_works(
        self,
        connection: AsyncConnection,
        entries: Sequence[Entry],
        placement: Placement,
        rows: Mapping[int, dict[str, Any]],
        seen_at: datetime,
        material_change: Callable[[str, str], str | None],
        silent: Sequence[bool],
    ) -> list[int]:
        """Insert new works, update known ones; the work id of each group."""
        ids: list[int] = [several[0] if several else 0 for several in placement.works]
        fresh = [group for group, work_id in enumerate(ids) if not work_id]
        new_rows, changed = [], []
        for group, members in enumerate(placement.groups):
            mine, quiet = [entries[member] for member in members], all(silent[member] for member in members)
            if not ids[group]:
                new_rows.append(new_work(mine, seen_at, quiet=quiet))
                continue
            before = [rows[work_id] for work_id in placement.works[group]]
            after = updated_work(before, mine, seen_at, material_change, quiet=quiet)
            if after != before[0]:
                changed.append(after)
        if new_rows:
            result = await connection.execute(works.insert().returning(works.c.id, sort_by_parameter_order=True), new_rows)
            for group, work_id in zip(fresh, result.scalars(), strict=True):
                ids[group] = work_id
        for row in changed:
            await connection.execute(update(works).where(works.c.id == row["id"]).values({name: row[name] for name in row if name != "id"}))
        reworded = [row["id"] for row in changed if row["content_hash"] != rows[row["id"]]["content_hash"]]
        await self.db.announce(connection, "works", [*(ids[group] for group in fresh), *reworded])
        return ids

    async def _merge(self, connection: AsyncConnection, other: int, survivor: int) -> None:
        """`other` becomes an alias: what was said, sent and voted of it follows."""
        await connection.execute(update(mentions).where(mentions.c.work_id == other).values(work_id=survivor))
        await connection.execute(update(digest_items).where(digest_items.c.work_id == other).values(work_id=survivor))
        voted = select(votes.c.subscriber_id).where(votes.c.work_id == survivor)
        await connection.execute(delete(votes).where(votes.c.work_id == other, votes.c.subscriber_id.in_(voted)))
        await connection.execute(update(votes).where(votes.c.work_id == other).values(work_id=survivor))
        await connection.execute(update(work_keys).where(work_keys.c.work_id == other).values(work_id=survivor))
        await connection.execute(update(work_aliases).where(work_aliases.c.work_id == other).values(work_id=survivor))
        await connection.execute(work_aliases.insert().values(alias=other, work_id=survivor))
        await connection.execute(delete(work_vectors).where(work_vectors.c.work_id == other))
        await connection.execute(delete(works).where(works.c.id == other))

    async def _write_keys(self, connection: AsyncConnection, placement: Placement, ids: Sequence[int]) -> None:
        rows = [{"key": key, "work_id": work_id} for work_id, several in zip(ids, placement.keys, strict=True) for key in sorted(several)]
        await insert_many(connection, self.db.insert(work_keys).on_conflict_do_nothing(), rows)

    async def _write_mentions(
        self,
        connection: AsyncConnection,
        source: Source,
        entries: Sequence[Entry],
        placement: Placement,
        ids: Sequence[int],
        seen_at: datetime,
    ) -> None:
        rows, of_source = {}, {"source_id": source.id, "source_name": source.name, "seen_at": seen_at}
        for work_id, members in zip(ids, placement.groups, strict=True):
            for entry in (entries[member] for member in members):
                said = {name: getattr(entry, name) for name in SAID}
                rows[identifier(entry)] = {"work_id": work_id, "identifier": identifier(entry), **of_source, **said}
        upsert = self.db.upsert(mentions, ["source_id", "identifier"], ["work_id", *SAID])
        await insert_many(connection, upsert, list(rows.values()))

    # ------------------------------------------------------------ reading

    async def works(self, ids: Sequence[WorkId]) -> dict[WorkId, Work]:
        async with self.db.reading() as connection:
            real = await surviving(connection, ids)
            found = await self._works(connection, sorted(set(real.values())))
        return {work_id: found[real[work_id]] for work_id in ids if real[work_id] in found}

    async def works_seen(self, after: datetime, until: datetime) -> list[Work]:
        def within(column: Any) -> Any:
            return and_(column > after, column <= until)

        wanted = and_(~works.c.withdrawn, or_(and_(~works.c.quiet, within(works.c.first_seen_at)), within(works.c.changed_at)))
        async with self.db.reading() as connection:
            ids = (await connection.execute(select(works.c.id).where(wanted).order_by(works.c.id))).scalars().all()
            return list((await self._works(connection, ids)).values())

    async def _works(self, connection: AsyncConnection, ids: Sequence[int]) -> dict[WorkId, Work]:
        said: dict[int, list[Mention]] = {}
        query = select(mentions).order_by(mentions.c.seen_at, mentions.c.id)
        async for row in among(connection, ids, mentions.c.work_id, query):
            said.setdefault(row.work_id, []).append(Mention(**fields_of(row, Mention)))
        rows = among(connection, ids, works.c.id, select(works).order_by(works.c.id))
        return {WorkId(row.id): work_of(row, said.get(row.id, [])) async for row in rows}

    async def find_work(self, reference: str) -> Work:
        found = await self.resolve([reference])
        if reference not in found:
            raise NotFoundError(f"there is no work {reference!r}: name it by id, arxiv:…, doi:…, address or exact title")
        return (await self.works([found[reference]]))[found[reference]]

    async def resolve(self, references: Sequence[str]) -> dict[str, WorkId]:
        ways = {each: [lookups(name) for name in names_in(each.strip())] for each in references}
        wanted: dict[str, set[str | int]] = {}
        for kind, value in {lookup for several in ways.values() for way in several for lookup in way}:
            wanted.setdefault(kind, set()).add(value)
        known: dict[Lookup, int] = {}
        async with self.db.reading() as connection:
            for kind, values in wanted.items():
                known |= {(kind, value): number for value, number in (await looked_up(connection, kind, values)).items()}
        found = {}
        for reference, several in ways.items():
            oldest = [min(numbers) for way in several if (numbers := [known[each] for each in way if each in known])]
            if oldest:
                found[reference] = WorkId(oldest[0])
        return found

    async def count_works(self) -> int:
        return int(await self.db.value(select(func.count()).select_from(works)))


Lookup = tuple[str, str | int]  # a kind of LOOKED_UP and a value
LOOKED_UP = {  # where each kind stands, and the work it names there
    "id": (works.c.id, works.c.id),
    "arxiv": (works.c.arxiv_id, works.c.id),
    "doi": (works.c.doi, works.c.id),
    "url": (works.c.url, works.c.id),
    "mentioned": (mentions.c.url, mentions.c.work_id),
    "title": (func.lower(works.c.title), works.c.id),
}


def names_in(reference: str) -> tuple[str, ...]:
    """One reference a person wrote: number, arxiv:…, doi:…, address, title; or the first of these with a title after them."""
    named, title = split_reference(reference)
    return (named, title) if named and title else (reference,)


def lookups(name: str) -> list[Lookup]:
    """Where one name is looked for; the oldest work found counts."""
    kind, colon, rest = name.partition(":")
    if name.isdigit():
        return [("id", int(name))]
    if colon and kind.casefold() == "arxiv":
        return [("arxiv", rest.strip().partition("v")[0])]
    if colon and kind.casefold() == "doi":
        return [("doi", rest.strip().casefold())]
    return [("url", name), ("mentioned", name), ("title", name.lower())]


async def looked_up(connection: AsyncConnection, kind: str, values: Iterable[str | int]) -> dict[str | int, int]:
    """The oldest work that each value names."""
    column, number = LOOKED_UP[kind]
    real = dict(await surviving(connection, list(map(WorkId, map(int, values))))) if kind == "id" else {each: each for each in values}
    query = select(column.label("value"), func.min(number).label("number")).group_by(column)
    found = {row.value: row.number async for row in among(connection, sorted(set(real.values())), column, query)}
    return {value: found[now] for value, now in real.items() if now in found}


async def surviving(connection: AsyncConnection, ids: Sequence[WorkId]) -> dict[WorkId, WorkId]:
    """The work that each id stands for today."""
    real = {work_id: work_id for work_id in ids}
    async for row in among(connection, list(real), work_aliases.c.alias, select(work_aliases)):
        real[WorkId(row.alias)] = WorkId(row.work_id)
    return real


async def known_works(connection: AsyncConnection, wanted: frozenset[str]) -> dict[str, KnownWork]:
    """Stored works by key, each with all its keys."""
    found = among(connection, sorted(wanted), work_keys.c.key, select(work_keys.c.work_id))
    ids = sorted({row.work_id async for row in found})
    keys_of: dict[int, set[str]] = {}
    async for row in among(connection, ids, work_keys.c.work_id, select(work_keys)):
        keys_of.setdefault(row.work_id, set()).add(row.key)
    known: dict[str, KnownWork] = {}
    async for row in among(connection, ids, works.c.id, select(works.c.id, works.c.title, works.c.abstract, works.c.version)):
        mine = frozenset(keys_of[row.id])
        known |= dict.fromkeys(mine, KnownWork(**row._mapping, keys=mine))
    return known


# ---------------------------------------------------------------- one work out of several entries


NOTHING_KNOWN: Mapping[str, Any] = {
    **{"abstract": "", "authors": [], "links": {}, "categories": [], "keywords": [], "withdrawn": False},
    **dict.fromkeys(("url", "published", "arxiv_id", "doi", "version", "upvotes", "changed_at", "change")),
}


def new_work(entries: Sequence[Entry], seen_at: datetime, *, quiet: bool) -> dict[str, Any]:
    first = max(entries, key=lambda entry: (len(entry.summary), entry.title))  # the fullest speaks; the same whatever the order
    row: dict[str, Any] = {**NOTHING_KNOWN, "title": first.title, "first_seen_at": seen_at, "quiet": quiet}
    for entry in sorted(entries, key=lambda entry: -len(entry.summary)):
        row = with_entry(row, entry)
    return {**row, "content_hash": content_hash(row["title"], row["abstract"])}


def updated_work(
    before: Sequence[dict[str, Any]],
    entries: Sequence[Entry],
    seen_at: datetime,
    material_change: Callable[[str, str], str | None],
    *,
    quiet: bool,
) -> dict[str, Any]:
    """The oldest row, with what its twins and new entries know more."""
    row = dict(before[0])
    for twin in before[1:]:
        row = with_row(row, twin)
    for entry in entries:
        newer = entry.version is not None and row["version"] is not None and entry.version > row["version"]
        told = material_change(row["abstract"], entry.summary) if newer and entry.summary else None
        if newer and entry.summary:
            row |= {"abstract": entry.summary, "title": entry.title or row["title"]}
        if told:
            row |= {"changed_at": seen_at, "change": told}
        row = with_entry(row, entry)
    row["quiet"] = row["quiet"] and quiet
    if before[0]["quiet"] and not row["quiet"]:
        row["first_seen_at"] = seen_at  # it stood in a backlog, and is carried anew elsewhere
    return {**row, "content_hash": content_hash(row["title"], row["abstract"])}


def with_entry(row: dict[str, Any], entry: Entry) -> dict[str, Any]:
    links = {name: value for name, value in asdict(entry.links).items() if value}
    return {
        **row,
        "abstract": max(row["abstract"], entry.summary, key=len) if (entry.version or 0) >= (row["version"] or 0) else row["abstract"],
        "authors": list(entry.authors) if len(entry.authors) > len(row["authors"]) else row["authors"],
        "url": row["url"] or entry.url,
        "links": {**links, **row["links"]},
        "published": min(filter(None, (row["published"], entry.published)), default=None),
        "categories": list(dict.fromkeys([*row["categories"], *entry.categories])),
        "keywords": list(dict.fromkeys([*row["keywords"], *entry.keywords])),
        "arxiv_id": row["arxiv_id"] or entry.arxiv_id,
        "doi": row["doi"] or entry.doi,
        "version": max(filter(None, (row["version"], entry.version)), default=None),
        "upvotes": max((each for each in (row["upvotes"], entry.upvotes) if each is not None), default=None),
        "withdrawn": row["withdrawn"] or entry.withdrawn,
    }


def with_row(row: dict[str, Any], twin: dict[str, Any]) -> dict[str, Any]:
    names = ("title", "url", "published", "arxiv_id", "doi", "version", "upvotes", "withdrawn", "authors", "categories", "keywords")
    said = Entry(**{name: twin[name] for name in names}, summary=twin["abstract"], links=Links(**twin["links"]))
    return {
        **with_entry(row, said),
        "first_seen_at": min(row["first_seen_at"], twin["first_seen_at"]),
        "quiet": row["quiet"] and twin["quiet"],
        "changed_at": row["changed_at"] or twin["changed_at"],
        "change": row["change"] or twin["change"],
    }
