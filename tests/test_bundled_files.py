"""Files that come with the program are found in a wheel and in a checkout; the sample is what the demo needs."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from paperround.bundled_files import bundled

SAMPLE = bundled("sample")


def page(name: str) -> list[tuple[str, str]]:
    """Titles and abstracts of a sample page, after its furniture and its date."""
    paragraphs = (SAMPLE / name).read_text(encoding="utf-8").strip().split("\n\n")
    start = next(n for n, text in enumerate(paragraphs) if re.fullmatch(r"[A-Z][a-z]{2} \d+", text)) + 1
    return list(zip(paragraphs[start::2], paragraphs[start + 1 :: 2], strict=True))


def entries() -> list[tuple[str, str]]:
    votes = json.loads((SAMPLE / "daily-papers-votes.json").read_text(encoding="utf-8"))
    items = ElementTree.parse(SAMPLE / "slow-science.xml").getroot().iter("item")
    return [
        *page("daily-papers-1.txt"),
        *page("daily-papers-2.txt"),
        *((each["paper"]["title"], each["paper"]["summary"]) for each in votes),
        *((item.findtext("title", ""), item.findtext("description", "")) for item in items),
    ]


def test_a_wheel_holds_everything_under_the_package(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "paperround"
    (package / "bundled" / "templates").mkdir(parents=True)
    (tmp_path / "templates").mkdir()
    assert bundled("templates", package=package) == package / "bundled" / "templates"


def test_a_checkout_holds_templates_and_subscribers_at_its_top_level(tmp_path: Path) -> None:
    package = tmp_path / "src" / "paperround"
    package.mkdir(parents=True)
    (tmp_path / "subscribers").mkdir()
    assert bundled("subscribers", package=package) == tmp_path / "subscribers"


def test_this_checkout_holds_them_all() -> None:
    for name, inside in (("templates", "*/*"), ("subscribers", "*.toml"), ("sample", "*.txt")):
        assert list(bundled(name).glob(inside))


def test_a_missing_one_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="install it again"):
        bundled("templates", package=tmp_path / "a" / "b")


def test_the_sample_has_sixty_entries_and_some_stand_in_two_sources() -> None:
    everything = entries()
    titles = {title for title, _ in everything}
    assert len(titles) >= 60
    assert 3 <= len(everything) - len(titles) <= 15
    assert len({abstract for _, abstract in everything}) == len(titles)


def test_every_abstract_of_the_sample_is_four_sentences_or_more() -> None:
    for title, abstract in entries():
        assert len(re.findall(r"[.!?](?=\s|$)", abstract)) >= 4, title


def test_every_address_in_the_sample_is_on_the_invented_host() -> None:
    texts = [path.read_text(encoding="utf-8") for path in SAMPLE.iterdir()]
    addresses = {address for text in texts for address in re.findall(r"https?://[^\s\"<]+", text)}
    outside = {address for address in addresses if not address.startswith("https://paperround.example/")}
    assert outside == {"http://purl.org/dc/elements/1.1/", "http://www.w3.org/2005/Atom"}  # names of vocabularies, not places
