"""Personal feeds: /f/TOKEN.rss, .atom, .json. Answered from memory where possible: readers ask far more often than issues come."""

import gzip
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paperround.digests.personal_feed import MEDIA_TYPES
from paperround.models import Channel, ConsentState
from paperround.pipeline.feeds import personal_feed
from paperround.subscribers.signed_links import Purpose

if TYPE_CHECKING:
    from paperround.web.services import WebServices

SMALLEST_GZIP = 512  # bytes; below it the header costs more than it saves


@dataclass(frozen=True)
class FeedAnswer:
    """One feed as it stands. Its validators change with its bytes alone, so they outlive a restart."""

    body: bytes
    content_type: str
    modified: datetime
    made_at: datetime

    @cached_property
    def tag(self) -> str:
        """Of the plain bytes; the gzipped ones, being other bytes, have it with an ending (RFC 9110, section 8.8.3.3)."""
        return hashlib.blake2b(self.body, digest_size=16).hexdigest()

    @cached_property
    def gzipped(self) -> bytes:
        return gzip.compress(self.body, 6, mtime=0)

    @cached_property
    def last_modified(self) -> str:
        return format_datetime(self.modified.astimezone(UTC).replace(microsecond=0), usegmt=True)

    def unchanged_for(self, if_none_match: str | None, if_modified_since: str | None) -> bool:
        """Whether the asker has it already. Entity tags go first; where one is given, dates are not looked at (RFC 9110, 13.1.3)."""
        if if_none_match is not None:
            tags = [tag.strip().removeprefix("W/").strip('"').removesuffix("-gz") for tag in if_none_match.split(",")]
            return "*" in tags or self.tag in tags
        if if_modified_since is None:
            return False
        try:
            since = parsedate_to_datetime(if_modified_since)
        except ValueError:
            return False
        return self.modified.replace(microsecond=0) <= (since if since.tzinfo else since.replace(tzinfo=UTC))


@dataclass(slots=True)
class FeedMemory:
    """The feeds asked for last, for a few seconds each: a feed that was closed elsewhere is closed here that soon."""

    most_bytes: int = 32_000_000
    good_for: timedelta = timedelta(seconds=10)
    _answers: OrderedDict[tuple[str, str], FeedAnswer] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, key: tuple[str, str], now: datetime) -> FeedAnswer | None:
        found = self._answers.get(key)
        return found if found is not None and timedelta() <= now - found.made_at < self.good_for else None

    def put(self, key: tuple[str, str], answer: FeedAnswer) -> None:
        self.drop(key)
        self._answers[key] = answer
        self._bytes += 2 * len(answer.body)
        while self._bytes > self.most_bytes and self._answers:
            self.drop(next(iter(self._answers)))

    def drop(self, key: tuple[str, str]) -> None:
        if (old := self._answers.pop(key, None)) is not None:
            self._bytes -= 2 * len(old.body)

    def clear(self) -> None:
        """What was changed here counts at once."""
        self._answers.clear()
        self._bytes = 0


async def show(request: Request) -> Response:
    """200, or 304 without a body; HEAD as GET. Raises TokenError (404 unknown, 410 closed or moved)."""
    token, ending = request.path_params["token"], request.path_params["ending"]
    if ending not in MEDIA_TYPES:
        raise HTTPException(404)
    services: WebServices = request.app.state.services
    now = services.clock.now()
    answer = services.feeds.get((token, ending), now)
    if answer is None:
        answer = await made(services, token, ending, now)
        services.feeds.put((token, ending), answer)
    headers = request.headers
    zipped = len(answer.body) >= SMALLEST_GZIP and takes_gzip(headers.get("accept-encoding", ""))
    common = {
        "ETag": f'"{answer.tag}{"-gz" if zipped else ""}"',
        "Last-Modified": answer.last_modified,
        "Cache-Control": "private, max-age=300",
        "Vary": "Accept-Encoding",
    }
    if answer.unchanged_for(headers.get("if-none-match"), headers.get("if-modified-since")):
        return Response(status_code=304, headers=common)
    if zipped:
        common["Content-Encoding"] = "gzip"
    return Response(answer.gzipped if zipped else answer.body, headers={**common, "Content-Type": answer.content_type})


def takes_gzip(accept: str) -> bool:
    """Whether gzip is among the encodings and not ruled out by q=0."""
    for part in accept.lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.strip().replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def made(services: "WebServices", token: str, ending: str, now: datetime) -> FeedAnswer:
    """The feed from storage. A reader who left keeps the old items; who has not confirmed, or wants no feed, has none."""
    subscriber, _ = await services.actions.holder(Purpose.FEED, token)
    if subscriber.state is ConsentState.PENDING or Channel.FEED not in subscriber.profile.channels:
        raise HTTPException(404)
    keys = services.actions.keys
    body, updated = await personal_feed(services.storage, keys, services.identity, services.base_url, subscriber, ending, now=now)
    return FeedAnswer(body=body, content_type=MEDIA_TYPES[ending], modified=updated, made_at=now)
