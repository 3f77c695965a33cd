"""Trending: what is talked about these days, the same for everybody, as a list for the front page and as a public feed."""

from dataclasses import replace
from datetime import datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paperround.digests import mail_content, selection, wording
from paperround.digests.mail_content import IssueView
from paperround.digests.personal_feed import MEDIA_TYPES, render_feed
from paperround.matching.scoring import strength_word
from paperround.models import (
    ConsentState,
    Digest,
    DigestId,
    DigestItem,
    ItemRole,
    Profile,
    ReaderLinks,
    Reason,
    ReasonKind,
    Subscriber,
    SubscriberId,
)
from paperround.pipeline.compose import issue
from paperround.web.personal_feeds import FeedAnswer, reply
from paperround.web.services import WebServices, services_of
from paperround.web.wording import marked as _

VIEWS = (("day", _("Today"), 1), ("week", _("This week"), 7), ("month", _("This month"), 30))
SHOWN = 10  # works in each view
KEPT = timedelta(minutes=5)  # a view is counted anew so often


async def trending(services: WebServices, days: int) -> Digest:
    """The most talked about works of some days; the same for everybody, so it is kept for a few minutes."""
    now = services.clock.now()
    kept = services.kept.get(days)
    if kept is None or now - kept.created_at >= KEPT:
        kept = services.kept[days] = await public_digest(services, days, now)
    return kept


async def public_digest(services: WebServices, days: int, now: datetime) -> Digest:
    since = now - timedelta(days=days)
    works = {work.id: work for work in await services.storage.works_seen(since, now)}
    picked = selection.trending(works.values(), max_items=SHOWN).items
    items = [
        DigestItem(
            work=works[each.match.work_id],
            role=ItemRole.CHOSEN,
            number=number,
            score=each.match.score,
            strength=0.0,
            reason=Reason(kind=ReasonKind.TRENDING),
            excerpt=(wording.shorten(works[each.match.work_id].abstract, 240),) if works[each.match.work_id].abstract else (),
            also=each.also,
        )
        for number, each in enumerate(picked, 1)
    ]
    return issue(nobody(now), tuple(items), since=since, now=now, candidates=len(works), trending=True)


def nobody(now: datetime, language: str = "en") -> Subscriber:
    """The reader of what is public."""
    profile = Profile(schedule="off", language=language)
    return Subscriber(id=SubscriberId(0), public_id="trending", email=None, state=ConsentState.ACTIVE, created_at=now, profile=profile)


def public_issue(digest: Digest, language: str = "en") -> IssueView:
    """A digest that is no reader's, as pages show it: no votes, no sections."""
    view = mail_content.view(digest, nobody(digest.created_at, language), ReaderLinks(one_click=""), strength_word=strength_word)
    return replace(view, items=tuple(replace(item, section=None) for item in view.items))


async def feed(request: Request) -> Response:
    """/trending.rss, .atom, .json: this week's list; each work is dated when we first saw it, so that nothing moves in a feed reader."""
    services, form = services_of(request), request.path_params["form"]
    if form not in MEDIA_TYPES:
        raise HTTPException(404)
    digest = await trending(services, 7)
    digests = [replace(digest, id=DigestId(item.work.id), created_at=item.work.first_seen_at, items=(item,)) for item in digest.items]
    updated = max((each.created_at for each in digests), default=digest.since)
    body = render_feed(
        form,
        items=[(each, each.items[0]) for each in digests],
        subscriber=nobody(digest.created_at, services.identity.language),
        identity=services.identity,
        instance_id=services.storage.instance_id,
        self_url=f"{services.base_url}/trending.{form}",
        home_url=f"{services.base_url}/",
        updated=updated,
        links_of=lambda _digest: ReaderLinks(one_click=""),
        strength_word=strength_word,
    )
    answer = FeedAnswer.of(body, MEDIA_TYPES[form], updated, None)
    return reply(request, answer, **{"Cache-Control": "public, max-age=300", "X-Robots-Tag": "all"})
