"""Wiring: builds the real parts from Settings, opens and closes them. The one place that knows the concrete classes."""

import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from paperround.bundled_files import bundled
from paperround.config import Settings, read_keys
from paperround.config_keys import is_loopback
from paperround.delivery import transports
from paperround.delivery.outbox import RetryRules
from paperround.delivery.pacing import PaceRules
from paperround.delivery.smtp import Sessions
from paperround.digests import due_dates
from paperround.digests.template_loader import TemplateLoader
from paperround.errors import ConfigError
from paperround.incoming.mailbox import Handler, ImapInbox, LmtpServer, MaildirInbox
from paperround.matching.embedder import SentenceTransformerEmbedder
from paperround.matching.queued_embedder import QueuedEmbedder
from paperround.matching.scoring import AUTOMATIC_THRESHOLD
from paperround.models import EngineId
from paperround.operation import alerts
from paperround.pipeline.compose import ComposeRules
from paperround.pipeline.deliver import DeliverRules
from paperround.pipeline.first_look import first_look
from paperround.pipeline.interfaces import Clock, Embedder, Storage, Transport
from paperround.pipeline.messages import Messages, Offers
from paperround.pipeline.receive_mail import ReceiveMail
from paperround.pipeline.steps import Retention, StepRules, Steps
from paperround.pipeline.subscriber_actions import ActionRules, SubscriberActions, Synced
from paperround.pipeline.watch import Watch
from paperround.records import ProfileFile
from paperround.sources.fetcher import HttpFetcher
from paperround.sources.fetcher import expand as expand  # these two for the shells
from paperround.sources.fetcher import host_group as host_group
from paperround.sources.polling import PollingRules
from paperround.storage.backups import back_up as back_up  # these four for the shells, too
from paperround.storage.backups import backup_suffix as backup_suffix
from paperround.storage.backups import restore as restore
from paperround.storage.job_queue import JobQueue
from paperround.storage.moving import move_database as move_database
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers import profile_files
from paperround.subscribers.signed_links import KeyRing, fold_address

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The one clock of the program; it stands where `--now` put it."""

    standing: datetime | None = None

    def now(self) -> datetime:
        return self.standing or datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a shell needs, open."""

    settings: Settings
    clock: Clock
    storage: Storage
    fetcher: HttpFetcher
    embedder: Embedder
    messages: Messages
    actions: SubscriberActions
    inbox: ReceiveMail
    queue: JobQueue | None  # where a queue does the steps
    steps: Steps
    watch: Watch


@asynccontextmanager
async def open_parts(
    settings: Settings,
    *,
    now: datetime | None = None,
    upgrade: bool = False,
    keys: Sequence[bytes] | None = None,
    serving: bool = False,
    embeds: bool = False,
    any_age: bool = False,
) -> AsyncIterator[Parts]:
    """Open what every step needs, lazily where it costs: the model, the templates and the relay wait for their first use.

    `now`: the clock of the steps stands there. `keys`: instead of the key file. `serving`: the model runs in a child process that ends
    after its work, or, where a queue does the steps, in those that have `embeds`. `any_age`: works may be old. Raises StorageError."""
    wall, ring = SystemClock(), KeyRing(tuple(keys) if keys is not None else read_keys(settings))
    clock = SystemClock(now)
    async with AsyncExitStack() as stack:
        storage = await open_storage(settings.database, upgrade=upgrade, fold=fold_address, connections=settings.database_connections)
        stack.push_async_callback(storage.close)
        fetcher = await stack.enter_async_context(aclosing(build_fetcher(settings, storage)))
        queue = open_queue(settings, storage)
        embedder = build_embedder(settings, in_child=serving and not queue)
        embedder = QueuedEmbedder(embedder, storage, queue.ask_for_words) if queue and serving and not embeds else embedder
        messages = build_messages(settings, storage, ring)
        rules = step_rules(settings, embedder.model, any_age=any_age)
        look = partial(first_look, storage, embedder, rules.compose, clock) if serving else None
        actions = SubscriberActions(storage=storage, clock=clock, keys=ring, rules=action_rules(settings), last_week=look)
        yield Parts(
            settings=settings,
            clock=clock,
            storage=storage,
            fetcher=fetcher,
            embedder=embedder,
            messages=messages,
            actions=actions,
            inbox=ReceiveMail(storage=storage, actions=actions, clock=clock, keys=ring, list_address=settings.list.address),
            queue=queue,
            steps=Steps(
                storage=storage,
                fetcher=fetcher,
                embedder=embedder,
                open_transport=lambda: bulk_transport(settings),
                messages=messages,
                clock=clock,
                wall=wall,
                rules=rules,
            ),
            watch=build_watch(settings, storage, clock, embedder.model),
        )


