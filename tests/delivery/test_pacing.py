"""A slow or unwilling domain slows only itself, and nothing goes faster than allowed."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.delivery.pacing import Lanes, PaceRules, domain_of
from paperround.models import SendResult, SmtpPhase

FINE = SendResult(accepted=True, code=250)
LATER = SendResult(accepted=False, phase=SmtpPhase.RCPT, code=451, reply="4.7.0 too many of yours")
GREY = SendResult(accepted=False, phase=SmtpPhase.RCPT, code=450, reply="4.2.0 Greylisted, see you in five minutes")


def filled(rules: PaceRules, **waiting: int) -> Lanes[str]:
    lanes = Lanes[str](rules)
    for domain, count in waiting.items():
        for number in range(count):
            lanes.add(domain, f"{domain}{number}")
    return lanes


def taken(lanes: Lanes[str], now: float) -> list[str]:
    found = []
    while one := lanes.take(now):
        found.append(one[1])
    return found


def test_the_domain_with_the_fewest_under_way_goes_next_and_equals_take_turns() -> None:
    lanes = filled(PaceRules(), slow=9, fast=3)
    assert [lanes.take(0.0) for _ in range(4)] == [("slow", "slow0"), ("fast", "fast0"), ("slow", "slow1"), ("fast", "fast1")]
    lanes.done("fast", FINE, 1.0)
    lanes.done("fast", FINE, 1.0)
    assert lanes.take(1.0) == ("fast", "fast2")
    assert lanes.waiting == 7


def test_one_domain_has_no_more_under_way_than_allowed() -> None:
    lanes = filled(PaceRules(domain_connections=2), a=5, b=1)
    assert sorted(taken(lanes, 0.0)) == ["a0", "a1", "b0"]
    assert lanes.wait(0.0) is None
    lanes.done("a", FINE, 0.0)
    assert taken(lanes, 0.0) == ["a2"]


@given(st.floats(0.5, 200), st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_no_more_go_than_the_rate_allows_however_late_the_timer(rate: float, gaps: list[float]) -> None:
    lanes, now, went = filled(PaceRules(per_second=rate), a=10_000), 100.0, 0
    for gap in gaps:
        now += gap
        went += len(taken(lanes, now))
    assert went <= (now - 100.0) * rate + 2 + rate * 0.1


def test_a_rate_is_kept_when_somebody_asks_as_told() -> None:
    lanes, now, moments = filled(PaceRules(per_second=20), a=100), 5.0, []
    while lanes.waiting:
        moments += [now] * len(taken(lanes, now))
        now += lanes.wait(now) or 0.0
    assert len(moments) == 100
    assert moments[-1] - moments[0] == pytest.approx(99 / 20, rel=0.03)
    assert all(later - earlier <= 0.051 for earlier, later in pairwise(moments))


class Ledger:
    """What all processes together may do: whoever asks gets the next slots."""

    def __init__(self) -> None:
        self.free: dict[str, float] = {}

    def serve(self, lanes: Lanes[str], now: float) -> None:
        for name, (count, step) in lanes.wanted(now).items():
            first = max(self.free.get(name, 0.0), now)
            self.free[name] = first + count * step
            lanes.grant(name, first, count)


@given(st.floats(0.5, 200), st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 2)), min_size=1, max_size=60))
def test_several_processes_together_go_no_faster_than_the_rate_they_share(rate: float, steps: list[tuple[float, int]]) -> None:
    several = [filled(PaceRules(per_second=rate, shared=True), a=10_000) for _ in range(3)]
    ledger, now, went = Ledger(), 100.0, 0
    for gap, who in steps:
        now += gap
        ledger.serve(several[who], now)
        went += len(taken(several[who], now))
    assert went <= (now - 100.0) * rate + 2 + rate * 0.1


def test_a_shared_rate_is_kept_by_one_alone_and_nothing_goes_before_a_slot_is_granted() -> None:
    lanes, ledger, now, moments = filled(PaceRules(per_second=20, shared=True), a=100), Ledger(), 5.0, []
    assert (taken(lanes, now), lanes.wait(now)) == ([], None)
    while lanes.waiting:
        ledger.serve(lanes, now)
        moments += [now] * len(taken(lanes, now))
        now += lanes.wait(now) or 0.0
    assert moments[-1] - moments[0] == pytest.approx(99 / 20, rel=0.03)


def test_each_domain_shares_its_own_rate() -> None:
    lanes, ledger = filled(PaceRules(domain_per_second=1, shared=True), a=3, b=1), Ledger()
    ledger.free["a"] = 60.0
    ledger.serve(lanes, 50.0)
    assert taken(lanes, 50.0) == ["b0"]
    assert lanes.wait(50.0) == pytest.approx(10.0)
    ledger.serve(lanes, 60.0)
    assert taken(lanes, 60.0) == ["a0"]


def test_the_rate_of_one_domain_holds_up_nobody_else() -> None:
    lanes = filled(PaceRules(domain_per_second=1), a=3, b=1)
    assert [lanes.take(50.0), lanes.take(50.0)] == [("a", "a0"), ("b", "b0")]
    assert lanes.take(50.0) is None
    assert lanes.wait(50.0) == pytest.approx(1.0, abs=0.2)


def test_a_domain_that_keeps_saying_later_rests_and_gives_back_what_waits() -> None:
    lanes = filled(PaceRules(most_refusals=3, rest=timedelta(seconds=60)), busy=6, other=1)
    for moment in range(3):
        while (one := lanes.take(moment)) and one[0] != "busy":
            lanes.done(one[0], FINE, moment)
        given_back = lanes.done("busy", LATER, moment)
    assert given_back == ["busy3", "busy4", "busy5"]
    assert lanes.resting(61.0) == {"busy"}
    assert lanes.resting(62.0) == frozenset()


@pytest.mark.parametrize("other", [FINE, GREY, SendResult(accepted=False, phase=SmtpPhase.RCPT, code=550), None])
def test_greylisting_success_and_refusals_make_no_domain_rest(other: SendResult | None) -> None:
    lanes = filled(PaceRules(most_refusals=2), a=9)
    for answer in (LATER, other, other, other):
        lanes.take(0.0)
        assert lanes.done("a", answer, 0.0) == []
    assert lanes.resting(0.0) == frozenset()


def test_a_run_that_was_cut_off_leaves_nothing_under_way_to_the_next() -> None:
    lanes = filled(PaceRules(domain_connections=1), slow=2)
    assert taken(lanes, 0.0) == ["slow0"]
    assert lanes.empty() == ["slow1"]
    lanes.add("slow", "slow1")
    assert taken(lanes, 1.0) == ["slow1"]


def test_a_relay_that_is_down_is_not_held_against_a_domain() -> None:
    lanes = filled(PaceRules(most_refusals=1), a=2)
    lanes.take(0.0)
    assert lanes.done("a", SendResult(accepted=False, phase=SmtpPhase.CONNECT), 0.0) == []
    assert lanes.resting(0.0) == frozenset()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_nothing_is_lost_or_given_twice(steps: list[tuple[str, bool]]) -> None:
    lanes, added, gone = Lanes[int](PaceRules(most_refusals=2)), 0, []
    for domain, later in steps:
        lanes.add(domain, added)
        added += 1
        if (one := lanes.take(0.0)) is not None:
            gone += [one[1], *lanes.done(one[0], LATER if later else FINE, 0.0)]
    gone += lanes.empty()
    assert sorted(gone) == list(range(added))
    assert lanes.waiting == 0


def test_crowded_domains_are_those_of_which_enough_wait() -> None:
    lanes = filled(PaceRules(), a=5, b=2)
    assert lanes.crowded(3) == {"a"}
    assert lanes.waiting_outside(frozenset({"a"})) == 2
    assert domain_of("Ada@Example.ORG") == "example.org"
