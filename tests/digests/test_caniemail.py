"""What of HTML and CSS our mails use, beside what mail programs understand: whatever one of them lacks is here for a reason."""

import json
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from paperround.digests.mail_content import render_issue, render_short
from paperround.digests.template_loader import Templates, compile_mjml

CLIENTS = {  # of standards for mail; every platform of theirs but these two, which Microsoft has given up
    **dict.fromkeys(("gmail", "apple-mail", "yahoo", "thunderbird", "protonmail"), ()),
    "outlook": ("windows-mail", "android"),
}
ELEMENTS = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "html-h1-h6"),
    **dict.fromkeys(("ul", "ol", "li", "dl"), "html-lists"),
    **dict.fromkeys(("b", "strong", "i", "em", "u"), "html-strong"),
    **dict.fromkeys(("article", "section", "nav", "main", "header", "footer", "aside", "figure", "time", "mark"), "html-semantics"),
    **dict.fromkeys(("table", "tr", "td", "th", "tbody", "thead"), "html-table"),
}
SELECTORS = (
    (r"\.[\w-]", "css-selector-class"),
    (r"#[\w-]", "css-selector-id"),
    (r"(?<![\w.#:-])[a-z]\w*", "css-selector-type"),
    (r"[\w*] +[\w.#*]", "css-selector-descendant"),
    (r"\w\.[\w-]", "css-selector-chaining"),
    (r">", "css-selector-child"),
    (r"\+", "css-selector-adjacent-sibling"),
    (r"~", "css-selector-general-sibling"),
    (r"\[", "css-selector-attribute"),
    (r",", "css-selector-grouping"),
    (r"\*", "css-selector-universal"),
)
ALLOWED = {
    # the head's style element: all that a reader needs is inlined, it holds the dark palette, narrow screens and MJML's resets
    "html-style": "the dark palette and narrow screens; without it the mail is the light one for a desk",
    "css-at-media": "as above",
    "css-at-media-prefers-color-scheme": "the dark palette: programs without it show the light one or darken that by themselves",
    "css-color-scheme": "tells a program that there is a dark palette, lest it darken the light one",
    "html-meta-color-scheme": "the same, for programs that read the meta element",
    "css-selector-class": "in the head only, as above",
    "css-selector-descendant": "in the head only, as above",
    "css-selector-grouping": "in the head only, as above",
    "css-selector-id": "of MJML's reset for an old Outlook",
    "css-selector-type": "in the head only, as above",
    "css-outline": "of MJML's reset of images in links",
    "css-height": "of MJML's reset of images, whose sizes are attributes too",
    "css-text-underline-offset": "an underline a little lower; elsewhere it stands where it always does",
    # what hides the preheader: four ways at once, each for those that lack another
    "css-display-none": "hides the preheader together with the next two",
    "css-max-height": "as above",
    "css-overflow": "as above",
    # what is inlined and does no harm where it is not understood
    "css-word-break": "breaks a title of 2,000 characters; Yahoo breaks it by itself",
    "css-overflow-wrap": "the same where word-break is understood otherwise",
    "css-word-spacing": "of MJML's body, as is the default",
    "css-white-space": "keeps the words of a link together; elsewhere it may run over two lines",
    "css-text-decoration": "titles are not underlined; Proton on iOS underlines every link",
    # for who listens, and what mail programs replace by their own
    "html-aria-hidden": "the bars of a strength, whose word follows: without it both are read",
    "html-aria-label": "MJML's name of the mail for who hears it: its subject, which the program reads anyway",
    "html-body": "programs put the mail into their own page: lang and dir therefore stand on its first element too",
    "html-doctype": "as above",
}


