"""Personal feeds: /f/TOKEN.rss, .atom, .json, and what the reader liked at /f/TOKEN/liked.bib and .ris. Made once and kept: readers ask
far more often than issues come."""

import gzip
import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paperround.digests import citations, personal_feed
from paperround.models import Channel, ConsentState, Subscriber
from paperround.pipeline import feeds
from paperround.subscribers.signed_links import Purpose

if TYPE_CHECKING:
    from paperround.web.services import WebServices

SMALLEST_GZIP = 512  # bytes; below it the header costs more than it saves
MEDIA_TYPES = {**personal_feed.MEDIA_TYPES, **citations.MEDIA_TYPES}


@dataclass(frozen=True)
class FeedAnswer:
    """One feed as it stands. Its validators change with its bytes alone, so they outlive a restart."""

    zipped: bytes
    length: int  # of the plain bytes
    tag: str  # of the plain bytes; the zipped ones, being other bytes, have it with an ending (RFC 9110, section 8.8.3.3)
    content_type: str
    modified: datetime | None  # None: a vote taken back would set it back, so the tag alone tells
    version: Hashable  # it is good as long as the reader's is the same; None: for a moment only

    @classmethod
    def of(cls, body: bytes, content_type: str, modified: datetime | None, version: Hashable) -> "FeedAnswer":
        tag = hashlib.blake2b(body, digest_size=16).hexdigest()
        return cls(gzip.compress(body, 6, mtime=0), len(body), tag, content_type, modified and modified.replace(microsecond=0), version)

    def headers(self, *, zipped: bool) -> dict[str, str]:
        dated = {"Last-Modified": format_datetime(self.modified.astimezone(UTC), usegmt=True)} if self.modified else {}
        tag = f'"{self.tag}-gz"' if zipped else f'"{self.tag}"'
        return {"ETag": tag, **dated, "Cache-Control": "private, max-age=300", "Vary": "Accept-Encoding"}

    def unchanged_for(self, if_none_match: str | None, if_modified_since: str | None) -> bool:
        """Whether the asker has it already. Entity tags go first; where one is given, dates are not looked at (RFC 9110, 13.1.3)."""
        if if_none_match is not None:
            tags = [tag.strip().removeprefix("W/").strip('"').removesuffix("-gz") for tag in if_none_match.split(",")]
            return "*" in tags or self.tag in tags
        if if_modified_since is None or self.modified is None:
            return False
        try:
            since = parsedate_to_datetime(if_modified_since)
        except ValueError:
            return False
        return self.modified <= (since if since.tzinfo else since.replace(tzinfo=UTC))


Key = tuple[str, str, bool]  # token, ending, by issue


@dataclass(slots=True)
class FeedMemory:
    """Feeds kept until their reader's version changes, which is looked at once in `good_for`: so one that was closed or written elsewhere
    is closed or written here that soon. Those asked for longest ago go first when there is no room."""

    most_bytes: int = 32_000_000
    good_for: timedelta = timedelta(seconds=10)
    _answers: OrderedDict[Key, tuple[FeedAnswer, datetime]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def fresh(self, key: Key, now: datetime) -> FeedAnswer | None:
        """The answer where it was looked at a moment ago."""
        found = self._answers.get(key)
        return found[0] if found and timedelta() <= now - found[1] < self.good_for else None

    def still(self, key: Key, version: Hashable, now: datetime) -> FeedAnswer | None:
        """The answer where it is still of this version; that counts as looked at."""
        found = self._answers.get(key)
        if found is None or found[0].version is None or found[0].version != version:
            return None
        self.put(key, found[0], now)
        return found[0]

    def put(self, key: Key, answer: FeedAnswer, now: datetime) -> None:
        self._drop(key)
        self._answers[key] = answer, now
        self._bytes += len(answer.zipped)
        while self._bytes > self.most_bytes and self._answers:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Key) -> None:
        if (old := self._answers.pop(key, None)) is not None:
            self._bytes -= len(old[0].zipped)

    def clear(self) -> None:
        """What was changed here counts at once."""
        self._answers.clear()
        self._bytes = 0


async def show(request: Request) -> Response:
    """200, or 304 without a body; HEAD as GET; `?by=issue`: one item an issue. Raises TokenError (404 unknown, 410 closed or moved)."""
    ending = request.path_params["ending"]
    if ending not in personal_feed.MEDIA_TYPES:
        raise HTTPException(404)
    return await answered(request, (request.path_params["token"], ending, request.query_params.get("by") == "issue"))


async def liked(request: Request) -> Response:
    """As `show`, of everything the reader liked."""
    ending = request.path_params["ending"]
    if ending not in citations.MEDIA_TYPES:
        raise HTTPException(404)
    return await answered(request, (request.path_params["token"], ending, False))


async def answered(request: Request, key: Key) -> Response:
    services: WebServices = request.app.state.services
    now = services.clock.now()
    return reply(request, services.feeds.fresh(key, now) or await looked_at(services, key, now))


def reply(request: Request, answer: FeedAnswer, **others: str) -> Response:
    """The answer as the asker takes it: zipped or not, or that it is unchanged. `others` are headers."""
    asked = request.headers
    zipped = answer.length >= SMALLEST_GZIP and takes_gzip(asked.get("accept-encoding", ""))
    headers = {**answer.headers(zipped=zipped), **others}
    if answer.unchanged_for(asked.get("if-none-match"), asked.get("if-modified-since")):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = answer.content_type
    if not zipped:
        return Response(gzip.decompress(answer.zipped), headers=headers)
    return Response(answer.zipped, headers={**headers, "Content-Encoding": "gzip"})


def takes_gzip(accept: str) -> bool:
    """Whether gzip is among the encodings and not ruled out by q=0."""
    for part in accept.lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.strip().replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def looked_at(services: "WebServices", key: Key, now: datetime) -> FeedAnswer:
    """The feed kept, where its reader is still as then, else a new one. A reader who left keeps the old items; who has not confirmed, or
    wants no feed, has none."""
    subscriber, _ = await services.actions.holder(Purpose.FEED, key[0])
    if subscriber.state is ConsentState.PENDING or Channel.FEED not in subscriber.profile.channels:
        raise HTTPException(404)
    answer = services.feeds.still(key, feeds.feed_version(subscriber), now)
    if answer is None:
        answer = await made(services, subscriber, key)
        services.feeds.put(key, answer, now)
    return answer


async def made(services: "WebServices", subscriber: Subscriber, key: Key) -> FeedAnswer:
    _, ending, by_issue = key
    if ending in citations.MEDIA_TYPES:
        return FeedAnswer.of(await feeds.liked_works(services.storage, subscriber, ending), MEDIA_TYPES[ending], None, None)
    keys, identity = services.actions.keys, services.identity
    body, updated = await feeds.personal_feed(services.storage, keys, identity, services.base_url, subscriber, ending, by_issue=by_issue)
    return FeedAnswer.of(body, MEDIA_TYPES[ending], updated, feeds.feed_version(subscriber))
