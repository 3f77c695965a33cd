"""Room: signed links. Derived, purpose-bound tokens and addresses: nothing of them is stored, and no person's address is in them (pure)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import quote

from email_validator import EmailNotValidError, validate_email

from paperround.errors import AddressError, TokenError
from paperround.models import DeliveryId, Digest, ReaderLinks, Subscriber

MAC_BYTES = 16  # 128 bit (design, decision 18)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class Purpose(StrEnum):
    """What a token is good for; one for one purpose never serves another."""

    UNSUBSCRIBE = "unsubscribe"  # never rotates: always of epoch 0
    PREFERENCES = "preferences"
    FEED = "feed"  # of the subscriber's feed epoch; all others of the link epoch
    CONFIRM = "confirm"
    ARCHIVE = "archive"  # + digest id
    VOTE = "vote"  # + digest id, item number
    OWNER = "owner"  # + when it ends, in seconds since 1970
    MOVE = "move"  # + when it ends, and which address it was mailed to
    BOUNCE = "bounce"  # an envelope sender


_NUMBERS: Mapping[Purpose, int] = MappingProxyType({Purpose.ARCHIVE: 1, Purpose.VOTE: 2, Purpose.OWNER: 1, Purpose.MOVE: 2})


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The installation's secret keys: the first signs, all of them verify. Raises ValueError without a key of 16 bytes or more."""

    keys: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.keys or min(map(len, self.keys)) < 16:
            raise ValueError("a key ring needs at least one key, and no key shorter than 16 bytes")

    def macs(self, purpose: Purpose, text: str) -> list[bytes]:
        """One MAC a key. The purpose ends at the NUL, which no purpose holds, so no text can pretend to another one."""
        message = f"paperround 1 {purpose}\0{text}".encode()
        return [hmac.digest(key, message, "sha256")[:MAC_BYTES] for key in self.keys]

    def sign(self, purpose: Purpose, text: str) -> bytes:
        return KeyRing(self.keys[:1]).macs(purpose, text)[0]

    def verifies(self, purpose: Purpose, text: str, mac: bytes) -> bool:
        """In constant time: every key is tried, whichever fits."""
        return any([hmac.compare_digest(each, mac) for each in self.macs(purpose, text)])  # noqa: C419  (a generator would stop early)


# ---------------------------------------------------------------- tokens


def make_token(ring: KeyRing, purpose: Purpose, public_id: str, epoch: int, *numbers: int) -> str:
    """`PUBLIC_ID.EPOCH[.NUMBER…].MAC`, URL-safe. Archive, vote and owner tokens take their numbers (see Purpose)."""
    if len(numbers) != _NUMBERS.get(purpose, 0) or "." in public_id:
        raise ValueError(f"a token for {purpose} is made of a public id, an epoch and {_NUMBERS.get(purpose, 0)} numbers")
    text = ".".join([public_id, str(epoch), *map(str, numbers)])
    return f"{text}.{base64.urlsafe_b64encode(ring.sign(purpose, text)).rstrip(b'=').decode()}"


def read_token(ring: KeyRing, purpose: Purpose, token: str) -> tuple[str, int]:
    """The public id and the epoch that a token carries. Raises TokenError for anything that we did not sign for this purpose."""
    public_id, epoch, _ = read_numbered_token(ring, purpose, token)
    return public_id, epoch


def read_numbered_token(ring: KeyRing, purpose: Purpose, token: str) -> tuple[str, int, tuple[int, ...]]:
    """As `read_token`, with the numbers of an archive, vote or owner token."""
    text, _, mac = token.rpartition(".")
    public_id, *numbers = text.split(".")
    if not ring.verifies(purpose, text, _decoded(mac)) or len(numbers) != 1 + _NUMBERS.get(purpose, 0):
        raise TokenError
    if not all(map(_NUMBER.fullmatch, numbers)):
        raise TokenError
    epoch, *rest = map(int, numbers)
    return public_id, epoch, tuple(rest)


def _decoded(mac: str) -> bytes:
    """The bytes of a MAC in the one spelling we write; b"" for any other (base64 would let two spellings of the last letter pass)."""
    try:
        found = base64.urlsafe_b64decode(mac.encode("ascii") + b"==")
    except ValueError:
        return b""
    return found if base64.urlsafe_b64encode(found).rstrip(b"=").decode() == mac else b""


def check_end(ends: int, now: datetime) -> None:
    """Raises TokenError(gone=True) when the hour of a fresh link (owner, move) is over."""
    if now.timestamp() >= ends:
        raise TokenError("this link has ended; ask for a fresh one", gone=True)


def check_epoch(token_epoch: int, current: int) -> None:
    """Raises TokenError: `gone` for an epoch before the current one (rotated or revoked since), plainly unknown for one after it."""
    if token_epoch < current:
        raise TokenError("this link has been replaced since", gone=True)
    if token_epoch > current:
        raise TokenError


# ---------------------------------------------------------------- a reader's addresses on the web


