"""One-click: /u/TOKEN. GET shows one button; POST unsubscribes at once (RFC 8058). It works for every mail ever sent."""

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response

from paperround.errors import TokenError
from paperround.models import ConsentState, Subscriber
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import Purpose
from paperround.web.services import message, page, services_of
from paperround.web.wording import marked as _

LEFT = (ConsentState.UNSUBSCRIBED, ConsentState.FORGOTTEN)


async def leaver(request: Request) -> Subscriber | None:
    """Whom the link is about; None when it is well signed and they are not known any more. Raises TokenError."""
    services = services_of(request)
    token = request.path_params["token"]
    signed_links.read_token(services.actions.keys, Purpose.UNSUBSCRIBE, token)  # raises for what we did not sign
    try:
        subscriber, _numbers = await services.actions.holder(Purpose.UNSUBSCRIBE, token)
    except TokenError:
        return None
    return subscriber


async def show(request: Request) -> Response:
    """One button and a choice; nothing happens before it is pressed."""
    subscriber = await leaver(request)
    if subscriber is None or subscriber.state in LEFT:
        return done(request)
    return page(request, "unsubscribe", title=_("Unsubscribe"), language=subscriber.profile.language, action=request.url.path)


async def unsubscribe(request: Request) -> Response:
    """2xx and never a redirect, however often and in whatever form it is sent."""
    subscriber = await leaver(request)
    form = await read_form(request)
    if subscriber is not None:
        way = "one-click" if form.get("List-Unsubscribe") and "page" not in form else "page"
        services = services_of(request)
        await services.actions.unsubscribe(subscriber, way=way, revoke_feed="feed" in form)
        services.feeds.clear()
    return done(request)


def done(request: Request) -> Response:
    return message(request, _("You are unsubscribed"), _("Nothing more will be sent to you, not even what was already on its way out."))


async def read_form(request: Request) -> FormData:
    """Whatever form was posted; a body that is none is an empty one: leaving must not fail over its spelling."""
    try:
        return await request.form(max_files=0, max_fields=400, max_part_size=64 * 1024)
    except (MultiPartException, HTTPException, ValueError, KeyError) as error:
        if isinstance(error, HTTPException) and error.status_code == 413:
            raise
        return FormData()
