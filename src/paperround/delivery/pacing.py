"""Room: pacing. Which waiting mail goes next and when: no faster than allowed, and a slow or unwilling domain slows only itself."""

import math
import re
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from paperround.models import SendResult, SmtpPhase

Item = TypeVar("Item")

_GREYLISTED = re.compile(r"gr[ae]y.?list", re.I)  # speaks of one recipient's first mail, not of the domain's patience
_OF_RECIPIENT = frozenset({SmtpPhase.RCPT, SmtpPhase.DATA, SmtpPhase.DOT})
_CATCH_UP = 0.1  # seconds: what a late timer may make up for


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceRules:
    """Rates are mails a second, of one process, or of all together where they are `shared`; None = as fast as it goes."""

    per_second: float | None = None
    domain_per_second: float | None = None  # to each recipient domain
    domain_connections: int | None = None  # mails under way to one domain, of this process
    shared: bool = False  # each slot is reserved for one process before it is used
    most_refusals: int = 20  # "later" in a row from one domain, then it rests
    rest: timedelta = timedelta(minutes=10)


_CLASSES = {
    "google": re.compile(r"(gmail|googlemail)\.com"),
    "microsoft": re.compile(r"(outlook|hotmail|live|msn|passport)\.[a-z.]+"),
    "yahoo": re.compile(r"(yahoo|ymail|rocketmail|aol|aim)\.[a-z.]+"),
    "apple": re.compile(r"(icloud|me|mac)\.com"),
    "proton": re.compile(r"(proton\.me|protonmail\.(com|ch)|pm\.me)"),
    "gmx": re.compile(r"(gmx\.[a-z.]+|web\.de|mail\.com)"),
}


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def domain_class(domain: str) -> str:
    """Whose mailboxes these are, as far as the name tells; `other` for all domains of people's own."""
    return next((name for name, known in _CLASSES.items() if known.fullmatch(domain.lower())), "other")


class _Meter:
    """Slots at a steady rate; `free_at` is the next one. Times are seconds of a clock that never goes back."""

    def __init__(self, rate: float | None) -> None:
        self.step = 1 / rate if rate else 0.0
        self.free_at = 0.0

    def use(self, now: float) -> None:
        self.free_at = max(self.free_at, now - min(_CATCH_UP, self.step)) + self.step