def reader_links(
    ring: KeyRing,
    base_url: str,
    subscriber: Subscriber,
    digest: Digest | None = None,
    *,
    pages: bool = True,
    feeds: bool = True,
    list_address: str | None = None,
) -> ReaderLinks:
    """One reader's signed addresses. `pages` False: only the way out; `feeds` False: no feed addresses; `list_address`: mails to it are
    read, so leaving by mail is offered. Votes and archive need the `digest` they are about."""
    base, who = base_url.rstrip("/"), subscriber.public_id

    def link(room: str, purpose: Purpose, *numbers: int, epoch: int = subscriber.link_epoch) -> str:
        return f"{base}/{room}/{make_token(ring, purpose, who, epoch, *numbers)}"

    feed = link("f", Purpose.FEED, epoch=subscriber.feed_epoch) if feeds else None
    numbers = [item.number for item in digest.items if item.number > 0] if pages and digest else []
    votes = {number: link("v", Purpose.VOTE, digest.id, number) for number in numbers if digest}
    return ReaderLinks(
        one_click=link("u", Purpose.UNSUBSCRIBE, epoch=0),
        unsubscribe_mailto=f"mailto:{quote(list_address, safe='@+')}?subject=unsubscribe" if list_address else None,
        preferences=link("p", Purpose.PREFERENCES) if pages else None,
        archive=link("a", Purpose.ARCHIVE, digest.id) if pages and digest else None,
        feed_rss=feed and f"{feed}.rss",
        feed_atom=feed and f"{feed}.atom",
        feed_json=feed and f"{feed}.json",
        votes={number: (f"{url}/more", f"{url}/less", f"{url}/why") for number, url in votes.items()},
    )


def confirm_link(ring: KeyRing, base_url: str, public_id: str, epoch: int) -> str:
    """Where the button of a confirmation mail leads."""
    return f"{base_url.rstrip('/')}/c/{make_token(ring, Purpose.CONFIRM, public_id, epoch)}"


def owner_link(ring: KeyRing, base_url: str, public_id: str, epoch: int, ends: datetime) -> str:
    """The fresh link for what a link in an issue is not worth: export, erase, moving the address, showing the feed's address."""
    return f"{base_url.rstrip('/')}/o/{make_token(ring, Purpose.OWNER, public_id, epoch, int(ends.timestamp()))}"


def move_link(ring: KeyRing, base_url: str, subscriber: Subscriber, address: str, ends: datetime) -> str:
    """What a new address is mailed, to say yes with: it is good for that address alone, and the address does not stand in it."""
    numbers = int(ends.timestamp()), address_number(ring, address)
    return f"{base_url.rstrip('/')}/m/{make_token(ring, Purpose.MOVE, subscriber.public_id, subscriber.link_epoch, *numbers)}"


# ---------------------------------------------------------------- mail addresses of ours


def verp_address(ring: KeyRing, delivery_id: DeliveryId, domain: str) -> str:
    """The envelope sender of one delivery: a mail that comes back to it names the delivery. Lower case, local part ≤ 53 characters."""
    return f"{_signed_local('bounce', Purpose.BOUNCE, ring, str(delivery_id))}@{domain}"


def read_verp(ring: KeyRing, address: str) -> DeliveryId | None:
    """The delivery that an envelope sender of ours names; None for every other or forged address."""
    found = _read_local(address, "bounce", Purpose.BOUNCE, ring)
    return DeliveryId(int(found)) if found and _NUMBER.fullmatch(found) else None


def confirm_address(ring: KeyRing, public_id: str, domain: str) -> str:
    """The Reply-To of a confirmation mail: an answer to it comes from whoever got that mail. With a 128-bit hex id 63 characters, of 64."""
    return f"{_signed_local('yes', Purpose.CONFIRM, ring, public_id)}@{domain}"


def read_confirm_address(ring: KeyRing, address: str) -> str | None:
    """The public id in a confirmation address of ours; None for every other or forged address."""
    return _read_local(address, "yes", Purpose.CONFIRM, ring)


def _signed_local(name: str, purpose: Purpose, ring: KeyRing, text: str) -> str:
    return f"{name}+{text}-{_base32(ring.sign(purpose, text))}"


def _read_local(address: str, name: str, purpose: Purpose, ring: KeyRing) -> str | None:
    """Mail servers may change the case of what comes back, so all of it is lower case."""
    local, at, _ = address.strip("<> ").lower().rpartition("@")
    text, _, mac = local.removeprefix(f"{name}+").rpartition("-")
    if not at or not local.startswith(f"{name}+") or not text or not mac.isascii():
        return None
    fits = any([hmac.compare_digest(_base32(each), mac) for each in ring.macs(purpose, text)])  # noqa: C419  (as above)
    return text if fits else None


def _base32(mac: bytes) -> str:
    return base64.b32encode(mac).rstrip(b"=").decode().lower()


# ---------------------------------------------------------------- mail addresses of people


def normalise_email(text: str) -> str:
    """An address as we keep it: domain in lower case, Unicode in normal form, no DNS asked. Raises AddressError in one clear sentence."""
    try:
        return validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise AddressError(f"{text!r} is no mail address: {error}") from None


_DOTLESS = {"gmail.com", "googlemail.com"}  # dots in the local part mean nothing there


def fold_address(address: str) -> str:
    """One spelling for all that reach the same mailbox (case, +tag, Gmail's dots): for limits and comparisons, never for sending."""
    local, _, domain = address.strip().casefold().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _DOTLESS:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def address_hash(ring: KeyRing, address: str) -> str:
    """What remains of an address after `forget`: keyed, so that nobody without the key can try addresses against it. Hex."""
    return address_hashes(ring, address)[0]


def address_hashes(ring: KeyRing, address: str) -> list[str]:
    """The hash under each key of the ring, the signing one first: look an address up by all of them, after a rotation too."""
    folded = fold_address(address).encode()
    return [hmac.new(key, b"paperround 1 address\0" + folded, hashlib.sha256).hexdigest() for key in ring.keys]


def address_number(ring: KeyRing, address: str) -> int:
    """56 bits of an address's hash, as a number for a token."""
    return int(address_hash(ring, address)[:14], 16)
