"""Front page: what is talked about today, a search by meaning, and the sign-up; what visitors see before they are readers."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from babel.dates import format_timedelta
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from paperround.digests import wording
from paperround.digests.refusals import not_read, refusal
from paperround.errors import PaperroundError, ProfileError
from paperround.matching.scoring import strength_word
from paperround.models import Channel
from paperround.pipeline.search import Hit
from paperround.subscribers.signed_links import normalise_email
from paperround.web import profile_form
from paperround.web.guards import network_of
from paperround.web.one_click import read_form
from paperround.web.services import WebServices, message, page, services_of
from paperround.web.trending import SHOWN, VIEWS, public_issue, trending
from paperround.web.wording import language_of
from paperround.web.wording import marked as _

LONGEST_SEARCH = 300  # characters
PUBLIC = {"X-Robots-Tag": "all"}


async def show(request: Request) -> Response:
    """The front page, or with `?q=` what was found for the words."""
    services = services_of(request)
    words = " ".join(request.query_params.get("q", "").split())[:LONGEST_SEARCH]
    if words:
        found = await search(services, request, words)
        return front(request, words=words, found=found or [], late=found is None)
    views = [each for each in VIEWS if each[0] == request.query_params.get("view")] or VIEWS
    lists = [(view, await trending(services, days)) for view, _, days in views]
    view, digest = next((each for each in lists if each[1].items), lists[0])  # on a day without news the week's is shown
    return front(request, issue=public_issue(digest, language_of(request, services.identity.language)), view=view)


def front(request: Request, *, status: int = 200, error: str = "", form: FormData | None = None, **values: Any) -> Response:
    services = services_of(request)
    zone = profile_form.guessed_zone(request.headers.get("accept-language", ""), services.default_zone)
    typed = {key: str(form.get(key, "")) for key in ("email", "interests", "liked", "channels")} if form is not None else {}
    profile = services.actions.rules.default_profile
    answer = page(
        request,
        "front",
        status=status,
        title=_("Your own paper"),
        error=error,
        typed={"email": "", "interests": values.get("words", ""), "liked": "", "channels": "", **typed},
        views=VIEWS,
        channels=profile_form.CHANNELS,
        can_search=services.search is not None,
        consent_text=services.consent_text,
        max_items=profile.max_items,
        **{"issue": None, "view": "day", "words": "", "found": None, "late": False, **values},
        **profile_form.schedule_choices(profile.schedule, str(form.get("timezone") or zone) if form is not None else zone),
    )
    answer.headers.update(PUBLIC)
    return answer


# ---------------------------------------------------------------- a search


async def search(services: WebServices, request: Request, words: str) -> list[dict[str, Any]] | None:
    """The nearest works of the last month; none where searching is not offered or was asked for too often. None: not read in time."""
    if services.search is None or not services.guards.search(network_of(request) or ""):
        return []
    try:
        hits = await services.search(words, services.clock.now() - timedelta(days=30))
    except PaperroundError:
        return None
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
    network, language = network_of(request), language_of(request, services.identity.language)
    try:
        wanted = profile_form.sign_up_values(form)
        if language != services.identity.language:
            wanted["language"] = language
        values = services.actions.checked(wanted, "sign-up")
        only_feed = values.get("channels") == [Channel.FEED.value]
        email = "" if only_feed else normalise_email(str(form.get("email", "")))
    except ProfileError as error:
        return front(request, status=400, error=refusal(error, language), form=form)
    except ValueError:
        return front(request, status=400, error=refusal(ProfileError("sign-up", "email", "cannot be right"), language), form=form)
    robot = bool(form.get("website"))  # a field that people do not see
    if not robot and not services.guards.sign_up(network or ""):
        return message(request, _("Too many sign-ups just now"), _("Please try again in an hour."), status=429)
    feeds: tuple[str, ...] = ()
    own_page = ""
    if only_feed and not robot:  # no mail address, no mail: the feed's addresses are all that there is, shown this once
        reader = await services.actions.sign_up_for_feed(values, way="page", address_prefix=network)
        feeds, own_page = services.actions.feed_addresses(reader), services.actions.owner_link(reader)
    looked = await services.actions.last_week(values) if services.guards.search(network or "") else None
    look = public_issue(looked, language) if looked and looked.kind == "matched" else None
    notes = not_read(services.actions.not_read(profile_form.lines(form.get("interests"))), language)
    answer = page(
        request,
        "welcome",
        title=_("Your feed") if feeds else _("Look into your mail"),
        feeds=feeds,
        own_page=own_page,
        look=look,
        late=looked is None and bool(values.get("interests")),
        notes=notes,
    )
    if not robot and not only_feed:
        answer.background = BackgroundTask(services.actions.sign_up, email, values, way="page", address_prefix=network)
    return answer


async def privacy(request: Request) -> Response:
    services = services_of(request)
    language = language_of(request, services.identity.language)
    kept = {
        what: format_timedelta(long, granularity="day" if long.days else "hour", threshold=10**6, locale=language)
        for what, long in services.retention.items()
    }
    answer = page(request, "privacy", title=_("What is kept about readers"), retention=kept, identity=services.identity)
    answer.headers.update(PUBLIC)
    return answer
