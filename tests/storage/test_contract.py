"""What storage promises, on both databases: one case or more for every method of the pipeline's protocols."""

import re
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from made_rows import (
    ABSTRACT,
    DAY,
    ENGINE,
    FEED_ONLY,
    MODEL,
    NOW,
    OTHER,
    add_reader,
    add_source,
    entry,
    event,
    issue,
    queued,
    record,
    works,
)
from sqlalchemy import event as events
from sqlalchemy import text

from paperround.errors import AlreadyExistsError, NotFoundError, StorageError
from paperround.models import (
    ConsentState,
    DeliveryState,
    DigestId,
    Entry,
    Interest,
    MailKind,
    Profile,
    SourceState,
    Vote,
)
from paperround.records import Backlog, Layer, NewDelivery, Outdated, Poll, Run, WorkVectors
from paperround.storage.schema import UtcDateTime
from paperround.storage.sql_storage import SqlStorage, open_storage

# ---------------------------------------------------------------- sources


async def test_a_source_is_found_by_name_and_address_and_polled_when_due(storage: SqlStorage) -> None:
    source = await add_source(storage)
    assert await storage.find_source("A") == await storage.find_source("/pages/a.txt") == source
    assert source.tags == ("nlp",)
    with pytest.raises(AlreadyExistsError):
        await add_source(storage, name="again")
    assert [each.id for each in await storage.due_sources(NOW)] == [source.id]
    await storage.save_poll(
        source.id, Poll(at=NOW, ok=True, next_poll_at=NOW + DAY, etag='W/"x"', body_read=True, new_entries=2, interval=60.0)
    )
    assert await storage.due_sources(NOW) == []
    (known,) = await storage.sources()
    assert (known.etag, known.last_success_at, known.last_new_at, known.failures) == ('W/"x"', NOW, NOW, 0)
    for hour in (1, 2):
        await storage.save_poll(source.id, Poll(at=NOW + timedelta(hours=hour), ok=False, next_poll_at=NOW + DAY, error="down"))
    (failing,) = await storage.sources()
    assert (failing.failures, failing.failing_since, failing.error, failing.etag) == (2, NOW + timedelta(hours=1), "down", 'W/"x"')
    await storage.save_poll(source.id, Poll(at=NOW, ok=False, next_poll_at=None, error="gone", state=SourceState.STOPPED))
    assert await storage.due_sources(NOW + 9 * DAY) == []
    await record(storage, source, [entry(1), entry(2)])
    assert await storage.arrivals(NOW - DAY) == {source.id: [(NOW, 2)]}
    assert await storage.arrivals(NOW) == {}
    await storage.remove_source(source.id)
    with pytest.raises(NotFoundError):
        await storage.find_source("A")


# ---------------------------------------------------------------- works


async def test_entries_become_works_once(storage: SqlStorage) -> None:
    source = await add_source(storage)
    assert (await record(storage, source, [entry(1), entry(2)]), await storage.count_works()) == (2, 2)
    assert (await record(storage, source, [entry(1), entry(2), entry(3)], NOW + DAY), await storage.count_works()) == (1, 3)
    assert [work.title for work in await storage.works_seen(NOW, NOW + DAY)] == [entry(3).title]


async def test_upvotes_are_those_of_the_last_reading(storage: SqlStorage) -> None:
    source = await add_source(storage)
    await record(storage, source, [entry(1, upvotes=3)])
    await record(storage, source, [entry(1, upvotes=86)], NOW + DAY)
    (work,) = await storage.works_seen(NOW - DAY, NOW)
    assert (work.upvotes, len(work.mentions), work.mentions[0].upvotes) == (86, 1, 86)


async def test_what_stood_in_a_backlog_is_new_when_another_source_carries_it(storage: SqlStorage) -> None:
    await record(storage, await add_source(storage), [entry(1)], quiet=True)
    assert await storage.works_seen(NOW - DAY, NOW) == []
    await record(storage, await add_source(storage, "/pages/b.txt", "B"), [entry(1, guid="b1")], NOW + DAY)
    (work,) = await storage.works_seen(NOW, NOW + DAY)
    assert [mention.source_name for mention in work.mentions] == ["A", "B"]


async def test_a_withdrawn_work_is_no_candidate(storage: SqlStorage) -> None:
    await record(storage, await add_source(storage), [entry(1, withdrawn=True), entry(2)])
    assert len(await storage.works_seen(NOW - DAY, NOW)) == 1


