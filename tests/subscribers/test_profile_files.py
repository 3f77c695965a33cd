"""Profile files: read whole, refused with file, key and reason, written so that they read back the same."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.bundled_files import bundled
from paperround.errors import ProfileError
from paperround.models import Channel, Interest, Profile
from paperround.subscribers.profile_files import parse_assignments, profile_text, read_folder, read_profile_file
from paperround.subscribers.profile_layers import values_to_profile


def written(folder: Path, text: str, name: str = "ada.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def only_weekdays(schedule: str) -> None:
    if not schedule.startswith("weekdays "):
        raise ValueError(f"{schedule!r} is no schedule")


def test_the_example_profile_is_read_whole(tmp_path: Path) -> None:
    file = read_profile_file(written(tmp_path, bundled("subscribers/example.toml.sample").read_text(encoding="utf-8")), only_weekdays)
    assert (file.email, file.id) == ("ada@example.org", None)
    profile = values_to_profile(file.values)
    assert profile.interests[1] == Interest(text="speculative decoding", weight=2.0)
    assert profile.min_score is None
    assert len(file.values) == 15


def test_only_the_named_keys_are_the_files_say(tmp_path: Path) -> None:
    file = read_profile_file(written(tmp_path, 'email = "ada@example.org"\nmax_items = 8'))
    assert file.values == {"max_items": 8}
    assert values_to_profile(file.values) == Profile(max_items=8)


def test_a_reader_without_email_is_named_by_an_id_and_reads_by_feed(tmp_path: Path) -> None:
    file = read_profile_file(written(tmp_path, 'id = "lobby-screen"\nchannels = ["feed"]'))
    assert (file.email, file.who, file.values) == (None, "lobby-screen", {"channels": ["feed"]})


BAD = [
    ("intrests = []", "intrests", "did you mean interests"),
    ('zone = "UTC"', "zone", "unknown key"),
    ('timezone = "Europe/Berlni"', "timezone", "did you mean Europe/Berlin"),
    ('timezone = ""', "timezone", "no time zone"),
    ('timezone = "Europe"', "timezone", "no time zone"),
    ('timezone = "../../etc/passwd"', "timezone", "no time zone"),
    ('schedule = "sometimes"', "schedule", "no schedule"),
    ("schedule = 7", "schedule", "text"),
    ("max_items = 0", "max_items", "from 1 to 50"),
    ("max_items = true", "max_items", "from 1 to 50"),
    ("max_items = 5.5", "max_items", "whole number"),
    ("min_score = 1.5", "min_score", "from 0 to 1"),
    ('min_score = "high"', "min_score", "auto"),
    ("min_score = nan", "min_score", "from 0 to 1"),
    ("channels = []", "channels", "email, feed"),
    ('channels = ["fax"]', "channels", "email, feed"),
    ('empty = "maybe"', "empty", "note"),
    ('explore = "yes"', "explore", "true or false"),
    ('interests = "one"', "interests", "list"),
    ('interests = [""]', "interests", "empty"),
    ("interests = [3]", "interests", "text"),
    ('interests = [{ text = "a", weigth = 2 }]', "interests", "weigth"),
    ('interests = [{ text = "a", weight = 0 }]', "interests", "more than 0"),
    ('interests = [{ text = "a", weight = 11 }]', "interests", "from 0 to 10"),
    ('name = "A\\u0000da"', "name", "control"),
    ('language = "klingon language"', "language", "such as en"),
    ('[avoid]\nx = "y"', "avoid", "list"),
]


@pytest.mark.parametrize(("text", "key", "reason"), BAD)
def test_a_bad_key_is_refused_with_file_key_and_reason(tmp_path: Path, text: str, key: str, reason: str) -> None:
    path = written(tmp_path, f'email = "ada@example.org"\n{text}')
    with pytest.raises(ProfileError, match=reason) as caught:
        read_profile_file(path, only_weekdays)
    assert (caught.value.place, caught.value.key) == (str(path), key)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('email = "ada"', "email"),
        ("email = 7", "email"),
        ('name = "Ada"', "email"),
        ('channels = ["feed"]', "id"),
        ('id = "a b"\nchannels = ["feed"]', "id"),
        ("email = ", "file"),
        ("x = " + "[" * 5000, "file"),
    ],
)
def test_a_file_that_names_nobody_is_refused(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_profile_file(written(tmp_path, text))
    assert caught.value.key == key


def test_a_file_that_is_not_utf8_or_not_there_is_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes('name = "Ådne"'.encode("latin-1"))
    for path, reason in ((latin, "UTF-8"), (tmp_path / "absent.toml", "No such file")):
        with pytest.raises(ProfileError, match=reason):
            read_profile_file(path)


def test_one_bad_file_never_stops_the_others(tmp_path: Path) -> None:
    written(tmp_path, 'email = "ada@example.org"', "a.toml")
    written(tmp_path, "nonsense", "b.toml")
    written(tmp_path, 'email = "cy@example.org"', "c.toml")
    written(tmp_path, 'email = "ADA+2@example.org"', "d.toml")
    written(tmp_path, "not a profile", "notes.txt")
    (tmp_path / "e.toml").mkdir()
    files, errors = read_folder(tmp_path)
    assert [file.who for file in files] == ["ada@example.org", "cy@example.org"]
    assert [Path(error.place).name for error in errors] == ["b.toml", "d.toml", "e.toml"]
    assert "a.toml" in errors[1].reason


def test_an_absent_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no such folder"):
        read_folder(tmp_path / "absent")


TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=30)
LISTS = st.lists(TEXTS, max_size=3, unique=True).map(tuple)
PROFILES = st.builds(
    Profile,
    name=TEXTS,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
    max_items=st.integers(1, 50),
    min_score=st.none() | st.floats(0, 1),
    channels=st.sampled_from([(Channel.EMAIL,), (Channel.EMAIL, Channel.FEED)]),
    empty=st.sampled_from(["skip", "note"]),
    explore=st.booleans(),
    sources=LISTS,
    interests=st.lists(st.builds(Interest, text=TEXTS, weight=st.floats(0.01, 10)), max_size=3, unique_by=lambda each: each.text).map(
        tuple
    ),
    avoid=LISTS,
    must=LISTS,
    never=LISTS,
    liked=LISTS,
)


@given(PROFILES)
def test_a_written_profile_reads_back_the_same(tmp_path_factory: pytest.TempPathFactory, profile: Profile) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(profile_text(profile, email="ada@example.org"), encoding="utf-8")
    assert values_to_profile(read_profile_file(path).values) == profile


def test_an_email_stands_first_in_a_written_profile() -> None:
    assert profile_text(Profile(), email="ada@example.org").startswith('email = "ada@example.org"\n')


def test_assignments_take_texts_with_and_without_quotation_marks() -> None:
    found = parse_assignments(["schedule=daily 06:30", 'name = "Ada = Wren"', "max_items=8", 'avoid=["a", "b"]', "explore=false"])
    assert found == {"schedule": "daily 06:30", "name": "Ada = Wren", "max_items": 8, "avoid": ["a", "b"], "explore": False}


@pytest.mark.parametrize("text", ["max_items", "max_itms=8", "max_items=many"])
def test_a_bad_assignment_is_refused(text: str) -> None:
    with pytest.raises(ProfileError, match="command line"):
        parse_assignments([text])


def test_the_four_example_readers_differ() -> None:
    files, errors = read_folder(bundled("subscribers"))
    assert errors == []
    profiles = [values_to_profile(file.values) for file in files]
    assert len({each.schedule for each in profiles}) == len({each.timezone for each in profiles}) == 4
    assert sum(not each.interests for each in profiles) == 1
    assert sum(each.empty == "note" for each in profiles) == 1