class _SharedMeter(_Meter):
    """Slots that were reserved among all processes, about a second's at once. One that is not used in time is lost."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.slots: deque[float] = deque()
        self.free_at = math.inf

    def use(self, now: float) -> None:
        self.slots.popleft()
        self._expire(now)

    def short(self, now: float) -> int:
        """How many more to reserve."""
        self._expire(now)
        batch = max(1, round(1 / self.step))
        return batch if len(self.slots) <= batch // 2 else 0

    def grant(self, first: float, count: int) -> None:
        self.slots.extend(first + self.step * each for each in range(count))
        self.free_at = self.slots[0]

    def _expire(self, now: float) -> None:
        while self.slots and self.slots[0] < now - _CATCH_UP:
            self.slots.popleft()
        self.free_at = self.slots[0] if self.slots else math.inf


class Lanes(Generic[Item]):
    """The mails that wait, by recipient domain. The one with the fewest under way goes next, so that however slow one is, the others
    keep their share. What it knows of rates and of domains that rest outlives a run."""

    def __init__(self, rules: PaceRules) -> None:
        self.rules = rules
        self.waiting = 0
        self._lanes: dict[str, deque[Item]] = {}
        self._under_way: dict[str, int] = defaultdict(int)
        self._meter = self._new_meter(rules.per_second)
        self._meters: dict[str, _Meter] = {}
        self._later: dict[str, int] = defaultdict(int)
        self._rests_until: dict[str, float] = {}

    def add(self, domain: str, item: Item) -> None:
        self._lanes.setdefault(domain, deque()).append(item)
        self.waiting += 1

    def take(self, now: float) -> tuple[str, Item] | None:
        """The next one that may go at `now`, counted as under way; None while none may."""
        free = [domain for domain in self._lanes if self._free_at(domain) <= now and not self._full(domain)]
        if not free or self._meter.free_at > now:
            return None
        domain = min(free, key=lambda each: self._under_way[each])
        if self.rules.domain_per_second:
            self._meter_of(domain).use(now)
        lane = self._lanes.pop(domain)
        item = lane.popleft()
        if lane:
            self._lanes[domain] = lane  # at the end: equals take turns
        self.waiting -= 1
        self._under_way[domain] += 1
        self._meter.use(now)
        return domain, item

    def wanted(self, now: float) -> dict[str, tuple[int, float]]:
        """Slots to reserve for what waits, by domain, "" being all: how many, and how many seconds apart. Old slots are dropped."""
        if not (self.rules.shared and self.waiting):
            return {}
        meters = {"": self._meter} | ({each: self._meter_of(each) for each in self._lanes} if self.rules.domain_per_second else {})
        shared = {name: meter for name, meter in meters.items() if isinstance(meter, _SharedMeter)}
        return {name: (short, meter.step) for name, meter in shared.items() if (short := meter.short(now))}

    def grant(self, name: str, first: float, count: int) -> None:
        """So many slots were reserved, the first at that time."""
        meter = self._meter_of(name) if name else self._meter
        assert isinstance(meter, _SharedMeter)
        meter.grant(first, count)

    def _new_meter(self, rate: float | None) -> _Meter:
        return _SharedMeter(rate) if rate and self.rules.shared else _Meter(rate)

    def _meter_of(self, domain: str) -> _Meter:
        if domain not in self._meters:
            self._meters[domain] = self._new_meter(self.rules.domain_per_second)
        return self._meters[domain]

    def _free_at(self, domain: str) -> float:
        return self._meter_of(domain).free_at if self.rules.domain_per_second else 0.0

    def _full(self, domain: str) -> bool:
        return self._under_way[domain] >= (self.rules.domain_connections or 1_000_000)

    def wait(self, now: float) -> float | None:
        """Seconds until a rate alone allows the next one; None = only a mail that ends or a slot that is granted does."""
        moments = [max(self._free_at(domain), self._meter.free_at) for domain in self._lanes if not self._full(domain)]
        first = min(moments, default=math.inf)
        return max(0.0, first - now) if first < math.inf else None

    def done(self, domain: str, result: SendResult | None, now: float) -> list[Item]:
        """A mail of that domain has ended. Returns those to be given back where the domain rests from now on."""
        self._under_way[domain] -= 1
        if not self._under_way[domain]:
            del self._under_way[domain]
        if result is None or result.phase not in _OF_RECIPIENT or _GREYLISTED.search(result.reply):
            return []
        later = not result.accepted and (result.code is None or result.code // 100 == 4)
        self._later[domain] = self._later[domain] + 1 if later else 0
        if not self._later[domain]:
            del self._later[domain]
        elif self._later[domain] >= self.rules.most_refusals:
            self._rests_until[domain] = now + self.rules.rest.total_seconds()
            del self._later[domain]
        return self.clear(domain) if domain in self._rests_until else []

    def clear(self, domain: str) -> list[Item]:
        """Those that wait in one lane, taken out."""
        lane = list(self._lanes.pop(domain, ()))
        self.waiting -= len(lane)
        return lane

    def resting(self, now: float) -> frozenset[str]:
        self._rests_until = {domain: until for domain, until in self._rests_until.items() if until > now}
        return frozenset(self._rests_until)

    def crowded(self, most: int) -> frozenset[str]:
        """Domains of which at least so many wait: no more are needed here."""
        return frozenset(domain for domain, lane in self._lanes.items() if len(lane) >= most)

    def waiting_outside(self, domains: frozenset[str]) -> int:
        return self.waiting - sum(len(lane) for domain, lane in self._lanes.items() if domain in domains)

    def empty(self) -> list[Item]:
        """Take out all that wait: the run is over, and nothing is under way, whatever ended it."""
        self._under_way.clear()
        return [item for domain in list(self._lanes) for item in self.clear(domain)]
