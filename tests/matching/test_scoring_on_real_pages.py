"""Choosing on real digest pages with the real model."""

from typing import Any

import numpy as np
import pytest

from paperround.matching import reasons, scoring
from paperround.matching.background import Background
from paperround.matching.profile_vectors import ProfileVectors
from paperround.matching.scoring import WorkBlock, likely_works, match_profiles
from paperround.matching.sentences import split_sentences
from paperround.models import Interest, Match, ReasonKind

pytestmark = pytest.mark.slow
RECOMMENDING, LIPS = "sequential recommendation from user behaviour", "lip reading in several languages"
BERT4REC, LIP_PAPER = "BERT4Rec", "Synchronous Bidirectional Learning for Multilingual Lip"


def best(library: Any, reader: ProfileVectors, top: int = 10, background: Background | None = None) -> list[Match]:
    (matches,) = match_profiles([reader], library.block, background or library.background, allowed=None, top=top)
    return matches


def titles(library: Any, matches: list[Match]) -> list[str]:
    by_id = {work.id: work.title for work in library.works}
    return [by_id[match.work_id] for match in matches]


@pytest.mark.parametrize(("interest", "title"), [(RECOMMENDING, BERT4REC), (LIPS, LIP_PAPER)])
def test_one_interest_gets_its_paper_first(library: Any, interest: str, title: str) -> None:
    for background in (library.background, Background.empty(384)):
        assert titles(library, best(library, library.reader(interest), background=background))[0].startswith(title)


def test_two_interests_far_apart_never_wash_each_other_out(library: Any) -> None:
    first = titles(library, best(library, library.reader(RECOMMENDING, LIPS), top=3))
    assert any(title.startswith(BERT4REC) for title in first)
    assert any(title.startswith(LIP_PAPER) for title in first)


def test_an_interest_scores_its_paper_as_high_among_five_others_as_alone(library: Any) -> None:
    others = ["speculative decoding", "medical imaging of the brain", "3D scene reconstruction", "reinforcement learning of robots", LIPS]
    alone = best(library, library.reader(RECOMMENDING), top=1)[0]
    among = next(match for match in best(library, library.reader(RECOMMENDING, *others), top=50) if match.work_id == alone.work_id)
    assert among.score >= alone.score - 0.01
    assert among.reason.text == RECOMMENDING


def test_a_score_is_the_same_alone_and_among_all(library: Any) -> None:
    reader = library.reader(RECOMMENDING, "large language models", examples=[library.example(place) for place in (3, 50, 90)])
    for match in best(library, reader, top=40):
        place = next(number for number, work in enumerate(library.works) if work.id == match.work_id)
        one = WorkBlock.of([library.works[place]], library.vectors[place : place + 1])
        ((alone,),) = match_profiles([reader], one, library.background, allowed=None, top=1)
        assert alone.score == pytest.approx(match.score, abs=1e-3)
        assert alone.strength == pytest.approx(match.strength, abs=1e-3)
        assert alone.reason.text == match.reason.text


def test_a_score_is_the_sum_of_its_named_parts(library: Any) -> None:
    reader = library.reader(LIPS, examples=[library.example(place) for place in range(0, 60, 9)], avoid=("speech recognition",))
    for match in best(library, reader, top=30):
        assert sum(match.parts.values()) == pytest.approx(match.score, abs=1e-3)


def test_without_the_named_reason_a_score_falls_most(library: Any) -> None:
    places = [5, 40, 80, 120, 160, 200]
    examples = [library.example(place) for place in places]
    interests = (RECOMMENDING, "speculative decoding", "video generation by diffusion")
    matches = best(library, library.reader(*interests, examples=examples), top=60)
    names = [*interests, *(example.title for example in examples)]
    without = {}
    for name in names:
        fewer = library.reader(*(each for each in interests if each != name), examples=[each for each in examples if each.title != name])
        without[name] = {match.work_id: match.score for match in best(library, fewer, top=len(library.works))}
    right = sum(min(names, key=lambda name: without[name][match.work_id]) == match.reason.text for match in matches)
    assert right >= 0.9 * len(matches)  # a liked work less also changes how the others are weighed


