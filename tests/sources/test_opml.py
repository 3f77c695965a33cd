"""Lists of feeds: what comes in goes out again, where it stood and with all that was said of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.errors import ParseError
from paperround.models import Source, SourceId, SourceKind
from paperround.sources.opml import Outline, read_opml, write_opml

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SOURCE = Source(id=SourceId(1), location="https://example.org/feed", kind=SourceKind.FEED, name="x", added_at=NOW)
LIST = b"""<opml version="1.0" xmlns:f="urn:x"><head><title>Mine</title></head><body>
  <outline text="Science" f:order="3">
    <outline text="Language &amp; speech" title="NLP" isOpen="true">
      <outline type="rss" text="cl" title="Computation and Language" xmlUrl="https://example.org/cl?a=1&amp;b=2"
        htmlUrl="https://example.org/" category="/arxiv,daily" description="&lt;b&gt; all &quot;new&quot;" f:stars="5"/>
    </outline>
    <outline text="robots" xmlurl="https://example.org/robots"/>
  </outline>
  <outline text="alone" xmlUrl="https://example.org/alone"/><outline text="no feed at all"/>
</body></opml>"""


def sources_of(outlines: Sequence[Outline]) -> list[Source]:
    """What the outlines are once they are sources."""
    return [replace(SOURCE, location=each.url, name=each.title, tags=each.tags, outline=each.kept) for each in outlines]


def tree(node: ElementTree.Element) -> list[object]:
    """Names, attributes and order of everything below a node, spellings of one attribute aside."""
    return [({name.replace("xmlurl", "xmlUrl"): value for name, value in each.attrib.items()}, tree(each)) for each in node]


def test_nested_lists_tags_and_attributes_nobody_here_knows_come_back() -> None:
    first, robots, alone = read_opml(LIST)
    assert (first.url, first.title) == ("https://example.org/cl?a=1&b=2", "Computation and Language")
    assert first.tags == ("Science", "NLP", "arxiv", "daily")
    assert (robots.tags, alone.tags) == (("Science",), ())
    written = write_opml(sources_of([first, robots, alone]))
    assert [(each.url, each.title, each.tags) for each in read_opml(written.encode())] == [
        (each.url, each.title, each.tags) for each in (first, robots, alone)
    ]
    assert read_opml(written.encode())[0] == first
    science, lonely = tree(ElementTree.fromstring(written)[1])
    assert science[0] == {"text": "Science", "{urn:x}order": "3"}
    nlp, _ = science[1]
    assert nlp[0] == {"text": "Language & speech", "title": "NLP", "isOpen": "true"}
    ((leaf, _),) = nlp[1]
    assert leaf["{urn:x}stars"] == "5"
    assert leaf["description"] == '<b> all "new"'
    assert leaf["category"] == "arxiv,daily"
    assert lonely[0]["xmlUrl"] == "https://example.org/alone"


WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=8)
PLACES = st.lists(
    st.dictionaries(st.sampled_from(["text", "x", "y"]), WORDS, min_size=1).map(lambda each: {"text": "t"} | each), max_size=3
)


@given(st.lists(st.tuples(PLACES, WORDS, WORDS), max_size=6, unique_by=lambda each: each[1]))
def test_a_list_written_and_read_again_says_the_same(given_: list[tuple[list[dict[str, str]], str, str]]) -> None:
    sources = [
        replace(
            SOURCE,
            location=f"https://example.org/{number}",
            name=name,
            tags=tuple(dict.fromkeys(each["text"] for each in inside)),
            outline={"inside": inside, "attributes": {"type": "rss", "text": name, "note": note}},
        )
        for number, (inside, name, note) in enumerate(given_)
    ]
    again = read_opml(write_opml(sources).encode())
    assert sorted((each.url, each.title, each.tags, repr(each.kept)) for each in again) == sorted(
        (each.location, each.name, each.tags, repr(each.outline)) for each in sources
    )


def test_outlines_may_be_nested_deeper_than_any_list_is() -> None:
    deep = b'<outline text="a">' * 3000 + b'<outline xmlUrl="https://example.org/x"/>' + b"</outline>" * 3000
    (found,) = read_opml(b"<opml><body>" + deep + b"</body></opml>")
    assert (found.url, found.tags) == ("https://example.org/x", ("a",))


@pytest.mark.parametrize(
    "text", [b"", b"<opml/>", b"<rss><body/></rss>", b"nonsense", b'<!DOCTYPE x [<!ENTITY a "b">]><opml><body/></opml>']
)
def test_what_is_no_list_is_told(text: bytes) -> None:
    with pytest.raises(ParseError, match="OPML"):
        read_opml(text)
