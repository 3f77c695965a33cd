"""Values that pass between the pure rules and storage: what a rule decided, what storage wrote or knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from paperround.models import Aware, DeliveryState, Digest, DigestId, MailKind, SubscriberId, WorkId

if TYPE_CHECKING:  # numpy stays out of light commands
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWork:
    """What identity needs to know of a stored work."""

    id: WorkId
    keys: frozenset[str]
    title: str
    abstract: str
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the entries of one batch belong. `groups[i]` are indexes into the entries that are one work, `works[i]` the
    stored works they unite, oldest first (empty = a new work), `keys[i]` all their keys."""

    groups: tuple[tuple[int, ...], ...]
    works: tuple[tuple[WorkId, ...], ...]
    keys: tuple[frozenset[str], ...]  # the union of keys of each group


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Aware):
    """A work chosen for an issue in which its reader voted. `value`: 1 kept, -1 voted down, 0 passed over."""

    subscriber_id: SubscriberId
    digest_id: DigestId
    cutoff: datetime
    work_id: WorkId
    score: float
    strength: float
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll(Aware):
    """What one poll of a source came to; written over the source row. None leaves a field as it is, except `error`."""

    at: datetime
    ok: bool
    next_poll_at: datetime | None
    error: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    body_read: bool = False  # a 200 with a body: validators are replaced, also by nothing
    new_entries: int = 0
    state: str | None = None
    location: str | None = None
    redirect: str | None = None
    interval: float | None = None
    hints: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToEmbed:
    work_id: WorkId
    content_hash: str
    title: str
    abstract: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkVectors:
    """`sentences` are those of the abstract; `sentence_vectors` float16 (n, dimension)."""

    work_id: WorkId
    content_hash: str
    vector: NDArray[np.float16]
    sentences: tuple[str, ...]
    sentence_vectors: NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Aware):
    """One layer's say in one profile key: `value` as in a profile file (plain TOML types)."""

    layer: str  # file, reader
    key: str
    value: Any
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFile:
    """A profile file as it was read. `values` are the keys it names, checked, as plain TOML types: the file's say in them."""

    name: str  # without its ending
    email: str | None  # None: reads by feed alone, and `id` names the reader
    id: str | None
    values: Mapping[str, Any]

    @property
    def who(self) -> str:
        return self.email or self.id or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    kind: MailKind
    subscriber_id: SubscriberId | None
    recipient: str
    message_id: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDigest:
    """A decided issue, ready to be recorded: `digest.id` is 0 until then. `delivery` None: feed only, or an empty day that is skipped."""

    digest: Digest
    delivery: NewDelivery | None
    next_due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated(Aware):
    """Up to when things are old enough to go: works that nobody got or judged, the sentences of works, issues, mails that have ended.
    `model`: vectors of others are of no use."""

    works: datetime
    sentences: datetime
    digests: datetime
    deliveries: datetime
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """What a table of the database takes; None where that is not known."""

    name: str
    rows: int | None
    bytes: int | None


# ---------------------------------------------------------------- what is watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Aware):
    """One run of a step that did something or went wrong. `count`: sources polled, works embedded, readers due, mails tried."""

    step: str
    at: datetime
    seconds: float
    count: int
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LateMail(Aware):
    """An issue whose mail did not arrive, for all we know."""

    subscriber_id: SubscriberId
    recipient: str
    state: DeliveryState
    created_at: datetime
    reply: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog(Aware):
    """What waits in a queue."""

    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What became of an installation's work over a time, counted; days are UTC."""

    states: tuple[tuple[int, datetime, str], ...]  # a subscriber's state from then on, oldest first; all time
    shown: tuple[tuple[int, int, int, int, int], ...]  # number in the issue, tenth of strength (0…9): chosen items, votes up, votes down
    sources: tuple[tuple[str, int, int, int], ...]  # name: entries, items in issues, votes up on those
    mails: tuple[tuple[date, str, int], ...]  # of issues: day, state, how many
    suppressed: tuple[tuple[date, str, int], ...]  # day, reason, how many
