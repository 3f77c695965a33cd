"""Confirm: /c/TOKEN, where the button of a confirmation mail leads. Opening it changes nothing, pressing the one on it does."""

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from paperround.digests.catalogues import speech
from paperround.digests.refusals import refusal
from paperround.digests.wording import moment
from paperround.errors import AlreadyExistsError, ConsentError
from paperround.models import ConsentState, Subscriber
from paperround.subscribers.signed_links import Purpose
from paperround.web.guards import network_of
from paperround.web.services import message, page, services_of
from paperround.web.wording import marked as _


async def show(request: Request) -> Response:
    services = services_of(request)
    subscriber, _numbers = await services.actions.holder(Purpose.CONFIRM, request.path_params["token"])
    if subscriber.state is ConsentState.PENDING:
        return page(
            request,
            "confirm",
            title=_("Yes, send me my paper"),
            language=subscriber.profile.language,
            action=request.url.path,
            consent_text=services.consent_text,
            profile=subscriber.profile,
        )
    return settled(request, subscriber)


async def confirm(request: Request) -> Response:
    services = services_of(request)
    subscriber, _numbers = await services.actions.holder(Purpose.CONFIRM, request.path_params["token"])
    with suppress(ConsentError):  # said by `settled`
        subscriber = await services.actions.confirm(subscriber, way="page", address_prefix=network_of(request))
    return settled(request, subscriber)


async def show_move(request: Request) -> Response:
    """/m/TOKEN: where the button leads that a new address is mailed."""
    services = services_of(request)
    subscriber, _numbers = await services.actions.holder(Purpose.MOVE, request.path_params["token"])
    question, language = _("Send the paper to this address?"), subscriber.profile.language
    return message(request, question, services.consent_text, action=request.url.path, button=_("Send it here"), language=language)


async def move(request: Request) -> Response:
    services = services_of(request)
    subscriber, (_ends, number) = await services.actions.holder(Purpose.MOVE, request.path_params["token"])
    language = subscriber.profile.language
    try:
        await services.actions.move(subscriber, number)
    except (ConsentError, AlreadyExistsError) as error:
        return message(request, _("That is not possible now"), refusal(error, language, subscriber.state), status=409, language=language)
    told = _("The old address was told. Your interests, votes and past issues stay as they were.")
    return message(request, _("Your paper comes here now"), told, language=language)


def settled(request: Request, subscriber: Subscriber) -> Response:
    """How things stand, in two sentences."""
    language = subscriber.profile.language
    when = moment(subscriber.next_due_at, subscriber.profile.timezone, language)
    if subscriber.state is ConsentState.UNSUBSCRIBED:
        again = _("Sign up again, and a new mail asks you once more.")
        home = f"{services_of(request).root}/", _("Sign up")
        return message(request, _("This subscription has ended"), again, link=home, language=language)
    if subscriber.state is ConsentState.PAUSED:
        told = _("Your paper is paused; a link in every issue resumes it.")
    else:
        told = speech(language)("Your first issue comes {when}.", when=when) if when else _("No issue is scheduled yet.")
    return message(request, _("You are subscribed"), told, language=language)
