"""Preferences: /p/TOKEN, what a link in a mail is worth (schedule, pause, leaving), and /o/TOKEN, the owner's whole page for an hour."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from paperround.digests.refusals import not_read, refusal
from paperround.digests.wording import moment
from paperround.errors import AddressError, ConsentError, NotFoundError, ProfileError
from paperround.models import Subscriber, WorkId
from paperround.sources.references import reference
from paperround.subscribers import signed_links
from paperround.subscribers.profile_layers import profile_to_values
from paperround.subscribers.signed_links import Purpose, normalise_email
from paperround.web import profile_form
from paperround.web.one_click import read_form
from paperround.web.services import message, page, services_of
from paperround.web.wording import marked as _

SAID = {
    "saved": _("Saved. It counts from the next issue on."),
    "paused": _("Paused. Nothing comes until the pause ends."),
    "resumed": _("Your paper comes again."),
    "vote": _("The vote is taken back."),
    "link": _("A mail with a link to your whole page is on its way to you. The link works for an hour."),
    "move": _(
        "A mail with one button is on its way there, unless a paper comes there already. Until it is pressed, nothing changes. "
        "If it gets lost, ask again in an hour."
    ),
    "feed": _("Your feed has a new address; the old one is closed."),
}


async def reader_of(request: Request) -> tuple[Subscriber, bool]:
    """Whose page, and whether it is the owner with a fresh link. Raises TokenError."""
    if request.path_params["room"] not in ("p", "o"):
        raise HTTPException(404)
    purpose = Purpose.OWNER if request.path_params["room"] == "o" else Purpose.PREFERENCES
    subscriber, _ = await services_of(request).actions.holder(purpose, request.path_params["token"])
    return subscriber, purpose is Purpose.OWNER


async def show(request: Request) -> Response:
    subscriber, owner = await reader_of(request)
    return await shown(request, subscriber, owner)


async def shown(request: Request, subscriber: Subscriber, owner: bool, error: ProfileError | None = None) -> Response:
    """The page. What a stranger could read in a forwarded mail's link stays off the smaller one: no interests, no votes, no address."""
    services, profile = services_of(request), subscriber.profile
    values: dict[str, Any] = {
        "owner": owner,
        "base": request.url.path.rstrip("/"),
        "state": subscriber.state.value,
        "said": SAID.get(request.query_params.get("done", "")),
        "error": error and refusal(error, profile.language),
        "next": moment(subscriber.next_due_at, profile.timezone, profile.language),
        "until": moment(subscriber.paused_until, profile.timezone, profile.language),
        "one_click": signed_links.reader_links(services.actions.keys, services.base_url, subscriber, pages=False, feeds=False).one_click,
        "language": profile.language,
        "today": services.clock.now().date().isoformat(),
    }
    if owner:
        values |= await owned(request, subscriber)
    else:
        values |= {"can_mail": bool(subscriber.email), **profile_form.schedule_choices(profile.schedule, profile.timezone)}
    return page(request, "preferences", status=400 if error else 200, title=_("Your page") if owner else _("Your schedule"), **values)


async def owned(request: Request, subscriber: Subscriber) -> dict[str, Any]:
    """What the owner alone is shown."""
    services, profile = services_of(request), subscriber.profile
    votes = (await services.storage.votes([subscriber.id])).get(subscriber.id, [])
    names = [name for source in await services.storage.sources() for name in (source.name, *source.tags)]
    return {
        "email": subscriber.email,
        "profile": profile,
        "votes": sorted(votes, key=lambda vote: vote.at, reverse=True),
        "feeds": services.actions.feed_addresses(subscriber),
        "notes": not_read(services.actions.not_read(each.text for each in profile.interests), profile.language),
        **await explained(request, subscriber),
        **profile_form.choices(profile, names),
    }


async def explained(request: Request, subscriber: Subscriber) -> dict[str, Any]:
    """What the reader asked to have explained, `?why=` a paper; nothing is written down."""
    explain, wanted = services_of(request).explain, request.query_params.get("why", "")[:500]
    told: Mapping[str, Any] = {}
    if explain and wanted.strip():
        with suppress(NotFoundError):
            told = await explain(subscriber, reference(wanted))
    return {"can_explain": explain is not None, "why": wanted, "told": told}


async def act(request: Request) -> Response:
    """POST: one of the page's forms; then the page again, which says what happened."""
    subscriber, owner = await reader_of(request)
    what = request.path_params["what"]
    wanted = ANYONE.get(what) or (OWNERS.get(what) if owner else None)
    if wanted is None:
        raise HTTPException(404)
    try:
        done = await wanted(request, subscriber, await read_form(request))
    except ProfileError as error:
        return await shown(request, subscriber, owner, error)
    except ConsentError as error:
        language = subscriber.profile.language
        told = refusal(error, language, subscriber.state)
        return message(request, _("That is not possible now"), told, status=409, language=language)
    if isinstance(done, Response):
        return done
    return RedirectResponse(f"{request.url.path.rpartition('/')[0]}?done={done}", 303)


