"""The app: which page answers which address. A shell: what is allowed and what happens stands in the pipeline and the pure rooms."""

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from paperround.errors import NotFoundError, StorageError, TokenError
from paperround.web import archive, confirm, front_page, health, metrics, one_click, personal_feeds, preferences, trending, votes
from paperround.web.headers import DEFAULTS, SecurityHeaders
from paperround.web.services import WebServices, message, services_of
from paperround.web.wording import marked as _

NOT_HERE = (_("There is nothing here"), _("The link may be incomplete: try it again from the mail, or copy the whole of it."))
GONE = (_("This link is no longer good"), _("It was replaced, or its time is over. The newest mail from us has one that works."))


def create_app(services: WebServices) -> Starlette:
    """All pages over the given services. Where `base_url` has a path, they answer below it and, for a proxy that strips it, without it."""
    routes: list[BaseRoute] = [
        Route("/", front_page.show),
        Route("/subscribe", front_page.subscribe, methods=["POST"]),
        Route("/trending.{form}", trending.feed),
        Route("/privacy", front_page.privacy),
        Route("/paper-{version}.css", stylesheet),
        *(Route(path, health.live) for path in ("/health", "/health/live")),
        Route("/health/ready", health.ready),
        Route("/metrics", metrics.show),
        Route("/u/{token}", one_click.show),
        Route("/u/{token}", one_click.unsubscribe, methods=["POST"]),
        Route("/c/{token}", confirm.show),
        Route("/c/{token}", confirm.confirm, methods=["POST"]),
        Route("/m/{token}", confirm.show_move),
        Route("/m/{token}", confirm.move, methods=["POST"]),
        Route("/v/{token}/{wish}", votes.show),
        Route("/v/{token}/{wish}", votes.vote, methods=["POST"]),
        Route("/a/{token}", archive.show),
        Route("/a/{token}/{name}.{ending}", archive.cite),
        Route("/f/{token}.{ending}", personal_feeds.show),
        Route("/f/{token}/liked.{ending}", personal_feeds.liked),
        Route("/{room}/{token}", preferences.show),
        Route("/{room}/{token}/{what}", preferences.act, methods=["POST"]),
    ]
    below: list[BaseRoute] = [Mount(services.root, routes=routes)] if services.root else []
    app = Starlette(
        routes=[*below, *routes],
        middleware=[Middleware(SecurityHeaders, https=urlsplit(services.base_url).scheme == "https")],
        exception_handlers={
            TokenError: unknown_link,
            NotFoundError: unknown_link,
            404: unknown_link,
            HTTPException: refused,
            StorageError: not_now,
            500: broken,
        },
    )
    app.state.services = services
    return app


async def stylesheet(request: Request) -> Response:
    """The address holds the content's hash, so it may be kept for ever."""
    path, body = services_of(request).stylesheet
    if not path.endswith(f"/paper-{request.path_params['version']}.css"):
        raise HTTPException(404)
    return Response(body, media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"})


async def unknown_link(request: Request, error: Exception) -> Response:
    """Wrong, unknown and unheard-of addresses answer the same bytes; links that were good once say so."""
    if isinstance(error, TokenError) and error.gone:
        return message(request, *GONE, status=410)
    return message(request, *NOT_HERE, status=404)


async def refused(request: Request, error: Exception) -> Response:
    """What HTTP itself refuses: methods, sizes."""
    assert isinstance(error, HTTPException)
    words = {405: _("That cannot be done here"), 413: _("That is too long")}.get(error.status_code, _("That did not work"))
    answer = message(request, words, status=error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def not_now(request: Request, error: Exception) -> Response:  # noqa: ARG001 (a handler's shape)
    answer = message(request, _("Not just now"), _("Our database does not answer. Please try again in a few minutes."), status=503)
    answer.headers["Retry-After"] = "120"
    return answer


async def broken(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Outside the middleware, so the headers are added here; nothing of the request or the error is shown."""
    answer = message(request, _("Something broke on our side"), _("It is written down. Nothing you did was lost."), status=500)
    answer.headers.update(DEFAULTS)
    return answer
