"""Every state and every event of consent."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.errors import ConsentError
from paperround.models import ConsentState
from paperround.subscribers.consent import TABLE, WITH_EVIDENCE, EventKind, address_prefix, apply, consent_text_hash

STATES = [None, *ConsentState]
LOADS = [EventKind.FILE, EventKind.ADMIN, EventKind.IMPORTED]

# Rows: states; columns: events. "-" = refused.
EXPECTED = """
             asked    confirmed  paused  resumed  moved   unsubscribed  forgotten  file          admin    imported
none         pending  -          -       -        -       -             -          active        pending  pending
pending      pending  active     -       -        -       unsubscribed  forgotten  pending       pending  pending
active       active   active     paused  active   active  unsubscribed  forgotten  active        active   active
paused       paused   paused     paused  active   paused  unsubscribed  forgotten  paused        paused   paused
unsubscribed pending  -          -       -        -       unsubscribed  forgotten  -             -        -
forgotten    -        -          -       -        -       forgotten     forgotten  -             -        -
"""
HEAD, *ROWS = [line.split() for line in EXPECTED.strip().splitlines()]
CASES = [(row[0], kind, cell) for row in ROWS for kind, cell in zip(HEAD, row[1:], strict=True)]


def state_named(name: str) -> ConsentState | None:
    return None if name == "none" else ConsentState(name)


@pytest.mark.parametrize(("before", "kind", "after"), CASES)
def test_each_event_does_to_each_state_what_the_table_says(before: str, kind: str, after: str) -> None:
    if after == "-":
        with pytest.raises(ConsentError, match=r"\w+ \w+ \w+"):
            apply(state_named(before), kind)
    else:
        assert apply(state_named(before), kind) is ConsentState(after)


def test_no_pair_of_state_and_event_is_left_out() -> None:
    assert set(TABLE) == set(itertools.product(STATES, EventKind))
    assert len(CASES) == len(TABLE)
    assert set(WITH_EVIDENCE) == set(STATES)


@pytest.mark.parametrize("kind", LOADS)
@pytest.mark.parametrize("state", [ConsentState.UNSUBSCRIBED, ConsentState.FORGOTTEN])
def test_no_load_ever_revives_who_left(state: ConsentState, kind: EventKind) -> None:
    with pytest.raises(ConsentError):
        apply(state, kind)


def test_subscribing_again_after_leaving_asks_again() -> None:
    asked = apply(ConsentState.UNSUBSCRIBED, "asked")
    assert asked is ConsentState.PENDING
    assert apply(asked, "confirmed") is ConsentState.ACTIVE


def test_an_old_confirmation_link_does_not_revive_who_left() -> None:
    with pytest.raises(ConsentError, match="sign up again"):
        apply(ConsentState.UNSUBSCRIBED, "confirmed")


@pytest.mark.parametrize("kind", [EventKind.ADMIN, EventKind.IMPORTED])
def test_evidence_of_a_consent_given_elsewhere_activates(kind: EventKind) -> None:
    assert apply(None, kind, evidence=True) is ConsentState.ACTIVE
    assert apply(ConsentState.PENDING, kind, evidence=True) is ConsentState.ACTIVE
    assert apply(ConsentState.UNSUBSCRIBED, kind, evidence=True) is ConsentState.ACTIVE
    assert apply(ConsentState.PAUSED, kind, evidence=True) is ConsentState.PAUSED
    with pytest.raises(ConsentError):
        apply(ConsentState.FORGOTTEN, kind, evidence=True)


def test_evidence_counts_for_no_other_event() -> None:
    assert apply(None, "asked", evidence=True) is ConsentState.PENDING
    with pytest.raises(ConsentError):
        apply(ConsentState.UNSUBSCRIBED, "file", evidence=True)


def test_an_unknown_event_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match="bounced"):
        apply(ConsentState.ACTIVE, "bounced")


def run(events: list[tuple[str, bool]], state: ConsentState | None = None) -> list[ConsentState | None]:
    passed = [state]
    for kind, evidence in events:
        try:
            passed.append(apply(passed[-1], kind, evidence=evidence))
        except ConsentError:
            passed.append(passed[-1])
    return passed


EVENTS = st.lists(st.tuples(st.sampled_from([kind.value for kind in EventKind]), st.booleans()), max_size=20)


@given(EVENTS)
def test_only_a_yes_a_file_or_evidence_ever_makes_a_subscriber_active(events: list[tuple[str, bool]]) -> None:
    passed = run(events)
    for (kind, evidence), before, after in zip(events, passed, passed[1:], strict=False):
        if after is ConsentState.ACTIVE and before is not ConsentState.ACTIVE:
            by_paper = evidence and kind in ("admin", "imported")
            assert (before, kind) in {(None, "file"), (ConsentState.PENDING, "confirmed"), (ConsentState.PAUSED, "resumed")} or by_paper


@given(EVENTS)
def test_forgotten_is_for_good(events: list[tuple[str, bool]]) -> None:
    assert set(run(events, ConsentState.FORGOTTEN)) == {ConsentState.FORGOTTEN}


def test_the_same_words_have_the_same_hash_whatever_their_line_breaks() -> None:
    assert consent_text_hash("Please  send\r\nit.") == consent_text_hash("Please send it.\n")
    assert consent_text_hash("Please send it.") != consent_text_hash("Please send it!")


@pytest.mark.parametrize(
    ("ip", "prefix"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unix socket", None),
        ("", None),
    ],
)
def test_only_the_network_of_an_address_is_kept(ip: str, prefix: str | None) -> None:
    assert address_prefix(ip) == prefix
