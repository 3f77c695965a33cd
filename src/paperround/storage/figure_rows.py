"""Figures: what the report counts, each in one query."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from sqlalchemy import and_, case, func, select

from paperround.models import ItemRole, MailKind
from paperround.records import Figures
from paperround.storage.database import Database
from paperround.storage.schema import consent_events, deliveries, digest_items, digests, mentions, suppressions, votes

VOTE = and_(votes.c.subscriber_id == digests.c.subscriber_id, votes.c.work_id == digest_items.c.work_id)
UP, DOWN = (func.count(case((sign, 1))) for sign in (votes.c.value > 0, votes.c.value < 0))


class FigureRows:
    """The part of the WatchStore that counts."""

    db: Database

    async def figures(self, since: datetime) -> Figures:
        event = consent_events.c
        states = select(event.subscriber_id, event.at, event.state).order_by(event.at, event.id)
        mailed, suppressed = self._day(deliveries.c.created_at), self._day(suppressions.c.at)
        mails = select(mailed, deliveries.c.state, func.count()).where(deliveries.c.kind == MailKind.ISSUE.value)
        lost = select(suppressed, suppressions.c.reason, func.count()).where(suppressions.c.at >= since)
        return Figures(
            states=tuple((row.subscriber_id, row.at, row.state) for row in await self.db.rows(states)),
            shown=tuple(map(tuple, await self.db.rows(self._shown(since)))),
            sources=tuple(map(tuple, await self.db.rows(self._sources(since)))),
            mails=_by_day(await self.db.rows(mails.where(deliveries.c.created_at >= since).group_by(mailed, deliveries.c.state))),
            suppressed=_by_day(await self.db.rows(lost.group_by(suppressed, suppressions.c.reason))),
        )

    def _day(self, moment: Any) -> Any:
        return func.date(moment if self.db.sqlite else func.timezone("UTC", moment))

    def _shown(self, since: datetime) -> Any:
        item = digest_items.c
        tenth = case(*((item.strength < (number + 1) / 10, number) for number in range(9)), else_=9)
        query = select(item.number, tenth, func.count(), UP, DOWN).join(digests, digests.c.id == item.digest_id).outerjoin(votes, VOTE)
        return query.where(digests.c.created_at >= since, item.role == ItemRole.CHOSEN.value).group_by(item.number, tenth)

    def _sources(self, since: datetime) -> Any:
        """A work that several sources carried counts for each."""
        entry, item = mentions.c, digest_items.c
        named = select(entry.source_name, func.count().label("n")).where(entry.seen_at >= since).group_by(entry.source_name).subquery()
        pairs = select(entry.work_id, entry.source_name).distinct().subquery()
        chosen = (
            select(pairs.c.source_name, func.count().label("shown"), UP.label("up"))
            .join(digest_items, item.work_id == pairs.c.work_id)
            .join(digests, digests.c.id == item.digest_id)
            .outerjoin(votes, VOTE)
            .where(digests.c.created_at >= since, item.role == ItemRole.CHOSEN.value)
            .group_by(pairs.c.source_name)
            .subquery()
        )
        columns = named.c.source_name, named.c.n, func.coalesce(chosen.c.shown, 0), func.coalesce(chosen.c.up, 0)
        return select(*columns).outerjoin(chosen, chosen.c.source_name == named.c.source_name).order_by(named.c.n.desc())


def _by_day(rows: Iterable[Any]) -> tuple[tuple[date, str, int], ...]:
    """SQLite gives a day as text."""
    return tuple(sorted((date.fromisoformat(str(day)), name, count) for day, name, count in rows))
