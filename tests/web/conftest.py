"""Pages over a real database: a reader with an issue, and a client that follows no redirect."""

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from paperround.digests.template_loader import TemplateLoader, Templates
from paperround.models import (
    Delivery,
    Digest,
    DigestId,
    DigestItem,
    EngineId,
    Entry,
    ItemRole,
    Links,
    ListIdentity,
    MailKind,
    ReaderLinks,
    Reason,
    ReasonKind,
    Source,
    SourceId,
    SourceKind,
    Subscriber,
)
from paperround.pipeline.compose import ComposeRules
from paperround.pipeline.embed import embed
from paperround.pipeline.explain import explain_match
from paperround.pipeline.first_look import first_look
from paperround.pipeline.search import Hit
from paperround.pipeline.subscriber_actions import ActionRules, SubscriberActions
from paperround.records import NewDelivery, NewDigest, Placement
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import KeyRing, fold_address
from paperround.testing import FixedClock, HashingEmbedder
from paperround.web.app import create_app
from paperround.web.services import WebServices

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
BASE = "http://paper.example"
TITLES = ("Half the Tokens & <All> the Picture", "Drafts on the Cheap", "Reading Lips in Four Languages", "A Survey of Caches")
ROLES = (ItemRole.CHOSEN, ItemRole.CHOSEN, ItemRole.EXPLORE, ItemRole.BELOW)
ABSTRACT = "Visual tokens are dropped layer by layer. The model keeps 98 % of its accuracy."


@dataclass
class Site:
    storage: SqlStorage
    clock: FixedClock
    services: WebServices
    client: httpx2.AsyncClient
    ada: Subscriber
    links: ReaderLinks  # as in her issue's mail
    digest: Digest

    @property
    def actions(self) -> SubscriberActions:
        return self.services.actions

    def path(self, url: str | None) -> str:
        assert url is not None
        return url.removeprefix(BASE)

    def owner(self) -> str:
        """A fresh link to her whole page."""
        ends = self.clock.now() + timedelta(hours=1)
        return self.path(signed_links.owner_link(self.actions.keys, BASE, self.ada.public_id, self.ada.link_epoch, ends))

    async def now(self) -> Subscriber:
        return await self.storage.subscriber(self.ada.id)

    async def votes(self) -> dict[str, int]:
        return {vote.title: vote.value for vote in (await self.storage.votes([self.ada.id])).get(self.ada.id, [])}

    async def outbox(self, kind: MailKind) -> list[Delivery]:
        engine = EngineId("engine")
        await self.storage.start_engine(engine, self.clock.now())
        claimed = await self.storage.claim(engine, self.clock.now(), limit=1000, until=self.clock.now())
        await self.storage.release([each.id for each in claimed])
        return [each for each in claimed if each.kind is kind]


@pytest.fixture(scope="session")
def templates() -> Templates:
    return TemplateLoader([Path(__file__).parents[2] / "templates"]).load()


@pytest.fixture
async def site(tmp_path: Path, templates: Templates) -> AsyncIterator[Site]:
    storage = await open_storage(f"sqlite:///{tmp_path / 'p.db'}", upgrade=True, fold=fold_address)
    clock = FixedClock(NOW)
    rules = ActionRules(base_url=BASE, message_domain="paper.example", consent_text="Yes, send me my paper.")
    embedder = HashingEmbedder()
    choosing = ComposeRules(model=embedder.model, message_domain="paper.example", automatic_threshold=0.3)
    look = partial(first_look, storage, embedder, choosing, clock)
    actions = SubscriberActions(storage=storage, clock=clock, keys=KeyRing((b"k" * 32,)), rules=rules, last_week=look)

    async def explain(subscriber: Subscriber, reference: str) -> Mapping[str, Any]:
        return await explain_match(storage, embedder.model, subscriber, reference, now=clock.now(), language=subscriber.profile.language)

    async def found(words: str, since: datetime) -> list[Hit]:
        works = await storage.works_seen(since, clock.now())
        return [
            Hit(work_id=w.id, title=w.title, url=w.url, strength=0.8, score=1.0, sentence=words, published=None, sources=("Daily",))
            for w in works
        ]

    services = WebServices(
        storage=storage,
        actions=actions,
        templates=templates,
        identity=ListIdentity(name="The Paperround", sender="paper@paper.example", postal_address="1 Example Street"),
        clock=clock,
        base_url=BASE,
        consent_text=rules.consent_text,
        retention={"Sign-ups that nobody confirmed": timedelta(days=7)},
        search=found,
        explain=explain,
    )
    ada = await actions.add(
        "ada@example.org",
        {"name": "Ada", "interests": ["token pruning"], "timezone": "Europe/Berlin", "schedule": "daily 07:30"},
        active=True,
    )
    digest = await issue(storage, ada)
    await embed(storage, embedder, now=NOW)
    links = signed_links.reader_links(actions.keys, BASE, ada, digest)
    transport = httpx2.ASGITransport(app=create_app(services), client=("192.0.2.7", 5000))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
        yield Site(storage, clock, services, client, await storage.subscriber(ada.id), links, digest)
    await storage.close()


