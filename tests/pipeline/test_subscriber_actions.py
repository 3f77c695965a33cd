"""Whatever a person can do about their subscription, over a real database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paperround.errors import AlreadyExistsError, ConsentError, ProfileError, TokenError
from paperround.models import ConsentState, Delivery, Entry, Interest, MailKind, Source, SourceId, SourceKind, Subscriber, WorkId
from paperround.pipeline.subscriber_actions import ActionRules, SubscriberActions
from paperround.records import Placement
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import KeyRing, Purpose, fold_address
from paperround.testing import FixedClock

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)  # a Friday
CONSENT = "Please send me my paper."


@dataclass
class World:
    storage: SqlStorage
    clock: FixedClock
    actions: SubscriberActions

    async def mails(self, kind: MailKind = MailKind.CONFIRMATION) -> list[Delivery]:
        """What waits in the outbox."""
        await self.storage.start_engine("engine", self.clock.now())  # type: ignore[arg-type]
        claimed = await self.storage.claim("engine", self.clock.now(), limit=1000, until=self.clock.now())  # type: ignore[arg-type]
        await self.storage.release([each.id for each in claimed])
        return [each for each in claimed if each.kind is kind]

    async def find(self, email: str) -> Subscriber:
        return await self.storage.find_subscriber(email)

    async def work(self, title: str = "One Paper") -> WorkId:
        source = await self.storage.add_source(
            Source(id=SourceId(0), location=f"https://example.org/{title}", kind=SourceKind.FEED, name="s", added_at=self.clock.now())
        )
        entry = Entry(title=title, summary="About it.", url=f"https://example.org/{title.replace(' ', '-')}")
        await self.storage.record_entries(
            source,
            [entry],
            seen_at=self.clock.now(),
            place=lambda *_: Placement(groups=((0,),), works=((),), keys=(frozenset({title}),)),
            keys=lambda _: frozenset({title}),
            material_change=lambda *_: None,
        )
        return (await self.storage.find_work(title)).id


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    storage = await open_storage(f"sqlite:///{tmp_path / 'p.db'}", upgrade=True, fold=fold_address)
    clock = FixedClock(NOW)
    rules = ActionRules(
        base_url="https://paper.example", message_domain="paper.example", consent_text=CONSENT, reply_domain="paper.example"
    )
    yield World(storage, clock, SubscriberActions(storage=storage, clock=clock, keys=KeyRing((b"k" * 32,)), rules=rules))
    await storage.close()


# ---------------------------------------------------------------- coming


async def test_a_sign_up_is_pending_and_gets_one_confirmation_mail_without_a_word_the_visitor_typed(world: World) -> None:
    await world.actions.sign_up("Ada@Example.org", {"interests": ["buy cheap watches"]}, way="page", address_prefix="192.0.2.0/24")
    ada = await world.find("ada@example.org")
    (mail,) = await world.mails()
    assert (ada.state, ada.next_due_at, ada.profile.interests) == (ConsentState.PENDING, None, (Interest(text="buy cheap watches"),))
    assert "watches" not in str(mail.values)
    assert "/c/" in mail.values["confirm_url"]
    (event,) = await world.storage.consent_events(ada.id)
    assert (event.kind, event.way, event.address_prefix, bool(event.consent_text_hash)) == ("asked", "page", "192.0.2.0/24", True)


async def test_ten_thousand_ways_to_spell_one_mailbox_get_one_mail_a_day(world: World) -> None:
    spellings = ["v.ictim@gmail.com", *(f"victim+{number}@gmail.com" for number in range(30)), "VICTIM@googlemail.com"]
    await asyncio.gather(*(world.actions.sign_up(each, {}, way="page") for each in spellings))
    assert len(await world.mails()) == 1
    world.clock.advance(hours=25)
    await world.actions.sign_up("victim+later@gmail.com", {}, way="page")
    assert len(await world.mails()) == 2


async def test_an_unconfirmed_sign_up_wants_what_was_said_last(world: World) -> None:
    await world.actions.sign_up("a@example.org", {"interests": ["one"]}, way="page")
    await world.actions.sign_up("a@example.org", {"interests": ["two"]}, way="page")
    assert (await world.find("a@example.org")).profile.interests == (Interest(text="two"),)


async def test_a_sign_up_of_someone_active_or_suppressed_changes_and_mails_nothing(world: World) -> None:
    await world.actions.add("a@example.org", {"interests": ["mine"]}, active=True)
    await world.actions.suppress("b@example.org", reason="complained", evidence="")
    for email in ("a@example.org", "b@example.org"):
        await world.actions.sign_up(email, {"interests": ["another's"]}, way="page")
    assert (await world.find("a@example.org")).profile.interests == (Interest(text="mine"),)
    assert await world.mails() == []


async def test_saying_yes_makes_active_and_due_and_saying_it_twice_changes_nothing(world: World) -> None:
    await world.actions.sign_up("a@example.org", {"schedule": "daily 07:30", "timezone": "Europe/Berlin"}, way="page")
    ada = await world.actions.confirm(await world.find("a@example.org"), way="mail")
    assert (ada.state, ada.next_due_at) == (ConsentState.ACTIVE, datetime(2026, 11, 21, 6, 30, tzinfo=UTC))
    again = await world.actions.confirm(ada, way="page")
    assert [event.kind for event in await world.storage.consent_events(again.id)] == ["asked", "confirmed"]


async def test_a_yes_after_leaving_is_refused_until_asked_again(world: World) -> None:
    await world.actions.add("a@example.org", {}, active=True)
    await world.actions.unsubscribe(await world.find("a@example.org"), way="one-click")
    with pytest.raises(ConsentError):
        await world.actions.confirm(await world.find("a@example.org"), way="page")
    await world.actions.sign_up("a@example.org", {"interests": ["new"]}, way="page")
    back = await world.actions.confirm(await world.find("a@example.org"), way="page")
    assert (back.state, back.profile.interests) == (ConsentState.ACTIVE, (Interest(text="new"),))


async def test_an_administrator_adds_active_with_evidence_and_pending_without(world: World) -> None:
    ada = await world.actions.add("a@example.org", {"schedule": "daily 07:30"}, active=True)
    bob = await world.actions.add("b@example.org", {}, active=False, way="import")
    assert (ada.state, bob.state) == (ConsentState.ACTIVE, ConsentState.PENDING)
    assert ada.next_due_at == datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    assert [mail.recipient for mail in await world.mails()] == ["b@example.org"]
    with pytest.raises(AlreadyExistsError):
        await world.actions.add("A@example.org", {}, active=True)
    with pytest.raises(ProfileError):
        await world.actions.add("c@example.org", {"schedule": "sometimes"}, active=True)


async def test_no_load_revives_who_left_or_was_forgotten(world: World) -> None:
    for email, leave in (("a@example.org", world.actions.unsubscribe), ("b@example.org", world.actions.forget)):
        await leave(await world.actions.add(email, {}, active=True), way="cli")
        with pytest.raises(ConsentError):
            await world.actions.add(email, {}, active=False)
    done = await world.actions.sync_files([File("a@example.org"), File("b@example.org"), File("c@example.org")])
    assert (done.added, [who for who, _ in done.refused]) == (1, ["a@example.org", "b@example.org"])


async def test_the_forgotten_may_sign_up_afresh(world: World) -> None:
    await world.actions.forget(await world.actions.add("a@example.org", {"interests": ["old"]}, active=True), way="page")
    await world.actions.sign_up("a@example.org", {}, way="page")
    ada = await world.find("a@example.org")
    assert (ada.state, ada.profile.interests, len(await world.mails())) == (ConsentState.PENDING, (), 1)


async def test_a_reader_of_a_feed_alone_is_active_without_an_address(world: World) -> None:
    reader = await world.actions.sign_up_for_feed({"interests": ["x"]}, way="page")
    assert (reader.state, reader.email, reader.may_be_mailed) == (ConsentState.ACTIVE, None, False)
    assert len(world.actions.feed_addresses(reader)) == 3
    assert await world.mails() == []


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class File:
    email: str | None
    values: dict[str, object] = None  # type: ignore[assignment]
    id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self.values or {"schedule": "daily 06:00"})

    @property
    def who(self) -> str:
        return self.email or self.id or ""


async def test_a_file_makes_active_then_changes_only_what_it_says_anew(world: World) -> None:
    first = File("a@example.org", {"schedule": "daily 06:00", "interests": ["file's"]})
    assert (await world.actions.sync_files([first])).added == 1
    ada = await world.find("a@example.org")
    assert (ada.state, ada.next_due_at) == (ConsentState.ACTIVE, datetime(2026, 11, 21, 6, tzinfo=UTC))
    assert (await world.actions.sync_files([first])).unchanged == 1
    world.clock.advance(hours=1)
    await world.actions.change_profile(ada, {"interests": ["reader's"]}, way="reader")
    world.clock.advance(hours=1)
    again = File("a@example.org", {"schedule": "daily 05:00", "interests": ["file's"]})
    assert (await world.actions.sync_files([again])).changed == 1
    profile = (await world.find("a@example.org")).profile
    assert (profile.schedule, profile.interests) == ("daily 05:00", (Interest(text="reader's"),))
    await world.actions.sync_files([again], adopt=True)
    assert (await world.find("a@example.org")).profile.interests == (Interest(text="file's"),)


async def test_a_file_may_name_a_reader_without_an_address(world: World) -> None:
    file = File(None, {"channels": ["feed"]}, id="desk-3")
    assert (await world.actions.sync_files([file])).added == 1
    assert (await world.actions.sync_files([file])).unchanged == 1
    assert (await world.storage.find_subscriber("desk-3")).email is None


# ---------------------------------------------------------------- steering


async def test_of_reader_and_administrator_the_later_word_on_a_key_wins(world: World) -> None:
    ada = await world.actions.add("a@example.org", {"max_items": 3}, active=True)
    for way, value in (("reader", 7), ("cli", 3), ("reader", 7), ("reader", 7), ("cli", 9)):
        world.clock.advance(minutes=1)
        ada = await world.actions.change_profile(ada, {"max_items": value}, way=way)
        assert ada.profile.max_items == value


async def test_a_changed_schedule_moves_the_next_issue_at_once(world: World) -> None:
    ada = await world.actions.add("a@example.org", {"schedule": "monthly 1 07:00"}, active=True)
    ada = await world.actions.change_profile(ada, {"schedule": "daily 18:00", "timezone": "Asia/Tokyo"}, way="reader")
    assert ada.next_due_at == datetime(2026, 11, 21, 9, tzinfo=UTC)
    off = await world.actions.change_profile(ada, {"schedule": "off"}, way="reader")
    assert off.next_due_at is None


async def test_a_pause_ends_by_itself_and_nothing_is_due_meanwhile(world: World) -> None:
    ada = await world.actions.add("a@example.org", {"schedule": "daily 07:30"}, active=True)
    paused = await world.actions.pause(ada, NOW + timedelta(days=3), way="page")
    assert (paused.state, paused.next_due_at) == (ConsentState.PAUSED, None)
    assert await world.actions.end_pauses(NOW + timedelta(days=2)) == 0
    world.clock.advance(days=3)
    assert await world.actions.end_pauses(world.clock.now()) == 1
    back = await world.find("a@example.org")
    assert (back.state, back.resumed_at, back.next_due_at) == (ConsentState.ACTIVE, world.clock.now(), NOW + timedelta(days=3, hours=22.5))


async def test_a_vote_counts_once_and_can_be_taken_back(world: World) -> None:
    ada = await world.actions.add("a@example.org", {}, active=True)
    work = await world.work("One Paper")
    for value in (1, -1):
        await world.actions.vote(ada, work, value, way="mail")
    assert [(vote.value, vote.title) for vote in (await world.storage.votes([ada.id]))[ada.id]] == [(-1, "One Paper")]
    await world.actions.vote(ada, work, 0, way="page")
    assert (await world.storage.votes([ada.id])).get(ada.id, []) == []


# ---------------------------------------------------------------- moving


async def moved(world: World, ada: Subscriber, email: str) -> Subscriber:
    """Ask, then say yes with the link that the new address was mailed."""
    await world.actions.ask_to_move(ada, email)
    mail = [each for each in await world.mails() if each.recipient == email][-1]
    holder, (_, number) = await world.actions.holder(Purpose.MOVE, token_in(mail.values["confirm_url"]))
    return await world.actions.move(holder, number)


async def test_an_address_changes_when_the_new_one_says_yes_and_the_old_one_is_told(world: World) -> None:
    ada = await world.actions.add("old@example.org", {"interests": ["mine"]}, active=True)
    await world.actions.vote(ada, await world.work(), 1, way="page")
    await world.actions.ask_to_move(ada, "new@example.org")
    assert (await world.storage.subscriber(ada.id)).email == "old@example.org"
    world.clock.advance(days=2)
    now = await moved(world, ada, "new@example.org")
    assert (now.id, now.email, now.profile, now.public_id) == (ada.id, "new@example.org", ada.profile, ada.public_id)
    assert len((await world.storage.votes([ada.id]))[ada.id]) == 1
    (told,) = await world.mails(MailKind.ANSWER)
    assert told.recipient == "old@example.org"
    assert "new@example.org" not in str(told.values)
    (event,) = (await world.storage.consent_events(ada.id))[1:]
    assert (event.kind, event.consent_text_hash is not None) == ("moved", True)


async def test_links_in_the_old_mailbox_are_worth_nothing_after_a_move_but_the_way_out(world: World) -> None:
    ada = await world.actions.add("old@example.org", {}, active=True)
    links = signed_links.reader_links(world.actions.keys, "https://paper.example", ada)
    await moved(world, ada, "new@example.org")
    with pytest.raises(TokenError) as gone:
        await world.actions.holder(Purpose.PREFERENCES, token_in(str(links.preferences)))
    assert gone.value.gone
    assert (await world.actions.holder(Purpose.UNSUBSCRIBE, token_in(links.one_click)))[0].id == ada.id
    assert (await world.actions.holder(Purpose.FEED, token_in(str(links.feed_rss))))[0].id == ada.id


async def test_no_file_brings_a_paper_back_to_the_old_address_and_its_owner_may_return(world: World) -> None:
    ada = await world.actions.add("old@example.org", {}, active=True)
    ada = await moved(world, ada, "new@example.org")
    done = await world.actions.sync_files([File("old@example.org")])
    assert (done.added, len(done.refused)) == (0, 1)
    world.clock.advance(days=2)
    assert (await moved(world, ada, "old@example.org")).email == "old@example.org"
    assert (await world.actions.sync_files([File("old@example.org")])).refused == ()


async def test_a_move_mails_nobody_who_has_a_paper_or_wants_none_and_each_address_once_a_day(world: World) -> None:
    ada = await world.actions.add("a@example.org", {}, active=True)
    await world.actions.add("b@example.org", {}, active=True)
    await world.actions.suppress("c@example.org", reason="complained", evidence="")
    for email in ("b@example.org", "c@example.org", "a@example.org", "v.ictim+1@gmail.com", "victim+2@gmail.com"):
        await world.actions.ask_to_move(ada, email)
    assert [mail.recipient for mail in await world.mails()] == ["v.ictim+1@gmail.com"]


async def test_the_link_to_a_new_address_is_good_for_that_address_and_for_an_hour(world: World) -> None:
    ada = await world.actions.add("a@example.org", {}, active=True)
    for email in ("one@example.org", "two@example.org"):
        await world.actions.ask_to_move(ada, email)
    first, second = [token_in(mail.values["confirm_url"]) for mail in await world.mails()]
    _, (_, number) = await world.actions.holder(Purpose.MOVE, first)
    assert (await world.actions.move(ada, number)).email == "one@example.org"
    with pytest.raises(TokenError):  # asked before the move
        await world.actions.holder(Purpose.MOVE, second)
    with pytest.raises(TokenError):
        await world.actions.move(ada, number + 1)
    bob = await world.actions.add("b@example.org", {}, active=True)
    await world.actions.ask_to_move(bob, "three@example.org")
    late = token_in((await world.mails())[-1].values["confirm_url"])
    world.clock.advance(minutes=61)
    with pytest.raises(TokenError) as gone:
        await world.actions.holder(Purpose.MOVE, late)
    assert gone.value.gone


async def test_a_lost_question_is_asked_again_when_its_link_has_ended_a_few_times_a_day_and_by_nobody_else(world: World) -> None:
    ada, eve = [await world.actions.add(email, {}, active=True) for email in ("a@example.org", "eve@example.org")]
    asked = []
    for minutes in (0, 30, 61, 122, 183, 244):
        world.clock.moment = NOW + timedelta(minutes=minutes)
        for reader in (ada, eve):
            await world.actions.ask_to_move(reader, "new@example.org")
        asked.append(len(await world.mails()))
    assert asked == [1, 1, 2, 3, 3, 3]
    world.clock.moment = NOW + timedelta(hours=24 + 1, minutes=5)
    await world.actions.ask_to_move(ada, "new+alias@example.org")
    mails = await world.mails()
    assert len(mails) == 4
    assert {mail.subscriber_id for mail in mails} == {ada.id}


async def test_reading_is_noted_to_the_day_and_only_of_those_without_an_address(world: World) -> None:
    mailed = await world.actions.add("a@example.org", {}, active=True)
    alone = await world.actions.sign_up_for_feed({}, way="page")
    for hours in (0, 5, 30):
        world.clock.moment = NOW + timedelta(hours=hours)
        for each in (mailed, alone):
            await world.actions.holder(Purpose.FEED, token_in(world.actions.feed_addresses(each)[0]))
        noted = [(await world.storage.subscriber(each.id)).feed_read_at for each in (mailed, alone)]
        assert noted == [None, NOW + timedelta(hours=30 if hours == 30 else 0)]


# ---------------------------------------------------------------- leaving, links


async def test_leaving_is_idempotent_and_the_feed_stays_unless_it_is_revoked(world: World) -> None:
    ada = await world.actions.add("a@example.org", {}, active=True)
    await world.actions.unsubscribe(ada, way="one-click")
    await world.actions.unsubscribe(await world.find("a@example.org"), way="one-click")
    left = await world.find("a@example.org")
    assert (left.state, left.feed_epoch, left.next_due_at) == (ConsentState.UNSUBSCRIBED, 0, None)
    assert [event.kind for event in await world.storage.consent_events(left.id)] == ["admin", "unsubscribed"]
    await world.actions.unsubscribe(left, way="page", revoke_feed=True)
    assert (await world.find("a@example.org")).feed_epoch == 1


def token_in(url: str) -> str:
    return url.rpartition("/")[2].removesuffix(".rss")


async def test_a_link_leads_to_its_holder_until_it_is_rotated_or_its_hour_is_over(world: World) -> None:
    actions = world.actions
    ada = await actions.add("a@example.org", {}, active=True)
    links = signed_links.reader_links(actions.keys, "https://paper.example", ada)
    feed, way_out = token_in(str(links.feed_rss)), token_in(links.one_click)
    assert (await actions.holder(Purpose.FEED, feed))[0] == ada
    await actions.rotate_feed(ada)
    with pytest.raises(TokenError) as rotated:
        await actions.holder(Purpose.FEED, feed)
    assert rotated.value.gone
    with pytest.raises(TokenError) as wrong:
        await actions.holder(Purpose.FEED, way_out)
    assert not wrong.value.gone
    await actions.mail_owner_link(ada)
    (mail,) = await world.mails(MailKind.ANSWER)
    owner = token_in(mail.values["links"][0][1])
    assert (await actions.holder(Purpose.OWNER, owner))[0].id == ada.id
    world.clock.advance(minutes=61)
    with pytest.raises(TokenError):
        await actions.holder(Purpose.OWNER, owner)


async def test_the_way_out_of_a_forgotten_reader_still_verifies_and_no_other_link_does(world: World) -> None:
    actions = world.actions
    ada = await actions.add("a@example.org", {}, active=True)
    links = signed_links.reader_links(actions.keys, "https://paper.example", ada)
    await actions.forget(ada, way="page")
    assert (await actions.holder(Purpose.UNSUBSCRIBE, token_in(links.one_click)))[0].state is ConsentState.FORGOTTEN
    with pytest.raises(TokenError):
        await actions.holder(Purpose.PREFERENCES, token_in(str(links.preferences)))