async def test_two_works_that_turn_out_to_be_one_keep_what_was_sent_and_voted(storage: SqlStorage) -> None:
    source = await add_source(storage)
    one = entry(1, arxiv_id="2603.00001")
    other = Entry(title="A preprint by another name", summary="2. " + ABSTRACT, guid="g2", doi="10.1000/x")
    await record(storage, source, [one, other])
    older, younger = await storage.works_seen(NOW - DAY, NOW)
    reader = await add_reader(storage)
    await storage.record_digests([issue(reader, [younger])])
    await storage.save_vote(reader.id, Vote(work_id=younger.id, value=1, at=NOW, way="mail", title=younger.title))
    both = Entry(title="Both of them", arxiv_id="2603.00001", doi="10.1000/x", guid="g3", url="https://doi.org/10.1000/x")
    await record(storage, source, [both], NOW + DAY)
    assert await storage.count_works() == 1
    assert (await storage.works([younger.id]))[younger.id].id == older.id
    assert list((await storage.issued_works([reader.id], among=[older.id]))[reader.id]) == [older.id]
    assert [vote.work_id for vote in (await storage.votes([reader.id]))[reader.id]] == [older.id]
    assert (await storage.find_work("doi:10.1000/x")).id == older.id


async def test_a_new_version_that_says_something_else_is_seen_again(storage: SqlStorage) -> None:
    source = await add_source(storage)
    first = entry(1, arxiv_id="2603.00001", version=1, summary="It is 2.1 × faster on nine tasks than what came before.")
    await record(storage, source, [first])
    await record(storage, source, [replace(first, version=2, summary=first.summary.replace("2.1", "2.6"), guid="v2")], NOW + DAY)
    (work,) = await storage.works_seen(NOW, NOW + DAY)
    assert work.changed_at == NOW + DAY
    assert "2.6 ×" in (work.change or "")
    assert "2.6" in work.abstract


async def test_works_are_found_by_what_a_person_calls_them(storage: SqlStorage) -> None:
    await record(storage, await add_source(storage), [entry(1, arxiv_id="2603.00001", doi="10.1000/x", url="https://example.org/1")])
    (work,) = await storage.works_seen(NOW - DAY, NOW)
    names = [str(work.id), "arxiv:2603.00001", "arXiv:2603.00001v3", "doi:10.1000/X", "https://example.org/1", work.title.upper()]
    assert await storage.resolve([*names, "nothing"]) == dict.fromkeys(names, work.id)
    with pytest.raises(NotFoundError):
        await storage.find_work("nothing")


# ---------------------------------------------------------------- vectors


async def test_vectors_are_kept_by_model_and_made_anew_when_the_text_changes(storage: SqlStorage) -> None:
    found = await works(storage)
    todo = await storage.works_to_embed(MODEL, limit=2)
    assert (len(todo), await storage.count_to_embed(MODEL)) == (2, 3)
    vectors = [
        WorkVectors(
            work_id=each.work_id,
            content_hash=each.content_hash,
            vector=np.array([1, 0, each.work_id], np.float16),
            sentences=("One.", "Two."),
            sentence_vectors=np.eye(2, 3, dtype=np.float16),
        )
        for each in todo
    ]
    await storage.save_work_vectors(MODEL, vectors)
    await storage.save_work_vectors(MODEL, vectors)
    known, matrix = await storage.work_vectors(MODEL, [work.id for work in reversed(found)])
    assert known == [found[1].id, found[0].id]
    assert matrix.tolist() == [[1, 0, found[1].id], [1, 0, found[0].id]]
    assert (await storage.work_vectors("other@1", known))[0] == []
    sentences, rows = (await storage.sentence_vectors(MODEL, known))[found[0].id]
    assert (sentences, rows.shape) == (("One.", "Two."), (2, 3))
    assert (await storage.all_work_vectors(MODEL, limit=1))[0] == [found[1].id]
    await record(storage, await storage.find_source("A"), [entry(0, summary=f"0. {ABSTRACT} And a longer end of it.")], NOW + DAY)
    assert found[0].id in [each.work_id for each in await storage.works_to_embed(MODEL, limit=9)]


async def test_words_of_readers_are_embedded_once_a_model(storage: SqlStorage) -> None:
    await add_reader(storage)
    assert await storage.texts_to_embed(MODEL, limit=9) == ["small robots", "weather"]
    await storage.save_text_vectors(MODEL, {"small robots": np.ones(3, np.float16)})
    assert await storage.texts_to_embed(MODEL, limit=9) == ["weather"]
    assert list(await storage.text_vectors(MODEL, ["small robots", "weather"])) == ["small robots"]


async def test_the_background_is_replaced_not_collected(storage: SqlStorage) -> None:
    assert await storage.background(MODEL) is None
    for moment in (NOW, NOW + DAY):
        await storage.save_background(MODEL, {"mean": np.arange(3.0), "size": np.array(7)}, now=moment)
    stored = await storage.background(MODEL)
    assert stored is not None
    assert stored[0] == NOW + DAY
    assert stored[1]["mean"].tolist() == [0, 1, 2]


