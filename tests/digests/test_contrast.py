"""Whether colours can be read, held to figures that the standard itself gives."""

from dataclasses import replace

import pytest

from paperround.digests.contrast import contrast, pale_colours
from paperround.models import ListIdentity

IDENTITY = ListIdentity(name="The Paperround", sender="round@example.org", list_id="paperround.example.org")


@pytest.mark.parametrize(
    ("one", "other", "ratio"), [("#000000", "#ffffff", 21.0), ("#777777", "#777777", 1.0), ("#767676", "#ffffff", 4.54)]
)
def test_contrast_is_that_of_the_standard_in_either_order(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


def test_our_own_colours_can_be_read_and_others_are_told_with_the_key_to_change() -> None:
    assert list(pale_colours(IDENTITY)) == []
    (told,) = pale_colours(replace(IDENTITY, colour="#f4a261"))
    assert told.startswith("list.colour: #f4a261 has a contrast of 1.8")