# ---------------------------------------------------------------- the parts, one by one


def open_queue(settings: Settings, storage: SqlStorage) -> JobQueue | None:
    """The queue, where one does the steps. Raises ConfigError on a database that can hold none."""
    if settings.engine != "queue":
        return None
    if settings.database.startswith("sqlite"):
        raise ConfigError('engine: "queue" needs a PostgreSQL database: set database = "postgresql+psycopg://…", or engine = "scheduler"')
    return JobQueue(storage.db)


def build_messages(settings: Settings, storage: Storage, keys: KeyRing) -> Messages:
    offers = Offers(base_url=settings.base_url, list_address=settings.list.address, bounce_domain=settings.bounce_domain)
    return Messages(storage=storage, load_templates=template_loader(settings).load, keys=keys, identity=settings.identity, offers=offers)


def build_fetcher(settings: Settings, storage: Storage) -> HttpFetcher:
    contact = settings.polling.contact or settings.base_url

    async def turn(host: str, pace: float) -> float:
        return (await storage.reserve({f"host:{host}": (1, pace)}, datetime.now(UTC)))[f"host:{host}"]

    return HttpFetcher(
        user_agent=f"Paperround/{version('paperround')} (+{contact})",
        allow_private_hosts=settings.allow_private_hosts,
        max_bytes=settings.limits.fetch_bytes,
        total_seconds=settings.limits.fetch_time.total_seconds(),
        turn=turn,
    )


def build_embedder(settings: Settings, *, in_child: bool = False) -> Embedder:
    """The model of the configuration; `hashing` is the one without a model, for trying and testing the rest."""
    wanted = settings.embedding
    if wanted.model == "hashing":
        from paperround.testing import HashingEmbedder

        hashing: Embedder = HashingEmbedder()
        return hashing
    embedder = SentenceTransformerEmbedder(wanted.model, precision=wanted.precision)
    if not in_child:
        return embedder
    from paperround.matching.child_embedder import ChildEmbedder

    return ChildEmbedder(embedder)


def build_watch(settings: Settings, storage: Storage, clock: Clock, model: str) -> Watch:
    admin, domain = settings.list.admin_address, settings.mail_domain
    return Watch(storage=storage, clock=clock, model=model, judgement=alerts.RULES, admin=admin, domain=domain)


def template_loader(settings: Settings) -> TemplateLoader:
    folders = [settings.templates] if settings.templates else []
    return TemplateLoader([*folders, bundled("templates")], cache_dir=template_cache())


def template_cache() -> Path | None:
    """Where compiled templates are kept between starts; None where there is no home to keep them in."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paperround" / "templates"
    except RuntimeError:
        return None


def bulk_transport(settings: Settings) -> Transport:
    """The transport for issues. Raises ConfigError while mail would leave this machine without the sender's postal address."""
    local = all(map(transports.is_loopback, settings.transports))
    if not local and not settings.list.postal_address and not settings.delivery.transactional:
        raise ConfigError(
            "[list] postal_address: must name the sender before issues go to a relay; set it, or [delivery] transactional = true"
        )
    given = settings.delivery
    sessions = Sessions(
        connections=given.connections,
        hostname=given.hostname,
        max_messages=given.max_messages,
        max_age=given.max_age.total_seconds(),
    )
    again_after = given.relay_down.total_seconds()
    return transports.open_relays(settings.transports, folder=settings.folder, sessions=sessions, again_after=again_after)


