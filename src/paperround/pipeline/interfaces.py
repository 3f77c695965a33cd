"""What the pipeline needs of the I/O parts: small protocols. `wiring` plugs the real parts in, `testing` the fakes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paperround.models import (
    ConsentEvent,
    Delivery,
    DeliveryId,
    DeliveryState,
    Digest,
    DigestId,
    DigestItem,
    EngineId,
    Entry,
    Envelope,
    Fetched,
    MailKind,
    Profile,
    SendResult,
    Source,
    SourceId,
    Subscriber,
    SubscriberId,
    Vote,
    Work,
    WorkId,
)
from paperround.records import (
    Backlog,
    Figures,
    Judged,
    KnownWork,
    LateMail,
    Layer,
    NewDelivery,
    NewDigest,
    Outdated,
    Placement,
    Poll,
    Run,
    TableSize,
    ToEmbed,
    WorkVectors,
)

Vectors = NDArray[np.float32]  # (n, dimension), rows of length 1
Progress = Callable[[int, int], None]  # done, of all


class Clock(Protocol):
    def now(self) -> datetime: ...  # aware, UTC


class Fetcher(Protocol):
    async def fetch(self, location: str, *, etag: str | None = None, last_modified: str | None = None) -> Fetched:
        """One conditional request (or one file read). Raises FetchError; a 4xx/5xx other than 410 is a FetchError with its status."""
        ...


class Embedder(Protocol):
    """Text → vectors. `model` names model and revision; vectors of different models never meet."""

    @property
    def model(self) -> str: ...
    async def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors: ...


class Transport(Protocol):
    async def send(self, envelope: Envelope, *, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        """Hand one message over. Never raises for the network. `before_mail` is awaited once, when the connection stands, right
        before MAIL; where it returns False the message is not sent and the result is None."""
        ...

    async def close(self) -> None: ...


# ---------------------------------------------------------------- storage, one protocol a noun


class SourceStore(Protocol):
    async def add_source(self, new: Source) -> Source: ...  # its id is 0 until then; raises AlreadyExistsError
    async def sources(self) -> list[Source]: ...
    async def find_source(self, name_or_location: str) -> Source: ...  # raises NotFoundError
    async def due_sources(self, now: datetime) -> list[Source]: ...
    async def arrivals(self, since: datetime) -> dict[SourceId, list[tuple[datetime, int]]]: ...  # when each brought how many entries
    async def save_poll(self, source_id: SourceId, poll: Poll) -> None: ...
    async def remove_source(self, source_id: SourceId) -> None: ...


class WorkStore(Protocol):
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
        """One transaction: look the keys up, let the pure rule `place` decide, write works, keys, aliases and mentions. Returns how many
        entries the source had not carried before.

        `quiet`: the works are known from now on, and never new to anyone (a feed's backlog)."""
        ...

    async def works(self, ids: Sequence[WorkId]) -> dict[WorkId, Work]: ...  # aliases resolve to the surviving work
    async def works_seen(
        self, after: datetime, until: datetime
    ) -> list[Work]: ...  # candidates: not withdrawn, not quiet; or changed in the span
    async def find_work(self, reference: str) -> Work: ...  # id, arxiv:…, doi:…, URL or exact title; raises NotFoundError
    async def resolve(self, references: Sequence[str]) -> dict[str, WorkId]: ...  # those of them that are known
    async def count_works(self) -> int: ...


class VectorStore(Protocol):
    async def works_to_embed(self, model: str, *, limit: int) -> list[ToEmbed]: ...
    async def count_to_embed(self, model: str) -> int: ...
    async def save_work_vectors(self, model: str, vectors: Sequence[WorkVectors]) -> None: ...
    async def work_vectors(
        self, model: str, ids: Sequence[WorkId]
    ) -> tuple[list[WorkId], Vectors]: ...  # those that have one, in the order asked for
    async def sentence_vectors(self, model: str, ids: Sequence[WorkId]) -> dict[WorkId, tuple[tuple[str, ...], Vectors]]: ...
    async def all_work_vectors(
        self, model: str, *, limit: int
    ) -> tuple[list[WorkId], Vectors]: ...  # newest first, for search and the background
    async def save_text_vectors(self, model: str, vectors: Mapping[str, NDArray[np.float16]]) -> None: ...  # free text: interests, avoid
    async def text_vectors(self, model: str, texts: Sequence[str]) -> dict[str, Vectors]: ...  # those known; each (dimension,)
    async def texts_to_embed(self, model: str, *, limit: int) -> list[str]: ...  # of all interests and avoids, not yet embedded
    async def save_background(self, model: str, arrays: Mapping[str, NDArray[Any]], *, now: datetime) -> None: ...
    async def background(self, model: str) -> tuple[datetime, dict[str, NDArray[Any]]] | None: ...


class SubscriberStore(Protocol):
    async def add_subscriber(
        self,
        *,
        email: str | None,
        public_id: str,
        profile: Profile,
        event: ConsentEvent,
        next_due_at: datetime | None,
        file_id: str | None = None,
    ) -> Subscriber: ...  # raises AlreadyExistsError
    async def find_subscriber(
        self, email_or_id: str
    ) -> Subscriber: ...  # address (any case), public id or a file's id; raises NotFoundError
    async def subscriber(self, subscriber_id: SubscriberId) -> Subscriber: ...
    async def subscribers_by_id(self, ids: Sequence[SubscriberId]) -> dict[SubscriberId, Subscriber]: ...
    async def by_public_id(self, public_id: str) -> Subscriber | None: ...
    def subscribers(self, *, states: Sequence[str] = (), batch: int = 500) -> AsyncIterator[list[Subscriber]]: ...
    async def due_subscribers(
        self, now: datetime, *, after: SubscriberId | None, limit: int, last: SubscriberId | None = None
    ) -> list[Subscriber]: ...  # active, next_due_at <= now, by id, none beyond `last`
    async def count_due(self, now: datetime) -> int: ...
    async def due_shards(
        self, now: datetime, size: int
    ) -> list[tuple[SubscriberId, SubscriberId]]: ...  # first and last of each `size` who are due, by id
    async def save_profile(self, subscriber_id: SubscriberId, profile: Profile, *, next_due_at: datetime | None) -> None: ...
    async def record_consent(
        self,
        subscriber_id: SubscriberId,
        event: ConsentEvent,
        *,
        next_due_at: datetime | None,
        paused_until: datetime | None = None,
        resumed_at: datetime | None = None,
        raise_feed_epoch: bool = False,
    ) -> None:
        """One transaction: the event and the state after it; where that may not be mailed, queued and deferred issues are cancelled."""
        ...

    async def consent_events(self, subscriber_id: SubscriberId) -> list[ConsentEvent]: ...
    async def raise_epochs(self, subscriber_id: SubscriberId, *, link: bool = False, feed: bool = False) -> None: ...
    async def layers(self, subscriber_id: SubscriberId) -> list[Layer]: ...
    async def move_address(
        self, subscriber_id: SubscriberId, email: str, event: ConsentEvent
    ) -> None: ...  # waiting issues and all links but the way out go with it; raises AlreadyExistsError
    async def note_feed_read(self, subscriber_id: SubscriberId, now: datetime) -> None: ...
    async def save_layers(self, subscriber_id: SubscriberId, layers: Sequence[Layer]) -> None: ...  # per (layer, key) replaced
    async def drop_layer(self, subscriber_id: SubscriberId, layer: str) -> None: ...
    async def save_vote(self, subscriber_id: SubscriberId, vote: Vote) -> None: ...  # the latest vote on a work counts; 0 takes it back
    async def votes(self, subscriber_ids: Sequence[SubscriberId]) -> dict[SubscriberId, list[Vote]]: ...
    async def paused_until(self, now: datetime) -> list[Subscriber]: ...  # whose pause has ended
    async def forget(self, subscriber_id: SubscriberId, *, address_hash: str, event: ConsentEvent) -> None: ...
    async def erase_prefixes(self, before: datetime) -> int: ...  # of consent events older than that
    async def remove_pending(self, before: datetime) -> int: ...  # unconfirmed rows
    async def remove_unread(self, before: datetime) -> int: ...  # readers by feed alone, not from a file, who last read before then
    async def count_subscribers(self) -> dict[str, int]: ...  # by state
    # suppressions: beside consent, keyed by address or its keyed hash
    async def suppress(self, address: str, *, reason: str, evidence: str, now: datetime) -> None: ...
    async def unsuppress(self, address: str) -> bool: ...
    async def suppressions(self) -> list[dict[str, Any]]: ...
    async def count_complaints(self, since: datetime) -> int: ...
    async def suppression(self, names: Sequence[str]) -> str | None: ...  # of any of these addresses or keyed hashes


class DigestStore(Protocol):
    async def record_digests(self, decided: Sequence[NewDigest]) -> list[Digest]:
        """One transaction: digests with items, their deliveries, the subscribers' cutoff and next due time.

        A (subscriber, period) that is there already is left alone and not returned."""
        ...

    async def digest(self, digest_id: DigestId) -> Digest: ...
    async def digests(self, ids: Sequence[DigestId]) -> dict[DigestId, Digest]: ...
    async def digests_of(self, subscriber_id: SubscriberId, *, limit: int) -> list[Digest]: ...  # newest first
    async def issued_works(
        self, subscriber_ids: Sequence[SubscriberId], *, among: Sequence[WorkId]
    ) -> dict[SubscriberId, dict[WorkId, datetime]]: ...  # which of these were chosen or explored, when; aliases resolved
    async def judged(
        self, *, since: datetime, subscriber_ids: Sequence[SubscriberId] | None = None
    ) -> list[Judged]: ...  # what was chosen for issues made since then in which the reader voted, oldest issue first
    async def feed_items(
        self, subscriber_id: SubscriberId, *, limit: int, since: datetime
    ) -> list[tuple[Digest, DigestItem]]: ...  # newest first


class DeliveryStore(Protocol):
    async def queue(self, delivery: NewDelivery, *, now: datetime) -> Delivery: ...
    async def start_engine(self, engine: EngineId, now: datetime) -> None: ...
    async def heartbeat(self, engine: EngineId, now: datetime) -> None: ...
    async def stop_engine(self, engine: EngineId) -> None: ...  # gives unsent claims back
    async def recover(
        self, now: datetime, *, silent_for: float
    ) -> tuple[int, int]: ...  # claims given back, deliveries put in doubt, of engines silent for so many seconds
    async def claim(
        self, engine: EngineId, now: datetime, *, limit: int, until: datetime, left_out: Collection[str] = ()
    ) -> list[Delivery]: ...  # due, unclaimed, may be mailed, to none of these domains (lower case); oldest first
    async def mark_sending(
        self, ids: Sequence[DeliveryId], now: datetime, *, finished: Sequence[Delivery] = ()
    ) -> list[DeliveryId]: ...  # one commit, with `finish` for those; returns who may still go (not cancelled meanwhile)
    async def finish(
        self, deliveries: Sequence[Delivery]
    ) -> None: ...  # one commit: state, attempts, times and reply as given, claim released
    async def release(self, ids: Sequence[DeliveryId]) -> None: ...  # claimed, not tried
    async def resend_in_doubt(self, now: datetime) -> int: ...
    async def delivery(self, delivery_id: DeliveryId) -> Delivery | None: ...  # what a bounce's signed address names
    async def delivery_by_message_id(self, message_id: str) -> Delivery | None: ...
    async def deliveries_of(self, subscriber_id: SubscriberId, *, limit: int) -> list[Delivery]: ...
    async def count_sent(self, since: datetime) -> int: ...  # how many were accepted then or later
    async def count_deliveries(self) -> dict[DeliveryState, int]: ...
    async def outcomes(
        self, since: datetime
    ) -> dict[tuple[str, DeliveryState, int | None], int]: ...  # mails made since then, by domain, state and the server's last code
    async def last_mail_to(
        self, recipient: str, kind: MailKind
    ) -> datetime | None: ...  # when such a mail was last queued for the folded address


class PaceStore(Protocol):
    async def reserve(
        self, wanted: Mapping[str, tuple[int, float]], now: datetime
    ) -> dict[str, float]: ...  # of so many slots so many seconds apart, the seconds until the first: no other process gets the same


class WatchStore(Protocol):
    async def still_ours(self) -> bool: ...  # False: another version of the program has changed the schema since it was opened
    async def record_run(self, run: Run) -> None: ...
    async def runs(self, since: datetime) -> list[Run]: ...  # oldest first
    async def forget_runs(self, before: datetime) -> int: ...
    async def yields(self, since: datetime) -> list[tuple[datetime, int, int]]: ...  # when how many issues were made, how many not empty
    async def late_mails(self, *, since: datetime, stuck: datetime, limit: int) -> list[LateMail]: ...
    # ^ of issues: failed since then, in doubt and made since then, deferred and made before `stuck`; latest first
    async def backlogs(self, model: str, before: datetime) -> dict[str, Backlog]: ...  # "mails", "works": only what waits since before then
    async def figures(self, since: datetime) -> Figures: ...
    async def matters(self) -> dict[str, datetime]: ...  # what the administrator was told of, and when last
    async def settle_matters(
        self, *, told: Collection[str], over: Collection[str], now: datetime, mail: NewDelivery | None = None
    ) -> bool: ...  # one transaction; False, and nothing done, where a mail of that Message-ID is there already


class Storage(SourceStore, WorkStore, VectorStore, SubscriberStore, DigestStore, DeliveryStore, PaceStore, WatchStore, Protocol):
    """All of it: one database."""

    @property
    def instance_id(self) -> str: ...  # random, made at the first upgrade
    async def prune(self, old: Outdated, *, limit: int) -> dict[str, int]: ...  # rows removed by kind, `limit` of each at most
    async def outdated(self, old: Outdated) -> dict[str, int]: ...  # how many there are in all
    async def clock(self) -> datetime: ...  # the database's own time
    async def check(self) -> list[str]: ...  # faults found; empty = sound
    async def sizes(self) -> list[TableSize]: ...  # by table, largest first; "" = the whole
    async def close(self) -> None: ...
