"""Several tastes in one profile, on real vectors: none washes another out, none crowds another out, a dislike takes its own topic alone."""

import itertools
import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from paperround.digests import selection
from paperround.matching.background import Background
from paperround.matching.embedder import SentenceTransformerEmbedder
from paperround.matching.profile_vectors import Example, build_profile_vectors
from paperround.matching.scoring import AUTOMATIC_THRESHOLD, WorkBlock, match_profiles
from paperround.matching.sentences import text_of_work
from paperround.models import Interest, ItemRole, Match, Profile, SubscriberId, Work, WorkId

pytestmark = pytest.mark.slow
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
SAID = 200  # characters of each abstract: enough to tell topics apart, and embedded in seconds
SUBJECTS = (
    "video generation",
    "speech recognition and translation",
    "code generation with language models",
    "quantization of model weights",
    "3D reconstruction from images",
    "robots that learn to manipulate objects",
    "medical images and clinical text",
    "mathematical reasoning of language models",
    "safety and jailbreaks of language models",
    "agents that use websites and apps",
    "recommendation from user behaviour",
    "music generation",
)
RELATED = (  # each time two topics of one field
    ("video generation", "3D reconstruction from images"),
    ("image editing with diffusion models", "3D reconstruction from images"),
    ("code generation with language models", "mathematical reasoning of language models"),
    ("long video understanding", "video generation"),
    ("speech recognition and translation", "music generation"),
    ("quantization of model weights", "long context attention and key-value cache"),
)
FAR, OF_TOPIC, APART = 0.25, 0.5, 0.1  # cosines: of subjects far apart, of a work to its topic, and how much nearer than to the other


class Papers:
    """Two months of Daily Papers as one day, and readers of them."""

    def __init__(self, titles: Sequence[str], abstracts: Sequence[str]) -> None:
        embedder = SentenceTransformerEmbedder()
        self.ids = [WorkId(number) for number in range(len(titles))]
        self.works = {number: Work(id=number, title=title, first_seen_at=NOW) for number, title in zip(self.ids, titles, strict=True)}
        self.vectors = embedder.embed_now([text_of_work(*each) for each in zip(titles, abstracts, strict=True)])
        self.by_id = dict(zip(self.ids, self.vectors, strict=True))
        self.background = Background.from_vectors(self.vectors)
        self.block = WorkBlock.bare(self.ids, self.vectors)
        typed = list(dict.fromkeys((*SUBJECTS, *itertools.chain.from_iterable(RELATED))))
        self.words = dict(zip(typed, embedder.embed_now(typed), strict=True))

    def nearest(self, subject: str, most: int) -> list[int]:
        return [int(place) for place in np.argsort(-(self.vectors @ self.words[subject]))[:most]]

    def matches(
        self, *interests: str, liked: Collection[int] = (), disliked: Collection[int] = (), among: Collection[int] | None = None
    ) -> list[Match]:
        """All works, or those `among` which the day has any, best first."""
        votes = [(place, 1) for place in liked] + [(place, -1) for place in disliked]
        reader = build_profile_vectors(
            SubscriberId(1),
            Profile(interests=tuple(Interest(text=each) for each in interests)),
            text_vectors=self.words,
            examples=[
                Example(work_id=WorkId(place), title=f"work {place}", vector=self.vectors[place], value=value, at=NOW)
                for place, value in votes
            ],
            now=NOW,
        )
        allowed = None if among is None else np.isin(self.ids, list(among))[None, :]
        (found,) = match_profiles([reader], self.block, self.background, allowed=allowed, top=len(self.ids))
        return found

    def issue(self, matches: Sequence[Match], *, max_items: int = 5, min_score: float | None = None) -> list[int]:
        chosen = selection.select(
            matches[: 6 * max_items + 10],
            works=self.works,
            vectors=self.by_id,
            profile=Profile(max_items=max_items, min_score=min_score, explore=False),
            automatic_threshold=AUTOMATIC_THRESHOLD,
            seed=1,
        )
        return [item.match.work_id for item in chosen.items if item.role is ItemRole.CHOSEN]

    def topic(self, subject: str, other: str) -> set[int]:
        """Works of the subject that are clearly not of the other."""
        near, beside = self.vectors @ self.words[subject], self.vectors @ self.words[other]
        return set(np.flatnonzero((near >= OF_TOPIC) & (near > beside + APART)).tolist())


@pytest.fixture(scope="module")
def papers(shared: Path) -> Papers:
    titles, abstracts = [], []
    for month in ("2024-06", "2024-10"):
        for record in json.loads((shared / f"corpora/daily_papers/daily_papers_{month}.json").read_text(encoding="utf-8")):
            paper = record.get("paper", record)
            titles.append(" ".join(paper["title"].split()))
            abstracts.append(" ".join((paper.get("summary") or "").split())[:SAID])
    return Papers(titles, abstracts)