# ---------------------------------------------------------------- subscribers


async def test_a_subscriber_is_found_in_any_spelling_of_case_and_added_once(storage: SqlStorage) -> None:
    reader = await add_reader(storage)
    assert await storage.find_subscriber("ada@EXAMPLE.org") == reader == await storage.by_public_id(reader.public_id)
    assert await storage.subscribers_by_id([reader.id]) == {reader.id: reader}
    assert reader == await storage.subscriber(reader.id)
    assert (reader.profile.interests, reader.consented_at) == ((Interest(text="small robots", weight=2.0),), NOW)
    with pytest.raises(AlreadyExistsError):
        await add_reader(storage, "ADA@example.org")
    with pytest.raises(NotFoundError):
        await storage.find_subscriber("nobody@example.org")
    assert [each async for batch in storage.subscribers(states=("active",), batch=1) for each in batch] == [reader]
    assert await storage.count_subscribers() == {"active": 1}


async def test_only_the_active_are_due(storage: SqlStorage) -> None:
    active = await add_reader(storage)
    await add_reader(storage, "pending@example.org", ConsentState.PENDING)
    assert await storage.due_subscribers(NOW, after=None, limit=9) == [active]
    assert await storage.due_subscribers(NOW, after=active.id, limit=9) == []
    assert await storage.due_shards(NOW, 9) == [(active.id, active.id)]
    assert (await storage.count_due(NOW), await storage.count_due(NOW - DAY)) == (1, 0)
    await storage.save_profile(active.id, Profile(max_items=9), next_due_at=NOW + DAY)
    assert await storage.due_subscribers(NOW, after=None, limit=9) == await storage.due_shards(NOW, 9) == []
    assert (await storage.subscriber(active.id)).profile.max_items == 9


async def test_shards_cover_all_who_are_due_each_once(storage: SqlStorage) -> None:
    ids = [(await add_reader(storage, f"reader{number}@example.org")).id for number in range(7)]
    await storage.record_consent(ids[2], event("paused", ConsentState.PAUSED), next_due_at=None)
    shards = await storage.due_shards(NOW, 3)
    assert shards == [(ids[0], ids[3]), (ids[4], ids[6])]
    found = [await storage.due_subscribers(NOW, after=None, limit=9, last=last) for _, last in shards]
    assert [[each.id for each in several] for several in found] == [[ids[0], ids[1], ids[3]], [ids[0], ids[1], *ids[3:]]]


async def test_leaving_cancels_queued_issues_and_nothing_else(storage: SqlStorage) -> None:
    (reader,), (delivery,) = await queued(storage)
    letter = NewDelivery(
        kind=MailKind.CONFIRMATION, subscriber_id=reader.id, recipient="reader0@example.org", message_id="c@x", values={"a": 1}
    )
    await storage.queue(letter, now=NOW)
    await storage.record_consent(reader.id, event("unsubscribed", ConsentState.UNSUBSCRIBED), next_due_at=None)
    assert await storage.mark_sending([delivery.id], NOW) == []
    assert await storage.count_deliveries() == {DeliveryState.CANCELLED: 1, DeliveryState.QUEUED: 1}
    assert [each.state for each in await storage.consent_events(reader.id)] == [ConsentState.ACTIVE, ConsentState.UNSUBSCRIBED]
    assert await storage.last_mail_to("Reader0+tag@example.org", MailKind.CONFIRMATION) == NOW
    assert await storage.last_mail_to("reader0@example.org", MailKind.ANSWER) is None


async def test_a_pause_ends_when_its_time_has_come(storage: SqlStorage) -> None:
    reader = await add_reader(storage)
    await storage.record_consent(reader.id, event("paused", ConsentState.PAUSED), next_due_at=None, paused_until=NOW + DAY)
    assert await storage.paused_until(NOW) == []
    assert [each.id for each in await storage.paused_until(NOW + DAY)] == [reader.id]


async def test_epochs_rise(storage: SqlStorage) -> None:
    reader = await add_reader(storage)
    await storage.raise_epochs(reader.id, feed=True)
    await storage.raise_epochs(reader.id, link=True, feed=True)
    again = await storage.subscriber(reader.id)
    assert (again.link_epoch, again.feed_epoch) == (1, 2)


async def test_layers_are_kept_by_key(storage: SqlStorage) -> None:
    reader = await add_reader(storage)
    await storage.save_layers(reader.id, [Layer(layer="file", key="max_items", value=5, changed_at=NOW)])
    new = [
        Layer(layer="file", key="max_items", value=7, changed_at=NOW + DAY),
        Layer(layer="reader", key="avoid", value=["x"], changed_at=NOW),
    ]
    await storage.save_layers(reader.id, new)
    assert await storage.layers(reader.id) == new
    await storage.drop_layer(reader.id, "reader")
    assert await storage.layers(reader.id) == new[:1]


