"""What may stand in a log."""

import pytest

from paperround.models import DeliveryId
from paperround.subscribers import signed_links as links
from paperround.subscribers.redaction import redacted
from paperround.subscribers.signed_links import KeyRing, Purpose

RING = KeyRing((b"k" * 32,))
WHO = "0123456789abcdef" * 2


@pytest.mark.parametrize("purpose", Purpose)
def test_no_token_and_no_address_is_logged(purpose: Purpose) -> None:
    numbers = {Purpose.ARCHIVE: 1, Purpose.VOTE: 2, Purpose.OWNER: 1, Purpose.MOVE: 2}.get(purpose, 0)
    token = links.make_token(RING, purpose, WHO, 3, *range(7, 7 + numbers))
    said = redacted(f"GET /p/{token}?x=1 for <Ada.Lovelace+x@mail.example.org>, not 'bob@example.org': bounced")
    assert said == "GET /p/(token)?x=1 for <(address)>, not '(address)': bounced"


def test_the_signed_mail_addresses_are_not_logged() -> None:
    for address in (links.verp_address(RING, DeliveryId(7), "example.org"), links.confirm_address(RING, WHO, "example.org")):
        assert redacted(f"to {address}.").startswith("to (")
        assert address.partition("+")[2][:8] not in redacted(address)


def test_other_lines_stay_as_they_are() -> None:
    line = "tick compose: Composed(due=3, digests=2) at 2026-11-20T09:00:00.000000Z from https://example.org/a@b"
    assert redacted(line) == line
