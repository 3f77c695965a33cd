"""Watch: gather the facts an installation is judged by, and tell its administrator once of each matter that needs somebody."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from paperround.models import MailKind, Source, SourceId, Subscriber
from paperround.pipeline.interfaces import Clock, Storage
from paperround.records import Backlog, LateMail, NewDelivery, Run
from paperround.sources.health import WEEKS

DAY, WEEK = timedelta(days=1), timedelta(days=7)
PATIENCE = timedelta(hours=2)  # who is due, and what is queued, should be served by then
STUCK = timedelta(hours=6)  # a mail that a server puts off for so long: greylisting takes minutes
MONTH = timedelta(days=30)  # complaints are counted over
KEEP_RUNS = timedelta(days=100)
MANY = 20  # readers that are named one by one
DAILY_MAIL, WEEKLY_MAIL = "mail:daily", "mail:weekly"  # beside the matters: when such a mail last went


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules of alerting look at, as of `now`. Of readers no more than MANY and one are loaded."""

    now: datetime
    sources: Sequence[Source]
    arrivals: Mapping[SourceId, Sequence[tuple[datetime, int]]]  # of the last four weeks
    overdue: Sequence[Subscriber]  # due since more than PATIENCE, and without an issue
    late: Sequence[LateMail]  # of the last day and a half: a reader's failing from day to day is one matter
    backlogs: Mapping[str, Backlog]  # what waits for longer than PATIENCE, by queue: mails, works
    runs: Sequence[Run]  # of the last day
    yields: Sequence[tuple[datetime, int, int]]  # of the last four weeks: when how many issues were made, how many not empty
    sent: int  # mails of the last 30 days
    complaints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One matter: `kind` says what is wrong, `about` with whom or what, `text` is a line for the administrator."""

    kind: str
    about: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.about}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The rules, as `operation.alerts` has them: facts to findings; new and standing findings to a mail; facts to the weekly mail."""

    findings: Callable[[Facts], Sequence[Finding]]
    alert: Callable[[Sequence[Finding], Sequence[Finding]], Mapping[str, Any]]
    health: Callable[[Facts], Mapping[str, Any]]


async def gather(storage: Storage, model: str, now: datetime) -> Facts:
    """A handful of queries; none loads more than a page of readers."""
    return Facts(
        now=now,
        sources=await storage.sources(),
        arrivals=await storage.arrivals(now - WEEKS * WEEK),
        overdue=await storage.due_subscribers(now - PATIENCE, after=None, limit=MANY + 1),
        late=await storage.late_mails(since=now - 1.5 * DAY, stuck=now - STUCK, limit=MANY + 1),
        backlogs=await storage.backlogs(model, now - PATIENCE),
        runs=await storage.runs(now - DAY),
        yields=await storage.yields(now - WEEKS * WEEK),
        sent=await storage.count_sent(now - MONTH),
        complaints=await storage.count_complaints(now - MONTH),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Looks after an installation. `admin` None: what would be mailed is only logged by whoever ticks."""

    storage: Storage
    clock: Clock
    model: str
    judgement: Judgement
    admin: str | None
    domain: str

    async def tick(self) -> str | None:
        """Look once; any number of processes may. At most one alert mail a day collects what is new; a matter is told again when it was
        over meanwhile, or after a week. Returns what was told, None for nothing."""
        now = self.clock.now()
        facts = await gather(self.storage, self.model, now)
        findings, told = self.judgement.findings(facts), await self.storage.matters()
        await self.storage.forget_runs(now - KEEP_RUNS)
        over = {key for key in told if not key.startswith("mail:")} - {each.key for each in findings}
        if over:
            await self.storage.settle_matters(told=(), over=over, now=now)
        new = [each for each in findings if each.key not in told or now - told[each.key] >= WEEK]
        done = []
        if new and now - told.get(DAILY_MAIL, now - DAY) >= DAY:
            standing = [each for each in findings if each not in new]
            if await self._tell(DAILY_MAIL, self.judgement.alert(new, standing), [each.key for each in new], now):
                done += [f"{each.kind}: {each.text}" for each in new]
        if WEEKLY_MAIL not in told:
            await self.storage.settle_matters(told=[WEEKLY_MAIL], over=(), now=now)
        elif now - told[WEEKLY_MAIL] >= WEEK and facts.sources and await self._tell(WEEKLY_MAIL, self.judgement.health(facts), (), now):
            done.append("the health of the sources")
        return "; ".join(done) or None

    async def _tell(self, what: str, values: Mapping[str, Any], keys: Sequence[str], now: datetime) -> bool:
        """Queue the mail and remember it in one transaction; its Message-ID is the day's, so that of two processes one tells."""
        name = hashlib.sha256(f"{self.storage.instance_id} {what} {now.date()}".encode()).hexdigest()[:32]
        mail = None
        if self.admin:
            message_id = f"{name}@{self.domain}"
            mail = NewDelivery(kind=MailKind.NOTICE, subscriber_id=None, recipient=self.admin, message_id=message_id, values=values)
        return await self.storage.settle_matters(told=[what, *keys], over=(), now=now, mail=mail)
