"""Archive: /a/TOKEN, one issue as a page."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paperround.digests import mail_content
from paperround.digests.mail_content import IssueView
from paperround.matching.scoring import strength_word
from paperround.models import Digest, DigestId, ReaderLinks, Subscriber
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import Purpose
from paperround.web.services import WebServices, page, services_of


async def show(request: Request) -> Response:
    services = services_of(request)
    subscriber, (number,) = await services.actions.holder(Purpose.ARCHIVE, request.path_params["token"])
    digest = await own_digest(services, subscriber, number)
    issue, links = issue_view(services, subscriber, digest)
    return page(request, "issue", title=f"No. {issue.number}, {issue.date}", issue=issue, links=links)


async def own_digest(services: WebServices, subscriber: Subscriber, number: int) -> Digest:
    """Raises NotFoundError when it is not kept any more, HTTPException 404 when it is somebody else's."""
    digest = await services.storage.digest(DigestId(number))
    if digest.subscriber_id != subscriber.id:
        raise HTTPException(404)
    return digest


def issue_view(services: WebServices, subscriber: Subscriber, digest: Digest) -> tuple[IssueView, ReaderLinks]:
    """The issue in the words of its mail, and the reader's addresses."""
    links = signed_links.reader_links(services.actions.keys, services.base_url, subscriber, digest, feeds=False)
    return mail_content.view(digest, subscriber, links, strength_word=strength_word), links