async def save_timing(request: Request, subscriber: Subscriber, form: FormData) -> str:
    await services_of(request).actions.change_profile(subscriber, profile_form.timing_values(form), way="reader")
    return "saved"


async def pause(request: Request, subscriber: Subscriber, form: FormData) -> str:
    """`until` is a day in the reader's zone, the first with mail again; none = until resumed."""
    until = None
    if form.get("until"):
        try:
            day = datetime.strptime(str(form["until"]), "%Y-%m-%d").date()  # noqa: DTZ007 (a local day, given its zone below)
        except ValueError:
            raise ProfileError("page", "until", "is no day") from None
        until = datetime.combine(day, time(), ZoneInfo(subscriber.profile.timezone))
        if until <= services_of(request).clock.now():
            raise ProfileError("page", "until", "is no day to come")
    await services_of(request).actions.pause(subscriber, until, way="page")
    return "paused"


async def resume(request: Request, subscriber: Subscriber, form: FormData) -> str:  # noqa: ARG001 (one shape for all forms)
    await services_of(request).actions.resume(subscriber, way="page")
    return "resumed"


async def mail_link(request: Request, subscriber: Subscriber, form: FormData) -> str:  # noqa: ARG001
    """Whether it was one too many stays untold: the answer is the same."""
    services = services_of(request)
    if services.guards.owner_link(subscriber.public_id):
        await services.actions.mail_owner_link(subscriber)
    return "link"


async def save_profile(request: Request, subscriber: Subscriber, form: FormData) -> str:
    await services_of(request).actions.change_profile(subscriber, profile_form.profile_values(form), way="reader")
    return "saved"


async def move(request: Request, subscriber: Subscriber, form: FormData) -> Response:
    """The work comes after the answer, which is the same whatever is known of the new address."""
    services = services_of(request)
    try:
        email = normalise_email(str(form.get("email", "")))
    except AddressError:
        raise ProfileError("page", "email", "cannot be right") from None
    task = BackgroundTask(services.actions.ask_to_move, subscriber, email) if services.guards.owner_link(subscriber.public_id) else None
    return RedirectResponse(f"{request.url.path.rpartition('/')[0]}?done=move", 303, background=task)


async def take_vote_back(request: Request, subscriber: Subscriber, form: FormData) -> str:
    work = str(form.get("work", ""))
    if not work.isdecimal():
        raise HTTPException(404)
    await services_of(request).actions.vote(subscriber, WorkId(int(work)), 0, way="page")
    return "vote"


async def new_feed(request: Request, subscriber: Subscriber, form: FormData) -> str:  # noqa: ARG001
    services = services_of(request)
    await services.actions.rotate_feed(subscriber)
    services.feeds.clear()
    return "feed"


async def export(request: Request, subscriber: Subscriber, form: FormData) -> Response:  # noqa: ARG001
    """Everything that is kept about a reader, as one JSON document."""
    storage = services_of(request).storage
    votes = (await storage.votes([subscriber.id])).get(subscriber.id, [])
    document = {
        "email": subscriber.email,
        "state": subscriber.state.value,
        "profile": profile_to_values(subscriber.profile),
        "votes": [{"title": vote.title, "value": vote.value, "at": vote.at.isoformat(), "way": vote.way} for vote in votes],
        "consent": [
            {"at": event.at.isoformat(), "kind": event.kind, "way": event.way, "network": event.address_prefix}
            for event in await storage.consent_events(subscriber.id)
        ],
        "issues": [
            {"date": digest.period.isoformat(), "items": [item.work.title for item in digest.items]}
            for digest in await storage.digests_of(subscriber.id, limit=1000)
        ],
    }
    return JSONResponse(document, headers={"Content-Disposition": 'attachment; filename="paperround.json"'})


async def erase(request: Request, subscriber: Subscriber, form: FormData) -> Response:
    if "sure" not in form:
        raise ProfileError("page", "erase", "needs its box ticked")
    services = services_of(request)
    await services.actions.forget(subscriber, way="page")
    services.feeds.clear()
    return message(
        request, _("Everything about you is erased"), _("A keyed hash of your address remains, so that no list brings you back.")
    )


ANYONE = {"schedule": save_timing, "pause": pause, "resume": resume, "link": mail_link}
OWNERS = {"profile": save_profile, "vote": take_vote_back, "feed": new_feed, "move": move, "export": export, "erase": erase}
