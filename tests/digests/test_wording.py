"""How facts are said: what is not seen in a whole mail."""

from hypothesis import given
from hypothesis import strategies as st

from paperround.digests.wording import because_of, plain, tidy
from paperround.models import Reason, ReasonKind


@given(st.text(st.characters(), max_size=60))
def test_a_text_is_tidy_when_every_character_can_be_printed(text: str) -> None:
    assert tidy(text) == text.isprintable()
    assert tidy(plain(text)) or not text.isprintable()


def test_a_reason_without_words_of_the_readers_is_told_without_quotation_marks() -> None:
    for kind in (ReasonKind.INTEREST, ReasonKind.LIKED, ReasonKind.MUST):
        because = because_of(Reason(kind=kind, text="\u202e"), timezone="UTC", language="en")
        assert because.quoted == ""
        assert "“" not in because.line
