"""Archive: /a/TOKEN, one issue as a page; and its works for reference managers, at /a/TOKEN/issue.bib and /a/TOKEN/2.ris."""

from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paperround.digests import mail_content
from paperround.digests.catalogues import speech
from paperround.digests.citations import MEDIA_TYPES, citations
from paperround.digests.mail_content import IssueView, ItemView
from paperround.matching.scoring import strength_word
from paperround.models import Digest, DigestId, ReaderLinks, Subscriber
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import Purpose
from paperround.web.services import WebServices, page, services_of

FORMS = {"BibTeX": "bib", "RIS": "ris"}


async def show(request: Request) -> Response:
    """The issue as its mail says it, in the reader's language. Reads only."""
    subscriber, digest = await issue_of(request)
    issue, links = issue_view(services_of(request), subscriber, digest)
    issue = replace(
        issue,
        items=tuple(cited(item, links) for item in issue.items),
        outside=cited(issue.outside, links) if issue.outside else None,
    )
    return page(
        request,
        "issue",
        title=f"{speech(issue.language)('No. {number}', number=issue.number)}, {issue.date}",
        issue=issue,
        links=links,
        cite=[(form, f"{links.archive}/issue.{ending}") for form, ending in FORMS.items()],
        language=issue.language,
        direction=issue.direction,
    )


def cited(item: ItemView, links: ReaderLinks) -> ItemView:
    """The item with the ways to cite it beside those to read it."""
    return replace(item, reads=(*item.reads, *((form, f"{links.archive}/{item.number}.{ending}") for form, ending in FORMS.items())))


async def cite(request: Request) -> Response:
    """One work of the issue by its number, or all of them, as a file."""
    name, ending = request.path_params["name"], request.path_params["ending"]
    _, digest = await issue_of(request)
    works = [item.work for item in digest.items if item.number and name in ("issue", str(item.number))]
    if ending not in MEDIA_TYPES or not works:
        raise HTTPException(404)
    file = f"{digest.period}.{ending}" if name == "issue" else f"{digest.period}-{name}.{ending}"
    headers = {"Content-Type": MEDIA_TYPES[ending], "Content-Disposition": f'attachment; filename="{file}"'}
    return Response(citations(ending, works), headers=headers)


async def issue_of(request: Request) -> tuple[Subscriber, Digest]:
    """Whose issue the link is about. Raises TokenError, NotFoundError and HTTPException 404."""
    services = services_of(request)
    subscriber, (number,) = await services.actions.holder(Purpose.ARCHIVE, request.path_params["token"])
    return subscriber, await own_digest(services, subscriber, number)


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
