"""Room: the layers of a profile. The administrator's file below, the reader's own edits above; per key the later change wins (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from paperround.models import Channel, Interest, Profile
from paperround.records import Layer

FILE, READER = "file", "reader"


def profile_to_values(profile: Profile) -> dict[str, Any]:
    """A profile as the plain values of a profile file, every key of it, in the order of the reference."""
    values = {each.name: getattr(profile, each.name) for each in fields(profile)}
    return {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in values.items()},
        "min_score": "auto" if profile.min_score is None else profile.min_score,
        "channels": [channel.value for channel in profile.channels],
        "interests": [each.text if each.weight == 1 else {"text": each.text, "weight": each.weight} for each in profile.interests],
    }


def values_to_profile(values: Mapping[str, Any], base: Profile = Profile()) -> Profile:  # noqa: B008  (frozen)
    """The profile that checked `values` make of `base`, which has the say in every key they do not name."""
    merged = {**profile_to_values(base), **values}
    score = merged["min_score"]
    kept: dict[str, Any] = {
        **{key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()},
        "min_score": None if score == "auto" else float(score),
        "channels": tuple(map(Channel, merged["channels"])),
        "interests": tuple(Interest(text=each) if isinstance(each, str) else Interest(**each) for each in merged["interests"]),
    }
    return Profile(**kept)


def merge(layers: Sequence[Layer], base: Profile = Profile()) -> Profile:  # noqa: B008  (frozen)
    """The profile in force: per key the later change wins; of two in the same instant the reader's, whose profile it is.

    A layer whose value is None has no say in its key any more."""
    ordered = sorted(layers, key=lambda layer: (layer.changed_at, layer.layer == READER))
    return values_to_profile({layer.key: layer.value for layer in ordered if layer.value is not None}, base)


def changes(layer: str, before: Sequence[Layer], values: Mapping[str, Any], now: datetime) -> list[Layer]:
    """The keys of one layer whose value is new, dated now. A key that stays as it was keeps its date and so its place."""
    known = {each.key: each.value for each in before if each.layer == layer}
    return [Layer(layer=layer, key=key, value=value, changed_at=now) for key, value in values.items() if known.get(key) != value]


def file_changes(before: Sequence[Layer], values: Mapping[str, Any], now: datetime) -> list[Layer]:
    """What a profile file says anew since its last sync: `before` are the stored layers, `values` the keys the file names now.

    A file has its say in the keys it names: one that it names no more gets the value None."""
    silent = {each.key: None for each in before if each.layer == FILE and each.key not in values}
    return changes(FILE, before, {**silent, **values}, now)
