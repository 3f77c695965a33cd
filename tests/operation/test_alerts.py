"""What the administrator is told of, from facts: each rule fires where it should and is silent where it should be."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from paperround.models import ConsentState, DeliveryState, Source, SourceId, SourceKind, SourceState, Subscriber, SubscriberId
from paperround.operation.alerts import KINDS, alert_mail, findings, health_mail
from paperround.pipeline.watch import Facts, Finding
from paperround.records import Backlog, LateMail, Run

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)  # a Friday
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def source(number: int = 1, **values: object) -> Source:
    given = {"location": f"https://s{number}.example.org", "kind": SourceKind.FEED, "name": f"s{number}", "added_at": NOW - 60 * DAY}
    return Source(id=SourceId(number), **{**given, "last_new_at": NOW - HOUR, **values})  # type: ignore[arg-type]


def daily(*left_out: int, count: int = 40) -> list[tuple[datetime, int]]:
    """News on each of the last 28 days but those so many days back."""
    return [(NOW - back * DAY - HOUR, count) for back in range(28) if back not in left_out]


def facts(**values: object) -> Facts:
    well = source()
    healthy = {
        "now": NOW,
        "sources": [well],
        "arrivals": {well.id: daily()},
        "overdue": [],
        "late": [],
        "backlogs": {},
        "runs": [Run(step="deliver", at=NOW - HOUR, seconds=1.0, count=500)],
        "yields": [(NOW - back * DAY - HOUR, 20, 18) for back in range(28)],
        "sent": 10_000,
        "complaints": 5,
    }
    return Facts(**{**healthy, **values})  # type: ignore[arg-type]


def keys(given: Facts) -> list[str]:
    return [each.key for each in findings(given)]


def late(state: DeliveryState, number: int = 7) -> LateMail:
    recipient = f"r{number}@example.org"
    return LateMail(subscriber_id=SubscriberId(number), recipient=recipient, state=state, created_at=NOW - DAY, reply="450 later")


def reader(number: int) -> Subscriber:
    return Subscriber(
        id=SubscriberId(number),
        public_id=f"{number:032x}",
        email=f"r{number}@example.org",
        state=ConsentState.ACTIVE,
        created_at=NOW - 9 * DAY,
        next_due_at=NOW - 3 * HOUR,
    )


def run(step: str, ago: timedelta, fault: str | None = None) -> Run:
    return Run(step=step, at=NOW - ago, seconds=1.0, count=0 if fault else 5, fault=fault)


def test_an_installation_that_is_well_is_left_alone() -> None:
    assert keys(facts()) == []


def test_an_empty_installation_is_left_alone() -> None:
    assert keys(facts(sources=[], arrivals={}, runs=[], yields=[], sent=0, complaints=0)) == []


def test_readers_who_were_due_or_whose_mail_did_not_arrive_are_named() -> None:
    states = (DeliveryState.FAILED, DeliveryState.IN_DOUBT, DeliveryState.DEFERRED)
    found = findings(facts(overdue=[reader(3)], late=[late(state) for state in states * 2]))
    assert len({each.key for each in found}) == len(found), "a matter is one line, however many mails it is about"
    assert sorted(each.key for each in found) == sorted(["no-issue:3", "mail-failed:7", "mail-doubtful:7", "mail-stuck:7"])
    assert "r3@example.org was due at 2026-11-20 06:00 UTC" in found[0].text
    assert all("450 later" in each.text for each in found[1:])


def test_of_many_readers_one_line_speaks() -> None:
    (found,) = findings(facts(overdue=[reader(number) for number in range(21)]))
    assert (found.key, found.text[:12]) == ("no-issue:all", "more than 20")


def test_what_waits_is_told_and_embedding_that_goes_on_is_no_standstill() -> None:
    waiting = {"mails": Backlog(count=9, oldest=NOW - 3 * HOUR), "works": Backlog(count=5, oldest=NOW - 3 * HOUR)}
    assert keys(facts(backlogs=waiting)) == ["queue:mails", "queue:works"]
    assert keys(facts(backlogs=waiting, runs=[run("embed", HOUR)])) == ["queue:mails"]
    assert keys(facts(backlogs=waiting, runs=[run("embed", 9 * HOUR)])) == ["queue:mails", "queue:works"]


def test_a_step_that_was_stopped_is_told_with_its_latest_reason() -> None:
    (found,) = findings(
        facts(runs=[run("deliver", 2 * HOUR, "auth: 535 no"), run("deliver", HOUR, "auth: 535 still no"), run("deliver", HOUR)])
    )
    assert found.key == "step:deliver"
    assert "2 times" in found.text
    assert "535 still no" in found.text


@pytest.mark.parametrize(
    ("today", "before", "told"),
    [
        ((20, 0), (20, 18), True),
        ((20, 1), (20, 18), False),
        ((20, 0), (20, 0), False),  # on such a day it is always so
        ((1, 0), (1, 1), False),  # one reader's thin day
        ((20, 0), (20, 8), False),
        ((4, 0), (4, 4), True),
        ((0, 0), (20, 18), False),  # nobody was due
    ],
)
def test_a_day_of_empty_issues_is_told_where_chance_does_not_bring_it(today: tuple[int, int], before: tuple[int, int], told: bool) -> None:
    history = [(NOW - back * DAY - HOUR, *before) for back in range(1, 28)]
    assert keys(facts(yields=[(NOW - HOUR, *today), *history])) == (["empty-issues:all"] if told else [])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"state": SourceState.STOPPED, "error": "gone for good (410)"}, "source-ended:1"),
        ({"state": SourceState.PAUSED, "error": "timeout"}, "source-ended:1"),
        ({"state": SourceState.PAUSED}, None),
        ({"error": "timeout", "failures": 1, "failing_since": NOW - HOUR}, None),
        ({"error": "timeout", "failures": 9, "failing_since": NOW - DAY}, "source-failing:1"),
        ({"interval": 3600.0, "last_new_at": NOW - 5 * DAY}, "source-silent:1"),
    ],
)
def test_a_source_is_told_when_it_ends_fails_for_a_day_or_falls_silent(values: dict[str, object], told: str | None) -> None:
    assert keys(facts(sources=[source(**values)])) == ([told] if told else [])


def test_silence_is_told_of_one_source_after_two_days_and_of_all_at_once_after_one() -> None:
    several = [source(number) for number in (1, 2, 3)]
    news = {each.id: daily() for each in several}
    first = several[0].id
    assert keys(facts(sources=several, arrivals={**news, first: daily(0)})) == [], "it may come tomorrow"
    assert keys(facts(sources=several, arrivals={**news, first: daily(0, 1)})) == ["source-silent:1"]
    assert keys(facts(sources=several, arrivals={**news, first: daily(0, 1, 8)})) == [], "around that day it was quiet before"
    assert keys(facts(sources=several, arrivals={each.id: daily(0) for each in several})) == ["nothing-new:all"]
    weekends = {each.id: daily(*range(0, 28, 7)) for each in several}
    assert keys(facts(sources=several, arrivals=weekends)) == [], "the same day of the last weeks was as quiet"


@pytest.mark.parametrize(
    ("sent", "complaints", "told"),
    [
        (10_000, 9, []),
        (10_000, 10, ["complaints:worrying"]),
        (10_000, 30, ["complaints:harmful"]),
        (100, 1, []),
        (0, 0, []),
    ],
)
def test_complaints_are_told_over_the_lines_that_providers_draw(sent: int, complaints: int, told: list[str]) -> None:
    assert keys(facts(sent=sent, complaints=complaints)) == told


def everything() -> Sequence[Finding]:
    return [Finding(kind=kind, about=str(number), text=f"{kind} {number}") for kind in KINDS for number in range(12)]


def test_an_alert_mail_says_for_each_kind_what_to_do() -> None:
    values = alert_mail(everything(), [Finding(kind="step", about="x", text="still so")])
    assert [heading for heading, _, _ in values["groups"]] == [*(heading for heading, _ in KINDS.values()), "Told before, and still so"]
    assert all("paperround" in advice or "Look" in advice for _, _, advice in values["groups"][:-1])
    assert values["groups"][0][1][-1] == "and 2 more"
    (one,) = [Finding(kind="step", about="deliver", text="deliver was stopped")]
    assert alert_mail([one], [])["subject"] == "Paperround needs you: deliver was stopped"


def test_the_weekly_mail_puts_what_to_look_at_first() -> None:
    good, bad = source(1), source(2, error="timeout", failures=3, failing_since=NOW - 2 * DAY)
    values = health_mail(facts(sources=[good, bad], arrivals={good.id: daily()}))
    assert values["heading"] == "2 sources, 1 to look at"
    assert values["groups"][0][1] == ["s2 failed 3 times for 2 days: timeout"]
    assert values["groups"][1][1] == ["s1: 280"]
    assert health_mail(facts())["heading"] == "All sources are well"
