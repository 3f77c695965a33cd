"""Each answer of a mail server means one thing for a delivery; the table is tried in full."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.delivery.outbox import FINAL, TRANSITIONS, RetryRules, Verdict, after_attempt, keeps_failing, retry_delay
from paperround.models import Delivery, DeliveryId, DeliveryState, MailKind, SendResult, SmtpPhase

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
RULES = RetryRules()
SENDING = Delivery(
    id=DeliveryId(1),
    kind=MailKind.ISSUE,
    subscriber_id=None,
    digest_id=None,
    recipient="ada@example.org",
    message_id="1@example.org",
    state=DeliveryState.SENDING,
    created_at=NOW,
)
PREPARATION = [SmtpPhase.CONNECT, SmtpPhase.BANNER, SmtpPhase.EHLO, SmtpPhase.STARTTLS, SmtpPhase.AUTH]
ON_THE_WIRE = [*PREPARATION, SmtpPhase.MAIL, SmtpPhase.RCPT, SmtpPhase.DATA, SmtpPhase.DOT]
TRIED_FROM = [DeliveryState.QUEUED, DeliveryState.DEFERRED, DeliveryState.SENDING]


def refused(phase: SmtpPhase, code: int | None = None, enhanced: str | None = None, reply: str = "") -> SendResult:
    return SendResult(accepted=False, phase=phase, code=code, enhanced=enhanced, reply=reply)


def judged(result: SendResult, delivery: Delivery = SENDING, *, now: datetime = NOW, jitter: float = 0.5) -> Verdict:
    return after_attempt(delivery, result, now=now, rules=RULES, jitter=jitter)


def test_an_accepted_mail_is_sent_and_done() -> None:
    verdict = judged(SendResult(accepted=True, code=250, reply="2.0.0 queued as 42"))
    assert verdict.delivery.state is DeliveryState.SENT
    assert verdict.delivery.finished_at == NOW
    assert verdict.delivery.next_attempt_at is None
    assert (verdict.delivery.attempts, verdict.delivery.code, verdict.delivery.reply) == (1, 250, "2.0.0 queued as 42")
    assert verdict == Verdict(delivery=verdict.delivery)


@pytest.mark.parametrize(("phase", "code"), list(product(ON_THE_WIRE, [421, 450, 451, 452, 454, 499])))
def test_later_at_any_step_defers_for_about_half_an_hour(phase: SmtpPhase, code: int) -> None:
    verdict = judged(refused(phase, code))
    assert verdict.delivery.state is DeliveryState.DEFERRED
    assert verdict.delivery.next_attempt_at is not None
    assert timedelta(minutes=27) <= verdict.delivery.next_attempt_at - NOW <= timedelta(minutes=33)
    assert verdict.sender_fault is None
    assert verdict.recipient_event is None
    assert verdict.relay_down is (phase in PREPARATION)


@pytest.mark.parametrize(("phase", "code"), list(product([*PREPARATION, SmtpPhase.MAIL], [500, 521, 530, 535, 550, 553, 554])))
def test_a_refusal_before_any_recipient_is_named_is_our_fault_and_costs_no_try(phase: SmtpPhase, code: int) -> None:
    verdict = judged(refused(phase, code, "5.7.1", "go away"))
    assert verdict.sender_fault is not None
    assert "go away" in verdict.sender_fault
    assert verdict.delivery.state is DeliveryState.DEFERRED
    assert verdict.delivery.attempts == 0
    assert verdict.delivery.first_attempt_at is None
    assert verdict.recipient_event is None


@pytest.mark.parametrize(("phase", "code"), list(product([SmtpPhase.RCPT, SmtpPhase.DATA, SmtpPhase.DOT], [500, 550, 551, 553, 554, 571])))
def test_never_at_the_recipient_or_the_message_fails_at_once(phase: SmtpPhase, code: int) -> None:
    verdict = judged(refused(phase, code))
    assert verdict.delivery.state is DeliveryState.FAILED
    assert verdict.delivery.finished_at == NOW
    assert verdict.sender_fault is None
    assert verdict.relay_down is False


def test_552_at_the_recipient_counts_as_452() -> None:
    assert judged(refused(SmtpPhase.RCPT, 552, "5.2.2")).delivery.state is DeliveryState.DEFERRED
    assert judged(refused(SmtpPhase.DOT, 552, "5.2.2")).delivery.state is DeliveryState.FAILED


@pytest.mark.parametrize("phase", ON_THE_WIRE)
@pytest.mark.parametrize("code", [None, 150, 199, 354, 600])
def test_silence_and_gibberish_mean_doubt_after_the_final_dot_and_later_before_it(phase: SmtpPhase, code: int | None) -> None:
    verdict = judged(refused(phase, code))
    if phase is SmtpPhase.DOT:
        assert verdict.delivery.state is DeliveryState.IN_DOUBT
        assert verdict.delivery.next_attempt_at is None
    else:
        assert verdict.delivery.state is DeliveryState.DEFERRED
    assert verdict.relay_down is (phase in PREPARATION)
    assert verdict.sender_fault is None
    assert verdict.recipient_event is None


@pytest.mark.parametrize("state", TRIED_FROM)
@pytest.mark.parametrize("phase", PREPARATION)
def test_a_relay_that_is_down_is_no_try_of_the_recipient(phase: SmtpPhase, state: DeliveryState) -> None:
    for days in (0, 3, 30):
        verdict = judged(refused(phase), replace(SENDING, state=state), now=NOW + timedelta(days=days))
        assert verdict.relay_down
        assert verdict.delivery.attempts == 0
        assert verdict.delivery.first_attempt_at is None
        assert verdict.delivery.state is (DeliveryState.DEFERRED if state is DeliveryState.SENDING else state)
        assert verdict.delivery.next_attempt_at is not None


@pytest.mark.parametrize(
    ("enhanced", "reply", "event"),
    [
        ("5.1.1", "no such user", "dead"),
        ("5.1.2", "no such host", "dead"),
        ("5.1.6", "has moved", "dead"),
        ("5.1.10", "recipient not found", "dead"),
        ("5.4.4", "unrouteable", "dead"),
        ("5.2.1", "mailbox disabled", "soft"),
        ("5.2.2", "mailbox full", "soft"),
        ("5.1.1", "mailbox over quota", "soft"),
        ("5.2.3", "message too big", None),
        ("5.3.4", "message too big", None),
        ("5.7.1", "no such user", None),
        ("5.7.26", "user unknown to DMARC", None),
        ("5.7.606", "banned", None),
        ("5.6.0", "bad content", None),
        ("5.1.8", "bad sender", None),
        (None, "User unknown", "dead"),
        (None, "<ada@example.org>: Recipient address rejected: User unknown in local recipient table", "dead"),
        (None, "no such user here", "dead"),
        (None, "mailbox full", "soft"),
        (None, "blocked by our spam policy", None),
        (None, "relaying denied", None),
        (None, "IP address 192.0.2.1 is on a block list, user unknown", None),
        ("5.1.1", "access denied", None),
        (None, "rejected", "soft"),
        ("5.0.0", "rejected", "soft"),
    ],
)
def test_what_a_refusal_says_of_the_address(enhanced: str | None, reply: str, event: str | None) -> None:
    verdict = judged(refused(SmtpPhase.RCPT, 550, enhanced, reply))
    assert verdict.recipient_event == event
    assert verdict.policy is (enhanced or "").startswith("5.7.")


@given(st.integers(0, 999), st.sampled_from(ON_THE_WIRE), st.sampled_from([550, 551, 553, 554]), st.text(max_size=80))
def test_a_policy_refusal_never_makes_a_dead_address(detail: int, phase: SmtpPhase, code: int, reply: str) -> None:
    for words in (reply, f"user unknown {reply}", f"no such user {reply}"):
        assert judged(refused(phase, code, f"5.7.{detail}", words)).recipient_event is None


def test_a_refused_message_without_words_about_the_address_blames_nobody() -> None:
    assert judged(refused(SmtpPhase.DOT, 554, None, "transaction failed")).recipient_event is None
    assert judged(refused(SmtpPhase.DOT, 554, None, "user unknown")).recipient_event is None, "a filter says this of a mail as well"
    assert judged(refused(SmtpPhase.DOT, 550, "5.1.1", "no such user")).recipient_event == "dead"
    assert judged(refused(SmtpPhase.DOT, 552, None, "mailbox full")).recipient_event == "soft"


def test_a_message_too_large_for_the_relay_fails_alone_and_stops_nothing() -> None:
    for result in (refused(SmtpPhase.MAIL, 552, "5.3.4"), refused(SmtpPhase.MAIL, 552), refused(SmtpPhase.LOCAL, None, "5.3.4")):
        verdict = judged(result)
        assert verdict.delivery.state is DeliveryState.FAILED
        assert verdict.sender_fault is None
        assert verdict.recipient_event is None


def test_an_address_that_no_server_can_be_told_fails_and_a_full_disk_stops_the_run() -> None:
    failed = judged(refused(SmtpPhase.LOCAL, None, "5.6.7", "needs SMTPUTF8"))
    assert (failed.delivery.state, failed.sender_fault) == (DeliveryState.FAILED, None)
    full = judged(refused(SmtpPhase.LOCAL, None, None, "No space left on device"), replace(SENDING, state=DeliveryState.QUEUED))
    assert full.delivery.state is DeliveryState.QUEUED
    assert full.sender_fault == "local: No space left on device"


def test_tls_that_cannot_be_had_stops_the_run_loudly() -> None:
    for phase, enhanced in ((SmtpPhase.STARTTLS, "5.7.10"), (SmtpPhase.STARTTLS, "5.7.5"), (SmtpPhase.AUTH, "5.7.11")):
        verdict = judged(refused(phase, None, enhanced, "no TLS"))
        assert verdict.sender_fault is not None
        assert enhanced in verdict.sender_fault
        assert verdict.delivery.attempts == 0


def test_two_tries_in_the_first_hour_then_one_every_two_to_three_hours_given_up_after_four_days() -> None:
    delivery, now, tries = SENDING, NOW, [NOW]
    while True:
        verdict = judged(refused(SmtpPhase.RCPT, 450, "4.2.0", "greylisted"), delivery, now=now)
        if verdict.delivery.state is DeliveryState.FAILED:
            break
        assert verdict.delivery.next_attempt_at is not None
        delivery, now = replace(verdict.delivery, state=DeliveryState.SENDING), verdict.delivery.next_attempt_at
        tries.append(now)
    assert sum(each - NOW < timedelta(hours=1) for each in tries) == 2
    gaps = [later - earlier for earlier, later in pairwise(tries[1:-1])]
    assert all(timedelta(hours=2) <= gap <= timedelta(hours=3) for gap in gaps)
    assert tries[-1] - NOW == timedelta(days=4)
    assert verdict.recipient_event == "soft"
    assert verdict.delivery.attempts == len(tries)


def test_giving_up_blames_nobody_where_the_server_spoke_of_policy_or_not_at_all() -> None:
    old = replace(SENDING, attempts=30, first_attempt_at=NOW - timedelta(days=4))
    assert judged(refused(SmtpPhase.RCPT, 450, "4.7.1", "greylisted"), old).recipient_event is None
    silent = judged(refused(SmtpPhase.RCPT), old)
    assert (silent.delivery.state, silent.recipient_event) == (DeliveryState.FAILED, None)


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_retry_times_keep_their_bounds_whatever_the_jitter(attempts: int, jitter: float) -> None:
    delay = retry_delay(attempts, RULES, jitter)
    low, high = (timedelta(minutes=27), timedelta(minutes=33)) if attempts == 1 else (timedelta(hours=2), timedelta(hours=3))
    assert low <= delay <= high


def ended(day: int, state: DeliveryState = DeliveryState.FAILED, reply: str = "452 4.2.2 mailbox full") -> Delivery:
    return replace(SENDING, state=state, reply=reply, finished_at=NOW + timedelta(days=day))


def test_three_soft_failures_in_a_row_over_a_week_are_enough_and_less_is_not() -> None:
    assert keeps_failing([ended(7), ended(3), ended(0)])
    assert not keeps_failing([ended(6), ended(3), ended(0)]), "not a week"
    assert not keeps_failing([ended(7), ended(0)]), "not three"
    assert not keeps_failing([ended(9), ended(8, DeliveryState.SENT), ended(3), ended(0)]), "one arrived meanwhile"
    assert not keeps_failing([])


@pytest.mark.parametrize("reply", ["550 5.7.1 blocked", "554 5.6.0 bad content", "sender 5.7.26 unauthenticated"])
def test_failures_of_our_side_are_not_held_against_an_address(reply: str) -> None:
    assert not keeps_failing([ended(9), ended(5, reply=reply), ended(0)])


RESULTS = st.builds(
    SendResult,
    accepted=st.booleans(),
    phase=st.sampled_from(SmtpPhase),
    code=st.none() | st.integers(0, 999),
    enhanced=st.none() | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3}", fullmatch=True),
    reply=st.text(max_size=40),
)


@given(RESULTS, st.sampled_from(TRIED_FROM), st.integers(0, 40), st.integers(0, 200), st.floats(0, 1, exclude_max=True))
def test_every_verdict_is_a_transition_of_the_table_and_hangs_together(
    result: SendResult, state: DeliveryState, attempts: int, hours: int, jitter: float
) -> None:
    first = NOW - timedelta(hours=hours) if attempts else None
    before = replace(SENDING, state=state, attempts=attempts, first_attempt_at=first)
    verdict = judged(result, before, jitter=jitter)
    after = verdict.delivery
    said_mail = result.accepted or result.phase in (SmtpPhase.MAIL, SmtpPhase.RCPT, SmtpPhase.DATA, SmtpPhase.DOT)
    start = DeliveryState.SENDING if said_mail else state
    assert after.state is start or (start, after.state) in TRANSITIONS
    assert after.state is not DeliveryState.SENDING
    assert (after.next_attempt_at is None) == (after.state in FINAL or after.state is DeliveryState.IN_DOUBT)
    assert (after.finished_at is not None) == (after.next_attempt_at is None)
    assert after.next_attempt_at is None or after.next_attempt_at > NOW
    assert after.attempts in (attempts, attempts + 1)
    assert after.attempts == attempts or after.first_attempt_at is not None
    assert not (verdict.sender_fault and (verdict.recipient_event or after.state in FINAL))
    assert (after.id, after.message_id, after.recipient) == (before.id, before.message_id, before.recipient)


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.IN_DOUBT])
def test_what_is_finished_or_in_doubt_cannot_have_been_tried(state: DeliveryState) -> None:
    with pytest.raises(ValueError, match=state.value):
        judged(SendResult(accepted=True), replace(SENDING, state=state))


@pytest.mark.parametrize(("old", "new"), list(product(DeliveryState, DeliveryState)))
def test_the_table_of_transitions_says_why_and_never_leaves_a_final_state(old: DeliveryState, new: DeliveryState) -> None:
    if old in FINAL or old is new or (old is not DeliveryState.SENDING and new is DeliveryState.SENT):
        assert (old, new) not in TRANSITIONS
    if (old, new) in TRANSITIONS:
        assert len(TRANSITIONS[old, new].split()) >= 4


def test_nothing_in_doubt_is_sent_again_by_itself() -> None:
    assert (DeliveryState.IN_DOUBT, DeliveryState.SENDING) not in TRANSITIONS
    assert {new for old, new in TRANSITIONS if old is DeliveryState.IN_DOUBT} == {DeliveryState.QUEUED, DeliveryState.CANCELLED}