async def test_the_latest_vote_counts_and_zero_takes_it_back(storage: SqlStorage) -> None:
    reader, (work, *_) = await add_reader(storage), await works(storage)
    for value in (1, -1):
        await storage.save_vote(reader.id, Vote(work_id=work.id, value=value, at=NOW, way="mail", title=work.title))
    assert [vote.value for vote in (await storage.votes([reader.id]))[reader.id]] == [-1]
    await storage.save_vote(reader.id, Vote(work_id=work.id, value=0, at=NOW, way="page"))
    assert await storage.votes([reader.id]) == {}


async def test_suppressed_addresses_are_not_claimed_and_come_back_when_allowed(storage: SqlStorage) -> None:
    (reader,), _ = await queued(storage)
    await storage.suppress("Reader0@example.org", reason="bounced", evidence="550 5.1.1", now=NOW)
    assert (await storage.subscriber(reader.id)).suppressed == "bounced"
    assert await storage.suppression(["other", "READER0@example.org"]) == "bounced"
    assert await storage.count_deliveries() == {DeliveryState.CANCELLED: 1}
    assert [row["evidence"] for row in await storage.suppressions()] == ["550 5.1.1"]
    assert await storage.unsuppress("reader0@example.org")
    assert not await storage.unsuppress("reader0@example.org")
    assert (await storage.subscriber(reader.id)).suppressed is None


async def test_whoever_says_mail_next_is_found_by_number_and_not_by_reading_the_queue(tmp_path: Path) -> None:
    """On SQLite, which does not know how many rows there are; PostgreSQL does, and chooses by that."""
    storage = await open_storage(f"sqlite:///{tmp_path}/paperround.db")
    _, mails = await queued(storage, 12)
    asked: list[str] = []
    listened = (storage.db.plain, "before_cursor_execute", lambda *given: asked.append(given[2]))
    events.listen(*listened)
    assert len(await storage.mark_sending([each.id for each in mails], NOW)) == 12
    (statement,) = (each for each in asked if each.startswith("UPDATE"))
    async with storage.db.reading() as connection:
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?"))).all()
    assert plan[0].detail == "SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"
    await storage.close()


async def test_complaints_are_counted_from_a_time_on_and_other_reasons_are_not(storage: SqlStorage) -> None:
    for number, reason in enumerate(["complained", "complained", "bounced", "forgotten"]):
        await storage.suppress(f"reader{number}@example.org", reason=reason, evidence="x", now=NOW + timedelta(days=number))
    assert [await storage.count_complaints(NOW + timedelta(days=days)) for days in (-1, 0, 1, 2)] == [2, 2, 1, 0]


async def test_forgetting_leaves_a_hash_and_a_row_without_a_person(storage: SqlStorage) -> None:
    (reader,), _ = await queued(storage)
    await storage.forget(reader.id, address_hash="abc123", event=event("forgotten", ConsentState.FORGOTTEN))
    bare = await storage.by_public_id(reader.public_id)
    assert bare is not None
    assert (bare.email, bare.state, bare.profile.interests) == (None, ConsentState.FORGOTTEN, ())
    assert await storage.suppression(["abc123"]) == "forgotten"
    assert [each.recipient for each in await storage.deliveries_of(reader.id, limit=9)] == [""]


async def test_a_forgotten_address_is_nowhere_in_the_file_and_its_log(tmp_path: Path) -> None:
    storage = await open_storage(f"sqlite:///{tmp_path}/test.db")
    reader = await add_reader(storage, "unmistakable-name@example.org")
    chosen = await works(storage)
    await storage.record_digests([issue(reader, chosen)])
    await storage.save_layers(reader.id, [Layer(layer="reader", key="interests", value=["unmistakable-taste"], changed_at=NOW)])
    await storage.forget(reader.id, address_hash="abc123", event=event("forgotten", ConsentState.FORGOTTEN))
    held = everything_in(tmp_path)
    await storage.close()
    assert b"unmistakable" not in held.lower()


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_unconfirmed_rows_and_old_prefixes_go(storage: SqlStorage) -> None:
    await add_reader(storage, "pending@example.org", ConsentState.PENDING)
    assert await storage.remove_pending(NOW) == 0
    assert await storage.remove_pending(NOW + DAY) == 1
    reader = await add_reader(storage)
    await storage.record_consent(reader.id, event("confirmed", address_prefix="192.0.2.0/24"), next_due_at=NOW)
    assert await storage.erase_prefixes(NOW + DAY) == 1
    assert [each.address_prefix for each in await storage.consent_events(reader.id)] == [None, None]


