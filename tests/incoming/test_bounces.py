"""What mails that come back say of whom."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.benchmarks import bench_bounces as bench

from paperround.incoming.bounces import classify
from paperround.models import BounceEvent
from paperround.refusals import reason

KINDS = {"dead", "soft", "sender", "complaint", "unsubscribe", "auto-reply", "delayed", "none"}


def report(*blocks: str, notice: str = "Sorry.", to: str = "bounce+1.abc@lists.example", head: str = "") -> bytes:
    status = "Reporting-MTA: dns; mx.example.org\n\n" + "\n\n".join(blocks)
    return (
        f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nTo: {to}\n{head}Subject: Undelivered Mail Returned to Sender\n"
        "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=BB\n\n"
        f"--BB\nContent-Type: text/plain\n\n{notice}\n\n--BB\nContent-Type: message/delivery-status\n\n{status}\n\n"
        "--BB\nContent-Type: message/rfc822\n\nFrom: news@lists.example\nTo: ada@example.org\nSubject: your paper\n\nhello\n--BB--\n"
    ).encode()


def block(
    recipient: str = "ada@example.org", *, action: str = "failed", status: str = "5.1.1", diagnostic: str = "", original: str = ""
) -> str:
    lines = [f"Original-Recipient: rfc822;{original}"] if original else []
    lines += [f"Final-Recipient: rfc822; {recipient}", f"Action: {action}", f"Status: {status}"]
    return "\n".join([*lines, f"Diagnostic-Code: smtp; {diagnostic}"] if diagnostic else lines)


def prose(text: str, *, sender: str = "MAILER-DAEMON@mx.example.org", subject: str = "failure notice", head: str = "") -> bytes:
    return f"Return-Path: <>\nFrom: {sender}\nTo: bounce+1@lists.example\nSubject: {subject}\n{head}\n{text}\n".encode()


def brief(raw: bytes) -> list[tuple[str | None, str, str | None]]:
    return [(event.recipient, event.kind, event.status) for event in classify(raw)]


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "kind"),
    [
        ("failed", "5.1.1", "550 5.1.1 user unknown", "dead"),
        ("failed", "5.1.2", "", "dead"),
        ("failed", "5.4.4", "unable to look up host", "dead"),
        ("failed", "5.2.2", "552 5.2.2 mailbox full", "soft"),
        ("failed", "5.1.1", "550 5.1.1 mailbox is full", "soft"),
        ("failed", "4.4.7", "", "soft"),
        ("failed", "4.1.1", "450 4.1.1 user unknown for now", "soft"),
        ("failed", "5.7.1", "550 5.7.1 user unknown", "sender"),
        ("failed", "5.0.0", "550 5.7.26 unauthenticated", "sender"),
        ("failed", "5.0.0", "554 blocked using zen.spamhaus.org", "sender"),
        ("failed", "5.3.4", "552 message too big", "sender"),
        ("failed", "5.0.0", "550 <ada@example.org>: User unknown", "dead"),
        ("failed", "5.0.0", "550 rejected", "soft"),
        ("delayed", "4.4.1", "connection timed out", "delayed"),
        ("relayed", "2.0.0", "", "none"),
        ("delivered", "2.0.0", "", "none"),
        ("expanded", "2.0.0", "", "none"),
    ],
)
def test_a_standard_report_is_taken_by_action_status_and_words(action: str, status: str, diagnostic: str, kind: str) -> None:
    (event,) = classify(report(block(action=action, status=status, diagnostic=diagnostic)))
    assert (event.recipient, event.kind) == ("ada@example.org", kind)


def test_each_recipient_of_a_report_is_judged_alone_and_the_original_address_counts() -> None:
    raw = report(
        block("a@example.org", diagnostic="550 5.1.1 gone"),
        block("b@example.org", action="delayed", status="4.2.0"),
        block("internal@host.example", status="5.2.2", original="c@example.org"),
    )
    assert brief(raw) == [("a@example.org", "dead", "5.1.1"), ("b@example.org", "delayed", "4.2.0"), ("c@example.org", "soft", "5.2.2")]


def test_a_user_called_unknown_only_after_the_mail_was_seen_is_not_dead() -> None:
    after_data = "... while talking to mx.example.org.:\n>>> DATA\n<<< 550 Unknown user ada@example.org"
    at_rcpt = "host mx.example.org said: 550 User unknown (in reply to RCPT TO command)"
    assert brief(report(block(status="5.0.0", diagnostic="550 Unknown user ada@example.org"), notice=after_data))[0][1] == "soft"
    assert brief(report(block(status="5.0.0", diagnostic="550 User unknown"), notice=at_rcpt))[0][1] == "dead"


def test_a_refusal_of_the_sender_blames_no_reader() -> None:
    text = "  ada@example.org\n    SMTP error from remote mail server after MAIL FROM:<b@lists.example>:\n    550 no such user"
    assert brief(prose(text))[0][1] == "sender"


@pytest.mark.parametrize(
    "text",
    [
        "<ada@example.org>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 User unknown\nGiving up.",
        "The following address failed:\n\n  ada@example.org\n    all relevant MX records point to non-existent hosts: unrouteable address",
        "Could not be delivered to: <ada@example.org>\n\n550 5.1.1 <ada@example.org>... User unknown",
        "550 <ada@example.org>... User unknown",
        "Your message to ada@example.org was not delivered: 550 5.1.1 recipient address rejected: no such user",
    ],
)
def test_a_notice_in_prose_names_whom_it_is_about(text: str) -> None:
    copy = "\n\n--- Below this line is a copy of the message.\n\nFrom: news@lists.example\nTo: eve@example.org\n\nhello bob@example.org"
    assert [(who, kind) for who, kind, _ in brief(prose(text + copy))] == [("ada@example.org", "dead")]


def test_failed_recipients_in_a_header_come_first() -> None:
    raw = prose("A message could not be delivered.", head="X-Failed-Recipients: ada@example.org\nAuto-Submitted: auto-replied\n")
    assert brief(raw) == [("ada@example.org", "soft", None)]


def complaint(fields: str) -> bytes:
    return (
        "From: staff@isp.example\nTo: abuse@lists.example\nSubject: FW: your paper\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=BB\n\n"
        "--BB\nContent-Type: text/plain\n\nabuse report: user unknown\n\n"
        f"--BB\nContent-Type: message/feedback-report\n\n{fields}\n\n"
        "--BB\nContent-Type: message/rfc822\n\nFrom: news@lists.example\nTo: eve@example.org\nSubject: your paper\n\nhi\n--BB--\n"
    ).encode()


def test_complaints_are_complaints_and_nothing_else() -> None:
    assert brief(complaint("Feedback-Type: abuse\nOriginal-Rcpt-To: <ada@example.org>")) == [("ada@example.org", "complaint", None)]
    assert brief(complaint("Feedback-Type: abuse")) == [("eve@example.org", "complaint", None)]
    assert brief(complaint("Feedback-Type: opt-out\nOriginal-Rcpt-To: ada@example.org")) == [("ada@example.org", "unsubscribe", None)]
    assert brief(complaint("Feedback-Type: not-spam\nOriginal-Rcpt-To: ada@example.org")) == [("ada@example.org", "none", None)]


@pytest.mark.parametrize(
    "head",
    ["Auto-Submitted: auto-replied\n", "Precedence: auto_reply\n", "X-Autoreply: yes\n", "X-Apple-Action: VACATION\n"],
)
def test_an_auto_reply_is_no_bounce_whatever_it_says(head: str) -> None:
    raw = prose("The user unknown@example.org no longer exists. 550 5.1.1", sender="ada@example.org", subject="Away", head=head)
    assert brief(raw) == [("ada@example.org", "auto-reply", None)]


def test_a_person_who_writes_from_nowhere_is_away_and_no_bounce() -> None:
    raw = prose("Bin bis Montag weg. Meine Vertretung: bob@example.org", sender="ada@example.org", subject="Re: 5 papers")
    assert brief(raw) == [("ada@example.org", "auto-reply", None)]


def test_a_persons_mail_that_quotes_a_bounce_is_nothing() -> None:
    raw = b"From: ada@example.org\nTo: help@lists.example\nSubject: why?\n\nI got this:\n<bob@example.org>: 550 5.1.1 user unknown\n"
    assert [event.kind for event in classify(raw)] == ["none"]


@pytest.mark.parametrize(
    "subject",
    [
        "Re: Delivery problems of drones, and 4 more",
        "Re: User unknown: open-set recognition",
        "Complaint: too many papers",
        "bounce",
        "Undelivered",
    ],
)
def test_a_readers_own_mail_is_no_bounce_whatever_its_subject(subject: str) -> None:
    text = "stop\n\nOn Monday, Paperround <news@lists.example> wrote:\n> user unknown\n> more at https://x.example\n"
    raw = f"Return-Path: <ada@example.org>\nFrom: Ada <ada@example.org>\nTo: list@lists.example\nSubject: {subject}\n\n{text}".encode()
    assert [event.kind for event in classify(raw)] == ["none"]


def test_a_notification_as_json_is_read() -> None:
    text = '{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"ada@example.org","status":"5.1.1"}]}}'
    assert brief(prose(text, sender="no-reply@cloud.example", subject="Notification")) == [("ada@example.org", "dead", "5.1.1")]


@given(st.integers(0, 999), st.text(max_size=60))
def test_policy_is_never_a_dead_address(detail: int, words: str) -> None:
    assert reason(f"5.7.{detail}", f"no such user {words}", recipient="ada@example.org") == "sender"


def sound(events: list[BounceEvent]) -> None:
    assert events
    assert all(event.kind in KINDS for event in events)


@given(st.binary(max_size=2000))
def test_no_bytes_raise(raw: bytes) -> None:
    sound(classify(raw))


PIECES = [
    report(block(), block("x@y.org", action="delayed")),
    complaint("Feedback-Type: abuse"),
    prose("<ada@example.org>: 550 user unknown"),
    b"Content-Type: multipart/report; boundary=\n\n",
    b"Content-Type: text/plain; charset=\x00nonsense\nContent-Transfer-Encoding: base64\n\n!!!!",
    b"Subject: =?utf-9?b?////?= =?utf-8?q?=ff?=\nFrom: =?x?=\n\n",
]


@given(st.sampled_from(PIECES), st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 60), st.binary(max_size=12)), max_size=6))
def test_mangled_mails_give_sound_events(raw: bytes, cuts: list[tuple[int, int, bytes]]) -> None:
    for at, length, junk in cuts:
        raw = raw[:at] + junk + raw[at + length :]
    sound(classify(raw))
    sound(classify(raw.replace(b"\n", b"\r")))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r" * 100,
        b"no headers at all",
        b"\xff\xfe" * 1000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(3000)),
        prose("user@x.org " * 20_000),
        prose("-" * 1_000_000),
        prose("\n" * 1_000_000),
    ],
)
def test_hostile_mails_are_survived(raw: bytes) -> None:
    sound(classify(raw))


# ---------------------------------------------------------------- on real mails


def test_on_real_bounces_the_figures_are_reached_and_the_librarys_own_are_behind(shared: Path) -> None:
    folder = shared / "corpora" / "bounces"
    ours, flufl = bench.figures(folder, bench.by_us), bench.figures(folder, bench.by_flufl)
    assert ours["exact"] >= 0.95
    assert ours["precision"] >= 0.95
    assert ours["recall"] >= 0.90
    assert ours["mistaken"] == 0
    assert all(ours[each] > flufl[each] for each in ("exact", "precision", "recall"))