class Used(HTMLParser):
    """The features of a mail by the names of the table."""

    def __init__(self, html: str, known: Mapping[str, object]) -> None:
        super().__init__()
        self.known, self.found, self._style = known, set[str](), False
        self.feed(re.sub(r"<!--\[if.*?<!\[endif\]-->", "", html, flags=re.DOTALL))  # only Outlook on Windows reads these

    def add(self, *names: str) -> None:
        self.found.update(name for name in names if name in self.known)

    def handle_decl(self, decl: str) -> None:
        self.add("html-doctype")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        self.add(ELEMENTS.get(tag, f"html-{tag}"))
        for name, value in attrs:
            if (tag, name) == ("meta", "name") and value == "color-scheme":
                self.add("html-meta-color-scheme")
            self.add(f"html-{name}" if name != "style" else "")
            if name == "style":
                self.declarations(value or "")
            elif name == "href":
                self.add("html-mailto-links" if (value or "").startswith("mailto:") else "")
            elif name == "src":
                self.add(f"image-{(value or '').rpartition('.')[2]}")

    def handle_data(self, data: str) -> None:
        if self._style:
            for rule in re.findall(r"@[\w-]+[^{;]*", data):
                self.add(f"css-at-{rule[1:].split()[0]}", *(f"css-at-media-{name}" for name in re.findall(r"\(([a-z-]+)", rule)))
            for selector, declarations in re.findall(r"([^{}@]+)\{([^{}]*)\}", data):
                self.add(*(name for pattern, name in SELECTORS if re.search(pattern, selector.strip())))
                self.add(*(f"css-pseudo-class-{name}" for name in re.findall(r":([a-z-]+)", selector)))
                self.declarations(declarations)
        self._style = False

    def declarations(self, text: str) -> None:
        for name, value in re.findall(r"(?:^|[;\s])([a-z][a-z-]*)\s*:\s*([^;]+)", text):
            self.add(*names_of(name), f"css-{name}-{value.split()[0]}")
            self.add(*(f"css-unit-{'percent' if unit == '%' else unit}" for unit in re.findall(r"\d(px|em|rem|vw|vh|pt|ch|%)", value)))
            self.add("css-important" if "!important" in value else "", *(f"css-{found}" for found in re.findall(r"\b(rgba?)\(", value)))


def names_of(property_: str) -> Iterator[str]:
    """`border-bottom` also counts as `border`."""
    parts = property_.split("-")
    yield from ("css-" + "-".join(parts[:end]) for end in range(1, len(parts) + 1))


def lacking(features: Mapping[str, object], used: set[str]) -> dict[str, list[str]]:
    """By feature those mail programs that do not understand it, as of their latest test."""
    found = {}
    for name in sorted(used):
        stats: Mapping[str, Mapping[str, str]] = features[name]["stats"]  # type: ignore[index]
        answers = {
            f"{client} {place}": each for client in CLIENTS for place, each in stats.get(client, {}).items() if place not in CLIENTS[client]
        }
        without = [program for program, each in answers.items() if each.startswith("n")]
        if without:
            found[name] = without
    return found


@pytest.fixture(scope="module")
def features(shared: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((shared / "corpora/caniemail/features.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def mails(samples: ModuleType, templates: Templates) -> list[str]:
    identity, links = samples.identity(logo_url="https://logo.example/logo.png"), samples.links()
    issue = render_issue(
        templates, samples.digest(), samples.subscriber(), identity, links, now=samples.NOW, strength_word=samples.strength_word
    )
    return [issue.html, *(render_short(templates, name, {}, identity, "en").html for name in ("confirmation", "answer", "notice"))]


def test_what_some_mail_program_lacks_is_used_for_a_reason(features: dict[str, object], mails: list[str]) -> None:
    used = set[str]().union(*(Used(html, features).found for html in mails))
    missing = lacking(features, used)
    empty = Used(compile_mjml("<mjml><mj-body></mj-body></mjml>", "empty"), features).found
    counts = len(used), len(missing), len(empty), len(lacking(features, empty))
    print("{} features used, {} of them lacking somewhere; an empty MJML template uses {}, {} lacking".format(*counts))
    assert len(used) > 40
    assert {name: programs for name, programs in missing.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(missing), "these need no reason any more"


def test_the_detector_sees_what_is_there(features: dict[str, object]) -> None:
    html = (
        "<!doctype html><style>@media (prefers-color-scheme: dark) { .a b > i:hover { margin-top: 1em !important } }</style>"
        '<svg></svg><p style="display:grid;color:rgba(1,2,3,.5)"><a href="mailto:a@e.test"><img src="https://e.test/x.webp" width="1">'
    )
    assert Used(html, features).found >= {
        *(
            "html-doctype",
            "html-svg",
            "html-p",
            "html-mailto-links",
            "html-width",
            "image-webp",
            "css-display",
            "css-display-grid",
            "css-rgba",
        ),
        *("css-at-media", "css-at-media-prefers-color-scheme", "css-selector-class", "css-selector-descendant", "css-selector-child"),
        *("css-pseudo-class-hover", "css-margin", "css-unit-em", "css-important"),
    }
    assert "gmail desktop-webmail" in lacking(features, {"html-svg"})["html-svg"]
