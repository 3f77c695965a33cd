"""Layers of a profile: per key the later change wins."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from paperround.models import Interest, Profile
from paperround.records import Layer
from paperround.subscribers.profile_layers import FILE, READER, changes, file_changes, merge, profile_to_values, values_to_profile
from paperround.subscribers.profile_values import CHECKS, check_values

T = datetime(2026, 11, 20, tzinfo=UTC)


def layer(name: str, key: str, value: Any, hours: int = 0) -> Layer:
    return Layer(layer=name, key=key, value=value, changed_at=T + timedelta(hours=hours))


def stored(before: list[Layer], new: list[Layer]) -> list[Layer]:
    """As storage keeps them: one row a layer and key."""
    return list({(each.layer, each.key): each for each in [*before, *new]}.values())


def test_values_name_every_key_of_a_profile_file_and_come_back() -> None:
    profile = Profile(
        name="Ada", min_score=0.0, interests=(Interest(text="a"), Interest(text="b", weight=2.0)), liked=("arxiv:2410.01234",)
    )
    values = profile_to_values(profile)
    assert list(values) == list(CHECKS)
    assert values["interests"] == ["a", {"text": "b", "weight": 2.0}]
    assert values_to_profile(check_values(values, "here")) == profile


def test_keys_that_are_not_named_come_from_the_base() -> None:
    assert values_to_profile({"max_items": 3}, Profile(timezone="Asia/Tokyo", max_items=9)) == Profile(timezone="Asia/Tokyo", max_items=3)


def test_a_readers_edit_stands_over_the_file_until_the_file_says_something_new() -> None:
    layers = file_changes([], {"max_items": 5, "name": "Ada"}, T)
    layers = stored(layers, [layer(READER, "max_items", 8, hours=1)])
    assert merge(layers).max_items == 8
    layers = stored(layers, file_changes(layers, {"max_items": 5, "name": "Ada W."}, T + timedelta(hours=2)))
    assert (merge(layers).max_items, merge(layers).name) == (8, "Ada W.")
    layers = stored(layers, file_changes(layers, {"max_items": 6, "name": "Ada W."}, T + timedelta(hours=3)))
    assert merge(layers).max_items == 6


def test_a_second_sync_of_the_same_file_changes_nothing() -> None:
    values = {"max_items": 5, "interests": ["a"]}
    assert file_changes(file_changes([], values, T), values, T + timedelta(hours=1)) == []


def test_a_key_dropped_from_the_file_goes_back_to_the_default_but_not_over_the_readers_edit() -> None:
    layers = stored(file_changes([], {"max_items": 5, "empty": "note"}, T), [layer(READER, "max_items", 8, hours=1)])
    layers = stored(layers, file_changes(layers, {}, T + timedelta(hours=2)))
    assert merge(layers) == Profile(max_items=8)
    assert file_changes(layers, {}, T + timedelta(hours=3)) == []
    assert [each.key for each in file_changes(layers, {"empty": "note"}, T + timedelta(hours=3))] == ["empty"]


def test_in_the_same_instant_the_reader_has_the_last_word() -> None:
    both = [layer(READER, "max_items", 8), layer(FILE, "max_items", 5)]
    assert merge(both).max_items == merge(both[::-1]).max_items == 8


def test_a_change_of_one_layer_looks_at_no_other() -> None:
    assert [each.layer for each in changes(READER, [layer(FILE, "max_items", 5)], {"max_items": 5}, T)] == [READER]


LAYERS = st.lists(
    st.builds(
        layer, st.sampled_from([FILE, READER]), st.sampled_from(["max_items", "name"]), st.sampled_from([None, 1, 2, 3]), st.integers(0, 9)
    ),
    max_size=6,
    unique_by=lambda each: (each.layer, each.key),
)


@given(LAYERS)
def test_the_profile_in_force_does_not_depend_on_the_order_of_its_layers(layers: list[Layer]) -> None:
    assert merge(layers) == merge(layers[::-1])
    for key in ("max_items", "name"):
        said = [each for each in layers if each.key == key and each.value is not None]
        assert getattr(merge(layers), key) in ({each.value for each in said} or {getattr(Profile(), key)})
        if said and (latest := max(said, key=lambda each: each.changed_at)) and sum(e.changed_at == latest.changed_at for e in said) == 1:
            assert getattr(merge(layers), key) == latest.value
