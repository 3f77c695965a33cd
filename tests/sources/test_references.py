"""Papers as people name them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.sources.references import references

BIBTEX = """
@inproceedings{one, title = {{Attention} Is All You {N\\'eed}}, year = 2017}
@article{two,
  title={A {Survey} of Caches}, archivePrefix={arXiv},
  eprint = {2410.01234},
}
@misc(three, title = "Drafts on the Cheap", doi = "10.1000/XYZ.7")
@book{four, year = 2001}
"""

NUMBERED = ["arxiv:2410.01234 A Survey of Caches", "doi:10.1000/xyz.7 Drafts on the Cheap"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("https://arxiv.org/abs/2410.01234v2", ["arxiv:2410.01234"]),
        ("arxiv.org/pdf/2410.01234\n 2410.01234 \n\nhttps://huggingface.co/papers/2410.01235", ["arxiv:2410.01234", "arxiv:2410.01235"]),
        ("https://doi.org/10.1000/XYZ.7", ["doi:10.1000/xyz.7"]),
        ("10.1000/XYZ.7", ["doi:10.1000/xyz.7"]),
        ("https://doi.org/10.48550/arXiv.2410.01234", ["arxiv:2410.01234"]),
        ("  Attention Is   All You Need", ["Attention Is All You Need"]),
        (BIBTEX, ["Attention Is All You Need", *NUMBERED]),
        ("a title" + BIBTEX, ["a title", "Attention Is All You Need", *NUMBERED]),
        ("https://arxiv.org/abs/2410.01234v2 - A Survey of Caches", NUMBERED[:1]),
        ("https://example.org/a: Drafts", ["https://example.org/a Drafts"]),
        ("https://example.org/a – Drafts", ["https://example.org/a Drafts"]),
        ("", []),
    ],
)
def test_each_way_to_name_a_paper_is_read(text: str, named: list[str]) -> None:
    assert references(text) == named


@given(st.text('@a{}="\\ title,eprint10./\n'))
def test_no_words_raise_and_what_is_named_twice_counts_once(text: str) -> None:
    found = references(text)
    assert len(found) == len(set(found))
    assert references("\n".join(found)) == found or "@" in text
