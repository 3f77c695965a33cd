"""Web services: what the pages need of the rest, as one value; and how a page is made of a template."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse

from paperround.digests.catalogues import speech
from paperround.digests.mail_content import TemplateSource
from paperround.models import Digest, ListIdentity, Subscriber
from paperround.pipeline.explain import explain_match
from paperround.pipeline.interfaces import Clock, Storage
from paperround.pipeline.search import Hit, search
from paperround.pipeline.subscriber_actions import SubscriberActions
from paperround.web.guards import Guards
from paperround.web.personal_feeds import FeedMemory
from paperround.web.wording import language_of
from paperround.web.wording import marked as _

if TYPE_CHECKING:
    from paperround.wiring import Parts

Explain = Callable[[Subscriber, str], Awaitable[Mapping[str, Any]]]  # what `pipeline.explain` says of a work for a reader
Search = Callable[[str, datetime], Awaitable[Sequence[Hit]]]  # words, first seen after → the nearest works, best first


@dataclass(frozen=True, kw_only=True)
class WebServices:
    """Everything the pages use. `search` None: this installation searches nothing on its pages."""

    storage: Storage
    actions: SubscriberActions
    templates: TemplateSource
    identity: ListIdentity
    clock: Clock
    base_url: str
    consent_text: str
    retention: dict[str, timedelta] = field(default_factory=dict)  # what is kept how long, for the privacy page
    default_zone: str = "UTC"
    search: Search | None = None
    explain: Explain | None = None
    model: str = ""  # whose vectors are counted
    metrics_token: str | None = None
    stalled: Callable[[], bool] = lambda: False  # whether the scheduler in this process has stopped
    guards: Guards = field(default_factory=Guards)
    feeds: FeedMemory = field(default_factory=FeedMemory)
    kept: dict[int, Digest] = field(default_factory=dict)  # the public lists, by days

    @cached_property
    def root(self) -> str:
        """The path under which the pages lie: "" or "/paper"."""
        return urlsplit(self.base_url).path.rstrip("/")

    @cached_property
    def stylesheet(self) -> tuple[str, bytes]:
        """The one style sheet: its address, which changes with its content, and its bytes."""
        colours = {"colour": self.identity.colour, "colour_dark": self.identity.colour_dark}
        body = self.templates.get("web/paper.css.j2").render(**colours).encode()
        return f"{self.root}/paper-{hashlib.sha256(body).hexdigest()[:16]}.css", body

    @cached_property
    def site(self) -> dict[str, Any]:
        return {
            "name": self.identity.name,
            "root": self.root,
            "stylesheet": self.stylesheet[0],
            "postal_address": self.identity.postal_address,
            "privacy_url": self.identity.privacy_url,
            "list_address": self.identity.address,
        }


def services_of(request: Request) -> WebServices:
    services = request.app.state.services
    assert isinstance(services, WebServices)
    return services


def page(request: Request, name: str, *, status: int = 200, title: str, **values: Any) -> HTMLResponse:
    """A page of a template in web/. Headers that every answer carries are added on the way out."""
    services = services_of(request)
    spoken = {"language": language_of(request, services.identity.language), **values}
    say = speech(str(spoken["language"]))
    given = {"site": services.site, "title": say(title), **say.functions, **spoken}
    text = services.templates.get(f"web/{name}.html.j2").render(**given)
    return HTMLResponse(text, status)


def message(request: Request, title: str, *lines: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of a few sentences, with at most one button: `action` (where it posts to), `button` (its words), `fields` (hidden)."""
    return page(request, "message", status=status, title=title, lines=lines, **{"action": None, "button": "", "fields": {}, **values})


def from_parts(parts: "Parts", *, stalled: Callable[[], bool] = lambda: False) -> WebServices:
    """The services of an installation that wiring has opened."""
    settings = parts.settings

    async def find(words: str, since: datetime) -> Sequence[Hit]:
        return await search(parts.storage, parts.embedder, words, since=since, now=parts.clock.now())

    async def explain(subscriber: Subscriber, reference: str) -> Mapping[str, Any]:
        language = subscriber.profile.language
        return await explain_match(parts.storage, parts.embedder.model, subscriber, reference, now=parts.clock.now(), language=language)

    return WebServices(
        storage=parts.storage,
        actions=parts.actions,
        templates=parts.messages.templates,
        identity=settings.identity,
        clock=parts.clock,
        base_url=settings.base_url,
        consent_text=settings.list.consent_text,
        retention={
            _("Sign-ups that nobody confirmed"): settings.retention.pending,
            _("The network a consent came from (not the whole address)"): settings.retention.evidence,
            _("A feed without a mail address that nobody reads"): settings.retention.unread,
            _("Papers that nobody liked"): settings.retention.entries,
        },
        default_zone=settings.digest.timezone,
        search=find,
        explain=explain,
        model=parts.embedder.model,
        metrics_token=settings.web.metrics_token,
        stalled=stalled,
        guards=Guards(sign_ups_per_network=settings.limits.sign_ups_per_network, sign_ups=settings.limits.sign_ups),
    )
