"""What one mail that comes in does, over a real database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperround.models import (
    ConsentState,
    Delivery,
    DeliveryId,
    DeliveryState,
    Digest,
    DigestId,
    DigestItem,
    EngineId,
    Entry,
    Interest,
    ItemRole,
    MailKind,
    Reason,
    ReasonKind,
    Source,
    SourceId,
    SourceKind,
    Subscriber,
)
from paperround.pipeline.receive_mail import ReceiveMail
from paperround.pipeline.subscriber_actions import ActionRules, SubscriberActions
from paperround.records import NewDelivery, NewDigest, Placement
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import KeyRing, fold_address
from paperround.testing import FixedClock

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
LIST = "paper@list.example"
TITLES = ("First Paper", "Second Paper")


@dataclass
class World:
    storage: SqlStorage
    clock: FixedClock
    actions: SubscriberActions
    inbox: ReceiveMail

    async def outbox(self, kind: MailKind) -> list[Delivery]:
        engine = EngineId("engine")
        await self.storage.start_engine(engine, self.clock.now())
        claimed = await self.storage.claim(engine, self.clock.now(), limit=1000, until=self.clock.now())
        await self.storage.release([each.id for each in claimed])
        return [each for each in claimed if each.kind is kind]

    async def answer(self) -> dict[str, Any]:
        """The words of the latest answer."""
        return dict((await self.outbox(MailKind.ANSWER))[-1].values)

    async def reader(self, email: str = "ada@example.org", **values: Any) -> Subscriber:
        return await self.actions.add(email, {"interests": ["tokens"], "timezone": "Europe/Berlin", **values}, active=True)

    async def now(self, subscriber: Subscriber) -> Subscriber:
        return await self.storage.subscriber(subscriber.id)

    async def issue(self, subscriber: Subscriber) -> Delivery:
        """An issue of two items, sent."""
        source = await self.storage.add_source(
            Source(id=SourceId(0), location="https://example.org/f", kind=SourceKind.FEED, name="s", added_at=NOW)
        )
        for title in TITLES:
            await self.storage.record_entries(
                source,
                [Entry(title=title, url=f"https://example.org/{title[:3]}")],
                seen_at=NOW,
                place=lambda *_, key=title: Placement(groups=((0,),), works=((),), keys=(frozenset({key}),)),
                keys=lambda _, key=title: frozenset({key}),
                material_change=lambda *_: None,
            )
        works = [await self.storage.find_work(title) for title in TITLES]
        reason = Reason(kind=ReasonKind.INTEREST, text="tokens", sentence="It drops tokens.")
        items = tuple(
            DigestItem(work=work, role=ItemRole.CHOSEN, number=number, score=1.0, strength=0.8, reason=reason)
            for number, work in enumerate(works, 1)
        )
        digest = Digest(
            id=DigestId(0),
            subscriber_id=subscriber.id,
            period=date(2026, 11, 20),
            number=1,
            due_at=NOW,
            since=NOW - timedelta(days=1),
            cutoff=NOW,
            created_at=NOW,
            candidates=2,
            items=items,
        )
        recipient = subscriber.email or ""
        mail = NewDelivery(
            kind=MailKind.ISSUE, subscriber_id=subscriber.id, recipient=recipient, message_id="issue@list.example", values={}
        )
        await self.storage.record_digests([NewDigest(digest=digest, delivery=mail, next_due_at=subscriber.next_due_at)])
        found = await self.storage.delivery_by_message_id("issue@list.example")
        assert found is not None
        await self.storage.finish([replace(found, state=DeliveryState.SENT, finished_at=NOW)])
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    storage = await open_storage(f"sqlite:///{tmp_path / 'p.db'}", upgrade=True, fold=fold_address)
    clock, keys = FixedClock(NOW), KeyRing((b"k" * 32,))
    rules = ActionRules(
        base_url="https://list.example", message_domain="list.example", consent_text="Yes, please.", reply_domain="list.example"
    )
    actions = SubscriberActions(storage=storage, clock=clock, keys=keys, rules=rules)
    inbox = ReceiveMail(storage=storage, actions=actions, clock=clock, keys=keys, list_address=LIST)
    yield World(storage, clock, actions, inbox)
    await storage.close()


def mail(body: str = "", *, sender: str = "ada@example.org", to: str = LIST, **headers: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = sender, to, "<m@example.org>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    return message.as_bytes()


def reply(body: str, *, sender: str = "ada@example.org", to: str = LIST, **headers: str) -> bytes:
    return mail(body, sender=sender, to=to, In_Reply_To="<issue@list.example>", Subject="Re: your paper", **headers)


def bounce(recipient: str, status: str, words: str) -> bytes:
    parts = [
        "From: MAILER-DAEMON@mx.example\r\nTo: x@list.example\r\nSubject: Undelivered mail\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n\r\nIt failed.\r\n--b\r\n'
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {words}\r\n--b--\r\n"
    ]
    return "".join(parts).encode()


# ---------------------------------------------------------------- coming by mail


async def test_a_mail_to_the_list_asks_for_confirmation_and_a_plain_reply_makes_active(world: World) -> None:
    await world.inbox.receive(mail("graph neural networks\nlip reading", Subject="subscribe"))
    ada = await world.storage.find_subscriber("ada@example.org")
    assert (ada.state, [each.text for each in ada.profile.interests]) == (
        ConsentState.PENDING,
        ["graph neural networks", "lip reading"],
    )
    (question,) = await world.outbox(MailKind.CONFIRMATION)
    await world.inbox.receive(mail("", to=question.values["reply_to"], Subject="Re: Please confirm"))
    assert (await world.now(ada)).state is ConsentState.ACTIVE
    assert "first issue comes" in str(await world.answer())


async def test_a_reply_is_known_by_the_message_it_answers_when_its_address_was_lost(world: World) -> None:
    await world.inbox.receive(mail("subscribe"))
    (question,) = await world.outbox(MailKind.CONFIRMATION)
    await world.inbox.receive(mail("yes", In_Reply_To=f"<{question.message_id}>"))
    assert (await world.storage.find_subscriber("ada@example.org")).state is ConsentState.ACTIVE


@pytest.mark.parametrize(
    "headers",
    [{"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}, {"Subject": "Out of office: Re: Please confirm"}, {"X_Autoreply": "yes"}],
)
async def test_no_machine_can_say_yes_and_none_is_answered(world: World, headers: dict[str, str]) -> None:
    await world.inbox.receive(mail("subscribe"))
    (question,) = await world.outbox(MailKind.CONFIRMATION)
    await world.inbox.receive(mail("I am away", to=question.values["reply_to"], **headers))
    assert (await world.storage.find_subscriber("ada@example.org")).state is ConsentState.PENDING
    assert await world.outbox(MailKind.ANSWER) == []


async def test_a_no_to_the_question_is_no_yes(world: World) -> None:
    await world.inbox.receive(mail("subscribe"))
    (question,) = await world.outbox(MailKind.CONFIRMATION)
    await world.inbox.receive(mail("unsubscribe", to=question.values["reply_to"]))
    assert (await world.storage.find_subscriber("ada@example.org")).state is ConsentState.UNSUBSCRIBED


async def test_a_forged_confirmation_address_confirms_nobody(world: World) -> None:
    await world.inbox.receive(mail("subscribe"))
    (question,) = await world.outbox(MailKind.CONFIRMATION)
    address = question.values["reply_to"]
    forged = address.replace("-" + address.partition("-")[2][0], "-" + ("a" if address.partition("-")[2][0] != "a" else "b"), 1)
    await world.inbox.receive(mail("yes", to=forged, sender="eve@example.org"))
    assert (await world.storage.find_subscriber("ada@example.org")).state is ConsentState.PENDING


async def test_mail_to_somebody_else_does_nothing(world: World) -> None:
    assert (await world.inbox.receive(mail("subscribe", to="postbox@list.example"))).startswith("left alone")
    assert await world.outbox(MailKind.CONFIRMATION) == []


# ---------------------------------------------------------------- steering by reply


async def test_more_and_less_in_a_reply_are_votes_and_the_answer_says_how_to_undo_them(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    await world.inbox.receive(reply("more 2, less 1\n\n> On Friday you wrote: stop"))
    votes = {vote.title: vote.value for vote in (await world.storage.votes([ada.id]))[ada.id]}
    assert votes == {"Second Paper": 1, "First Paper": -1}
    words = str(await world.answer())
    assert "undo 2" in words
    assert "undo 1" in words
    await world.inbox.receive(reply("less 2, undo 1"))
    assert "more 2" in str(await world.answer())
    await world.inbox.receive(reply("more 2"))
    assert {vote.title: vote.value for vote in (await world.storage.votes([ada.id]))[ada.id] if vote.value} == {"Second Paper": 1}
    assert (await world.now(ada)).state is ConsentState.ACTIVE


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("weekly", "schedule", "weekly monday 07:30"),
        ("weekly friday 8:00", "schedule", "weekly friday 08:00"),
        ("täglich", "schedule", "daily 07:30"),
        ("interests: graphs; lip reading", "interests", (Interest(text="graphs"), Interest(text="lip reading"))),
    ],
)
async def test_a_reply_changes_the_profile(world: World, words: str, key: str, value: object) -> None:
    ada = await world.reader()
    await world.issue(ada)
    await world.inbox.receive(reply(words))
    assert getattr((await world.now(ada)).profile, key) == value


async def test_the_undo_words_of_an_answer_take_it_back(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    for words in ("weekly", "interests: other things"):
        before = (await world.now(ada)).profile
        world.clock.advance(minutes=5)
        await world.inbox.receive(reply(words))
        undo = next(line for line in (await world.answer())["lines"] if line.startswith("To undo"))
        world.clock.advance(minutes=5)
        await world.inbox.receive(reply(undo.partition("“")[2].partition("”")[0]))
        assert (await world.now(ada)).profile == before


async def test_a_pause_is_told_by_day_and_one_that_cannot_be_read_is_asked_back(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    await world.inbox.receive(reply("pause until 3 January"))
    paused = await world.now(ada)
    assert (paused.state, paused.paused_until) == (ConsentState.PAUSED, datetime(2027, 1, 2, 23, tzinfo=UTC))
    await world.inbox.receive(reply("resume"))
    await world.inbox.receive(reply("pause until the cows come home"))
    assert (await world.now(ada)).state is ConsentState.ACTIVE
    assert "no date" in str(await world.answer())


async def test_why_feed_and_what_is_known_are_told_to_the_address_we_know_whoever_asked(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    for words, part in (("why 2?", "It drops tokens"), ("feed", ".rss"), ("what do you know", "tokens")):
        world.clock.advance(minutes=1)
        await world.inbox.receive(reply(words, sender="stranger@example.net"))
        latest = (await world.outbox(MailKind.ANSWER))[-1]
        assert latest.recipient == "ada@example.org"
        assert part in str(latest.values)


async def test_whoever_was_forwarded_an_issue_may_vote_and_silence_but_not_rewrite_the_profile(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    for words in ("interests: forged", "subscribe: forged"):
        await world.inbox.receive(reply(words, sender="stranger@example.net"))
    assert (await world.now(ada)).profile == ada.profile
    assert "another one" in str(await world.answer())
    await world.inbox.receive(reply("interests: mine", sender="Ada+papers@example.org"))
    assert (await world.now(ada)).profile.interests == (Interest(text="mine"),)


async def test_what_is_logged_of_a_mail_names_nobody(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    told = [await world.inbox.receive(reply(words)) for words in ("interests: secret taste", "more 1", "what do you know", "stop")]
    told.append(await world.inbox.receive(mail("subscribe", sender="secret@invalid")))
    assert told == ["answered: interests", "answered: more", "answered: know", "answered: stop", "not signed up: AddressError"]


async def test_stop_leaves_at_once_and_beside_it_nothing_else_counts(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    await world.inbox.receive(reply("stop\nweekly"))
    left = await world.now(ada)
    assert (left.state, left.profile.schedule) == (ConsentState.UNSUBSCRIBED, "weekdays 07:30")
    assert "unsubscribed" in str(await world.answer()).lower()


async def test_who_left_comes_back_by_the_word_of_the_farewell_and_by_no_other(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    await world.inbox.receive(reply("stop"))
    (farewell,) = await world.outbox(MailKind.ANSWER)
    assert "subscribe" in str(farewell.values)
    assert (await world.inbox.receive(reply("Thank you and goodbye"))).startswith("left alone")
    await world.inbox.receive(mail("subscribe", sender="eve@example.net", In_Reply_To=f"<{farewell.message_id}>"))
    assert (await world.now(ada)).state is ConsentState.UNSUBSCRIBED
    await world.inbox.receive(mail("subscribe", In_Reply_To=f"<{farewell.message_id}>"))
    back = await world.now(ada)
    assert (back.state, back.profile) == (ConsentState.ACTIVE, ada.profile)
    assert [event.kind for event in await world.storage.consent_events(ada.id)][-2:] == ["asked", "confirmed"]


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("graph neural networks", "en"),
        ("Hallo,\n\nabonnieren: Graphen; lip reading\n\nDanke!", "de"),
        ("Bonjour,\nintérêts : graphes\nmerci", "fr"),
    ],
)
async def test_a_sign_up_by_mail_is_answered_in_its_language(world: World, words: str, language: str) -> None:
    await world.inbox.receive(mail(words, Subject="subscribe"))
    (question,) = await world.outbox(MailKind.CONFIRMATION)
    assert (question.values["language"], (await world.storage.find_subscriber("ada@example.org")).profile.language) == (language, language)


async def test_the_from_line_alone_may_silence_but_not_change_a_profile(world: World) -> None:
    ada = await world.reader()
    await world.inbox.receive(mail("weekly\nmore 1\ninterests: forged"))
    assert len((await world.answer())["lines"]) == 1  # the same refusal is said once
    assert (await world.now(ada)).profile.interests == (Interest(text="tokens"),)
    await world.inbox.receive(mail("", Subject="unsubscribe"))
    assert (await world.now(ada)).state is ConsentState.UNSUBSCRIBED


async def test_nonsense_changes_nothing_and_gets_one_friendly_answer(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    for _ in range(3):
        await world.inbox.receive(reply("Lovely weather, is it not?"))
    assert len(await world.outbox(MailKind.ANSWER)) == 1
    assert await world.now(ada) == ada or (await world.now(ada)).profile == ada.profile


# ---------------------------------------------------------------- reports


async def test_a_dead_address_named_by_its_signed_envelope_is_suppressed(world: World) -> None:
    ada = await world.reader()
    sent = await world.issue(ada)
    verp = signed_links.verp_address(world.actions.keys, sent.id, "list.example")
    await world.inbox.receive(bounce("forwarded@elsewhere.example", "5.1.1", "550 5.1.1 user unknown"), verp)
    assert (await world.now(ada)).suppressed == "bounced"


async def test_a_forged_report_changes_nothing(world: World) -> None:
    ada = await world.reader()
    sent = await world.issue(ada)
    verp = signed_links.verp_address(world.actions.keys, DeliveryId(sent.id + 1), "list.example").replace(
        f"+{sent.id + 1}-", f"+{sent.id}-"
    )
    for recipient in (verp, "ada@example.org", LIST):
        await world.inbox.receive(bounce("ada@example.org", "5.1.1", "550 5.1.1 user unknown"), recipient)
    assert (await world.now(ada)).suppressed is None
    await world.inbox.receive(bounce("ada@example.org", "5.1.1", "550 5.1.1 user unknown"), trusted=True)
    assert (await world.now(ada)).suppressed == "bounced"


async def test_a_full_mailbox_is_dead_only_after_three_times_over_a_week(world: World) -> None:
    ada = await world.reader()
    for number, days in enumerate((0, 3, 4)):
        world.clock.advance(days=days)
        new = NewDelivery(
            kind=MailKind.ISSUE, subscriber_id=ada.id, recipient="ada@example.org", message_id=f"{number}@list.example", values={}
        )
        sent = await world.storage.queue(new, now=world.clock.now())
        await world.storage.finish([replace(sent, state=DeliveryState.SENT, finished_at=world.clock.now())])
        assert (await world.now(ada)).suppressed is None
        verp = signed_links.verp_address(world.actions.keys, sent.id, "list.example")
        await world.inbox.receive(bounce("ada@example.org", "5.2.2", "552 5.2.2 mailbox full"), verp)
    assert (await world.now(ada)).suppressed == "bounced"


async def test_a_complaint_unsubscribes_and_suppresses(world: World) -> None:
    ada = await world.reader()
    await world.issue(ada)
    report = (
        "From: fbl@provider.example\r\nTo: abuse@list.example\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n--b\r\n\r\nAbuse.\r\n--b\r\n'
        "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nOriginal-Rcpt-To: ada@example.org\r\n--b\r\n"
        "Content-Type: message/rfc822\r\n\r\nMessage-ID: <issue@list.example>\r\nTo: ada@example.org\r\n\r\nyour paper\r\n--b--\r\n"
    )
    await world.inbox.receive(report.encode())
    left = await world.now(ada)
    assert (left.state, left.suppressed) == (ConsentState.UNSUBSCRIBED, "complained")


@given(raw=st.binary(max_size=400))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_bytes_whatever_raise_or_are_answered(world: World, raw: bytes) -> None:
    assert await world.inbox.receive(raw, LIST)
    assert await world.outbox(MailKind.ANSWER) == []


@pytest.mark.parametrize("raw", [b"", b"\r\r\r", b"From: \r\n\r\nhello", b"\xff" * 1000, b"x" * 5_000_000])
async def test_what_is_no_mail_is_left_alone(world: World, raw: bytes) -> None:
    assert (await world.inbox.receive(raw, LIST)).startswith("left alone")
