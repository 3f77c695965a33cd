"""What an administrator is told of deliveries: counts by whose mailboxes they went to, complaints, and the story of one issue."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paperround.delivery.pacing import domain_class
from paperround.models import ConsentEvent, ConsentState, DeliveryState, Digest, DigestId, EngineId, MailKind, Profile, Subscriber
from paperround.pipeline.explain import explain_delivery
from paperround.pipeline.status import status
from paperround.records import NewDelivery, NewDigest
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers.signed_links import fold_address

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
ENGINE = EngineId("one")


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqlStorage]:
    opened = await open_storage(f"sqlite:///{tmp_path}/test.db", fold=fold_address)
    yield opened
    await opened.close()


async def issued(storage: SqlStorage, email: str) -> Subscriber:
    """A reader with an issue in the outbox."""
    event = ConsentEvent(at=NOW, kind="file", state=ConsentState.ACTIVE, way="file")
    name = email.encode().hex()[:32].ljust(32, "0")
    reader = await storage.add_subscriber(email=email, public_id=name, profile=Profile(), event=event, next_due_at=NOW)
    digest = Digest(
        id=DigestId(0),
        subscriber_id=reader.id,
        period=NOW.date(),
        number=1,
        due_at=NOW,
        since=NOW - timedelta(days=7),
        cutoff=NOW,
        created_at=NOW,
        candidates=3,
        items=(),
    )
    mail = NewDelivery(kind=MailKind.ISSUE, subscriber_id=reader.id, recipient=email, message_id=f"{name}@example.org", values={})
    await storage.record_digests([NewDigest(digest=digest, delivery=mail, next_due_at=NOW + timedelta(days=1))])
    return reader


async def end_all(storage: SqlStorage, state: DeliveryState, code: int, reply: str) -> None:
    await storage.start_engine(ENGINE, NOW)
    claimed = await storage.claim(ENGINE, NOW, limit=10_000, until=NOW)
    ended = {"state": state, "code": code, "reply": reply, "attempts": 1, "first_attempt_at": NOW, "finished_at": NOW}
    await storage.finish([replace(each, **ended) for each in claimed])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("domain", "whose"),
    [("gmail.com", "google"), ("Hotmail.co.uk", "microsoft"), ("yahoo.fr", "yahoo"), ("web.de", "gmx"), ("notgmail.com", "other")],
)
def test_a_domain_is_known_by_its_whole_name(domain: str, whose: str) -> None:
    assert domain_class(domain) == whose


async def test_outcomes_are_counted_by_class_of_domain_state_and_code(storage: SqlStorage) -> None:
    for email in ("a@gmail.com", "b@googlemail.com", "c@lab.example"):
        await issued(storage, email)
    await end_all(storage, DeliveryState.SENT, 250, "2.0.0 ok")
    await issued(storage, "d@gmail.com")
    await end_all(storage, DeliveryState.FAILED, 550, "5.7.1 no")
    found = await status(storage, "model", now=NOW)
    assert found["outcomes"] == {"google failed (550)": 1, "google sent": 2, "other sent": 1}
    assert (found["complaints"], found["complaint_rate"], found["attention"]) == (0, 0.0, [])


@pytest.mark.parametrize(("complaints", "told"), [(0, ""), (1, "more than 0.1 %"), (2, "send no more")])
async def test_complaints_are_held_against_what_providers_bear(storage: SqlStorage, complaints: int, told: str) -> None:
    for number in range(500):
        new = NewDelivery(kind=MailKind.NOTICE, subscriber_id=None, recipient=f"r{number}@example.org", message_id=f"{number}@x", values={})
        await storage.queue(new, now=NOW)
    await end_all(storage, DeliveryState.SENT, 250, "ok")
    for number in range(complaints):
        await storage.suppress(f"r{number}@example.org", reason="complained", evidence="abuse", now=NOW)
    await storage.suppress("old@example.org", reason="complained", evidence="abuse", now=NOW - timedelta(days=31))
    found = await status(storage, "model", now=NOW)
    assert found["complaint_rate"] == complaints / 500
    assert told in " ".join(found["attention"])
    assert bool(found["attention"]) is bool(told)


async def test_the_story_of_an_issue_is_told_from_due_to_the_servers_last_word(storage: SqlStorage) -> None:
    reader = await issued(storage, "ada@example.org")
    await end_all(storage, DeliveryState.FAILED, 550, "5.1.1 no such user")
    await storage.suppress("ada@example.org", reason="bounced", evidence="5.1.1 no such user", now=NOW)
    told = "\n".join(await explain_delivery(storage, await storage.subscriber(reader.id), NOW.date()))
    for words in ("suppressed: bounced", "evidence of 2026-03-02: 5.1.1", "due 2026-03-02 08:00 UTC", "failed, 1 tries", "first try"):
        assert words in told
    assert "the server said: 550 5.1.1 no such user" in told
    other = "\n".join(await explain_delivery(storage, reader, NOW.date() - timedelta(days=9)))
    assert "no issue of 2026-02-21" in other
