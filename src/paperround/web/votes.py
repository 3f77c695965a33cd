"""Votes: /v/TOKEN/more, less, why. A link in a mail or feed opens a page with one button; the vote counts when it is pressed."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from paperround.digests.catalogues import speech
from paperround.digests.mail_content import ItemView
from paperround.models import Subscriber, WorkId
from paperround.subscribers.signed_links import Purpose
from paperround.web.archive import issue_view, own_digest
from paperround.web.services import page, services_of
from paperround.web.wording import marked as _

VALUES = {"more": 1, "less": -1, "undo": 0}
TITLES = {"more": _("More like number {number}?"), "less": _("Less like number {number}?"), "why": _("Why number {number}?")}


async def voted_item(request: Request) -> tuple[Subscriber, WorkId, ItemView]:
    """Whose vote, on what. Raises TokenError, NotFoundError and HTTPException 404."""
    services = services_of(request)
    subscriber, (digest_id, number) = await services.actions.holder(Purpose.VOTE, request.path_params["token"])
    digest = await own_digest(services, subscriber, digest_id)
    issue = issue_view(services, subscriber, digest)[0]
    shown = {item.number: item for item in (*issue.items, issue.outside) if item}
    works = {item.number: item.work.id for item in digest.items}
    if number not in shown:
        raise HTTPException(404)
    return subscriber, works[number], shown[number]


async def show(request: Request) -> Response:
    """The item, why it was chosen, and the buttons. Reads only."""
    wish = request.path_params["wish"]
    if wish not in TITLES:
        raise HTTPException(404)
    subscriber, work_id, item = await voted_item(request)
    votes = (await services_of(request).storage.votes([subscriber.id])).get(subscriber.id, [])
    standing = next((vote.value for vote in votes if vote.work_id == work_id), 0)
    base = request.url.path.rpartition("/")[0]
    title = speech(subscriber.profile.language)(TITLES[wish], number=item.number)
    title = title.rstrip("?") if standing == VALUES.get(wish) else title
    return page(request, "vote", title=title, language=subscriber.profile.language, wish=wish, item=item, standing=standing, base=base)


async def vote(request: Request) -> Response:
    """POST: the vote counts, or is taken back; then the page that says so."""
    wish = request.path_params["wish"]
    if wish not in VALUES:
        raise HTTPException(404)
    subscriber, work_id, _item = await voted_item(request)
    await services_of(request).actions.vote(subscriber, work_id, VALUES[wish], way="page")
    return RedirectResponse(f"{request.url.path.rpartition('/')[0]}/{'why' if wish == 'undo' else wish}", 303)
