"""Rows that several tests of storage begin with: sources, works, readers, issues, mails in the outbox."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from paperround.models import (
    ConsentEvent,
    ConsentState,
    Delivery,
    Digest,
    DigestId,
    DigestItem,
    EngineId,
    Entry,
    Interest,
    ItemRole,
    MailKind,
    Profile,
    Reason,
    ReasonKind,
    Source,
    SourceId,
    SourceKind,
    Subscriber,
    Work,
)
from paperround.records import NewDelivery, NewDigest
from paperround.sources import identity
from paperround.storage.sql_storage import SqlStorage

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = NOW.date()
MODEL = "test@1"
ABSTRACT = "Robots that share a language of nine gestures finish their work sooner, and survive when half are replaced."
FEED_ONLY = {"email": None, "profile": Profile(), "event": ConsentEvent(at=NOW, kind="asked", state=ConsentState.ACTIVE, way="page")}
FEED_ONLY["next_due_at"] = None
ENGINE, OTHER = EngineId("one"), EngineId("two")


async def add_source(storage: SqlStorage, location: str = "/pages/a.txt", name: str = "A") -> Source:
    return await storage.add_source(Source(id=SourceId(0), location=location, kind=SourceKind.FEED, name=name, tags=("nlp",), added_at=NOW))


async def record(storage: SqlStorage, source: Source, entries: Sequence[Entry], at: datetime = NOW, *, quiet: bool = False) -> int:
    return await storage.record_entries(
        source,
        entries,
        seen_at=at,
        place=identity.place,
        keys=identity.keys_of,
        material_change=identity.material_change,
        quiet=quiet,
    )


def entry(number: int, **more: object) -> Entry:
    values: dict = {
        "title": f"Work number {number} of the test",
        "summary": f"{number}. {ABSTRACT}",
        "guid": f"g{number}",
        "source_url": "https://example.org/feed",
    }
    return Entry(**{**values, **more})


async def works(storage: SqlStorage, count: int = 3) -> list[Work]:
    await record(storage, await add_source(storage), [entry(number) for number in range(count)])
    return await storage.works_seen(NOW - DAY, NOW)


def event(kind: str = "file", state: ConsentState = ConsentState.ACTIVE, at: datetime = NOW, **more: object) -> ConsentEvent:
    return ConsentEvent(at=at, kind=kind, state=state, way="file", **more)  # type: ignore[arg-type]


async def add_reader(storage: SqlStorage, email: str | None = "Ada@example.org", state: ConsentState = ConsentState.ACTIVE) -> Subscriber:
    name = (email or "nobody").encode().hex()[:32].ljust(32, "0")
    profile = Profile(interests=(Interest(text="small robots", weight=2.0),), avoid=("weather",))
    return await storage.add_subscriber(email=email, public_id=name, profile=profile, event=event(state=state), next_due_at=NOW)


def issue(reader: Subscriber, chosen: Sequence[Work], period: date = TODAY, *, mail: bool = True) -> NewDigest:
    reason = Reason(kind=ReasonKind.LIKED, text="a work", words=("robots",), liked_at=NOW - DAY)
    items = [
        DigestItem(work=work, role=ItemRole.CHOSEN, number=place, score=0.5, strength=0.5, reason=reason, excerpt=("One.", "Two."), best=1)
        for place, work in enumerate(chosen, 1)
    ]
    digest = Digest(
        id=DigestId(0),
        subscriber_id=reader.id,
        period=period,
        number=reader.issues + 1,
        due_at=NOW,
        since=NOW - 7 * DAY,
        cutoff=NOW,
        created_at=NOW,
        candidates=len(chosen),
        items=tuple(items),
    )
    name = f"{reader.id}.{period}@example.org"
    delivery = NewDelivery(kind=MailKind.ISSUE, subscriber_id=reader.id, recipient=reader.email or "", message_id=name, values={})
    return NewDigest(digest=digest, delivery=delivery if mail else None, next_due_at=NOW + DAY)


async def queued(storage: SqlStorage, count: int = 1) -> tuple[list[Subscriber], list[Delivery]]:
    """That many readers with an issue each in the outbox, claimed by ENGINE."""
    chosen = await works(storage)
    readers = [await add_reader(storage, f"reader{number}@example.org") for number in range(count)]
    await storage.record_digests([issue(reader, chosen) for reader in readers])
    await storage.start_engine(ENGINE, NOW)
    return readers, await storage.claim(ENGINE, NOW, limit=100, until=NOW + DAY)
