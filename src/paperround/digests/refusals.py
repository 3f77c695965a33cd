"""Room: refusals. How a reader is told, in their language, what cannot be done as they said it, or will be done badly (pure)."""

from collections.abc import Sequence

from paperround.digests.catalogues import Speech, speech
from paperround.errors import AlreadyExistsError, ConsentError, PaperroundError, ProfileError
from paperround.models import ConsentState


def refusal(error: PaperroundError, language: str, state: ConsentState | None = None) -> str:
    """One sentence about a refusal of a rule; `state`: of the consent that refused it. What no reader can cause is told as it is."""
    _ = speech(language)
    if isinstance(error, ProfileError):
        return _by_key(_).get(error.key) or f"{error.key.replace('_', ' ')} {error.reason}."
    if isinstance(error, AlreadyExistsError):
        return _("A paper comes to that address already.")
    if isinstance(error, ConsentError) and state is ConsentState.PENDING:
        return _("You have not confirmed yet: the link is in the mail we sent you.")
    if isinstance(error, ConsentError) and state is ConsentState.UNSUBSCRIBED:
        return _("You are unsubscribed; only a new sign-up brings your paper back.")
    return f"{str(error)[:1].upper()}{str(error)[1:]}."


def _by_key(_: Speech) -> dict[str, str]:
    texts = _("At most 200 lines, each of at most 2000 characters.")
    return {
        "schedule": _("A schedule needs a day and a time from 00:00 to 23:59, such as 07:30."),
        "timezone": _("That is no time zone; a name such as Europe/Berlin is."),
        "max_items": _("An issue holds from 1 to 50 papers."),
        "min_score": _("The strength is a number from 0 to 1."),
        "channels": _("It has to come in at least one way: by mail or as a feed."),
        "language": _("That is no language; a tag such as en or pt-BR is."),
        "name": _("A name is one line of at most 2000 characters."),
        "interests": f"{texts} {_('An interest counts from 0.1 to 10 times.')}",
        **dict.fromkeys(("avoid", "must", "never", "liked", "sources"), texts),
        "until": _("A pause ends on a day to come, such as 2027-01-03."),
        "email": _("That mail address cannot be right; please look at it again."),
        "erase": _("Tick the box first: erasing cannot be undone."),
    }


def not_read(interests: Sequence[str], language: str) -> list[str]:
    """What to say of interests in a language that the model does not read."""
    _ = speech(language)
    return [
        _("“{interest}” does not look like English, and little else is understood here. Say it in English to find more.", interest=each)
        for each in interests
    ]
