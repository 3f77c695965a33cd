"""One exception tree. Codes and places are data on the exception, so that shells can report them without parsing words."""


class PaperroundError(Exception):
    """Base of everything Paperround raises on purpose. Isolation per source, profile, entry or recipient may swallow it."""


class ParseError(PaperroundError, ValueError):
    """Bytes that are no feed, no digest page and no Daily Papers JSON."""


class FetchError(PaperroundError, OSError):
    """A source could not be read. `status` is the HTTP status where there was one, `retry_after` in seconds."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ProfileError(PaperroundError, ValueError):
    """A profile that cannot be used. `place` is the file or address, `key` the offending key."""

    def __init__(self, place: str, key: str, reason: str) -> None:
        super().__init__(f"{place}: {key}: {reason}")
        self.place, self.key, self.reason = place, key, reason


class AddressError(PaperroundError, ValueError):
    """Something that is no mail address."""


class ConsentError(PaperroundError):
    """What was asked is not allowed in this state of consent."""


class NotFoundError(PaperroundError, LookupError):
    """A thing named by a person does not exist."""


class AlreadyExistsError(PaperroundError):
    """A thing to be added is there already."""


class TokenError(PaperroundError):
    """A signed link that does not verify. `gone`: it did once, and was rotated or revoked since."""

    def __init__(self, message: str = "unknown link", *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class TemplateError(PaperroundError):
    """A template that does not compile; the message names file, line and tag."""


class EmbeddingError(PaperroundError):
    """The model could not be loaded or is not the one whose vectors are stored."""


class MailboxError(PaperroundError):
    """A mailbox that mail is read from cannot be used now: no connection, wrong password, no such folder."""


class StorageError(PaperroundError):
    """The database cannot be used: locked, full, damaged, of a newer version."""


class ConfigError(Exception):
    """Wrong configuration: one line that names file and key. Outside PaperroundError, so that isolation never swallows it."""
