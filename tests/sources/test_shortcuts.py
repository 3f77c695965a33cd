"""Short names for places that many read, and addresses that hold the day."""

from datetime import UTC, datetime

import pytest

from paperround.sources.shortcuts import dated, expanded


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("arxiv:cs.CL", "https://rss.arxiv.org/atom/cs.CL"),
        ("arxiv:cs.CL+cs.LG", "https://rss.arxiv.org/atom/cs.CL+cs.LG"),
        ("biorxiv:neuroscience", "https://connect.biorxiv.org/biorxiv_xml.php?subject=neuroscience"),
        ("bioRxiv:cell biology", "https://connect.biorxiv.org/biorxiv_xml.php?subject=cell_biology"),
        ("medrxiv:Oncology", "https://connect.medrxiv.org/medrxiv_xml.php?subject=Oncology"),
        ("hf:daily-papers", "https://huggingface.co/api/daily_papers?limit=100"),
        ("hf:daily-papers/week", "https://huggingface.co/api/daily_papers?week={week}&limit=100"),
        ("hf:daily-papers/month", "https://huggingface.co/api/daily_papers?month={month}&limit=100"),
        ("hf:search?q=token pruning & more", "https://huggingface.co/api/papers/search?q=token+pruning+%26+more"),
        ("hf:search?q=token+pruning", "https://huggingface.co/api/papers/search?q=token+pruning"),
        ("feed://Example.org/x", "https://example.org/x"),
        ("feed:http://example.org/x", "http://example.org/x"),
        ("HTTP://Example.ORG/Path#part", "http://example.org/Path"),
        ("https://Ada:Key@example.org/x", "https://Ada:Key@example.org/x"),
        ("/home/ada/page.txt", "/home/ada/page.txt"),
        ("page.txt", "page.txt"),
    ],
)
def test_a_shortcut_stands_for_its_address(place: str, address: str) -> None:
    assert expanded(place) == address
    assert expanded(address) == address


@pytest.mark.parametrize("place", ["arxiv:", "biorxiv: ", "hf:", "hf:weekly-papers", "hf:search?q="])
def test_a_shortcut_that_names_nothing_says_what_it_could_name(place: str) -> None:
    with pytest.raises(ValueError, match=r"For instance|knows daily-papers"):
        expanded(place)


def test_an_address_that_holds_the_day_is_asked_for_today() -> None:
    now = datetime(2027, 1, 1, 3, tzinfo=UTC)
    assert dated("https://x/?d={date}&w={week}&m={month}", now) == "https://x/?d=2027-01-01&w=2026-W53&m=2027-01"
    assert dated("https://x/feed", now) == "https://x/feed"
