"""Room: consent. A table of states and events: what each event makes of a subscriber's consent, and why some are refused (pure)."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address, ip_network
from types import MappingProxyType

from paperround.errors import ConsentError
from paperround.models import ConsentState

_S = ConsentState


class EventKind(StrEnum):
    """What can happen to a consent. Bounces and complaints are no events here: they suppress an address (design, decision 7)."""

    ASKED = "asked"  # someone asked for this address to be subscribed: by page, mail, or the command line
    CONFIRMED = "confirmed"  # the owner of the address said yes
    PAUSED = "paused"
    RESUMED = "resumed"
    MOVED = "moved"  # the owner's new address said yes
    UNSUBSCRIBED = "unsubscribed"
    FORGOTTEN = "forgotten"
    FILE = "file"  # a profile file was synced
    ADMIN = "admin"  # an administrator added them
    IMPORTED = "imported"  # a list was imported


_K = EventKind
_NOT_ASKED = "nobody of that name was ever asked"
_NOT_CONFIRMED = "they have not confirmed their subscription yet"
_LEFT = "they left; only their own new consent brings them back"
_STALE_YES = "this confirmation is of a subscription that has ended since; sign up again"
_ERASED = "everything about them was erased; a new sign-up starts afresh"

# What each event makes of each state (None = not known): the new state, or the reason for a refusal. A load (file, admin, imported)
# changes nothing where a subscriber is known already, and never revives who left. Who paused stays paused until they resume.
TABLE: Mapping[tuple[ConsentState | None, EventKind], ConsentState | str] = MappingProxyType(
    {
        (None, _K.ASKED): _S.PENDING,
        (None, _K.FILE): _S.ACTIVE,
        (None, _K.ADMIN): _S.PENDING,
        (None, _K.IMPORTED): _S.PENDING,
        **{(None, kind): _NOT_ASKED for kind in (_K.CONFIRMED, _K.PAUSED, _K.RESUMED, _K.MOVED, _K.UNSUBSCRIBED, _K.FORGOTTEN)},
        **{(_S.PENDING, kind): _S.PENDING for kind in (_K.ASKED, _K.FILE, _K.ADMIN, _K.IMPORTED)},
        (_S.PENDING, _K.CONFIRMED): _S.ACTIVE,
        (_S.PENDING, _K.PAUSED): _NOT_CONFIRMED,
        (_S.PENDING, _K.RESUMED): _NOT_CONFIRMED,
        (_S.PENDING, _K.MOVED): _NOT_CONFIRMED,
        (_S.PENDING, _K.UNSUBSCRIBED): _S.UNSUBSCRIBED,
        **{(_S.ACTIVE, kind): _S.ACTIVE for kind in (_K.ASKED, _K.CONFIRMED, _K.RESUMED, _K.MOVED, _K.FILE, _K.ADMIN, _K.IMPORTED)},
        (_S.ACTIVE, _K.PAUSED): _S.PAUSED,
        (_S.ACTIVE, _K.UNSUBSCRIBED): _S.UNSUBSCRIBED,
        **{(_S.PAUSED, kind): _S.PAUSED for kind in (_K.ASKED, _K.CONFIRMED, _K.PAUSED, _K.MOVED, _K.FILE, _K.ADMIN, _K.IMPORTED)},
        (_S.PAUSED, _K.RESUMED): _S.ACTIVE,
        (_S.PAUSED, _K.UNSUBSCRIBED): _S.UNSUBSCRIBED,
        (_S.UNSUBSCRIBED, _K.ASKED): _S.PENDING,
        (_S.UNSUBSCRIBED, _K.CONFIRMED): _STALE_YES,
        (_S.UNSUBSCRIBED, _K.UNSUBSCRIBED): _S.UNSUBSCRIBED,
        **{(_S.UNSUBSCRIBED, kind): _LEFT for kind in (_K.PAUSED, _K.RESUMED, _K.MOVED, _K.FILE, _K.ADMIN, _K.IMPORTED)},
        **{(state, _K.FORGOTTEN): _S.FORGOTTEN for state in _S},
        (_S.FORGOTTEN, _K.UNSUBSCRIBED): _S.FORGOTTEN,  # the one-click of an old mail is answered as ever
        **{(_S.FORGOTTEN, kind): _ERASED for kind in _K if kind not in (_K.FORGOTTEN, _K.UNSUBSCRIBED)},
    }
)

# The same for a load that brings evidence of a consent given elsewhere (`--active`, a list with dates of consent).
WITH_EVIDENCE: Mapping[ConsentState | None, ConsentState | str] = MappingProxyType(
    {None: _S.ACTIVE, _S.PENDING: _S.ACTIVE, _S.ACTIVE: _S.ACTIVE, _S.PAUSED: _S.PAUSED, _S.UNSUBSCRIBED: _S.ACTIVE, _S.FORGOTTEN: _ERASED}
)


def apply(state: ConsentState | None, kind: str, *, evidence: bool = False) -> ConsentState:
    """The state after an event (`None` before the first). `evidence` counts for admin and imported alone: a consent given elsewhere.

    Raises ConsentError with the reason in words."""
    event = EventKind(kind)
    vouched = evidence and event in (EventKind.ADMIN, EventKind.IMPORTED)
    outcome = WITH_EVIDENCE[state] if vouched else TABLE[state, event]
    if not isinstance(outcome, ConsentState):
        raise ConsentError(outcome)
    return outcome


def consent_text_hash(text: str) -> str:
    """Which words were agreed to: SHA-256, hex, of the text with its spaces evened out."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def address_prefix(ip: str) -> str | None:
    """The network an address belongs to, /24 or /48: enough as evidence and for limits, too little to name a person. None = no address."""
    try:
        address = ip_address(ip.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return str(ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))
