"""Schema: the tables of everything we remember, for SQLite and PostgreSQL alike. All times are UTC and aware."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Dialect, ForeignKey, Index, MetaData, Table, UniqueConstraint, text
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import JSON, BigInteger, Boolean, Date, DateTime, Float, Integer, LargeBinary, String, Text, TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, stored as UTC. Naive values are refused: SQLite would drop a zone without a word."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without zone cannot be stored: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite's rowid is 64 bit, and only "INTEGER" is one


def table(name: str, *parts: SchemaItem) -> Table:
    return Table(name, metadata, *parts)


def key() -> Column[int]:
    return Column("id", Id, primary_key=True)


def time(name: str, *, required: bool = False, index: bool = False) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=not required, index=index)


def ref(target: str, name: str, *, required: bool = True, index: bool = False) -> Column[Any]:
    return Column(name, Id, ForeignKey(target, ondelete="CASCADE"), nullable=not required, index=index)


instance = table("instance", Column("id", String(32), primary_key=True), time("created_at", required=True))

sources = table(
    "sources",
    key(),
    Column("location", Text, nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("name", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("backlog", Integer),
    Column("as_of", Date),
    time("added_at", required=True),
    Column("etag", Text),
    Column("last_modified", Text),
    Column("redirect", Text),
    time("next_poll_at", index=True),
    time("last_polled_at"),
    time("last_success_at"),
    time("last_new_at"),
    time("failing_since"),
    Column("failures", Integer, nullable=False, default=0),
    Column("error", Text),
    Column("interval", Float),
    Column("hints", JSON),
    Column("outline", JSON),
)

works = table(
    "works",
    key(),
    Column("title", Text, nullable=False),
    Column("abstract", Text, nullable=False),
    Column("authors", JSON, nullable=False),
    Column("url", Text),
    Column("links", JSON, nullable=False),
    time("published"),
    time("first_seen_at", required=True, index=True),
    Column("categories", JSON, nullable=False),
    Column("keywords", JSON, nullable=False),
    Column("arxiv_id", String(40), index=True),
    Column("doi", Text, index=True),
    Column("version", Integer),
    Column("upvotes", Integer),
    Column("withdrawn", Boolean, nullable=False, default=False),
    Column("quiet", Boolean, nullable=False, default=False),
    time("changed_at", index=True),
    Column("change", Text),
    Column("content_hash", String(64), nullable=False),
)

work_keys = table("work_keys", Column("key", Text, primary_key=True), ref("works.id", "work_id", index=True))

work_aliases = table("work_aliases", Column("alias", Id, primary_key=True), ref("works.id", "work_id", index=True))

mentions = table(
    "mentions",
    key(),
    ref("works.id", "work_id", index=True),
    Column("source_id", Id, nullable=False, index=True),  # stays when the source is removed: what it brought stays too
    Column("source_name", Text, nullable=False),
    Column("identifier", Text, nullable=False),  # what the source itself calls the entry: guid, address or title
    time("seen_at", required=True),
    Column("url", Text),
    Column("position", Integer),
    Column("page_date", Date),
    Column("upvotes", Integer),
    Column("version", Integer),
    UniqueConstraint("source_id", "identifier"),
)

work_vectors = table(
    "work_vectors",
    Column("work_id", Id, ForeignKey("works.id", ondelete="CASCADE"), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("content_hash", String(64), nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float16
    Column("sentences", JSON, nullable=False),
    Column("sentence_vectors", LargeBinary, nullable=False),  # float16, one after the other
)

text_vectors = table(
    "text_vectors",
    Column("model", String(200), primary_key=True),
    Column("text_hash", String(64), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

backgrounds = table(
    "backgrounds",
    Column("model", String(200), primary_key=True),
    time("created_at", required=True),
    Column("arrays", LargeBinary, nullable=False),  # numpy's own .npz
)

subscribers = table(
    "subscribers",
    key(),
    Column("public_id", String(32), nullable=False, unique=True),
    Column("email", Text),
    Column("folded", Text, unique=True),  # lower case: one row an address
    Column("file_id", Text, unique=True),
    Column("state", String(20), nullable=False, index=True),
    Column("profile", JSON, nullable=False),
    Column("link_epoch", Integer, nullable=False, default=0),
    Column("feed_epoch", Integer, nullable=False, default=0),
    time("created_at", required=True),
    time("consented_at"),
    time("paused_until"),
    time("next_due_at", index=True),
    time("last_cutoff"),
    time("resumed_at"),
    time("feed_read_at"),
    Column("issues", Integer, nullable=False, default=0),
)

consent_events = table(
    "consent_events",
    key(),
    ref("subscribers.id", "subscriber_id", index=True),
    time("at", required=True),
    Column("kind", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("way", String(20), nullable=False),
    Column("consent_text_hash", String(64)),
    Column("address_prefix", Text),
    Column("note", Text),
)

profile_layers = table(
    "profile_layers",
    Column("subscriber_id", Id, ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True),
    Column("layer", String(20), primary_key=True),
    Column("key", String(40), primary_key=True),
    Column("value", JSON),
    time("changed_at", required=True),
)

interest_texts = table(
    "interest_texts",
    Column("subscriber_id", Id, ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True),
    Column("text_hash", String(64), primary_key=True, index=True),
    Column("text", Text, nullable=False),
)

votes = table(
    "votes",
    Column("subscriber_id", Id, ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True),
    Column("work_id", Id, ForeignKey("works.id", ondelete="CASCADE"), primary_key=True),
    Column("value", Integer, nullable=False),
    time("at", required=True),
    Column("way", String(20), nullable=False),
    Column("title", Text, nullable=False),
)

digests = table(
    "digests",
    key(),
    ref("subscribers.id", "subscriber_id"),
    Column("period", Date, nullable=False),
    Column("number", Integer, nullable=False),
    time("due_at", required=True),
    time("since", required=True),
    time("cutoff", required=True),
    time("created_at", required=True, index=True),
    Column("candidates", Integer, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("kind", String(20), nullable=False),
    UniqueConstraint("subscriber_id", "period"),
)

digest_items = table(
    "digest_items",
    Column("digest_id", Id, ForeignKey("digests.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("work_id", Id, ForeignKey("works.id"), nullable=False, index=True),
    Column("role", String(20), nullable=False),
    Column("number", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("strength", Float, nullable=False),
    Column("reason", JSON, nullable=False),
    Column("excerpt", JSON, nullable=False),
    Column("best", Integer),
    Column("also", JSON, nullable=False),
)

engines = table("engines", Column("id", String(64), primary_key=True), time("started_at", required=True), time("seen_at", required=True))

WAITING = text("claimed_by IS NULL AND state IN ('queued', 'deferred')")  # as `claim` asks, word for word: else it sorts the whole queue
deliveries = table(
    "deliveries",
    key(),
    Column("kind", String(20), nullable=False),
    ref("subscribers.id", "subscriber_id", required=False, index=True),
    ref("digests.id", "digest_id", required=False, index=True),
    Column("recipient", Text, nullable=False),
    Column("folded", Text, nullable=False, index=True),  # the mailbox, however its address is spelt
    Column("message_id", Text, nullable=False, unique=True),
    Column("state", String(20), nullable=False),
    time("created_at", required=True),
    Column("attempts", Integer, nullable=False, default=0),
    time("next_attempt_at"),
    time("first_attempt_at"),
    time("finished_at"),
    Column("code", Integer),
    Column("reply", Text),
    Column("values", JSON, nullable=False),
    Column("claimed_by", String(64), index=True),
    time("claimed_until"),
    Index("ix_deliveries_due", "state", "next_attempt_at"),
    Index("ix_deliveries_waiting", "next_attempt_at", "id", postgresql_where=WAITING, sqlite_where=WAITING),
)

suppressions = table(
    "suppressions",
    Column("address", Text, primary_key=True),  # in lower case, or the keyed hash of one that was forgotten
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    time("at", required=True),
)

runs = table(  # of the steps that did something
    "runs",
    key(),
    Column("step", String(20), nullable=False),
    time("at", required=True, index=True),
    Column("seconds", Float, nullable=False),
    Column("count", Integer, nullable=False),
    Column("fault", Text),
)

paces = table("paces", Column("name", Text, primary_key=True), Column("free_at", Float(53), nullable=False))  # seconds since 1970

matters = table("matters", Column("key", Text, primary_key=True), time("told_at", required=True))  # what the administrator was told of