async def test_an_address_moves_with_the_issues_that_wait_and_takes_nobodys_place(storage: SqlStorage) -> None:
    (reader,), (mail, *_) = await queued(storage)
    other = await add_reader(storage, "taken@example.org")
    with pytest.raises(AlreadyExistsError):
        await storage.move_address(reader.id, "Taken@example.org", event("moved"))
    await storage.move_address(reader.id, "new@example.org", event("moved"))
    moved = await storage.find_subscriber("New@example.org")
    assert (moved.id, moved.link_epoch, moved.state, moved.profile) == (reader.id, 1, reader.state, reader.profile)
    assert (await storage.delivery(mail.id)).recipient == "new@example.org"
    assert [each.kind for each in await storage.consent_events(reader.id)][-1] == "moved"
    assert (await storage.subscriber(other.id)).link_epoch == 0


async def test_readers_by_feed_alone_go_when_nobody_reads(storage: SqlStorage) -> None:
    left, read = [await storage.add_subscriber(**FEED_ONLY, public_id=name) for name in ("a" * 32, "b" * 32)]
    filed = await storage.add_subscriber(**FEED_ONLY, public_id="c" * 32, file_id="desk")
    mailed = await add_reader(storage)
    await storage.note_feed_read(read.id, NOW + DAY)
    assert await storage.remove_unread(NOW) == 0
    assert await storage.remove_unread(NOW + DAY) == 1
    assert set(await storage.subscribers_by_id([left.id, read.id, filed.id, mailed.id])) == {read.id, filed.id, mailed.id}


async def test_vectors_of_words_that_no_profile_holds_any_more_go(storage: SqlStorage) -> None:
    reader = await add_reader(storage)
    words = ["small robots", "weather", "of a visitor"]
    await storage.save_text_vectors(MODEL, {each: np.ones(4, np.float16) for each in words})
    await storage.remove_pending(NOW)
    assert set(await storage.text_vectors(MODEL, words)) == {"small robots", "weather"}
    await storage.forget(reader.id, address_hash="abc", event=event("forgotten", ConsentState.FORGOTTEN))
    assert await storage.text_vectors(MODEL, words) == {}


# ---------------------------------------------------------------- digests


async def test_an_issue_is_recorded_once_a_subscriber_and_period_with_its_delivery(storage: SqlStorage) -> None:
    reader, chosen = await add_reader(storage), await works(storage)
    (recorded,) = await storage.record_digests([issue(reader, chosen)])
    assert await storage.record_digests([issue(reader, chosen)]) == []
    assert await storage.count_deliveries() == {DeliveryState.QUEUED: 1}
    again = await storage.digest(recorded.id)
    assert again == (await storage.digests([recorded.id]))[recorded.id]
    assert [item.work.title for item in again.chosen] == [work.title for work in chosen]
    assert again.items[0].reason.liked_at == NOW - DAY
    known = await storage.subscriber(reader.id)
    assert (known.issues, known.last_cutoff, known.next_due_at) == (1, NOW, NOW + DAY)
    with pytest.raises(NotFoundError):
        await storage.digest(DigestId(999))


async def test_the_latest_issues_come_first_and_feed_the_feed(storage: SqlStorage) -> None:
    reader, (one, two, _) = await add_reader(storage), await works(storage)
    for day, work in enumerate((one, two)):
        decided = issue(reader, [work], NOW.date() + timedelta(days=day), mail=False)
        await storage.record_digests([replace(decided, digest=replace(decided.digest, created_at=NOW + day * DAY))])
    assert [digest.period.day for digest in await storage.digests_of(reader.id, limit=5)] == [3, 2]
    items = await storage.feed_items(reader.id, limit=5, since=NOW)
    assert [item.work.id for _, item in items] == [two.id, one.id]
    assert await storage.issued_works([reader.id], among=[one.id, two.id]) == {reader.id: {one.id: NOW, two.id: NOW + DAY}}
    assert await storage.issued_works([reader.id], among=[two.id]) == {reader.id: {two.id: NOW + DAY}}


async def test_what_readers_judged_are_the_works_of_issues_in_which_they_voted(storage: SqlStorage) -> None:
    reader, silent, (one, two, _) = await add_reader(storage), await add_reader(storage, "silent@example.org"), await works(storage)
    await storage.record_digests([issue(reader, [one, two]), issue(silent, [one])])
    assert await storage.judged(since=NOW) == []
    await storage.save_vote(reader.id, Vote(work_id=two.id, value=1, at=NOW + DAY, way="mail", title=two.title))
    judged = await storage.judged(since=NOW, subscriber_ids=[reader.id, silent.id])
    assert [(each.subscriber_id, each.work_id, each.value) for each in judged] == [(reader.id, one.id, 0), (reader.id, two.id, 1)]
    assert judged == await storage.judged(since=NOW)
    assert await storage.judged(since=NOW + DAY) == await storage.judged(since=NOW, subscriber_ids=[silent.id]) == []


