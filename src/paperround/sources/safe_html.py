"""Safe HTML: feed content made harmless for mail, page and feed, and HTML turned into plain text (pure)."""

import re
from html import unescape
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

import nh3
from selectolax.lexbor import LexborHTMLParser

_TAGS = {
    *("blockquote", "br", "div", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre"),
    *("a", "abbr", "cite", "code", "del", "dfn", "ins", "kbd", "mark", "q", "samp", "span", "time", "var"),
    *("b", "em", "i", "s", "small", "strong", "sub", "sup", "u"),
    *("dd", "dl", "dt", "li", "ol", "ul"),
    *("caption", "table", "tbody", "td", "tfoot", "th", "thead", "tr"),
    *("figcaption", "figure", "img"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|dclid|msclkid|mc_[ce]id|igshid|yclid|_hs(?:enc|mi)|ref_src|at_(?:medium|campaign)", re.I)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\ud800-\udfff\ufffe\uffff]")
_BLOCKS = re.compile(
    r"</?(?:p|div|br|li|ul|ol|tr|td|th|table|h[1-6]|blockquote|pre|hr|dd|dt|figure|figcaption|section|article)\b[^>]*>", re.I
)
DEEPEST = 2000
_TAG = re.compile(r"<(/?)(?!(?:br|hr|img|input|p|li|td|th|tr|dt|dd)\b)[A-Za-z][^<>]*?(/?)>", re.I)  # without those that need no end

_WIDE = re.compile(r"<[A-Za-z](?:\s++|[^<>\"'\s]++|\"[^\"<]*+\"|'[^'<]*+'){4000}")  # a tag with a thousand attributes


def clean_html(html: str, *, base_url: str) -> str:
    """HTML that is safe in a mail, a page and a feed: no script, style, form or frame, only http(s) and mailto links, made absolute,
    without tracking parameters and tracking pixels. Cleaning twice changes nothing."""

    def rewrite(tag: str, attribute: str, value: str) -> str | None:
        if (tag, attribute) not in (("a", "href"), ("img", "src")):
            return value
        if attribute == "href" and value.strip().lower().startswith("mailto:"):
            return value.strip()
        return absolute_url(value, base_url)

    cleaned = nh3.clean(
        _shallow(html),
        tags=_TAGS,
        clean_content_tags={"script", "style", "template", "noscript", "iframe", "svg", "math", "object", "title", "textarea", "select"},
        attributes=_ATTRIBUTES,
        attribute_filter=rewrite,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
    return _without_pixels(cleaned).strip()


def _shallow(html: str) -> str:
    return re.sub(r"<[^<>]*>", " ", html) if monstrous(html) else html


def _without_pixels(html: str) -> str:
    """Images one dot wide or high count readers; images without an address show nothing."""

    def keep(found: re.Match[str]) -> str:
        tag = found[0]
        tiny = re.search(r'\b(?:width|height)="\s*[01](?:px)?\s*"', tag, re.I)
        return "" if tiny or not re.search(r'\bsrc="[^"]+"', tag) else tag

    return re.sub(r"<img\b[^>]*>", keep, html)


def absolute_url(url: str | None, base_url: str, *, tracked: bool = False) -> str | None:
    """An absolute http(s) address, without tracking parameters unless `tracked`; None for anything else."""
    if not url or not url.strip():
        return None
    try:
        joined = urljoin(base_url, _CONTROL.sub("", url).strip())
        joined = re.sub(r"[\s<>\"\\^`{|}]", lambda found: quote(found[0]), joined)  # no address holds them, and markup ends there
        parts = urlsplit(joined)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            return None
        parts = parts._replace(netloc=parts.netloc.lower() if "@" not in parts.netloc else parts.netloc, path=parts.path or "/")
        if not tracked and _TRACKING.search(parts.query):
            kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.fullmatch(name)]
            parts = parts._replace(query=urlencode(kept))
        return urlunsplit(parts)
    except ValueError:
        return None


def monstrous(markup: str) -> bool:
    """Whether elements are nested, or have attributes, as nobody writes them: parsers take quadratic time over those."""
    if _WIDE.search(markup):
        return True
    if markup.count("<") <= DEEPEST:
        return False
    depth = 0
    for found in _TAG.finditer(markup):
        depth += -1 if found[1] else 0 if found[2] else 1
        if depth > DEEPEST:
            return True
    return False


def html_to_text(html: str) -> str:
    """The words of an HTML fragment on one line."""
    if "<" in html:
        tree = LexborHTMLParser(_BLOCKS.sub(r" \g<0>", _shallow(html)))
        for node in tree.css("script, style, template, noscript"):
            node.decompose()
        html = tree.body.text(deep=True) if tree.body else ""
    else:
        html = unescape(html)
    return one_line(html)


def one_line(text: str) -> str:
    """Plain text without line ends, control characters and invisible ones."""
    return " ".join(_INVISIBLE.sub("", _CONTROL.sub(" ", text)).split())
