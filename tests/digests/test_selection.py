"""Which matches make one issue."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.digests import selection
from paperround.digests.exploration import Outside, Regions
from paperround.models import ItemRole, Match, Mention, Profile, Reason, ReasonKind, SourceId, Work, WorkId

NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def work(number: int, **changes: object) -> Work:
    base = Work(
        id=WorkId(number),
        title=f"Work {number}",
        first_seen_at=NOW - DAY / 2,
        mentions=(Mention(source_id=SourceId(1), source_name="cs.AI", seen_at=NOW - DAY / 2),),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def match(number: int, strength: float, interest: str = "one", kind: ReasonKind = ReasonKind.INTEREST) -> Match:
    return Match(work_id=WorkId(number), score=strength, strength=strength, reason=Reason(kind=kind, text=interest))


def pick(matches: list[Match], vectors: Mapping[WorkId, np.ndarray] | None = None, seed: int = 1, **profile: object) -> selection.Selection:
    return selection.select(
        sorted(matches, key=lambda each: -each.score),
        works={each.work_id: work(each.work_id) for each in matches},
        vectors=vectors or {},
        profile=Profile(**profile),  # type: ignore[arg-type]
        automatic_threshold=0.5,
        seed=seed,
    )


def ids(chosen: selection.Selection, role: ItemRole = ItemRole.CHOSEN) -> list[int]:
    return [item.match.work_id for item in chosen.items if item.role is role]


# ---------------------------------------------------------------- the window


def test_a_first_issue_looks_back_a_week_and_a_monthly_one_a_month(samples: ModuleType) -> None:
    assert selection.since_for(samples.subscriber(), NOW) == NOW - 7 * DAY
    assert selection.since_for(samples.subscriber(schedule="monthly 1 07:30"), NOW) == NOW - 31 * DAY


def test_an_issue_begins_where_the_one_before_ended_however_long_ago(samples: ModuleType) -> None:
    reader = replace(samples.subscriber(), last_cutoff=NOW - 40 * DAY)
    assert selection.since_for(reader, NOW) == NOW - 40 * DAY


def test_after_a_pause_an_issue_looks_back_two_weeks_at_most(samples: ModuleType) -> None:
    long = replace(samples.subscriber(), last_cutoff=NOW - 90 * DAY, resumed_at=NOW - DAY)
    assert selection.since_for(long, NOW) == NOW - 14 * DAY
    short = replace(long, last_cutoff=NOW - 3 * DAY)
    assert selection.since_for(short, NOW) == NOW - 3 * DAY
    earlier = replace(long, resumed_at=NOW - 91 * DAY)  # there was an issue since that pause
    assert selection.since_for(earlier, NOW) == NOW - 90 * DAY


def test_new_means_first_seen_by_us_in_the_window() -> None:
    seen = work(1, first_seen_at=NOW - DAY, published=NOW - 20 * DAY)
    assert selection.eligible(seen, NOW - 2 * DAY, NOW, {})
    assert not selection.eligible(seen, NOW - DAY, NOW, {})  # exactly at the cutoff before: it was in that window
    assert not selection.eligible(seen, NOW - 2 * DAY, NOW - DAY * 1.5, {})


def test_a_work_published_more_than_thirty_days_before_it_was_seen_is_not_news() -> None:
    assert not selection.eligible(work(1, published=NOW - 31 * DAY), NOW - DAY, NOW, {})
    assert selection.eligible(work(1, published=None), NOW - DAY, NOW, {})


def test_a_withdrawn_work_is_no_candidate() -> None:
    assert not selection.eligible(work(1, withdrawn=True), NOW - DAY, NOW, {})


def test_a_work_is_never_issued_twice_unless_it_changed_materially_since() -> None:
    issued = {WorkId(1): NOW - 5 * DAY}
    old = work(1, first_seen_at=NOW - 6 * DAY)
    assert not selection.eligible(work(1), NOW - DAY, NOW, issued)
    assert selection.eligible(replace(old, changed_at=NOW - DAY / 2), NOW - DAY, NOW, issued)
    assert not selection.eligible(replace(old, changed_at=NOW - 5.5 * DAY), NOW - 6 * DAY, NOW, issued)


# ---------------------------------------------------------------- threshold and cap


def test_what_is_weaker_than_the_threshold_is_left_out() -> None:
    matches = [match(1, 0.9), match(2, 0.49)]
    assert ids(pick(matches)) == [1]
    assert ids(pick(matches, min_score=0.3)) == [1, 2]
    assert ids(pick(matches, min_score=0.95)) == []


def test_a_threshold_of_zero_lets_everything_in() -> None:
    assert ids(pick([match(number, 0.0) for number in range(1, 4)], min_score=0.0)) == [1, 2, 3]


def test_the_best_stay_when_more_fit_than_an_issue_holds() -> None:
    assert ids(pick([match(number, 1 - number / 100) for number in range(1, 30)], max_items=3)) == [1, 2, 3]


def test_what_holds_a_must_word_is_let_in_however_weak() -> None:
    matches = [match(1, 0.9), match(2, 0.8), match(3, 0.01, "Okafor", ReasonKind.MUST)]
    assert sorted(ids(pick(matches, max_items=2))) == [1, 3]


def test_three_titles_stand_just_below_the_cut() -> None:
    chosen = pick([match(number, 1 - number / 10) for number in range(1, 10)], max_items=2)
    assert ids(chosen, ItemRole.BELOW) == [3, 4, 5]


def test_an_empty_day_names_the_three_nearest_and_pads_with_nothing() -> None:
    chosen = pick([match(number, 0.4 - number / 100) for number in range(1, 20)])
    assert ids(chosen) == []
    assert ids(chosen, ItemRole.BELOW) == [1, 2, 3]
    assert ids(chosen, ItemRole.EXPLORE) == []


def test_nothing_at_all_makes_an_empty_issue() -> None:
    assert pick([]).items == ()


# ---------------------------------------------------------------- near-duplicates


def unit(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32) / np.linalg.norm(numbers)


def test_of_two_near_duplicates_the_better_is_shown_and_names_the_other() -> None:
    vectors = {WorkId(1): unit(1, 0, 0), WorkId(2): unit(1, 0.1, 0), WorkId(3): unit(0, 0, 1)}
    chosen = pick([match(1, 0.9), match(2, 0.8), match(3, 0.7)], vectors)
    assert ids(chosen) == [1, 3]
    assert chosen.items[0].also == ("“Work 2”",)


def test_a_near_duplicate_stands_below_the_cut_as_little_as_above_it() -> None:
    vectors = {WorkId(1): unit(1, 0), WorkId(2): unit(1, 0.1)}
    chosen = pick([match(1, 0.9), match(2, 0.8)], vectors, max_items=1)
    assert ids(chosen, ItemRole.BELOW) == []


def test_other_sources_of_a_work_are_named_once_each() -> None:
    mentions = [Mention(source_id=SourceId(n), source_name=name, seen_at=NOW) for n, name in enumerate(("cs.AI", "Daily Papers", "cs.AI"))]
    works = {WorkId(1): work(1, mentions=tuple(mentions))}
    chosen = selection.select([match(1, 0.9)], works=works, vectors={}, profile=Profile(), automatic_threshold=0.5, seed=1)
    assert chosen.items[0].also == ("Daily Papers",)


# ---------------------------------------------------------------- fairness


def test_an_interest_with_good_matches_is_not_crowded_out_by_a_better_one() -> None:
    loud = [match(number, 0.99 - number / 1000, "loud") for number in range(1, 20)]
    quiet = [match(number, 0.6 - number / 1000, "quiet") for number in range(50, 60)]
    chosen = ids(pick(loud + quiet, max_items=5))
    assert len(chosen) == 5
    assert len([number for number in chosen if number >= 50]) == 2


def test_the_best_of_each_interest_is_among_the_first() -> None:
    loud = [match(number, 0.99 - number / 1000, "loud") for number in range(1, 20)]
    assert ids(pick([*loud, match(50, 0.6, "quiet"), match(60, 0.55, "shy")], max_items=5))[:3] == [1, 50, 60]


def test_an_interest_without_good_matches_takes_no_place() -> None:
    loud = [match(number, 0.99 - number / 1000, "loud") for number in range(1, 20)]
    assert ids(pick([*loud, match(50, 0.4, "quiet")], max_items=5)) == [1, 2, 3, 4, 5]


def test_a_reader_with_many_liked_works_still_gets_their_interest() -> None:
    liked = [match(number, 0.95 - number / 1000, f"liked {number}", ReasonKind.LIKED) for number in range(1, 30)]
    assert 50 in ids(pick([*liked, match(50, 0.6, "interest")], max_items=3))


many = st.lists(
    st.tuples(
        st.integers(1, 60), st.floats(0, 1), st.sampled_from(("a", "b", "c")), st.sampled_from((ReasonKind.INTEREST, ReasonKind.MUST))
    ),
    max_size=40,
    unique_by=lambda each: each[0],
)


@given(many, st.integers(1, 12), st.integers(0, 9))
def test_an_issue_is_within_its_cap_without_repetition_and_full_where_it_can_be(
    drawn: list[tuple[int, float, str, ReasonKind]], most: int, seed: int
) -> None:
    matches = [match(*each) for each in drawn]
    chosen = pick(matches, seed=seed, max_items=most)
    good = [each for each in matches if each.strength >= 0.5 or each.reason.kind is ReasonKind.MUST]
    shown = [item.match.work_id for item in chosen.items]
    assert len(ids(chosen)) == min(most, len(good))
    assert len(shown) == len(set(shown))
    assert set(ids(chosen)) <= {each.work_id for each in good}
    assert len(ids(chosen, ItemRole.EXPLORE)) <= 1
    assert chosen == pick(matches, seed=seed, max_items=most)


@given(many, st.integers(1, 12))
def test_every_interest_with_good_matches_has_its_share(drawn: list[tuple[int, float, str, ReasonKind]], most: int) -> None:
    matches = [match(number, strength, text) for number, strength, text, _ in drawn]
    good = [each for each in matches if each.strength >= 0.5]
    interests = {each.reason.text for each in good}
    chosen = [item.match.reason.text for item in pick(matches, max_items=most).items if item.role is ItemRole.CHOSEN]
    for interest in interests if len(interests) <= most else ():
        of_it = len([each for each in good if each.reason.text == interest])
        assert chosen.count(interest) >= min(of_it, most // len(interests))


# ---------------------------------------------------------------- diversity


def test_of_two_as_strong_the_one_unlike_the_others_is_taken() -> None:
    vectors = {WorkId(1): unit(1, 0, 0), WorkId(2): unit(1, 0.6, 0), WorkId(3): unit(0, 0, 1)}
    chosen = pick([match(1, 0.9), match(2, 0.71), match(3, 0.7)], vectors, max_items=2)
    assert ids(chosen) == [1, 3]
    assert ids(chosen, ItemRole.BELOW) == [2]


def test_what_is_far_stronger_is_taken_however_like_another() -> None:
    vectors = {WorkId(1): unit(1, 0, 0), WorkId(2): unit(1, 0.5, 0), WorkId(3): unit(0, 0, 1)}
    assert ids(pick([match(1, 0.9), match(2, 0.88), match(3, 0.3)], vectors, max_items=2, min_score=0.2)) == [1, 2]


@given(st.lists(st.tuples(st.floats(0.5, 1), *[st.floats(-1, 1)] * 3), min_size=6, max_size=25), st.integers(1, 5))
def test_the_best_match_leads_and_variety_costs_no_item_more_than_its_bound(drawn: list[tuple[float, ...]], most: int) -> None:
    matches = [match(number, strength) for number, (strength, *_) in enumerate(drawn)]
    vectors = {WorkId(number): unit(*where, 0.1) for number, (_, *where) in enumerate(drawn)}
    chosen = pick(matches, vectors, max_items=most)
    shown, below = ([drawn[number][0] for number in ids(chosen, role)] for role in (ItemRole.CHOSEN, ItemRole.BELOW))
    assert shown[0] == max(strength for strength, *_ in drawn)
    assert all(min(shown) >= strength * np.exp(-selection.DIVERSITY) - 1e-6 for strength in below)


def test_what_follows_the_opening_stands_together_by_interest() -> None:
    loud = [match(number, 0.99 - number / 1000, "loud") for number in range(1, 20)]
    quiet = [match(number, 0.8 - number / 1000, "quiet") for number in range(50, 60)]
    shy = [match(number, 0.6 - number / 1000, "shy") for number in range(70, 80)]
    by_id = {each.work_id: each.reason.text for each in (*loud, *quiet, *shy)}
    order = [by_id[WorkId(number)] for number in ids(pick([*loud, *quiet, *shy], max_items=9))]
    assert order == ["loud", "quiet", "shy", "loud", "loud", "quiet", "quiet", "shy", "shy"]


# ---------------------------------------------------------------- from outside

TOPICS = np.eye(8, dtype=np.float32)


def day(*sizes: int) -> tuple[dict[WorkId, Work], dict[WorkId, np.ndarray]]:
    """So many works of each topic, numbered from 100 for the first, from 200 for the second …"""
    chance = np.random.default_rng(1)
    vectors = {
        WorkId(100 * topic + number): unit(*(TOPICS[topic] + chance.normal(0, 0.1, 8)))
        for topic, size in enumerate(sizes, 1)
        for number in range(size)
    }
    return {work_id: work(work_id) for work_id in vectors}, vectors


def explored(
    works: Mapping[WorkId, Work],
    vectors: Mapping[WorkId, np.ndarray],
    *,
    likes: np.ndarray = TOPICS[1:2],
    dislikes: np.ndarray = TOPICS[:0],
    matched: Iterable[int] = range(100, 110),
    allowed: Callable[[int], bool] = lambda _: True,
    seed: int = 1,
    **profile: object,
) -> int | None:
    """What comes from outside for a reader of the first topic."""
    regions = Regions.of(list(vectors), np.stack(list(vectors.values())))
    outside = Outside(regions, np.array([allowed(each) for each in vectors]), likes, dislikes)
    chosen = selection.select(
        [match(number, 0.9 - number / 1000) for number in matched],
        works=works,
        vectors=vectors,
        profile=Profile(**profile),  # type: ignore[arg-type]
        automatic_threshold=0.5,
        seed=seed,
        outside=outside,
    )
    found = [item for item in chosen.items if item.role is ItemRole.EXPLORE]
    assert all((item.match.reason.kind, item.match.strength) == (ReasonKind.EXPLORE, 0.0) for item in found)
    return found[0].match.work_id if found else None


def test_one_item_comes_from_outside_the_profile_when_the_reader_wants_that() -> None:
    works, vectors = day(20, 10, 40, 15)
    assert explored(works, vectors) in range(300, 340)  # the largest part of the day
    assert explored(works, vectors, explore=False) is None


def test_what_was_voted_on_is_not_asked_again() -> None:
    works, vectors = day(20, 10, 40, 15)
    assert explored(works, vectors, likes=TOPICS[1:4]) in range(400, 415)
    assert explored(works, vectors, dislikes=TOPICS[3:4]) in range(400, 415)


def test_nothing_near_to_what_is_avoided_comes_from_outside() -> None:
    works, vectors = day(20, 40)
    assert explored(works, vectors) in range(200, 240)
    assert explored(works, vectors, matched=range(100, 120), dislikes=TOPICS[2:3]) is None


def test_nothing_with_the_words_of_what_is_avoided_comes_from_outside() -> None:
    works, vectors = day(20, 40)
    scans = {work_id: replace(each, title="Medical scans for imaging") if work_id % 2 else each for work_id, each in works.items()}
    assert {explored(scans, vectors, seed=seed, avoid=("medical imaging",)) % 2 for seed in range(9)} == {0}  # type: ignore[operator]


def test_the_best_known_of_those_that_stand_for_the_same_comes_from_outside() -> None:
    works, vectors = day(20, 5)
    known = works | {WorkId(203): work(203, upvotes=50)}
    assert explored(known, vectors, matched=range(100, 120)) == 203


def test_only_what_may_come_to_the_reader_comes_from_outside() -> None:
    works, vectors = day(20, 10, 40)
    assert explored(works, vectors, allowed=lambda number: number < 300) in range(200, 210)
    assert explored(works, vectors, allowed=lambda number: number == 337) == 337


def test_lots_decide_between_parts_of_a_day_that_are_worth_the_same() -> None:
    works, vectors = day(10, 20, 20, 20, 3)
    found = {explored(works, vectors, seed=seed) // 100 for seed in range(9)}  # type: ignore[operator]
    assert found <= {2, 3, 4}
    assert len(found) > 1


def test_where_everything_was_matched_what_fits_least_comes_from_outside() -> None:
    works, vectors = day(40)
    matches = [match(100, 0.9), *(match(number, 0.4 - number / 1000) for number in range(101, 140))]
    chosen = selection.select(matches, works=works, vectors=vectors, profile=Profile(), automatic_threshold=0.5, seed=1)
    (found,) = ids(chosen, ItemRole.EXPLORE)
    assert found >= 120


def test_what_fits_is_never_shown_as_from_outside() -> None:
    works, vectors = day(40)
    matches = [match(number, 0.9 - number / 1000) for number in works]
    chosen = selection.select(
        matches, works=works, vectors=vectors, profile=Profile(max_items=2), automatic_threshold=0.5, seed=1, candidates=list(works)
    )
    assert ids(chosen, ItemRole.EXPLORE) == []


# ---------------------------------------------------------------- trending


def trending_ids(*works: Work, most: int = 5, **more: object) -> list[int]:
    return ids(selection.trending(works, max_items=most, **more))  # type: ignore[arg-type]


def test_trending_is_by_votes_then_by_sources_then_by_place_on_the_page() -> None:
    def mentions(*positions: int) -> tuple[Mention, ...]:
        return tuple(Mention(source_id=SourceId(n), source_name=f"s{n}", seen_at=NOW, position=at) for n, at in enumerate(positions))

    works = [
        work(1, mentions=mentions(9)),
        work(2, mentions=mentions(2)),
        work(3, mentions=mentions(8, 9)),
        work(4, upvotes=3, mentions=mentions(7)),
        work(5, upvotes=80, mentions=mentions(30)),
    ]
    assert trending_ids(*works) == [5, 4, 3, 2, 1]
    assert trending_ids(*works, most=2) == [5, 4]


def test_trending_never_repeats_what_was_issued_nor_shows_one_thing_twice() -> None:
    works = [work(1, upvotes=9), work(2, upvotes=8), work(3, upvotes=7), work(4, upvotes=6, withdrawn=True)]
    vectors = {WorkId(2): unit(1, 0), WorkId(3): unit(1, 0.05)}
    assert trending_ids(*works, vectors=vectors, issued={WorkId(1): NOW}) == [2]


def test_trending_says_so_and_claims_no_strength() -> None:
    (item,) = selection.trending([work(1, upvotes=9)], max_items=5).items
    assert (item.match.reason.kind, item.match.strength, item.role) == (ReasonKind.TRENDING, 0.0, ItemRole.CHOSEN)


@pytest.mark.parametrize("most", [1, 3])
def test_trending_keeps_to_the_cap(most: int) -> None:
    assert len(trending_ids(*(work(number) for number in range(1, 9)), most=most)) == most
