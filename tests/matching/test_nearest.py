"""The best of many works for one vector a reader."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperround.matching.background import Background
from paperround.matching.nearest import nearest


@settings(deadline=None, max_examples=40)
@given(readers=st.integers(1, 30), works=st.integers(1, 240), top=st.integers(1, 12), seed=st.integers(0, 99))
def test_the_nearest_are_those_that_sorting_everything_finds(readers: int, works: int, top: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    mine, theirs = chance.standard_normal((readers, 8)).astype(np.float32), chance.standard_normal((works, 8)).astype(np.float32)
    columns, scores = nearest(mine, theirs, top)
    everything = mine @ theirs.T
    assert np.allclose(scores, -np.sort(-everything, axis=1)[:, :top], atol=1e-5)
    assert np.allclose(np.take_along_axis(everything, columns, axis=1), scores, atol=1e-5)


def test_many_readers_are_matched_on_all_processors_to_the_same_works(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(5)
    readers, works = chance.standard_normal((400, 8)).astype(np.float32), chance.standard_normal((60, 8)).astype(np.float32)
    one_block = nearest(readers, works, 5)
    monkeypatch.setattr("paperround.matching.nearest.ROWS", 23)
    for found, expected in zip(nearest(readers, works, 5), one_block, strict=True):
        assert np.allclose(found, expected, atol=1e-5)


def test_equal_works_are_all_found() -> None:
    one = np.ones((1, 4), np.float32)
    columns, scores = nearest(one.repeat(3, axis=0), one.repeat(50, axis=0), 20)
    assert all(len(set(row)) == 20 for row in columns.tolist())
    assert (scores == 4).all()


def test_a_background_of_any_size_reads_any_text() -> None:
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((60, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for count in (0, 1, 2, 5, 60):
        readings = Background.from_vectors(vectors[:count]).read(vectors)
        assert np.isfinite(readings.unit).all()
        assert np.allclose(np.linalg.norm(readings.unit, axis=1), 1, atol=1e-4)
