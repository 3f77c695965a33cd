"""Source actions: add, look at, import and export the places that entries come from. The one way for every shell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from paperround.errors import AlreadyExistsError, FetchError, PaperroundError
from paperround.models import Entry, Fetched, Source, SourceId, SourceKind
from paperround.pipeline.interfaces import Fetcher, Storage
from paperround.sources import health, identity, opml, recognition, shortcuts
from paperround.sources.health import Health
from paperround.sources.opml import write_opml
from paperround.sources.polling import is_file
from paperround.sources.shortcuts import expanded

__all__ = ["Health", "NewSource", "Seen", "add_source", "expanded", "healths", "import_opml", "import_rows", "known", "look", "write_opml"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What would be read from a place."""

    location: str
    kind: SourceKind
    title: str
    entries: tuple[Entry, ...]
    works: int
    address: str  # where redirects led
    others: tuple[str, ...] = ()  # more feeds that the same page announces

    @property
    def weekly(self) -> float | None:
        """Entries a week, by their own dates; None where too few have one."""
        dates = sorted(entry.published for entry in self.entries if entry.published)
        span = dates[-1] - dates[0] if len(dates) > 2 else timedelta()
        return (len(dates) - 1) / (span / timedelta(days=7)) if span else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """What an administrator says of a source to be added; None is found out."""

    kind: SourceKind | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    backlog: str | None = None  # all, none, or a number
    as_of: date | None = None
    outline: Mapping[str, Any] | None = None  # what an OPML list said of it


async def look(fetcher: Fetcher, location: str, *, kind: SourceKind | None, now: datetime, as_of: date | None = None) -> Seen:
    """Read a place without remembering anything; of a page that announces feeds, the first of them. Raises FetchError and ParseError."""
    fetched, others = await _asked(fetcher, location, now), []
    page = kind is not SourceKind.DAILY_PAPERS and not is_file(location) and recognition.is_page(fetched.body)
    if feeds := [address for _, address in recognition.announced_feeds(fetched.body, url=fetched.url)] if page else []:
        location, *others = feeds
        fetched, kind = await _asked(fetcher, location, now), SourceKind.FEED
    found = kind or recognition.guess_kind(fetched.body)
    feed = recognition.read_source(fetched.body, url=fetched.url, kind=found, headers=fetched.headers, now=now, as_of=as_of)
    works = len(identity.place(feed.entries, {}).groups)
    return Seen(
        location=location, kind=found, title=feed.title, entries=feed.entries, works=works, address=fetched.url, others=tuple(others)
    )


async def _asked(fetcher: Fetcher, location: str, now: datetime) -> Fetched:
    fetched = await fetcher.fetch(shortcuts.dated(location, now))
    if fetched.status == 410:
        raise FetchError(f"{location}: gone for good (HTTP 410)", status=410)
    return fetched


async def known(storage: Storage, *places: str) -> Source | None:
    """The source that is one of these places already, however its address is spelled."""
    wanted = {identity.canonical_url(place) or place for place in places}
    return next((each for each in await storage.sources() if (identity.canonical_url(each.location) or each.location) in wanted), None)


async def add_source(storage: Storage, fetcher: Fetcher, location: str, given: NewSource, *, now: datetime) -> Source:
    """Add one place, or what a shortcut stands for, after reading it once.

    Raises AlreadyExistsError, FetchError, ParseError, ValueError."""
    backlog = parse_backlog(given.backlog)  # wrong words are told before anything is asked of a server
    location = shortcuts.expanded(location)
    if there := await known(storage, location):
        raise AlreadyExistsError(f"{location} is a source already: {there.name}")
    seen = await look(fetcher, location, kind=given.kind, now=now, as_of=given.as_of)
    if there := await known(storage, seen.location, seen.address):
        raise AlreadyExistsError(f"{location} leads to a source that is there already: {there.name}")
    if given.backlog is None:
        backlog = None if is_file(location) or seen.kind is SourceKind.DAILY_PAPERS else 0
    new = Source(
        id=SourceId(0),
        location=seen.location,
        kind=seen.kind,
        name=free_name(given.name or seen.title or place_name(seen.location), [source.name for source in await storage.sources()]),
        tags=given.tags,
        backlog=backlog,
        as_of=given.as_of,
        added_at=now,
        outline=given.outline,
    )
    return await storage.add_source(new)


async def healths(storage: Storage, now: datetime) -> list[tuple[Source, Health]]:
    """Every source with how it is doing."""
    arrivals = await storage.arrivals(now - timedelta(weeks=health.WEEKS))
    return [(source, health.health_of(source, arrivals.get(source.id, []), now)) for source in await storage.sources()]


def parse_backlog(text: str | None) -> int | None:
    """How many entries of the first poll are new; None = all. Raises ValueError."""
    if text is None or text == "all":
        return None
    if text == "none":
        return 0
    if not text.isdigit():
        raise ValueError(f'backlog must be "all", "none" or a number, not {text!r}')
    return int(text)


def place_name(location: str) -> str:
    """A name out of an address: its host, or the file's name."""
    return urlsplit(location).hostname or location.rstrip("/").rpartition("/")[2]


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """The name, with a number behind it when another source has it already."""
    names = [wanted, *(f"{wanted} {number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


Imported = tuple[list[Source], list[str]]  # what was added, and a line for each place that was not


async def import_opml(storage: Storage, fetcher: Fetcher, text: bytes, *, now: datetime) -> Imported:
    """Add the feeds of an OPML file; one that cannot be added fails alone. Raises ParseError for what is no OPML."""
    places = [
        (outline.url, NewSource(name=outline.title or None, tags=outline.tags, outline=outline.kept)) for outline in opml.read_opml(text)
    ]
    return await _import(storage, fetcher, places, now=now)


async def import_rows(storage: Storage, fetcher: Fetcher, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> Imported:
    """The same of rows with a location (or url), and maybe name (or title), kind and tags, a list or separated by semicolons."""
    places = []
    for row in rows:
        tags = row.get("tags") or ()
        tags = tags.split(";") if isinstance(tags, str) else tags
        kind = SourceKind(row["kind"]) if row.get("kind") in list(SourceKind) else None
        given = NewSource(
            name=row.get("name") or row.get("title") or None, kind=kind, tags=tuple(tag.strip() for tag in tags if tag.strip())
        )
        places.append((str(row.get("location") or row.get("url") or "").strip(), given))
    return await _import(storage, fetcher, places, now=now)


async def _import(storage: Storage, fetcher: Fetcher, places: Sequence[tuple[str, NewSource]], *, now: datetime) -> Imported:
    added, failed = [], []
    for place, given in places:
        if is_file(place):  # a list from elsewhere names no files of this machine
            failed.append(f"{place or 'a row without location'}: only http and https addresses are imported")
            continue
        try:
            added.append(await add_source(storage, fetcher, place, given, now=now))
        except (PaperroundError, ValueError) as error:
            failed.append(str(error))
    return added, failed
