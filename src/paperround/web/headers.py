"""Headers: what every answer carries, and how much of a request is read. Plain ASGI, so that it costs next to nothing."""

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 256 * 1024  # bytes; the longest profile form is a tenth of it
# No scripts at all.
POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
DEFAULTS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",  # addresses of pages are secrets
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), browsing-topics=()",
}


class SecurityHeaders:
    """Adds what a handler did not set itself; refuses bodies that are too long while they come."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.defaults = dict(DEFAULTS)
        if https:
            self.defaults |= {"strict-transport-security": "max-age=31536000", "cross-origin-opener-policy": "same-origin"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.defaults.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, limited(receive), send_with_headers)


def limited(receive: Receive) -> Receive:
    """The same body, up to LARGEST_BODY; beyond it HTTPException 413."""
    read = 0

    async def receive_limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > LARGEST_BODY:
            raise HTTPException(413)
        return message

    return receive_limited
