"""Datasets, metrics, calibration and the feedback simulation, on small invented data."""

import json

import numpy as np
import pytest

from paperround.matching import evaluation
from paperround.matching.calibration import PRIOR, fit, leanings, learn, strengths
from paperround.matching.evaluation import evaluate, issue_figures, parse_dataset, ranking_figures, simulate_feedback
from paperround.models import DigestId, SubscriberId, WorkId
from paperround.records import Judged

TOPICS, ITEMS, READERS, DIMENSION = 12, 3000, 120, 32


def invented(seed: int = 3) -> tuple[evaluation.Dataset, np.ndarray]:
    """Items of twelve topics; every reader likes some of three of them."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((TOPICS, DIMENSION))
    topic = chance.integers(0, TOPICS, ITEMS)
    vectors = centres[topic] + 0.9 * chance.standard_normal((ITEMS, DIMENSION))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    items = [json.dumps({"id": f"i{number}", "title": f"Title {number}", "text": ""}) for number in range(ITEMS)]
    new = [f"i{number}" for number in range(0, ITEMS, 3)]
    users = []
    for number in range(READERS):
        tastes = chance.choice(TOPICS, 3, replace=False)
        mine = [item for item in np.flatnonzero(np.isin(topic, tastes)).tolist() if chance.random() < 0.2]
        users.append(
            {
                "id": f"u{number}",
                "liked": [f"i{item}" for item in mine if item % 3],
                "interests": [],
                "relevant": [f"i{item}" for item in mine if item % 3 == 0],
            }
        )
    return parse_dataset(items, new, [json.dumps(user) for user in users]), vectors


def test_ranking_figures_are_those_of_the_definition() -> None:
    figures = ranking_figures(np.array([7, 3, 9, 1]), np.array([3, 1]))
    assert figures["recall@20"] == 1.0
    assert figures["mrr"] == 0.5
    assert figures["ndcg@10"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3)))


def test_only_batches_with_something_relevant_count() -> None:
    shown = [np.array([0, 1, 2, 3, 4]), np.array([200, 201, 202, 203, 204])]
    assert issue_figures(shown, np.array([201, 390])) == [(0.5, pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3))))]


def test_an_evaluation_beats_chance_and_its_rankings_are_whole() -> None:
    dataset, vectors = invented()
    result = evaluate(dataset, vectors)
    assert result.figures["users"] == READERS
    assert result.figures["recall@100"] > 0.3  # by chance a tenth
    assert result.figures["calibration_error"] < 0.15
    new = {dataset.ids[place] for place in dataset.new.tolist()}
    for ranking in result.rankings:
        ranked = ranking["ranked"]
        assert isinstance(ranked, list)
        assert len(set(ranked)) == 100
        assert set(ranked) <= new
    json.dumps(result.rankings)


def test_what_is_relevant_never_reaches_a_profile() -> None:
    dataset, vectors = invented()
    blind = evaluation.Dataset(
        ids=dataset.ids,
        texts=dataset.texts,
        new=dataset.new,
        readers=tuple(
            evaluation.Reader(id=reader.id, liked=reader.liked, profile=reader.profile, relevant=reader.relevant[:1])
            for reader in dataset.readers
        ),
    )
    assert evaluate(dataset, vectors).rankings == evaluate(blind, vectors).rankings


def families(seed: int = 3) -> tuple[evaluation.Dataset, np.ndarray]:
    """Items of twenty fields with two neighbouring topics each; a reader likes half of one field, and begins with one work of it."""
    chance = np.random.default_rng(seed)
    fields, items = 20, 3600
    centres = chance.standard_normal((fields, 1, DIMENSION)) + 1.2 * chance.standard_normal((fields, 2, DIMENSION))
    topic = chance.integers(0, 2 * fields, items)
    vectors = centres.reshape(-1, DIMENSION)[topic] + 0.9 * chance.standard_normal((items, DIMENSION))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    users = []
    for number in range(80):
        mine = [item for item in np.flatnonzero(topic // 2 == number % fields).tolist() if chance.random() < 0.5]
        old, new = ([f"i{item}" for item in mine if (item % 3 == 0) is fresh] for fresh in (False, True))
        users.append(json.dumps({"id": f"u{number}", "liked": old, "interests": [], "relevant": new}))
    rows = [json.dumps({"id": f"i{number}", "title": "A title", "text": ""}) for number in range(items)]
    return parse_dataset(rows, [f"i{number}" for number in range(0, items, 3)], users), vectors


def test_voting_teaches_a_reader_s_whole_field_from_one_work_of_it() -> None:
    figures = simulate_feedback(*families(), readers=60, issues=12, begin=1)
    assert figures["readers"] == 60
    assert figures["ratio"] == pytest.approx(figures["learning"] / figures["static"])
    assert figures["ratio"] > 1.15


@pytest.mark.parametrize(
    ("items", "new", "users", "named"),
    [
        (["{"], [], [], "items.jsonl, line 1"),
        (['{"id": "1", "title": "x"}'], ["2"], [], "new_items.txt"),
        (['{"id": "1", "title": "x"}'], ["1"], ['{"id": "u"}'], "users.jsonl, line 1"),
        (['{"id": "1", "title": "x"}'], [], ['{"id": "u", "liked": [], "interests": [], "relevant": ["1"]}'], "not among the new items"),
    ],
)
def test_a_bad_dataset_is_refused_by_file_and_line(items: list[str], new: list[str], users: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_dataset(items, new, users)


def test_a_fit_finds_the_rates_it_was_drawn_from() -> None:
    chance = np.random.default_rng(5)
    scores = chance.uniform(0, 8, 20_000).astype(np.float32)
    true = 1 / (1 + np.exp(4 - scores))
    evidence = np.full(len(scores), 1.1, np.float32)
    found = strengths(scores, evidence, fit(scores, evidence, chance.random(len(scores)) < true))
    assert np.abs(found - true).mean() < 0.02


def judged(subscriber: int, scores: np.ndarray, kept: np.ndarray) -> list[Judged]:
    return [
        Judged(
            subscriber_id=SubscriberId(subscriber),
            digest_id=DigestId(1),
            cutoff=evaluation.EPOCH,
            work_id=WorkId(place),
            score=float(score),
            strength=0.5,
            value=int(keep),
        )
        for place, (score, keep) in enumerate(zip(scores, kept, strict=True))
    ]


def test_without_votes_the_prior_stays_and_many_votes_move_it_to_what_readers_keep() -> None:
    assert learn([]) == PRIOR
    chance = np.random.default_rng(6)
    scores = chance.uniform(1, 8, 5_000).astype(np.float32)
    true = 1 / (1 + np.exp(6.5 - 0.8 * scores))
    rows = judged(1, scores, chance.random(len(scores)) < true)
    nothing = np.zeros(len(scores), np.float32)
    assert np.abs(strengths(scores, nothing, learn(rows)) - true).mean() < 0.03
    assert np.abs(strengths(scores, nothing, PRIOR) - true).mean() > 0.1
    few = strengths(scores, nothing, learn(rows[:5]))
    assert np.abs(few - strengths(scores, nothing, PRIOR)).max() < 0.2


def test_who_keeps_more_than_others_leans_up_and_few_votes_lean_little() -> None:
    scores = np.full(40, 5.0, np.float32)  # every second one, says the prior
    much, little, once = judged(1, scores, np.ones(40)), judged(2, scores, np.zeros(40)), judged(3, scores[:1], np.ones(1))
    found = leanings(PRIOR, [*much, *little, *once])
    assert found[SubscriberId(1)] > 1
    assert found[SubscriberId(2)] < -1
    assert 0 < found[SubscriberId(3)] < 0.3
