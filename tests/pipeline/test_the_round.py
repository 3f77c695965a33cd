"""The steps one after the other, over a real database: what is read, chosen, recorded, sent, and what is never done twice."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paperround.bundled_files import bundled
from paperround.delivery.outbox import RetryRules
from paperround.digests.template_loader import TemplateLoader
from paperround.errors import FetchError
from paperround.models import (
    ConsentEvent,
    ConsentState,
    DeliveryState,
    EngineId,
    Fetched,
    Interest,
    ListIdentity,
    Profile,
    ReasonKind,
    SendResult,
    SmtpPhase,
    Source,
    SourceId,
    SourceKind,
    Subscriber,
    Vote,
)
from paperround.pipeline import compose as composing
from paperround.pipeline.compose import ComposeRules
from paperround.pipeline.deliver import DeliverRules, DeliveryRun
from paperround.pipeline.explain import explain_learning
from paperround.pipeline.messages import Messages, Offers
from paperround.pipeline.readers import load_background, load_readers
from paperround.pipeline.replay import replay
from paperround.pipeline.search import search
from paperround.pipeline.steps import StepRules, Steps
from paperround.sources.polling import PollingRules
from paperround.storage.sql_storage import SqlStorage, open_storage
from paperround.subscribers.signed_links import KeyRing, fold_address
from paperround.testing import FixedClock, HashingEmbedder, RecordingTransport

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
ROBOTS = (
    "Nine Gestures",
    "Robots that share a language of gestures finish their work sooner. The grammar has nine rules. It survives a fall.",
)
WEATHER = ("Words for Weather", "Language models describe forecasts in plain words. Readers understood the sentences better than the maps.")


@dataclass
class FakeFetcher:
    """Bodies by address; an exception in place of one is raised."""

    bodies: dict[str, bytes | Exception | Fetched] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def fetch(self, location: str, *, etag: str | None = None, last_modified: str | None = None) -> Fetched:
        self.asked.append((location, etag))
        found = self.bodies[location]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Fetched) else Fetched(status=200, url=location, body=found, headers={"etag": '"1"'})


@dataclass
class Round:
    """All the parts of a round, with hands on each."""

    storage: SqlStorage
    clock: FixedClock
    fetcher: FakeFetcher
    transport: RecordingTransport
    embedder: HashingEmbedder
    steps: Steps

    async def source(self, name: str, body: bytes | Exception, *, backlog: int | None = None, tags: tuple[str, ...] = ()) -> Source:
        location = f"https://{name}.example.org/feed"
        self.fetcher.bodies[location] = body
        return await self.storage.add_source(
            Source(
                id=SourceId(0), location=location, kind=SourceKind.FEED, name=name, tags=tags, backlog=backlog, added_at=self.clock.now()
            )
        )

    async def reader(self, name: str = "ada", state: ConsentState = ConsentState.ACTIVE, **profile: object) -> Subscriber:
        wanted = {
            "schedule": "daily 07:30",
            "min_score": 0.0,
            "interests": (Interest(text="robots and gestures"),),
            "explore": False,
            **profile,
        }
        return await self.storage.add_subscriber(
            email=f"{name}@example.org",
            public_id=name.encode().hex().ljust(32, "0"),
            profile=Profile(**wanted),  # type: ignore[arg-type]
            event=ConsentEvent(at=self.clock.now(), kind="file", state=state, way="file"),
            next_due_at=self.clock.now() if state is ConsentState.ACTIVE else None,
        )

    async def states(self) -> dict[str, int]:
        return {state.value: count for state, count in (await self.storage.count_deliveries()).items()}


def feed(*items: tuple[str, str]) -> bytes:
    entries = "".join(
        f"<item><title>{title}</title><description>{text}</description><link>https://example.org/{abs(hash(title))}</link></item>"
        for title, text in items
    )
    return f"<rss version='2.0'><channel><title>A feed</title>{entries}</channel></rss>".encode()


@pytest.fixture(scope="session")
def templates() -> Callable[[], object]:
    return TemplateLoader([bundled("templates")]).load


@pytest.fixture
async def round_(tmp_path: Path, templates: Callable[[], object]) -> AsyncIterator[Round]:
    storage = await open_storage(f"sqlite:///{tmp_path}/test.db", fold=fold_address)
    clock, fetcher, transport, embedder = FixedClock(NOW), FakeFetcher(), RecordingTransport(), HashingEmbedder()
    messages = Messages(
        storage=storage,
        load_templates=templates,  # type: ignore[arg-type]
        keys=KeyRing((b"k" * 32,)),
        identity=ListIdentity(sender="paper@example.org", postal_address="Example Lab"),
        offers=Offers(base_url="https://example.org", bounce_domain="example.org"),
    )
    steps = Steps(
        storage=storage,
        fetcher=fetcher,
        embedder=embedder,
        open_transport=lambda: transport,
        messages=messages,
        clock=clock,
        wall=clock,
        rules=StepRules(
            polling=PollingRules(),
            compose=ComposeRules(model=embedder.model, message_domain="example.org", automatic_threshold=0.2),
            deliver=DeliverRules(retries=RetryRules(), workers=2, engine=EngineId("test")),
        ),
    )
    yield Round(storage, clock, fetcher, transport, embedder, steps)
    await storage.close()


# ---------------------------------------------------------------- collect and embed


async def test_one_bad_source_never_stops_the_others(round_: Round) -> None:
    await round_.source("down", FetchError("https://down.example.org/feed: the server answered 500", status=500))
    await round_.source("page", b"<html><p>no feed</p></html>")
    await round_.source("good", feed(ROBOTS))
    collected = await round_.steps.collect()
    assert (collected.fetched, collected.new_entries) == (1, 1)
    assert {outcome.source for outcome in collected.failures} == {"down", "page"}
    assert {source.name for source in await round_.storage.sources() if source.error} == {"down", "page"}


async def test_what_stood_in_a_feed_before_us_is_not_new_and_what_comes_later_is(round_: Round) -> None:
    source = await round_.source("feed", feed(ROBOTS), backlog=0)
    await round_.steps.collect()
    assert await round_.storage.works_seen(NOW - timedelta(days=1), NOW) == []
    round_.clock.advance(hours=30)
    round_.fetcher.bodies[source.location] = feed(WEATHER, ROBOTS)
    await round_.steps.collect()
    assert [work.title for work in await round_.storage.works_seen(NOW, round_.clock.now())] == [WEATHER[0]]
    assert round_.fetcher.asked[-1] == (source.location, '"1"'), "the validator is sent back"


async def test_a_source_that_is_not_due_is_not_asked(round_: Round) -> None:
    await round_.source("feed", feed(ROBOTS))
    await round_.steps.collect()
    round_.clock.advance(minutes=30)
    await round_.steps.collect()
    assert len(round_.fetcher.asked) == 1


async def test_nothing_is_embedded_twice(round_: Round) -> None:
    await round_.source("feed", feed(ROBOTS, WEATHER))
    await round_.reader()
    await round_.steps.collect()
    done = await round_.steps.embed()
    assert (done.works, done.texts) == (2, 1)
    again = await round_.steps.embed()
    assert (again.works, again.texts) == (0, 0)


async def test_search_finds_by_meaning_and_by_source(round_: Round) -> None:
    await round_.source("feed", feed(ROBOTS, WEATHER), tags=("lab",))
    await round_.steps.read()
    hits = await search(round_.storage, round_.embedder, "forecasts and maps of weather", now=NOW)
    assert [hit.title for hit in hits] == [WEATHER[0], ROBOTS[0]]
    assert await search(round_.storage, round_.embedder, "weather", sources=["elsewhere"], now=NOW) == []
    assert len(await search(round_.storage, round_.embedder, "weather", sources=["lab"], limit=1, now=NOW)) == 1


# ---------------------------------------------------------------- compose


async def ready(round_: Round, *items: tuple[str, str]) -> None:
    await round_.source("feed", feed(*(items or (ROBOTS, WEATHER))))
    await round_.steps.read()


async def test_an_issue_admits_in_its_readers_language_which_of_their_sources_do_not_answer(round_: Round) -> None:
    await round_.source("good", feed(ROBOTS, WEATHER))
    await round_.source("down", FetchError("https://down.example.org/feed: the server answered 500", status=500), tags=("lab",))
    await round_.steps.read()
    round_.clock.advance(hours=20)
    for name, sources in (("ada", ()), ("bob", ("lab",)), ("eve", ("good",))):
        await round_.reader(name, sources=sources, language="de" if name == "bob" else "en", empty="note")
    digests = {digest.subscriber_id: digest for digest in (await round_.steps.compose(keep=True)).recorded}
    said = [digests[(await round_.storage.find_subscriber(f"{name}@example.org")).id].notes for name in ("ada", "bob", "eve")]
    since = "down has not answered since Monday 2 March; what it holds comes in a later issue."
    assert said == [(since,), ("down antwortet seit Montag, 2. März nicht; was dort steht, kommt in einer späteren Ausgabe.",), ()]


async def test_a_work_goes_to_a_reader_once_and_an_issue_once_a_period(round_: Round) -> None:
    reader = await round_.reader()
    await ready(round_)
    first = await round_.steps.compose(keep=True)
    assert (first.due, first.digests, first.skipped) == (1, 1, 0)
    assert first.recorded[0].chosen[0].work.title == ROBOTS[0]
    assert (await round_.steps.compose()).due == 0
    round_.clock.advance(days=1)
    second = await round_.steps.compose(keep=True)
    assert (second.due, second.digests, second.skipped) == (1, 0, 1), "nothing new: an empty day is skipped"
    assert second.recorded[0].period != first.recorded[0].period
    assert (await round_.storage.subscriber(reader.id)).issues == 2
    assert await round_.states() == {"queued": 1}


async def test_an_empty_day_is_a_note_for_who_asked_for_one(round_: Round) -> None:
    await round_.reader(empty="note", min_score=0.999)
    await ready(round_)
    composed = await round_.steps.compose(keep=True)
    assert composed.recorded[0].empty
    assert len(composed.recorded[0].items) == 2, "the nearest, below the cut"
    assert await round_.states() == {"queued": 1}


async def test_a_reader_without_interests_gets_what_trends(round_: Round) -> None:
    await round_.reader(interests=())
    await ready(round_)
    composed = await round_.steps.compose(keep=True)
    assert composed.recorded[0].kind == "trending"
    assert len(composed.recorded[0].chosen) == 2


async def test_sources_most_items_and_words_never_wanted_are_respected(round_: Round) -> None:
    await round_.source("lab", feed(ROBOTS), tags=("nlp",))
    await round_.source("news", feed(WEATHER))
    await round_.reader("ada", sources=("nlp",))
    await round_.reader("ben", max_items=1)
    await round_.reader("eve", never=("gestures",))
    await round_.steps.read()
    composed = await round_.steps.compose(keep=True)
    chosen = [[item.work.title for item in digest.chosen] for digest in composed.recorded]
    assert chosen[0] == [ROBOTS[0]]
    assert len(chosen[1]) == 1
    assert chosen[2] == [WEATHER[0]]


async def test_only_who_may_be_mailed_gets_a_delivery(round_: Round) -> None:
    await round_.reader("ada")
    await round_.reader("feed", channels=("feed",))
    await round_.reader("gone")
    await round_.reader("pending", state=ConsentState.PENDING)
    await round_.storage.suppress("gone@example.org", reason="bounced", evidence="", now=NOW)
    await ready(round_)
    composed = await round_.steps.compose()
    assert (composed.due, composed.digests) == (3, 3)
    assert await round_.states() == {"queued": 1}


async def test_an_old_paper_that_is_first_seen_today_is_not_news(round_: Round) -> None:
    body = feed(ROBOTS).replace(b"</item>", b"<pubDate>Mon, 05 Jan 2026 08:00:00 GMT</pubDate></item>")
    await round_.source("feed", body)
    await round_.reader()
    await round_.steps.read()
    assert (await round_.steps.compose()).skipped == 1


async def test_a_preview_records_nothing(round_: Round) -> None:
    reader = await round_.reader()
    await ready(round_)
    digest = await composing.preview(round_.storage, round_.steps.rules.compose, reader, now=NOW)
    assert digest.chosen
    assert await round_.storage.digests_of(reader.id, limit=1) == []
    assert await round_.states() == {}


# ---------------------------------------------------------------- deliver


async def composed(round_: Round, readers: int = 1) -> None:
    for number in range(readers):
        await round_.reader(f"reader{number}")
    await ready(round_)
    await round_.steps.compose()


async def test_each_issue_goes_out_once_with_its_own_way_out(round_: Round) -> None:
    await composed(round_, 3)
    assert (await round_.steps.deliver()).sent == 3
    assert (await round_.steps.deliver()).sent == 0
    assert {envelope.recipient for envelope in round_.transport.sent} == {f"reader{n}@example.org" for n in range(3)}
    ways_out = {line for each in round_.transport.sent for line in each.message.split(b"\r\n") if line.startswith(b"List-Unsubscribe: ")}
    assert len(ways_out) == 3
    assert len({envelope.sender for envelope in round_.transport.sent}) == 3, "a bounce names its delivery"


async def test_later_is_tried_again_under_the_same_name(round_: Round) -> None:
    await composed(round_)
    round_.transport.answers = [SendResult(accepted=False, phase=SmtpPhase.RCPT, code=451, reply="greylisted")]
    assert (await round_.steps.deliver()).deferred == 1
    (waiting,) = await round_.storage.deliveries_of((await round_.storage.find_subscriber("reader0@example.org")).id, limit=1)
    assert (await round_.steps.deliver()).sent == 0, "not before its time"
    round_.clock.advance(hours=1)
    assert (await round_.steps.deliver()).sent == 1
    assert round_.transport.sent[0].message_id == waiting.message_id


async def test_a_dead_address_fails_and_is_suppressed_and_a_policy_refusal_is_not(round_: Round) -> None:
    await composed(round_, 2)
    round_.transport.answers = [
        SendResult(accepted=False, phase=SmtpPhase.RCPT, code=550, enhanced="5.1.1", reply="no such user"),
        SendResult(accepted=False, phase=SmtpPhase.RCPT, code=550, enhanced="5.7.1", reply="refused by policy"),
    ]
    assert (await round_.steps.deliver()).failed == 2
    assert len(await round_.storage.suppressions()) == 1


async def test_nobody_knows_whether_it_arrived_and_it_is_not_sent_again(round_: Round) -> None:
    await composed(round_)
    round_.transport.answers = [SendResult(accepted=False, phase=SmtpPhase.DOT, code=None, reply="connection lost")]
    assert (await round_.steps.deliver()).in_doubt == 1
    round_.clock.advance(days=5)
    assert (await round_.steps.deliver()).sent == 0
    assert await round_.states() == {"in-doubt": 1}


@pytest.mark.parametrize(("phase", "code"), [(SmtpPhase.CONNECT, None), (SmtpPhase.AUTH, 535), (SmtpPhase.MAIL, 550)])
async def test_a_fault_of_the_relay_or_of_ours_stops_the_run_and_blames_nobody(round_: Round, phase: SmtpPhase, code: int | None) -> None:
    await composed(round_, 4)
    round_.transport.answers = [SendResult(accepted=False, phase=phase, code=code, reply="no")] * 4
    delivered = await round_.steps.deliver()
    assert delivered.fault
    assert delivered.failed == 0
    states = await round_.states()
    assert states.get("queued", 0) + states.get("deferred", 0) == 4
    assert await round_.storage.suppressions() == []
    round_.transport.answers = []
    round_.clock.advance(hours=1)
    assert (await round_.steps.deliver()).sent == 4


async def test_who_leaves_between_claim_and_mail_gets_nothing(round_: Round) -> None:
    await composed(round_)
    reader = await round_.storage.find_subscriber("reader0@example.org")
    claimed = await round_.storage.claim(EngineId("test"), NOW, limit=9, until=NOW)
    left = ConsentEvent(at=NOW, kind="unsubscribed", state=ConsentState.UNSUBSCRIBED, way="one-click")
    await round_.storage.record_consent(reader.id, left, next_due_at=None)
    run = DeliveryRun(round_.storage, round_.transport, round_.steps.messages, round_.clock, round_.clock, round_.steps.rules.deliver)
    (letter,) = await round_.steps.messages.letters(claimed)
    await run._send(letter)
    assert (run.result.cancelled, round_.transport.sent) == (1, [])
    assert await round_.states() == {"cancelled": 1}


async def test_what_a_dead_engine_left_behind_is_taken_over(round_: Round) -> None:
    await composed(round_, 2)
    await round_.storage.start_engine(EngineId("dead"), NOW)
    claimed = await round_.storage.claim(EngineId("dead"), NOW, limit=9, until=NOW)
    await round_.storage.mark_sending([claimed[0].id], NOW)
    round_.clock.advance(minutes=2)
    assert (await round_.steps.deliver()).sent == 1
    assert await round_.states() == {"sent": 1, "in-doubt": 1}


async def test_an_issue_that_cannot_be_rendered_fails_alone(round_: Round) -> None:
    await composed(round_, 2)
    first = await round_.storage.find_subscriber("reader0@example.org")
    (delivery,) = await round_.storage.deliveries_of(first.id, limit=1)
    async with round_.storage.db.writing() as connection:
        await connection.exec_driver_sql(f"UPDATE deliveries SET digest_id = NULL WHERE id = {delivery.id}")
    delivered = await round_.steps.deliver()
    assert (delivered.sent, delivered.failed) == (1, 1)
    assert (await round_.storage.deliveries_of(first.id, limit=1))[0].state is DeliveryState.FAILED


async def test_a_broken_template_stops_the_run_and_costs_no_issue(round_: Round, tmp_path: Path) -> None:
    await composed(round_, 3)
    messages, good = round_.steps.messages, round_.steps.messages.templates
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "digest.txt.j2").write_text("{{ links.one_click }}\n{{ issue.lien }}", encoding="utf-8")
    messages.templates = TemplateLoader([tmp_path, bundled("templates")]).load()
    delivered = await round_.steps.deliver()
    assert (delivered.sent, delivered.failed) == (0, 0)
    assert f"{tmp_path}/email/digest.txt.j2:2: {{{{ issue.lien }}}}" in str(delivered.fault)
    messages.templates = good
    round_.clock.advance(hours=1)
    assert (await round_.steps.deliver()).sent == 3


async def test_a_stopped_run_gives_back_what_it_has_not_sent(round_: Round) -> None:
    await composed(round_, 3)
    rules = round_.steps.rules.deliver
    run = DeliveryRun(round_.storage, round_.transport, round_.steps.messages, round_.clock, round_.clock, rules)
    run.stop()
    assert (await run.run()).sent == 0
    assert (await round_.steps.deliver()).sent == 3


async def test_a_test_mail_is_sent_and_counts_for_nothing(round_: Round) -> None:
    reader = await round_.reader()
    await ready(round_)
    assert await round_.steps.send_test(reader) is None
    assert [envelope.recipient for envelope in round_.transport.sent] == ["ada@example.org"]
    assert await round_.states() == {}
    assert (await round_.steps.compose()).digests == 1


async def test_past_issues_are_scored_again_with_what_was_known_on_their_day(round_: Round) -> None:
    await round_.source("feed", feed(ROBOTS, WEATHER))
    reader = await round_.reader()
    await round_.steps.read()
    await round_.steps.compose()
    model, since = round_.embedder.model, NOW - timedelta(days=1)
    nothing = await replay(round_.storage, model, since=since, now=round_.clock.now())
    assert nothing == {"readers": 0, "issues": 0, "votes": 0}
    (digest,) = await round_.storage.digests_of(reader.id, limit=5)
    liked = next(item.work for item in digest.items if item.work.title == WEATHER[0])
    round_.clock.advance(hours=25)
    await round_.storage.save_vote(reader.id, Vote(work_id=liked.id, value=1, at=round_.clock.now(), way="mail", title=liked.title))
    figures = await replay(round_.storage, model, since=since, now=round_.clock.now())
    assert (figures["readers"], figures["issues"], figures["votes"]) == (1, 1, 1)
    assert figures["pairs, with the votes so far"] == figures["pairs, without votes"], "the vote came after the issue"
    told = await explain_learning(round_.storage, model, await round_.storage.subscriber(reader.id), now=round_.clock.now())
    assert WEATHER[0] in told[0]


async def test_a_liked_paper_that_never_came_by_teaches_by_its_title_until_it_does(round_: Round) -> None:
    title = "Gestures that robots share"
    ada = await round_.reader(interests=(), liked=(f"doi:10.1000/x {title}", "arxiv:2410.01234"))
    await round_.source("a", feed(ROBOTS, WEATHER))
    await round_.steps.read()
    (issue,) = (await round_.steps.compose(keep=True)).recorded
    assert (issue.chosen[0].work.title, issue.chosen[0].reason.kind, issue.chosen[0].reason.text) == (ROBOTS[0], ReasonKind.LIKED, title)
    await round_.source("b", feed((title, "Robots that share gestures.")))
    await round_.steps.read()
    background = await load_background(round_.storage, round_.embedder.model, round_.embedder.dimension)
    (reader,) = await load_readers(round_.storage, round_.embedder.model, [ada], background, now=round_.clock.now())
    assert reader.prose == (f"{title}. Robots that share gestures.",)
