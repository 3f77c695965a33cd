"""Works for reference managers, read back by parsers that are not ours."""

import re
import string
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperround.digests.citations import citation_key, citations, uri
from paperround.models import Work, WorkId
from paperround.sources.daily_papers import parse_json

HOSTILE = "50% of {x & y}_z ^ ~ \\input{/etc/passwd} $a$ #1 } % @misc{evil,\nTY  - BOOK\r\nER  - \x00"
PEOPLE = ("Mercy Okafor", "van Dam, Ludwig", "Ludwig van Dam", "Cats and Friends", "DeepMind", "李小龙", "Bob, Jr., Al")


@pytest.fixture
def work(samples: ModuleType) -> Work:
    base: Work = samples.items()[0].work
    published = datetime(2026, 11, 19, tzinfo=UTC)
    return replace(
        base, arxiv_id="2611.00101", doi="10.1000/half(1)", categories=("Vision", "cs.CV"), keywords=("tokens",), published=published
    )


def entries(text: str) -> list[tuple[str, dict[str, str]]]:
    """(key, fields) of a BibTeX file by BibTeX's own rule: braces are counted, and a backslash before one changes nothing."""
    found = []
    place = 0
    while (start := re.compile(r"@misc\{([^,\s{}]+),").search(text, place)) is not None:
        fields, place = {}, start.end()
        while (field := re.compile(r"\s*([a-z]+) = ([a-z]{3},|\{)").match(text, place)) is not None:
            place, value = field.end(), field[2].rstrip(",")
            if value == "{":
                depth, begin = 1, place
                while depth:
                    depth += {"{": 1, "}": -1}.get(text[place], 0)
                    place += 1
                value = text[begin : place - 1]
                assert text[place] == ","
                place += 1
            fields[field[1]] = value
        closed = re.compile(r"\s*\}\s*").match(text, place)
        assert closed is not None
        place = closed.end()
        found.append((start[1], fields))
    assert text[place:] == ""
    return found


def typeset(value: str) -> str:
    """What LaTeX would print of a field; fails on any command but those that print one character."""
    words = {"textbackslash": "\\", "textbraceleft": "{", "textbraceright": "}", "textasciitilde": "~", "textasciicircum": "^"}
    value = re.sub(r"\{\\(\w+)\}", lambda match: f"<{ord(words[match[1]])}>", value)
    value = re.sub(r"\\([&%$#_])", lambda match: f"<{ord(match[1])}>", value)
    assert not set("\\&%$#_~^") & set(value)
    return re.sub(r"<(\d+)>", lambda match: chr(int(match[1])), value.replace("{", "").replace("}", ""))


def records(text: str) -> Iterator[dict[str, list[str]]]:
    """RIS records: TY first, ER last, nothing but `XX  - value` lines between."""
    for record in filter(None, text.split("\r\n\r\n")):
        lines = [re.fullmatch(r"([A-Z][A-Z0-9])  - (.*)", line) for line in record.split("\r\n")]
        tags = [line[1] for line in lines if line]
        assert (len(tags), tags[0], tags[-1], tags.count("TY"), tags.count("ER")) == (len(lines), "TY", "ER", 1, 1)
        yield {tag: [line[2] for line in lines if line and line[1] == tag] for tag in tags}


def test_bibtex_names_the_paper_its_people_and_where_it_is(work: Work) -> None:
    ((key, fields),) = entries(citations("bib", [work]).decode())
    assert key == "okafor2026-2611.00101"
    assert fields == {
        "title": f"{{{work.title}}}",
        "author": "Okafor, Mercy and Brandt, Lena and Iyer, Sunil and Vega, T. and Holm, R. and Ito, P. and Quist, A.",
        "year": "2026",
        "month": "nov",
        "eprint": "2611.00101",
        "archiveprefix": "arXiv",
        "primaryclass": "cs.CV",
        "doi": "10.1000/half(1)",
        "url": work.url,
        "abstract": work.abstract.replace("%", "\\%"),
    }


def test_ris_names_the_same(work: Work) -> None:
    (record,) = records(citations("ris", [work]).decode())
    assert record["TY"] == ["UNPB"]
    assert record["AU"][:2] == ["Okafor, Mercy", "Brandt, Lena"]
    assert (record["ID"], record["PY"], record["DA"]) == (["okafor2026-2611.00101"], ["2026"], ["2026/11/19/"])
    assert (record["DO"], record["UR"], record["AN"]) == (["10.1000/half(1)"], [work.url], ["arXiv:2611.00101"])
    assert (record["TI"], record["AB"], record["KW"]) == ([work.title], [work.abstract], ["tokens"])


