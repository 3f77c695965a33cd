"""Storage: one database that remembers everything; the rows of each noun stand in their own modules."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from paperround.errors import StorageError
from paperround.storage import database
from paperround.storage.database import Database
from paperround.storage.delivery_rows import DeliveryRows
from paperround.storage.digest_rows import DigestRows
from paperround.storage.entries import EntryRows
from paperround.storage.pace_rows import PaceRows
from paperround.storage.prune_rows import PruneRows
from paperround.storage.soundness import SoundnessRows
from paperround.storage.source_rows import SourceRows
from paperround.storage.subscriber_rows import SubscriberRows
from paperround.storage.vectors import VectorRows
from paperround.storage.watch_rows import WatchRows


class SqlStorage(
    SourceRows, EntryRows, VectorRows, SubscriberRows, DigestRows, DeliveryRows, PaceRows, PruneRows, SoundnessRows, WatchRows
):
    """Everything that the pipeline's Storage protocol names."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @property
    def instance_id(self) -> str:
        return self.db.instance_id

    async def clock(self) -> datetime:
        """The database's own time: machines that share one go by it, and SQLite's is this machine's."""
        told: datetime = await self.db.value(select(func.now()))
        return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)

    async def close(self) -> None:
        await self.db.close()


async def open_storage(url: str, *, upgrade: bool = False, fold: Callable[[str], str] = str.casefold, connections: int = 10) -> SqlStorage:
    """Open a database, an empty one ready to use. `fold`: one spelling for all that reach the same mailbox. `connections`: how many to
    PostgreSQL are kept open.

    Raises StorageError in one line: locked, full, damaged, no database, of an older version (without `upgrade`) or of a newer one."""
    try:
        engine = database.create_engine(url, connections)
    except OSError as error:
        raise StorageError(f"{url}: {error.strerror}") from error
    db = Database(engine, make_url(url).render_as_string(hide_password=True), fold)
    try:
        await database.prepare(db, upgrade=upgrade)
    except BaseException:
        await db.close()
        raise
    return SqlStorage(db)