# ---------------------------------------------------------------- deliveries


async def test_two_engines_never_claim_the_same(storage: SqlStorage) -> None:
    _, claimed = await queued(storage, 5)
    await storage.start_engine(OTHER, NOW)
    assert len(claimed) == 5
    assert await storage.claim(OTHER, NOW, limit=100, until=NOW + DAY) == []
    await storage.release([claimed[0].id])
    assert [each.id for each in await storage.claim(OTHER, NOW, limit=100, until=NOW + DAY)] == [claimed[0].id]


async def test_what_a_dead_engine_held_is_taken_over_and_what_it_was_sending_is_in_doubt(storage: SqlStorage) -> None:
    _, (first, *_) = await queued(storage, 3)
    assert await storage.mark_sending([first.id], NOW) == [first.id]
    await storage.heartbeat(ENGINE, NOW + timedelta(seconds=30))
    assert await storage.recover(NOW + timedelta(seconds=80), silent_for=60) == (0, 0)
    assert await storage.recover(NOW + timedelta(seconds=95), silent_for=60) == (2, 1)
    assert len(await storage.claim(OTHER, NOW, limit=100, until=NOW + DAY)) == 2
    assert await storage.resend_in_doubt(NOW) == 1
    (again,) = await storage.claim(OTHER, NOW, limit=100, until=NOW + DAY)
    assert again.message_id == first.message_id


async def test_an_engine_that_stops_gives_back_what_it_has_not_sent(storage: SqlStorage) -> None:
    await queued(storage, 2)
    await storage.stop_engine(ENGINE)
    assert len(await storage.claim(OTHER, NOW, limit=100, until=NOW + DAY)) == 2


async def test_the_outcome_of_a_try_is_written_and_found_again(storage: SqlStorage) -> None:
    (reader,), (delivery,) = await queued(storage)
    await storage.mark_sending([delivery.id], NOW)
    later = replace(
        delivery, state=DeliveryState.DEFERRED, attempts=1, next_attempt_at=NOW + DAY, first_attempt_at=NOW, code=451, reply="later"
    )
    await storage.finish([later])
    assert await storage.claim(ENGINE, NOW, limit=9, until=NOW) == []
    (again,) = await storage.claim(ENGINE, NOW + DAY, limit=9, until=NOW)
    assert (again.attempts, again.code, again.reply) == (1, 451, "later")
    await storage.finish([replace(again, state=DeliveryState.SENT, finished_at=NOW + DAY)])
    found = await storage.delivery_by_message_id(delivery.message_id)
    assert found is not None
    assert found == await storage.delivery(found.id)
    assert (found.state, found.finished_at) == (DeliveryState.SENT, NOW + DAY)
    assert [each.id for each in await storage.deliveries_of(reader.id, limit=9)] == [delivery.id]
    assert [await storage.count_sent(NOW + days * DAY) for days in (0, 1, 2)] == [1, 1, 0]
    assert await storage.outcomes(NOW) == {("example.org", DeliveryState.SENT, 451): 1}
    assert await storage.outcomes(NOW + DAY) == {}


async def test_domains_are_passed_over_when_asked_to(storage: SqlStorage) -> None:
    _, claimed = await queued(storage, 2)
    await storage.release([each.id for each in claimed])
    assert await storage.claim(OTHER, NOW, limit=9, until=NOW + DAY, left_out={"other.org", "example.org"}) == []
    assert len(await storage.claim(OTHER, NOW, limit=9, until=NOW + DAY, left_out={"other.org", "ample.org"})) == 2


async def test_slots_are_handed_out_one_after_the_other(storage: SqlStorage) -> None:
    assert await storage.reserve({"b": (4, 0.5), "a": (1, 3.0)}, NOW) == pytest.approx({"a": 0.0, "b": 0.0})
    assert await storage.reserve({"b": (1, 0.5)}, NOW) == pytest.approx({"b": 2.0})
    assert await storage.reserve({"b": (1, 0.5), "a": (1, 3.0)}, NOW + timedelta(seconds=1)) == pytest.approx({"b": 1.5, "a": 2.0})
    assert await storage.reserve({"b": (2, 0.5)}, NOW + DAY) == pytest.approx({"b": 0.0})
    assert await storage.reserve({}, NOW) == {}


# ---------------------------------------------------------------- what is watched