def test_hostile_words_stay_words(work: Work) -> None:
    hostile = replace(
        work, title=HOSTILE, abstract=HOSTILE, authors=(HOSTILE, *PEOPLE), doi="10.1/x}", arxiv_id="}", url="https://e.example/{ü}"
    )
    text = citations("bib", [hostile, work]).decode()
    (_, fields), (_, beside) = entries(text)
    assert beside == entries(citations("bib", [work]).decode())[0][1]
    shown = "50% of {x & y}_z ^ ~ \\input{/etc/passwd} $a$ #1 } % @misc{evil, TY - BOOK ER -"
    assert typeset(fields["title"]) == typeset(fields["abstract"]) == shown
    assert not {"doi", "eprint"} & set(fields)
    assert fields["url"] == "https://e.example/%7B%C3%BC%7D"
    one, other = records(citations("ris", [hostile, work]).decode())
    assert one["TI"] == [shown]
    assert (one["TY"], other["TY"]) == (["ELEC"], ["UNPB"])


def test_names_are_split_where_the_person_would(work: Work) -> None:
    ((_, fields),) = entries(citations("bib", [replace(work, authors=PEOPLE)]).decode())
    assert fields["author"].split(" and ")[:3] == ["Okafor, Mercy", "van Dam, Ludwig", "van Dam, Ludwig"]
    assert fields["author"].endswith("{Cats and Friends} and {DeepMind} and {李小龙} and {Bob, Jr., Al}")


def test_a_key_hangs_on_nothing_that_is_edited_or_stands_beside_it(work: Work, samples: ModuleType) -> None:
    others = [item.work for item in samples.items()]
    edited = replace(work, title="Another", abstract="", doi=None, url="https://elsewhere.example/")
    assert citation_key(edited) == citation_key(work)
    keys = [key for key, _ in entries(citations("bib", [*others[1:], work]).decode())]
    assert keys[-1] == citation_key(work)
    assert len(set(keys)) == len(others)
    assert citation_key(replace(work, arxiv_id="hep-th/9901001", authors=("Åsa Ödegård",))) == "odegard2026-hep-th-9901001"
    assert citation_key(replace(work, arxiv_id=None, authors=(), published=None)) == f"work-{work.id}"


def test_nothing_liked_is_an_empty_file() -> None:
    assert citations("bib", []) == citations("ris", []) == b""


def test_another_parser_reads_the_same(work: Work, samples: ModuleType) -> None:
    parser: Any = pytest.importorskip(
        "bibtexparser", reason="bibtexparser is not installed: BibTeX is read by this file's own parser alone"
    )
    text = citations("bib", [replace(work, title=HOSTILE, authors=PEOPLE), samples.items()[1].work]).decode()
    library = parser.parse_string(text)
    assert library.failed_blocks == []
    found = [(entry.key, {field.key: str(field.value) for field in entry.fields}) for entry in library.entries]
    assert found == entries(text)


def test_months_of_real_papers_are_read_back_whole(shared: Path, work: Work) -> None:
    files = sorted((shared / "corpora/daily_papers").glob("*.json"))
    found = [entry for file in files for entry in parse_json(file.read_bytes(), url="https://example.org/api")]
    names = ("title", "authors", "url", "published", "arxiv_id", "doi", "keywords", "links")
    works = [
        replace(work, id=WorkId(number), abstract=entry.summary, **{name: getattr(entry, name) for name in names})
        for number, entry in enumerate(found)
    ]
    bib = entries(citations("bib", works).decode())
    assert len(bib) == len(works) > 2000
    assert [typeset(fields["title"]) for _, fields in bib] == [each.title for each in works]
    assert {key for key, _ in bib if not re.fullmatch(r"[a-z0-9]+-[a-z0-9.-]+", key)} == set()
    ris = list(records(citations("ris", works).decode()))
    assert [(record["TI"], record["ID"]) for record in ris] == [([each.title], [citation_key(each)]) for each in works]


anything = st.text(alphabet=st.one_of(st.sampled_from(string.printable + "{}\\%\ud800\u202e\u2028é日"), st.characters()), max_size=60)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(anything, st.lists(anything, max_size=3), anything)
def test_whatever_a_feed_holds_an_entry_ends_where_it_ends(work: Work, text: str, names: list[str], rest: str) -> None:
    odd = replace(
        work, title=text, authors=tuple(names), abstract=rest, doi=rest, arxiv_id=text, url=f"https://e.example/{rest}", keywords=(text,)
    )
    bib = entries(citations("bib", [odd, work]).decode())
    assert len(bib) == len(list(records(citations("ris", [odd, work]).decode()))) == 2
    assert bib[1][0] == citation_key(work)
    typeset(bib[0][1]["title"])
    assert uri(text).isascii()