def action_rules(settings: Settings) -> ActionRules:
    return ActionRules(
        base_url=settings.base_url,
        message_domain=settings.mail_domain,
        consent_text=settings.list.consent_text,
        reply_domain=settings.list.address.rpartition("@")[2] if settings.list.address else None,
        default_profile=settings.default_profile,
        model=settings.embedding.model,
    )


def step_rules(settings: Settings, model: str, *, any_age: bool = False) -> StepRules:
    given = settings.delivery
    retries = RetryRules(
        first=given.retry_first,
        quick_tries=given.quick_tries,
        later_min=given.retry_later_min,
        later_max=given.retry_later_max,
        give_up_after=given.give_up_after,
        relay_down=given.relay_down,
    )
    return StepRules(
        polling=PollingRules(shortest=settings.polling.interval),
        compose=ComposeRules(model=model, message_domain=settings.mail_domain, automatic_threshold=AUTOMATIC_THRESHOLD, any_age=any_age),
        deliver=DeliverRules(
            retries=retries,
            workers=given.connections,
            engine=EngineId(uuid.uuid4().hex),
            silent_after=given.silent_after.total_seconds(),
            pace=PaceRules(
                per_second=given.per_second,
                domain_per_second=given.domain_per_second,
                domain_connections=given.domain_connections or max(1, given.connections * 3 // 4),
                shared=not settings.database.startswith("sqlite"),
            ),
            quotas={span: most for span, most in ((HOUR, given.per_hour), (24 * HOUR, given.per_day)) if most},
        ),
        retention=Retention(**dict(settings.retention)),
    )


# ---------------------------------------------------------------- mail coming in


@asynccontextmanager
async def lmtp_server(settings: Settings, handler: Handler) -> AsyncIterator[None]:
    """Mail by LMTP, where an address for it is set. Raises ConfigError."""
    address = settings.inbox.lmtp
    if address is None:
        yield
        return
    server = LmtpServer(address, handler)
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(f"[inbox] lmtp: cannot listen on {address}: {error.strerror}") from error
    try:
        yield
    finally:
        await server.close()


def maildir_inbox(settings: Settings) -> MaildirInbox | None:
    """Mail in a Maildir, where one is set."""
    return MaildirInbox(settings.inbox.maildir) if settings.inbox.maildir else None


def imap_inbox(settings: Settings) -> ImapInbox | None:
    """A mailbox that speaks IMAP, where one is set. Raises ConfigError while its password cannot be read."""
    given = settings.inbox
    if given.imap is None:
        return None
    try:
        password = given.imap_password_file.read_text(encoding="utf-8").strip() if given.imap_password_file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[inbox] imap_password_file: cannot read {given.imap_password_file}: {error}") from None
    if not password:
        raise ConfigError("[inbox] imap_password_file: must name a file that holds the password")
    return ImapInbox(given.imap, password, done=given.imap_done, clear=is_loopback(urlsplit(given.imap).hostname or ""))


# ---------------------------------------------------------------- profile files


def read_profile_file(path: Path) -> ProfileFile:
    """One profile file, its schedule checked too. Raises ProfileError."""
    return profile_files.read_profile_file(path, due_dates.parse_schedule)


def read_profile_folder(folder: Path) -> tuple[list[ProfileFile], list[str]]:
    """The profile files of a folder, and a line for each that cannot be used. Raises ProfileError when there is no such folder."""
    files, errors = profile_files.read_folder(folder, due_dates.parse_schedule)
    return files, [str(error) for error in errors]


async def sync_folder(parts: Parts, folder: Path | None = None, *, adopt: bool = False) -> tuple[Synced | None, list[str]]:
    """Bring a folder of profile files into force; what changed (None: no folder is set), and a line for each file that was refused."""
    place = folder or parts.settings.subscribers.folder
    if place is None:
        return None, []
    files, errors = read_profile_folder(place)
    done = await parts.actions.sync_files(files, adopt=adopt)
    return done, [*errors, *(f"{who}: {why}" for who, why in done.refused)]
