"""Health: whether the process lives, and whether it can do its work."""

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from paperround.errors import PaperroundError
from paperround.web.services import services_of

PATIENCE = 2.0  # seconds for the database to answer


async def health(request: Request) -> Response:  # noqa: ARG001 (a handler's shape)
    return PlainTextResponse("alive\n")


async def ready(request: Request) -> Response:
    """503 while the database does not answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            await services_of(request).storage.count_subscribers()
    except (PaperroundError, TimeoutError, OSError):
        return PlainTextResponse("the database does not answer\n", 503)
    return PlainTextResponse("ready\n")