async def issue(storage: SqlStorage, reader: Subscriber) -> Digest:
    """Her first issue: two chosen, one from outside, one below the cut; its mail waits in the outbox."""
    source = await storage.add_source(
        Source(id=SourceId(0), location="https://example.org/f", kind=SourceKind.FEED, name="Daily", tags=("ai",), added_at=NOW)
    )
    works = []
    for title in TITLES:
        entry = Entry(
            title=title,
            summary=ABSTRACT,
            url=f"https://example.org/{len(works)}",
            authors=("M. Okafor",),
            upvotes=9 - len(works),
            links=Links(pdf=f"https://example.org/{len(works)}.pdf"),
        )
        await storage.record_entries(
            source,
            [entry],
            seen_at=NOW - timedelta(hours=1),
            place=lambda *_, key=title: Placement(groups=((0,),), works=((),), keys=(frozenset({key}),)),
            keys=lambda _, key=title: frozenset({key}),
            material_change=lambda *_: None,
        )
        works.append(await storage.find_work(title))
    reason = Reason(kind=ReasonKind.INTEREST, text="token pruning")
    items = tuple(
        DigestItem(
            work=work,
            role=role,
            number=0 if role is ItemRole.BELOW else number,
            score=1.0,
            strength=0.8,
            reason=Reason(kind=ReasonKind.EXPLORE) if role is ItemRole.EXPLORE else reason,
            excerpt=("Visual tokens are dropped layer by layer.", "The model keeps 98 % of its accuracy."),
            best=1,
        )
        for number, (work, role) in enumerate(zip(works, ROLES, strict=True), 1)
    )
    new = Digest(
        id=DigestId(0),
        subscriber_id=reader.id,
        period=date(2026, 11, 20),
        number=1,
        due_at=NOW,
        since=NOW - timedelta(days=1),
        cutoff=NOW,
        created_at=NOW,
        candidates=40,
        items=items,
    )
    mail = NewDelivery(kind=MailKind.ISSUE, subscriber_id=reader.id, recipient=reader.email or "", message_id="i@paper.example", values={})
    await storage.record_digests([NewDigest(digest=new, delivery=mail, next_due_at=NOW + timedelta(days=1))])
    (recorded,) = await storage.digests_of(reader.id, limit=1)
    return recorded


# ---------------------------------------------------------------- a real browser, a real mail server


@asynccontextmanager
async def opened(chromium: str, services: WebServices, **context: Any) -> AsyncIterator[Any]:
    """A page of a browser for which paper.example is the app, served over a socket."""
    async with importlib.import_module("playwright.async_api").async_playwright() as running:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(create_app(services), lifespan="off", log_config=None, access_log=False))
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            port = listening.getsockname()[1]
            flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            flags.append(f"--host-resolver-rules=MAP paper.example:80 127.0.0.1:{port}")
            browser = await running.chromium.launch(executable_path=chromium, args=flags)
            try:
                yield await (await browser.new_context(base_url=BASE, **context)).new_page()
            finally:
                await browser.close()
                server.should_exit = True
                await serving


@pytest.fixture
def browse(chromium: str) -> Callable[..., Any]:
    return partial(opened, chromium)