async def test_what_steps_took_is_kept_for_a_while(storage: SqlStorage) -> None:
    taken = [Run(step="compose", at=NOW + day * DAY, seconds=0.5, count=3, fault="the disk is full" if day else None) for day in (0, 1)]
    for run in reversed(taken):
        await storage.record_run(run)
    assert (await storage.runs(NOW), await storage.runs(NOW + DAY)) == (taken, taken[1:])
    assert await storage.forget_runs(NOW + DAY) == 1
    assert await storage.runs(NOW) == taken[1:]


async def test_empty_issues_are_told_from_full_ones(storage: SqlStorage) -> None:
    chosen, readers = await works(storage), [await add_reader(storage, f"r{number}@example.org") for number in range(3)]
    await storage.record_digests([issue(reader, chosen if number else []) for number, reader in enumerate(readers)])
    assert await storage.yields(NOW) == [(NOW, 3, 2)]
    assert await storage.yields(NOW + DAY) == []


@pytest.mark.parametrize(
    ("state", "finished", "late"),
    [
        (DeliveryState.FAILED, NOW, True),
        (DeliveryState.FAILED, NOW - DAY, False),
        (DeliveryState.IN_DOUBT, None, True),
        (DeliveryState.DEFERRED, None, True),
        (DeliveryState.SENT, NOW, False),
    ],
)
async def test_a_mail_that_did_not_arrive_is_late(storage: SqlStorage, state: DeliveryState, finished: datetime | None, late: bool) -> None:
    (reader,), (delivery,) = await queued(storage)
    await storage.finish([replace(delivery, state=state, finished_at=finished, reply="no")])
    found = await storage.late_mails(since=NOW, stuck=NOW + DAY, limit=9)
    assert [(each.subscriber_id, each.state, each.reply) for each in found] == ([(reader.id, state, "no")] if late else [])