def test_what_is_avoided_goes_down_and_its_neighbours_stay(library: Any) -> None:
    plain = best(library, library.reader("medical imaging", "speculative decoding"), top=len(library.works))
    avoiding = best(
        library, library.reader("medical imaging", "speculative decoding", avoid=("speculative decoding",)), top=len(library.works)
    )
    before, after = ({match.work_id: match.score for match in each} for each in (plain, avoiding))
    decoding = [match.work_id for match in plain if match.reason.text == "speculative decoding"][:2]
    imaging = [match.work_id for match in plain if match.reason.text == "medical imaging"][:3]
    assert all(after[each] < before[each] - 1.5 for each in decoding)
    assert all(after[each] > before[each] - 0.3 for each in imaging)


def test_a_disliked_topic_leaves_the_issue_within_two_votes_and_other_topics_stay(library: Any) -> None:
    reader = library.reader("speculative decoding", RECOMMENDING)
    shown = best(library, reader, top=3)
    decoding = [match for match in shown if match.reason.text == "speculative decoding"][:2]
    places = [next(number for number, work in enumerate(library.works) if work.id == match.work_id) for match in decoding]
    against = library.reader("speculative decoding", RECOMMENDING, examples=[library.example(place, -1) for place in places])
    after = best(library, against, top=len(library.works))
    strengths = {match.work_id: match.strength for match in after}
    assert all(strengths[match.work_id] < scoring.AUTOMATIC_THRESHOLD for match in decoding)
    assert titles(library, after)[0].startswith(BERT4REC)


def test_a_heavier_interest_comes_first(library: Any) -> None:
    light = library.reader(Interest(text=LIPS, weight=0.1), Interest(text=RECOMMENDING, weight=1.0))
    assert titles(library, best(library, light))[0].startswith(BERT4REC)
    assert titles(library, best(library, library.reader(LIPS, RECOMMENDING)))[0].startswith(LIP_PAPER)


def test_must_lets_in_and_never_keeps_out_by_whole_words(library: Any) -> None:
    reader = library.reader(RECOMMENDING, must=("Lip reading",), never=("bert4rec",))
    matches = best(library, reader, top=5)
    assert matches[0].reason.kind is ReasonKind.MUST
    assert titles(library, matches)[0].startswith(LIP_PAPER)
    assert not any(title.startswith(BERT4REC) for title in titles(library, best(library, reader, top=len(library.works))))


def test_who_names_nothing_gets_no_matches(library: Any) -> None:
    reader = library.reader(avoid=("medical imaging",))
    assert not reader.has_interests
    assert best(library, reader) == []


def test_only_what_is_allowed_is_matched(library: Any) -> None:
    allowed = np.zeros((1, len(library.works)), dtype=bool)
    allowed[0, [4, 9]] = True
    (matches,) = match_profiles([library.reader(LIPS)], library.block, library.background, allowed=allowed, top=10)
    assert {match.work_id for match in matches} == {library.works[4].id, library.works[9].id}


def test_a_search_finds_what_the_matcher_finds(library: Any) -> None:
    reader = library.reader(LIPS)
    likely = {library.works[row].id for row in likely_works(reader, library.vectors, 60).tolist()}
    assert len(likely) == 60
    assert {each.work_id for each in best(library, reader, top=5)} <= likely


def test_the_excerpt_holds_the_sentence_that_fits_and_keeps_the_order(library: Any) -> None:
    reader = library.reader(LIPS)
    match = best(library, reader, top=1)[0]
    work = next(work for work in library.works if work.id == match.work_id)
    sentences = split_sentences(work.abstract)
    vectors = library.embedder.embed_now(list(sentences))
    shown, place = reasons.excerpt(match, reader, sentences, vectors)
    assert place is not None
    assert sentences.index(shown[place]) == int((vectors @ reader.likes[0]).argmax())
    assert [sentences.index(each) for each in shown] == sorted(sentences.index(each) for each in shown)


def test_the_stored_background_scores_the_same(library: Any) -> None:
    again = Background.from_arrays({name: values.copy() for name, values in library.background.to_arrays().items()})
    reader = library.reader(LIPS, RECOMMENDING)
    before, after = best(library, reader), best(library, reader, background=again)
    assert [match.work_id for match in before] == [match.work_id for match in after]
    assert [match.score for match in before] == pytest.approx([match.score for match in after], abs=1e-3)
