"""Health: whether the process lives, and whether it can do its work."""

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from paperround.errors import PaperroundError
from paperround.web.services import services_of

PATIENCE = 2.0  # seconds for the database to answer


async def live(request: Request) -> Response:  # noqa: ARG001 (a handler's shape)
    return PlainTextResponse("alive\n")


async def ready(request: Request) -> Response:
    """503 while the database does not answer, is of another version by now, or the scheduler in this process has stopped."""
    services = services_of(request)
    try:
        async with asyncio.timeout(PATIENCE):
            ours = await services.storage.still_ours()
    except (PaperroundError, TimeoutError, OSError):
        return PlainTextResponse("the database does not answer\n", 503)
    if not ours:
        return PlainTextResponse("the database is of another version now: restart with that version\n", 503)
    if services.stalled():
        return PlainTextResponse("the scheduler does not tick\n", 503)
    return PlainTextResponse("ready\n")
