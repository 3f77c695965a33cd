"""Wording: in which language a page speaks, and what its modules leave for the templates to say."""

from starlette.requests import Request

from paperround.digests.catalogues import LANGUAGES


def marked(message: str) -> str:
    """What a template will say by `_`: as `_("…")` in a module it comes into the catalogues."""
    return message


def language_of(request: Request, fallback: str) -> str:
    """The first language of the browser that we speak, else the list's."""
    wanted = (each.strip()[:2].lower() for each in request.headers.get("accept-language", "").split(","))
    return next((each for each in wanted if each in LANGUAGES), fallback)
