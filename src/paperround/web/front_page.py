"""Front page: what is talked about today, a search by meaning, and the sign-up; what visitors see before they are readers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from paperround.digests import mail_content, selection, wording
from paperround.digests.mail_content import IssueView
from paperround.errors import PaperroundError, ProfileError
from paperround.matching.scoring import strength_word
from paperround.models import (
    ConsentState,
    Digest,
    DigestId,
    DigestItem,
    ItemRole,
    Profile,
    ReaderLinks,
    Reason,
    ReasonKind,
    Subscriber,
    SubscriberId,
)
from paperround.pipeline.search import Hit
from paperround.subscribers.signed_links import normalise_email
from paperround.web import profile_form
from paperround.web.guards import network_of
from paperround.web.one_click import read_form
from paperround.web.services import WebServices, message, page, services_of

VIEWS = (("day", "Today", 1), ("week", "This week", 7), ("month", "This month", 30))
SHOWN = 10  # works in each view
KEPT = timedelta(minutes=5)  # a view is counted anew so often
LONGEST_SEARCH = 300  # characters
PUBLIC = {"X-Robots-Tag": "all"}


async def show(request: Request) -> Response:
    """The front page, or with `?q=` what was found for the words."""
    services = services_of(request)
    view = next((each for each in VIEWS if each[0] == request.query_params.get("view")), VIEWS[0])
    words = " ".join(request.query_params.get("q", "").split())[:LONGEST_SEARCH]
    found = await search(services, request, words) if words else None
    issue = await trending(services, view[2]) if found is None else None
    return front(request, issue=issue, view=view[0], words=words, found=found)


def front(request: Request, *, status: int = 200, error: str = "", form: FormData | None = None, **values: Any) -> Response:
    services = services_of(request)
    zone = profile_form.guessed_zone(request.headers.get("accept-language", ""), services.default_zone)
    typed = {key: str(form.get(key, "")) for key in ("email", "interests", "liked")} if form is not None else {}
    profile = services.actions.rules.default_profile
    answer = page(
        request,
        "front",
        status=status,
        title="Your own paper",
        error=error,
        typed={"email": "", "interests": values.get("words", ""), "liked": "", **typed},
        views=VIEWS,
        can_search=services.search is not None,
        consent_text=services.consent_text,
        max_items=profile.max_items,
        **{"issue": None, "view": "day", "words": "", "found": None, **values},
        **profile_form.schedule_choices(profile.schedule, str(form.get("timezone") or zone) if form is not None else zone),
    )
    answer.headers.update(PUBLIC)
    return answer


# ---------------------------------------------------------------- what there is to read


async def trending(services: WebServices, days: int) -> IssueView:
    """The most talked about works of some days; the same for everybody, so it is kept for a few minutes."""
    now = services.clock.now()
    kept = services.kept.get(days)
    if kept is None or now - kept[0] >= KEPT:
        kept = services.kept[days] = (now, public_issue(await public_digest(services, days, now)))
    return kept[1]


async def public_digest(services: WebServices, days: int, now: datetime) -> Digest:
    since = now - timedelta(days=days)
    works = {work.id: work for work in await services.storage.works_seen(since, now)}
    picked = selection.trending(works.values(), max_items=SHOWN).items
    items = [
        DigestItem(
            work=works[each.match.work_id],
            role=ItemRole.CHOSEN,
            number=number,
            score=each.match.score,
            strength=0.0,
            reason=Reason(kind=ReasonKind.TRENDING),
            excerpt=(wording.shorten(works[each.match.work_id].abstract, 240),) if works[each.match.work_id].abstract else (),
            also=each.also,
        )
        for number, each in enumerate(picked, 1)
    ]
    return Digest(
        id=DigestId(0),
        subscriber_id=SubscriberId(0),
        period=now.date(),
        number=0,
        due_at=now,
        since=since,
        cutoff=now,
        created_at=now,
        candidates=len(works),
        items=tuple(items),
        kind="trending",
    )


def public_issue(digest: Digest) -> IssueView:
    nobody = Subscriber(
        id=SubscriberId(0),
        public_id="",
        email=None,
        state=ConsentState.ACTIVE,
        created_at=digest.created_at,
        profile=Profile(schedule="off"),
    )
    links = ReaderLinks(one_click="")
    view = mail_content.view(digest, nobody, links, strength_word=strength_word)
    return replace(view, items=tuple(replace(item, section=None) for item in view.items))


async def search(services: WebServices, request: Request, words: str) -> list[dict[str, Any]]:
    """The nearest works of the last month; none where searching is not offered or was asked for too often."""
    if services.search is None or not services.guards.search(network_of(request) or ""):
        return []
    try:
        hits = await services.search(words, services.clock.now() - timedelta(days=30))
    except PaperroundError:
        return []
    return shown_hits(hits[:SHOWN])


def shown_hits(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [
        {
            "title": wording.plain(hit.title),
            "url": wording.safe_url(hit.url),
            "bars": wording.STRENGTHS.index(strength_word(hit.strength)) + 1,
            "strength": strength_word(hit.strength),
            "sentence": wording.plain(hit.sentence or ""),
            "facts": wording.listed(hit.sources[:3]),
        }
        for hit in hits
    ]


# ---------------------------------------------------------------- sign-up


async def subscribe(request: Request) -> Response:
    """POST: the answer is the same for every address, and made before anything about it is looked up; the work comes after it."""
    services, form = services_of(request), await read_form(request)
    network = network_of(request)
    try:
        values = services.actions.checked(profile_form.sign_up_values(form), "sign-up")
        email = "" if "only_feed" in form else normalise_email(str(form.get("email", "")))
    except ProfileError as error:
        return front(request, status=400, error=f"{error.key.replace('_', ' ')} {error.reason}.", form=form)
    except ValueError:
        return front(request, status=400, error="That mail address cannot be right; please look at it again.", form=form)
    robot = bool(form.get("website"))  # a field that people do not see
    if not robot and not services.guards.sign_up(network or ""):
        return message(request, "Too many sign-ups just now", "Please try again in an hour.", status=429)
    if "only_feed" in form:
        return await only_feed(request, values, network) if not robot else answered(request)
    task = BackgroundTask(services.actions.sign_up, email, values, way="page", address_prefix=network)
    return answered(request, None if robot else task)


def answered(request: Request, task: BackgroundTask | None = None) -> Response:
    answer = message(
        request,
        "Look into your mail",
        "If this address can be subscribed, a mail with one button is on its way to it. Press it, or just reply, and your paper comes.",
        "Nothing else is sent before that. If no mail arrives within a few minutes, look among the spam.",
    )
    answer.background = task
    return answer


async def only_feed(request: Request, values: dict[str, object], network: str | None) -> Response:
    """No mail address, no mail: the feed's addresses are all that there is, shown this once."""
    services = services_of(request)
    subscriber = await services.actions.sign_up_for_feed(values, way="page", address_prefix=network)
    return page(request, "feed", title="Your feed", feeds=services.actions.feed_addresses(subscriber))


async def privacy(request: Request) -> Response:
    services = services_of(request)
    answer = page(request, "privacy", title="What is kept about readers", retention=services.retention, identity=services.identity)
    answer.headers.update(PUBLIC)
    return answer
