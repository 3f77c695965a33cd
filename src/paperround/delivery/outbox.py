"""Room: delivery rules. What each answer of a mail server means for one delivery: its next state, its next try, whom it blames."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from paperround.models import Delivery, DeliveryState, SendResult, SmtpPhase
from paperround.refusals import reason

_S = DeliveryState

TRANSITIONS: Mapping[tuple[DeliveryState, DeliveryState], str] = {
    (_S.QUEUED, _S.SENDING): "its turn has come; committed right before MAIL is said",
    (_S.QUEUED, _S.DEFERRED): "the relay said later before MAIL was said",
    (_S.QUEUED, _S.FAILED): "the message cannot be made, or no server we know can carry it",
    (_S.QUEUED, _S.CANCELLED): "the subscriber left, paused or was suppressed before it went",
    (_S.DEFERRED, _S.SENDING): "its next try has come; committed right before MAIL is said",
    (_S.DEFERRED, _S.FAILED): "given up after days of trying, or it can no longer be made",
    (_S.DEFERRED, _S.CANCELLED): "the subscriber left, paused or was suppressed between two tries",
    (_S.SENDING, _S.SENT): "the server answered 250 to the final dot",
    (_S.SENDING, _S.DEFERRED): "the server said later, or nothing at all before the final dot",
    (_S.SENDING, _S.FAILED): "the server said never, or said later for too long",
    (_S.SENDING, _S.IN_DOUBT): "no answer came after the final dot, or the engine died while sending",
    (_S.IN_DOUBT, _S.QUEUED): "an administrator asked for it to be sent again, with the same Message-ID",
    (_S.IN_DOUBT, _S.CANCELLED): "the subscriber left before anybody asked for it to be sent again",
}
SOFT_BOUNCES = 3  # in a row …
SOFT_SPAN = timedelta(days=7)  # … over at least so long make a dead address
FINAL = frozenset({_S.SENT, _S.FAILED, _S.CANCELLED})

_PREPARATION = frozenset(
    {SmtpPhase.CONNECT, SmtpPhase.BANNER, SmtpPhase.EHLO, SmtpPhase.STARTTLS, SmtpPhase.AUTH}
)  # nothing about any recipient was said yet
_OURS = _PREPARATION | {SmtpPhase.MAIL}  # a refusal here is of us, not of the recipient

_OUR_SIDE = re.compile(r"^sender\b|\b5\.[67]\.\d")  # as a bounce was noted; policy and content


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """RFC 5321, 4.5.4.1: two tries in the first hour, then one every two to three hours, given up after four days."""

    first: timedelta = timedelta(minutes=30)  # between the quick tries, give or take a tenth
    quick_tries: int = 2
    later_min: timedelta = timedelta(hours=2)
    later_max: timedelta = timedelta(hours=3)
    give_up_after: timedelta = timedelta(days=4)  # counted from the first try that reached a recipient
    relay_down: timedelta = timedelta(minutes=5)  # until the relay is asked again, give or take a tenth


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one try came to. `delivery` is the row to write, its claim released.

    `sender_fault`: why the whole run must stop; None = go on. `relay_down`: the relay could not be used, another one may be asked
    at once. `recipient_event`: "dead" or "soft", evidence against the address for the suppression rules; None = none. `policy`: the
    refusal was X.7.x; a storm of them is a fault of ours."""

    delivery: Delivery
    sender_fault: str | None = None
    relay_down: bool = False
    recipient_event: str | None = None
    policy: bool = False


def keeps_failing(deliveries: Sequence[Delivery]) -> bool:
    """Whether the latest deliveries to an address (newest first) all failed for reasons of its own, so often and over so long."""
    failed: list[datetime] = []
    for each in deliveries:
        if each.state is _S.SENT:
            break
        if each.state is _S.FAILED and each.finished_at and not _OUR_SIDE.search(each.reply or ""):
            failed.append(each.finished_at)
    return len(failed) >= SOFT_BOUNCES and max(failed) - min(failed) >= SOFT_SPAN


def retry_delay(attempts: int, rules: RetryRules, jitter: float) -> timedelta:
    """How long to wait after that many tries (≥ 1); `jitter` in [0, 1) spreads tries so that a burst does not come back as one."""
    if attempts < rules.quick_tries:
        return rules.first * (0.9 + 0.2 * jitter)
    return rules.later_min + (rules.later_max - rules.later_min) * jitter