def far_apart(papers: Papers) -> list[tuple[str, str]]:
    pairs = [pair for pair in itertools.combinations(SUBJECTS, 2) if papers.words[pair[0]] @ papers.words[pair[1]] < FAR]
    assert len(pairs) > 30
    return pairs


def by_work(matches: Sequence[Match]) -> dict[int, Match]:
    return {match.work_id: match for match in matches}


# ---------------------------------------------------------------- two far apart


def test_two_interests_far_apart_leave_the_best_works_of_each_as_high_as_alone(papers: Papers) -> None:
    alone = {subject: papers.matches(subject) for subject in SUBJECTS}
    for pair in far_apart(papers):
        together = by_work(papers.matches(*pair))
        for best in (match for subject in pair for match in alone[subject][:10]):
            assert together[best.work_id].score >= best.score - 0.01, pair
            assert together[best.work_id].strength >= best.strength - 0.01, pair


def test_liked_works_of_another_field_leave_the_best_works_of_an_interest_as_high(papers: Papers) -> None:
    alone = {subject: papers.matches(subject)[:5] for subject in SUBJECTS}
    for interest, other in far_apart(papers):
        together = by_work(papers.matches(interest, liked=papers.nearest(other, 8)))
        for best in alone[interest]:
            assert together[best.work_id].score >= best.score - 0.01, (interest, other)


def test_an_issue_opens_with_the_best_of_two_interests_far_apart(papers: Papers) -> None:
    alone = {subject: papers.matches(subject) for subject in SUBJECTS}
    for pair in far_apart(papers):
        opening = papers.issue(papers.matches(*pair), min_score=0)[:3]
        for subject in pair:
            assert alone[subject][0].work_id in opening, pair


# ---------------------------------------------------------------- a crowd


def test_an_interest_crowded_by_many_similar_works_leaves_room_for_the_other(papers: Papers) -> None:
    for pair in far_apart(papers):
        for loud, quiet in (pair, pair[::-1]):
            few = papers.nearest(quiet, 2)
            day = {*papers.nearest(loud, 60), *few}
            issue = papers.issue(papers.matches(loud, quiet, among=day), min_score=0)
            assert set(few) <= set(issue), (loud, quiet)
            assert len(issue) == 5, (loud, quiet)


# ---------------------------------------------------------------- a dislike


def after_two_votes(papers: Papers, kept: str, disliked: str) -> tuple[set[int], set[int], list[int]]:
    """What is left of the disliked topic in an issue, and of the other topic's works in the first issue those that stay and those that go,
    for a reader who names both topics and twice votes against the clearest of the one."""
    topic, neighbours = papers.topic(disliked, kept), papers.topic(kept, disliked)
    first = issue = papers.issue(papers.matches(kept, disliked))
    assert topic & set(first), (kept, disliked)
    assert neighbours & set(first), (kept, disliked)
    votes: list[int] = []
    for _ in range(2):
        shown = sorted(topic & set(issue), key=lambda place: float(papers.vectors[place] @ papers.words[disliked]))
        votes += shown[-1:]
        matches = papers.matches(kept, disliked, disliked=votes)
        issue = papers.issue([match for match in matches if match.work_id not in votes])
    there = neighbours & set(first)
    return topic & set(issue), there & set(issue), sorted(there - set(issue))


def test_a_disliked_topic_is_gone_within_two_votes_and_its_neighbours_stay(papers: Papers) -> None:
    topics = list(dict.fromkeys(itertools.chain.from_iterable(RELATED)))
    stay, go = 0, []
    for pair in itertools.permutations(topics, 2):
        left, staying, going = after_two_votes(papers, *pair)
        assert not left, pair
        stay += len(staying)
        go += [(pair, place) for place in going]
    assert stay > 150
    assert len(go) <= stay / 50, go  # of the weakest, which a vote against a work between the topics takes along


def test_votes_against_the_nearest_of_two_related_topics_leave_the_other_where_it_is(papers: Papers) -> None:
    for kept, disliked in (each for pair in RELATED for each in (pair, pair[::-1])):
        neighbours = papers.topic(kept, disliked)
        before = papers.matches(kept, disliked)
        after = by_work(papers.matches(kept, disliked, disliked=papers.nearest(disliked, 2)))
        falls = [match.score - after[match.work_id].score for match in before if match.work_id in neighbours]
        assert np.median(falls) < 0.5, (kept, disliked)
