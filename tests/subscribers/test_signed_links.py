"""Tokens and signed addresses: what we sign verifies, nothing else does."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.errors import TokenError
from paperround.models import (
    ConsentState,
    DeliveryId,
    Digest,
    DigestId,
    DigestItem,
    ItemRole,
    Reason,
    ReasonKind,
    Subscriber,
    SubscriberId,
    Work,
    WorkId,
)
from paperround.subscribers import signed_links as links
from paperround.subscribers.signed_links import KeyRing, Purpose

NOW = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)
RING = KeyRing((b"k" * 32,))
WHO = "0123456789abcdef0123456789abcdef"
NUMBERS = {Purpose.ARCHIVE: 1, Purpose.VOTE: 2, Purpose.OWNER: 1, Purpose.MOVE: 2}
PUBLIC_IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


def token_for(purpose: Purpose, ring: KeyRing = RING) -> str:
    return links.make_token(ring, purpose, WHO, 3, *range(7, 7 + NUMBERS.get(purpose, 0)))


@given(PUBLIC_IDS, st.integers(0, 10**6), st.integers(0, 2**62), st.integers(0, 50))
def test_a_token_brings_back_what_was_signed(who: str, epoch: int, digest: int, number: int) -> None:
    assert links.read_token(RING, Purpose.FEED, links.make_token(RING, Purpose.FEED, who, epoch)) == (who, epoch)
    vote = links.make_token(RING, Purpose.VOTE, who, epoch, digest, number)
    assert links.read_numbered_token(RING, Purpose.VOTE, vote) == (who, epoch, (digest, number))


@pytest.mark.parametrize("other", Purpose)
@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_for_one_purpose_serves_no_other(purpose: Purpose, other: Purpose) -> None:
    if purpose is other:
        assert links.read_token(RING, purpose, token_for(purpose)) == (WHO, 3)
    else:
        with pytest.raises(TokenError) as caught:
            links.read_token(RING, other, token_for(purpose))
        assert not caught.value.gone


@given(st.data())
def test_a_token_changed_in_any_place_is_unknown(data: st.DataObject) -> None:
    token = token_for(Purpose.VOTE)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCabc019._-~é\0 "))
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(TokenError):
            links.read_token(RING, Purpose.VOTE, changed)


@given(st.text(max_size=80))
def test_anything_else_is_unknown(text: str) -> None:
    with pytest.raises(TokenError):
        links.read_token(RING, Purpose.UNSUBSCRIBE, text)


def test_every_key_of_the_ring_verifies_and_the_first_signs() -> None:
    old, new = KeyRing((b"o" * 32,)), KeyRing((b"n" * 32, b"o" * 32))
    assert links.read_token(new, Purpose.FEED, token_for(Purpose.FEED, old)) == (WHO, 3)
    assert token_for(Purpose.FEED, new) == token_for(Purpose.FEED, KeyRing((b"n" * 32,)))
    with pytest.raises(TokenError):
        links.read_token(old, Purpose.FEED, token_for(Purpose.FEED, new))


@pytest.mark.parametrize("keys", [(), (b"short",), (b"k" * 32, b"")])
def test_a_ring_without_real_keys_is_refused(keys: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        KeyRing(keys)


def test_keys_are_not_shown() -> None:
    assert "kkkk" not in repr(RING)


def test_a_token_holds_128_bits_of_mac_and_nothing_that_a_web_address_must_escape() -> None:
    from urllib.parse import quote

    token = token_for(Purpose.VOTE)
    assert len(token.rpartition(".")[2]) * 6 >= 128
    assert quote(token, safe="") == token


def test_a_token_of_the_wrong_shape_is_not_made() -> None:
    with pytest.raises(ValueError, match="2 numbers"):
        links.make_token(RING, Purpose.VOTE, WHO, 0, 1)
    with pytest.raises(ValueError, match="made of"):
        links.make_token(RING, Purpose.FEED, "a.b", 0)


def test_a_link_of_an_earlier_epoch_is_gone_and_of_a_later_one_unknown() -> None:
    links.check_epoch(4, 4)
    with pytest.raises(TokenError) as older:
        links.check_epoch(3, 4)
    with pytest.raises(TokenError) as newer:
        links.check_epoch(5, 4)
    assert (older.value.gone, newer.value.gone) == (True, False)


def test_the_owners_link_ends() -> None:
    address = links.owner_link(RING, "https://paper.example.org", WHO, 2, NOW + timedelta(hours=1))
    token = address.rpartition("/")[2]
    who, epoch, (ends,) = links.read_numbered_token(RING, Purpose.OWNER, token)
    assert (who, epoch) == (WHO, 2)
    links.check_end(ends, NOW + timedelta(minutes=59))
    with pytest.raises(TokenError, match="fresh") as caught:
        links.check_end(ends, NOW + timedelta(hours=1))
    assert caught.value.gone


# ---------------------------------------------------------------- a reader's links


def reader(link_epoch: int = 0, feed_epoch: int = 0) -> Subscriber:
    return Subscriber(
        id=SubscriberId(1),
        public_id=WHO,
        email="ada@example.org",
        state=ConsentState.ACTIVE,
        created_at=NOW,
        link_epoch=link_epoch,
        feed_epoch=feed_epoch,
    )


def issue() -> Digest:
    def item(number: int, role: ItemRole) -> DigestItem:
        work = Work(id=WorkId(number), title="A title", first_seen_at=NOW)
        return DigestItem(work=work, role=role, number=number, score=1, strength=0.5, reason=Reason(kind=ReasonKind.INTEREST))

    return Digest(
        id=DigestId(9),
        subscriber_id=SubscriberId(1),
        period=date(2026, 11, 20),
        number=1,
        due_at=NOW,
        since=NOW,
        cutoff=NOW,
        created_at=NOW,
        candidates=3,
        items=(item(1, ItemRole.CHOSEN), item(2, ItemRole.EXPLORE), item(0, ItemRole.BELOW)),
    )


def test_a_reader_has_votes_for_what_is_numbered_and_three_forms_of_the_feed() -> None:
    found = links.reader_links(RING, "https://paper.example.org/", reader(1, 2), issue(), list_address="paper@example.org")
    assert set(found.votes) == {1, 2}
    more, less, why = found.votes[2]
    token = more.removeprefix("https://paper.example.org/v/").removesuffix("/more")
    assert links.read_numbered_token(RING, Purpose.VOTE, token) == (WHO, 1, (9, 2))
    assert (less, why) == (more.replace("/more", "/less"), more.replace("/more", "/why"))
    assert found.feed_rss is not None
    assert links.read_token(RING, Purpose.FEED, found.feed_rss.rpartition("/")[2].removesuffix(".rss")) == (WHO, 2)
    assert {found.feed_rss[-4:], str(found.feed_atom)[-5:], str(found.feed_json)[-5:]} == {".rss", ".atom", ".json"}
    assert found.unsubscribe_mailto == "mailto:paper@example.org?subject=unsubscribe"


def test_the_way_out_never_rotates() -> None:
    one, two = (links.reader_links(RING, "https://paper.example.org", reader(epoch, epoch)) for epoch in (0, 7))
    assert one.one_click == two.one_click
    assert one.preferences != two.preferences


def test_what_is_not_offered_is_none() -> None:
    found = links.reader_links(RING, "https://paper.example.org", reader(), issue(), pages=False, feeds=False)
    assert found.one_click.startswith("https://paper.example.org/u/")
    assert (found.preferences, found.archive, found.feed_rss, found.unsubscribe_mailto, dict(found.votes)) == (None, None, None, None, {})


def test_no_link_holds_the_readers_address() -> None:
    shown = str(links.reader_links(RING, "https://paper.example.org", reader(), issue()))
    assert "ada" not in shown


def test_the_confirmation_link_reads_back() -> None:
    address = links.confirm_link(RING, "https://paper.example.org", WHO, 0)
    assert links.read_token(RING, Purpose.CONFIRM, address.removeprefix("https://paper.example.org/c/")) == (WHO, 0)


# ---------------------------------------------------------------- mail addresses


@given(st.integers(1, 2**63 - 1), st.booleans())
def test_an_envelope_sender_decodes_back_to_its_delivery_in_any_case(number: int, upper: bool) -> None:
    address = links.verp_address(RING, DeliveryId(number), "example.org")
    assert len(address.partition("@")[0]) <= 64
    assert links.read_verp(RING, f"<{address.upper() if upper else address}>") == number


def test_a_forged_envelope_sender_names_no_delivery() -> None:
    address = links.verp_address(RING, DeliveryId(12), "example.org")
    for forged in (
        address.replace("+12-", "+13-"),
        "bounce+12@example.org",
        "bounce+12-é@example.org",
        "ada@example.org",
        "",
        "bounce+12-",
    ):
        assert links.read_verp(RING, forged) is None
    assert links.read_verp(KeyRing((b"x" * 32,)), address) is None
    assert links.read_verp(RING, links.confirm_address(RING, "12", "example.org").replace("yes+", "bounce+")) is None


@given(PUBLIC_IDS)
def test_an_answer_to_a_confirmation_names_who_was_asked(who: str) -> None:
    address = links.confirm_address(RING, who, "example.org")
    assert len(address.partition("@")[0]) <= 64
    assert links.read_confirm_address(RING, address) == who
    assert links.read_verp(RING, address) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.org", "ada@example.org"),
        ("ada+papers@example.org", "ada@example.org"),
        ("a.d.a@gmail.com", "ada@googlemail.com"),
    ],
)
def test_spellings_of_one_mailbox_fold_together(one: str, other: str) -> None:
    assert links.fold_address(one) == links.fold_address(other)
    assert links.address_hash(RING, one) == links.address_hash(RING, other)


def test_dots_tell_mailboxes_apart_elsewhere() -> None:
    assert links.fold_address("a.da@example.org") != links.fold_address("ada@example.org")


@given(st.emails())
def test_folding_twice_changes_nothing(address: str) -> None:
    assert links.fold_address(links.fold_address(address)) == links.fold_address(address)


def test_an_address_is_found_again_by_its_hash_after_a_rotation_and_by_nobody_without_the_key() -> None:
    before = links.address_hash(KeyRing((b"o" * 32,)), "ada@example.org")
    assert before in links.address_hashes(KeyRing((b"n" * 32, b"o" * 32)), "ada@example.org")
    assert before != links.address_hash(KeyRing((b"x" * 32,)), "ada@example.org")


def test_an_address_is_kept_with_its_domain_in_lower_case() -> None:
    assert links.normalise_email(" Ada@EXAMPLE.org ") == "Ada@example.org"


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@example.org", "ada@localhost", "a b@example.org", "ada@example.org\nBcc: x@example.org"]
)
def test_what_is_no_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="is no mail address") as caught:
        links.normalise_email(text)
    assert "\n" not in str(caught.value)