async def test_a_schema_that_changes_under_us_is_noticed(storage: SqlStorage) -> None:
    assert await storage.still_ours()
    await storage.db.write(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not await storage.still_ours()


async def test_what_waits_for_long_is_counted(storage: SqlStorage) -> None:
    await queued(storage, 2)
    assert await storage.backlogs(MODEL, NOW) == {}
    waiting = await storage.backlogs(MODEL, NOW + DAY)
    assert waiting == {"mails": Backlog(count=2, oldest=NOW), "works": Backlog(count=3, oldest=NOW)}


async def test_what_the_report_counts(storage: SqlStorage) -> None:
    chosen = await works(storage)
    readers = [await add_reader(storage, f"r{number}@example.org") for number in range(2)]
    await storage.record_digests([issue(reader, chosen) for reader in readers])
    await storage.save_vote(readers[0].id, Vote(work_id=chosen[0].id, value=1, at=NOW, way="cli"))
    await storage.save_vote(readers[1].id, Vote(work_id=chosen[0].id, value=-1, at=NOW, way="cli"))
    await storage.suppress("x@example.org", reason="bounced", evidence="", now=NOW)
    found = await storage.figures(NOW)
    assert [(at, state) for _, at, state in found.states] == [(NOW, "active")] * 2
    assert sorted(found.shown) == [(1, 5, 2, 1, 1), (2, 5, 2, 0, 0), (3, 5, 2, 0, 0)]
    assert found.sources == (("A", 3, 6, 1),)
    assert (found.mails, found.suppressed) == (((NOW.date(), "queued", 2),), ((NOW.date(), "bounced", 1),))
    later = await storage.figures(NOW + DAY)
    assert (later.shown, later.sources, later.mails, later.suppressed) == ((), (), (), ())


async def test_the_administrator_is_told_once_by_whoever_comes_first(storage: SqlStorage) -> None:
    mail = NewDelivery(kind=MailKind.NOTICE, subscriber_id=None, recipient="root@example.org", message_id="n@example.org", values={})
    assert await storage.settle_matters(told=["a", "b"], over=[], now=NOW, mail=mail)
    assert not await storage.settle_matters(told=["c"], over=["a"], now=NOW + DAY, mail=mail)
    assert await storage.matters() == {"a": NOW, "b": NOW}
    assert await storage.settle_matters(told=["b"], over=["a"], now=NOW + DAY)
    assert await storage.matters() == {"b": NOW + DAY}
    assert await storage.count_deliveries() == {DeliveryState.QUEUED: 1}


# ---------------------------------------------------------------- the whole


async def test_old_works_go_unless_somebody_got_or_liked_them(storage: SqlStorage) -> None:
    reader, (one, two, _) = await add_reader(storage), await works(storage)
    await storage.record_digests([issue(reader, [one])])
    await storage.save_vote(reader.id, Vote(work_id=two.id, value=1, at=NOW, way="cli"))
    assert (await storage.outdated(older(works=NOW + DAY)))["works"] == 1
    assert (await storage.prune(older(works=NOW + DAY), limit=10))["works"] == 1
    assert await storage.count_works() == 2
    assert await storage.check() == []


async def test_issues_go_with_their_mails_and_then_their_works_a_few_at_a_time(storage: SqlStorage) -> None:
    readers, mails = await queued(storage, 3)
    await storage.finish([replace(mail, state=DeliveryState.SENT, finished_at=NOW) for mail in mails[:1]])
    old = older(works=NOW + DAY, digests=NOW + DAY)
    assert (await storage.outdated(old))["digests"] == 3
    assert (await storage.prune(old, limit=2))["digests"] == 2
    assert (await storage.prune(old, limit=2))["works"] == 2
    assert (await storage.digests_of(readers[0].id, limit=9), await storage.count_deliveries()) == ([], {})
    assert await storage.check() == []


async def test_mails_go_when_they_have_ended(storage: SqlStorage) -> None:
    _, (sent, *_) = await queued(storage, 2)
    await storage.finish([replace(sent, state=DeliveryState.SENT, finished_at=NOW)])
    assert (await storage.prune(older(deliveries=NOW), limit=9))["deliveries"] == 0
    assert (await storage.prune(older(deliveries=NOW + DAY), limit=9))["deliveries"] == 1
    assert await storage.count_deliveries() == {DeliveryState.QUEUED: 1}


async def test_sentences_of_old_works_and_vectors_of_other_models_go(storage: SqlStorage) -> None:
    await works(storage)
    ones = np.ones(4, np.float16)
    for model in (MODEL, "other@1"):
        todo = await storage.works_to_embed(model, limit=9)
        rows = [(each.work_id, each.content_hash) for each in todo]
        await storage.save_work_vectors(
            model,
            [WorkVectors(work_id=name, content_hash=text, vector=ones, sentences=("A.",), sentence_vectors=ones) for name, text in rows],
        )
        await storage.save_text_vectors(model, {"words": ones})
    removed = await storage.prune(older(sentences=NOW + DAY), limit=99)
    assert {kind: count for kind, count in removed.items() if count} == {
        "sentences": 6,
        "work_vectors of other models": 3,
        "text_vectors of other models": 1,
    }
    known, vectors = await storage.all_work_vectors(MODEL, limit=9)
    assert (len(known), vectors.shape) == (3, (3, 4))
    assert [words for words, _ in (await storage.sentence_vectors(MODEL, known)).values()] == [(), (), ()]
    assert (await storage.works_to_embed(MODEL, limit=9), await storage.count_to_embed("other@1")) == ([], 3)
    assert not any((await storage.prune(older(sentences=NOW + DAY), limit=99)).values())


def older(**dates: datetime) -> Outdated:
    long_ago = dict.fromkeys(("works", "sentences", "digests", "deliveries"), NOW - 9999 * DAY)
    return Outdated(**{**long_ago, **dates}, model=MODEL)


async def test_the_sizes_of_tables_are_told(storage: SqlStorage) -> None:
    await works(storage)
    found = {each.name: each for each in await storage.sizes()}
    assert (found["works"].rows, found["mentions"].rows, found["votes"].rows) == (3, 3, 0)
    assert sum(each.bytes or 0 for each in found.values()) > 10_000


async def test_what_is_missing_of_the_schema_is_told(storage: SqlStorage) -> None:
    for statement in ("DROP TABLE runs", "DROP INDEX ix_deliveries_due", "ALTER TABLE works DROP COLUMN upvotes"):
        await storage.db.write(text(statement))
    assert sorted(await storage.check()) == ["deliveries lacks ix_deliveries_due", "the table runs is missing", "works lacks upvotes"]


async def test_the_instance_keeps_its_name(url: str) -> None:
    names = set()
    for _ in range(2):
        storage = await open_storage(url)
        names.add(storage.instance_id)
        await storage.close()
    assert len(names) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", names.pop())


async def test_the_database_has_a_clock_of_its_own(storage: SqlStorage) -> None:
    told = await storage.clock()
    assert told.utcoffset() == timedelta()
    assert abs(told - datetime.now(UTC)) < timedelta(minutes=1)  # both are this machine's


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), None)  # type: ignore[arg-type]  # noqa: DTZ001


async def test_a_new_database_file_is_its_owners_alone(tmp_path: Path) -> None:
    storage = await open_storage(f"sqlite:///{tmp_path}/new/test.db")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o600}
    await storage.close()


async def test_a_database_of_another_version_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    await (await open_storage(f"sqlite:///{path}")).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="newer version"):
        await open_storage(f"sqlite:///{path}")


@pytest.mark.parametrize(("content", "told"), [(b"no database at all, " * 99, "no database"), (None, "test.db")])
async def test_what_is_no_database_is_told_in_one_line(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "test.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=told) as caught:
        await open_storage(f"sqlite:///{path}")
    assert "\n" not in str(caught.value)
