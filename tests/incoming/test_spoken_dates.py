"""Dates and times as people write them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.incoming.spoken_dates import spoken_date, spoken_time

SATURDAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("words", "day"),
    [
        ("until 3 January", date(2027, 1, 3)),
        ("until January 3rd", date(2027, 1, 3)),
        ("until the 3rd of January 2028", date(2028, 1, 3)),
        ("until Dec. 24", date(2026, 12, 24)),
        ("until 21 November", SATURDAY),
        ("until 20 November", date(2027, 11, 20)),
        ("until march", date(2027, 3, 1)),
        ("until 2027-02-01", date(2027, 2, 1)),
        ("until 24.12.", date(2026, 12, 24)),
        ("until 24.12.2027", date(2027, 12, 24)),
        ("until 12/24", date(2026, 12, 24)),
        ("until 24/12", date(2026, 12, 24)),
        ("until tomorrow", date(2026, 11, 22)),
        ("until Monday", date(2026, 11, 23)),
        ("until next saturday", date(2026, 11, 28)),
        ("for two weeks", date(2026, 12, 5)),
        ("for 10 days", date(2026, 12, 1)),
        ("for a month", date(2026, 12, 21)),
        ("until next week", date(2026, 11, 28)),
        ("until the end of the month", date(2026, 11, 30)),
        ("bis 3. Januar", date(2027, 1, 3)),
        ("bis zum 3. März 2027", date(2027, 3, 3)),
        ("bis Montag", date(2026, 11, 23)),
        ("für drei Wochen", date(2026, 12, 12)),
        ("bis morgen", date(2026, 11, 22)),
        ("jusqu'au 3 janvier", date(2027, 1, 3)),
        ("jusqu'au 1er février", date(2027, 2, 1)),
        ("pendant deux semaines", date(2026, 12, 5)),
        ("jusqu'à lundi", date(2026, 11, 23)),
        ("jusqu'à la semaine prochaine", date(2026, 11, 28)),
        ("until 2020-01-01", None),
        ("until 3 January 2020", None),
        ("until 31 February", None),
        ("until hell freezes over", None),
        ("", None),
    ],
)
def test_the_day_that_words_mean(words: str, day: date | None) -> None:
    assert spoken_date(words, today=SATURDAY) == day


def test_3_1_is_read_in_the_way_of_the_language() -> None:
    assert spoken_date("until 3/1", today=SATURDAY, language="en") == date(2027, 3, 1)
    assert spoken_date("jusqu'au 3/1", today=SATURDAY, language="fr") == date(2027, 1, 3)


@given(st.text(max_size=60), st.dates(date(1900, 1, 1), date(2200, 1, 1)))
def test_no_words_raise_or_mean_the_past(words: str, today: date) -> None:
    for said in (words, f"until {words}", f"for 999 {words} months", f"31 feb {words}"):
        day = spoken_date(said, today=today)
        assert day is None or day >= today


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 300))
def test_a_date_written_out_is_that_date(today: date, ahead: int) -> None:
    day = today + timedelta(days=ahead)
    for form in ("%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%d.%m.%Y"):
        assert spoken_date(f"until {day.strftime(form)}", today=today) == day


@pytest.mark.parametrize(
    ("words", "clock"),
    [
        ("at 7", "07:00"),
        ("7:30", "07:30"),
        ("at 7.30am", "07:30"),
        ("8pm", "20:00"),
        ("12am", "00:00"),
        ("12 pm", "12:00"),
        ("um 7 Uhr", "07:00"),
        ("à 8h", "08:00"),
        ("à 8h30", "08:30"),
        ("um 19:15", "19:15"),
        ("at 25:00", None),
        ("at 7:99", None),
        ("", None),
    ],
)
def test_the_time_that_words_mean(words: str, clock: str | None) -> None:
    assert spoken_time(words) == clock
