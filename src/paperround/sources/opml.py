"""OPML: lists of feeds, in and out (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from paperround.errors import ParseError
from paperround.models import Source
from paperround.sources.polling import is_file
from paperround.sources.safe_html import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One feed of a list; `tags` are the names of the outlines it stands in, and its categories."""

    url: str
    title: str
    tags: tuple[str, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)  # what a source keeps of its list: `inside`, `attributes`


def read_opml(text: bytes) -> list[Outline]:
    """The feeds in an OPML file, in its order. Raises ParseError."""
    if b"<!ENTITY" in text:  # entities can grow without end, and no list of feeds needs one
        raise ParseError("the OPML file declares entities and is not read")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities nothing can grow
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ParseError(f"this is no OPML: {error}") from None
    body = root.find("body")
    if root.tag != "opml" or body is None:
        raise ParseError("this is no OPML: it has no body")
    return list(_outlines(body))


def _outlines(body: Element) -> Iterator[Outline]:
    waiting: list[tuple[Element, tuple[Element, ...]]] = [(body, ())]  # no recursion: outlines may be nested as deep as one likes
    while waiting:
        node, inside = waiting.pop()
        if url := (node.get("xmlUrl") or node.get("xmlurl") or "").strip():
            yield _feed(node, url, inside)
        around = inside if url or node is body else (*inside, node)
        waiting += [(each, around) for each in reversed(node.findall("outline"))]


def _feed(node: Element, url: str, inside: Sequence[Element]) -> Outline:
    categories = [one_line(tag.strip("/ ")) for tag in (node.get("category") or "").split(",")]
    tags = [*map(_name, inside), *categories]
    given = {name: value for name, value in node.attrib.items() if name.lower() not in ("xmlurl", "title", "category")}
    kept = {"inside": [dict(each.attrib) for each in inside], "attributes": given}
    return Outline(url=url, title=_name(node), tags=tuple(dict.fromkeys(filter(None, tags))), kept=kept)


def _name(node: Element) -> str:
    return one_line(node.get("title") or node.get("text") or "")


def write_opml(sources: Sequence[Source]) -> str:
    """The sources as OPML 2.0, each where its own list had it; files and folders of this machine are left out."""
    root = Element("opml", {"version": "2.0"})
    SubElement(SubElement(root, "head"), "title").text = "Paperround sources"
    body = SubElement(root, "body")
    for source in sources:
        if not is_file(source.location):
            _write(body, source)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _write(node: Element, source: Source) -> None:
    kept, names = source.outline or {}, []
    for attributes in kept.get("inside", ()):
        there = next((each for each in node.findall("outline") if each.attrib == attributes), None)
        node = SubElement(node, "outline", attributes) if there is None else there
        names.append(_name(node))
    given = {"type": "rss", "text": source.name, **kept.get("attributes", {}), "title": source.name, "xmlUrl": source.location}
    if own := [tag for tag in source.tags if tag not in names]:
        given["category"] = ",".join(own)
    SubElement(node, "outline", given)
