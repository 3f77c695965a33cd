"""OPML: lists of feeds, in and out (pure)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from paperround.errors import ParseError
from paperround.models import Source, SourceKind
from paperround.sources.safe_html import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One feed of a list; `tags` are the names of the outlines it stands in, and its categories."""

    url: str
    title: str
    tags: tuple[str, ...] = ()


def read_opml(text: bytes) -> list[Outline]:
    """The feeds in an OPML file, in its order. Raises ParseError."""
    if b"<!ENTITY" in text:  # entities can grow without end, and no list of feeds needs one
        raise ParseError("the OPML file declares entities and is not read")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities nothing can grow
    except (ElementTree.ParseError, ValueError) as error:
        raise ParseError(f"this is no OPML: {error}") from None
    body = root.find("body")
    if root.tag != "opml" or body is None:
        raise ParseError("this is no OPML: it has no body")
    return list(_outlines(body, ()))


def _outlines(node: ElementTree.Element, inside: tuple[str, ...]) -> Iterator[Outline]:
    for each in node.findall("outline"):
        name = one_line(each.get("title") or each.get("text") or "")
        url = (each.get("xmlUrl") or each.get("xmlurl") or "").strip()
        if url:
            own = [one_line(tag.strip("/ ")) for tag in (each.get("category") or "").split(",")]
            yield Outline(url=url, title=name, tags=tuple(dict.fromkeys(tag for tag in (*inside, *own) if tag)))
        yield from _outlines(each, (*inside, name) if name and not url else inside)


def write_opml(sources: Sequence[Source]) -> str:
    """The feeds among the sources as OPML 2.0; files and folders of this machine are left out."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<opml version="2.0">',
        "  <head><title>Paperround sources</title></head>",
        "  <body>",
    ]
    for source in sources:
        if source.kind is SourceKind.FEED and source.location.startswith(("http://", "https://")):
            tags = f" category={quoteattr(','.join(source.tags))}" if source.tags else ""
            name = quoteattr(source.name)
            lines.append(f'    <outline type="rss" text={name} title={name} xmlUrl={quoteattr(source.location)}{tags}/>')
    return "\n".join([*lines, "  </body>", "</opml>", ""])
