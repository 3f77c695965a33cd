"""Paces: what all processes together may do at a steady rate, a row each, of which slots are handed out in batches."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import case

from paperround.storage.database import Database
from paperround.storage.schema import paces


class PaceRows:
    """The PaceStore."""

    db: Database

    async def reserve(self, wanted: Mapping[str, tuple[int, float]], now: datetime) -> dict[str, float]:
        """One statement for all names: whoever comes later gets later slots, and nobody waits for a lock while mails go out."""
        if not wanted:
            return {}
        moment = now.timestamp()
        rows = [{"name": name, "free_at": moment + count * step} for name, (count, step) in sorted(wanted.items())]
        new = self.db.insert(paces).values(rows)
        later = case((paces.c.free_at > moment, paces.c.free_at), else_=moment) + new.excluded.free_at - moment
        taken = new.on_conflict_do_update(index_elements=["name"], set_={"free_at": later}).returning(paces.c.name, paces.c.free_at)
        async with self.db.writing() as connection:
            ends = {row.name: row.free_at for row in await connection.execute(taken)}
        return {name: ends[name] - count * step - moment for name, (count, step) in wanted.items()}