def _blamed(result: SendResult, recipient: str) -> str | None:
    """Whether a refusal is evidence against the address: "dead", "soft" or None.

    Of a refused mail (not of its recipient) only what names the mailbox is: a dead address or one that is full."""
    status = result.enhanced or ("5.2.2" if result.code == 552 else None)
    at_rcpt = result.phase is SmtpPhase.RCPT
    event = reason(status, result.reply, recipient=recipient, at="RCPT" if at_rcpt else "DATA")
    of_mailbox = at_rcpt or event == "dead" or (status or "")[1:].startswith(".2.")
    return event if event != "sender" and of_mailbox else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One try and all that its judgement needs."""

    delivery: Delivery
    result: SendResult
    now: datetime
    rules: RetryRules
    jitter: float

    def counted(self) -> Delivery:
        return replace(
            self.delivery,
            attempts=self.delivery.attempts + 1,
            first_attempt_at=self.delivery.first_attempt_at or self.now,
            code=self.result.code,
            reply=self.result.reply or None,
        )

    def finished(self, state: DeliveryState) -> Delivery:
        return replace(self.counted(), state=state, next_attempt_at=None, finished_at=self.now)

    def deferred(self, *, event: str | None) -> Verdict:
        """Later, or never when the days are over; the last try falls on the limit itself."""
        counted = self.counted()
        limit = (counted.first_attempt_at or self.now) + self.rules.give_up_after
        if self.now >= limit:
            return Verdict(delivery=self.finished(_S.FAILED), recipient_event=event)
        again = min(self.now + retry_delay(counted.attempts, self.rules, self.jitter), limit)
        return Verdict(delivery=replace(counted, state=_S.DEFERRED, next_attempt_at=again))

    def held(self) -> Delivery:
        """It is not the mail's turn to be blamed: no try is counted, it waits until the relay can be used."""
        begun = self.delivery.state is _S.SENDING or self.result.phase is SmtpPhase.MAIL
        again = self.now + self.rules.relay_down * (0.9 + 0.2 * self.jitter)
        state = _S.DEFERRED if begun else self.delivery.state
        return replace(self.delivery, state=state, code=self.result.code, reply=self.result.reply or None, next_attempt_at=again)


def after_attempt(delivery: Delivery, result: SendResult, *, now: datetime, rules: RetryRules, jitter: float) -> Verdict:
    """The rule of the outbox: (phase, code, enhanced code) of one try → what becomes of the delivery.

    `delivery` as it was claimed (queued, deferred or sending); `jitter` in [0, 1). RFC 5321 4.2.1, 4.5.3.1.10, 4.5.4.1; RFC 3463.
    Raises ValueError for a delivery that could not have been tried."""
    if delivery.state in FINAL or delivery.state is _S.IN_DOUBT:
        raise ValueError(f"a delivery that is {delivery.state} cannot have been tried")
    attempt = _Try(delivery=delivery, result=result, now=now, rules=rules, jitter=jitter)
    if result.accepted:
        return Verdict(delivery=attempt.finished(_S.SENT))
    if result.phase is SmtpPhase.LOCAL or (result.phase in _PREPARATION and result.code is None and result.enhanced):
        return _after_our_refusal(attempt)
    match _severity(result):
        case 4:
            return _after_later(attempt)
        case 5:
            return _after_never(attempt)
    return _after_silence(attempt)


def _severity(result: SendResult) -> int | None:
    """4 = later, 5 = never, None = no answer that could be understood."""
    if result.phase is SmtpPhase.RCPT and result.code == 552:
        return 4  # RFC 5321, 4.5.3.1.10: to be treated as 452
    hundreds = (result.code or 0) // 100
    return hundreds if hundreds in (4, 5) else None


def relay_is_down(result: SendResult) -> bool:
    """Whether the relay could not be used before anything was said of a mail, for now: another one may be asked at once."""
    ours = result.code is None and result.enhanced is not None  # we would not go on: a fault, not a pause
    return not result.accepted and result.phase in _PREPARATION and not ours and _severity(result) != 5


def _after_later(attempt: _Try) -> Verdict:
    event = "soft" if attempt.result.phase is SmtpPhase.RCPT and not _is_policy(attempt.result) else None
    return replace(attempt.deferred(event=event), relay_down=relay_is_down(attempt.result))


def _after_never(attempt: _Try) -> Verdict:
    result = attempt.result
    too_large = result.phase is SmtpPhase.MAIL and result.code == 552 and result.enhanced in (None, "5.3.4")  # RFC 1870: of this mail
    if result.phase in _OURS and not too_large:
        return Verdict(delivery=attempt.held(), sender_fault=_told(result))
    event = None if too_large else _blamed(result, attempt.delivery.recipient)
    return Verdict(delivery=attempt.finished(_S.FAILED), recipient_event=event, policy=_is_policy(result))


def _after_silence(attempt: _Try) -> Verdict:
    if attempt.result.phase is SmtpPhase.DOT:
        return Verdict(delivery=attempt.finished(_S.IN_DOUBT))
    if relay_is_down(attempt.result):
        return Verdict(delivery=attempt.held(), relay_down=True)
    return attempt.deferred(event=None)


def _after_our_refusal(attempt: _Try) -> Verdict:
    """An enhanced code says that this mail can never go (too large, an address that the server cannot be told). Without one our own
    machine failed (a full disk), which is no word on the mail; TLS or a login that cannot be had stop everything as well."""
    if attempt.result.phase is SmtpPhase.LOCAL and (attempt.result.enhanced or "").startswith("5."):
        return Verdict(delivery=attempt.finished(_S.FAILED))
    return Verdict(delivery=attempt.held(), sender_fault=_told(attempt.result))


def _is_policy(result: SendResult) -> bool:
    return (result.enhanced or "")[1:].startswith(".7.")


def _told(result: SendResult) -> str:
    code = " ".join(str(part) for part in (result.code, result.enhanced) if part is not None)
    return f"{result.phase}: {code} {result.reply}".replace(":  ", ": ").strip()
