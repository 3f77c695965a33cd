"""What a mail says, in HTML and as text."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperround.digests.mail_content import MOST_BYTES, MailContent, fill, render_issue, render_short, textual
from paperround.digests.template_loader import Templates
from paperround.models import Digest, DigestItem, ItemRole, Links, Reason, ReasonKind

_MARKUP = re.compile(r"&(amp|lt|gt|quot|#\d+);|</?(p|div|td|a|br)\b")  # what no text part holds


class Page(HTMLParser):
    """A mail as a reader's program sees it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.links: dict[str, str] = {}  # text → address
        self._link: str | None = None
        self._ignored = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self._link = found.get("href") if tag == "a" else self._link
        self._ignored += tag in ("style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._link = None if tag == "a" else self._link
        self._ignored -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._ignored:
            self.words.append(data)
            if self._link:
                self.links[data] = self._link

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [found for name, found in self.tags if name == tag]


@pytest.fixture
def issue(samples: ModuleType, templates: Templates) -> Any:
    def render(digest: Digest | None = None, **given: Any) -> MailContent:
        return render_issue(
            templates,
            digest or samples.digest(),
            given.get("subscriber", samples.subscriber()),
            given.get("identity", samples.identity()),
            given.get("links", samples.links()),
            now=samples.NOW,
            strength_word=samples.strength_word,
        )

    return render


# ---------------------------------------------------------------- what an issue holds


def test_html_and_text_hold_every_title_link_reason_and_way_out(issue: Any, samples: ModuleType) -> None:
    content, links = issue(), samples.links()
    page = Page(content.html)
    unwrapped = " ".join(content.text.split())
    for item in samples.items():
        for text in (page.text, unwrapped):
            assert item.work.title in text
        assert page.links[item.work.title] == item.work.url
        assert f" {item.work.url} " in unwrapped
        if item.role is ItemRole.CHOSEN:
            assert page.links[f"More like {item.number}"] == links.votes[item.number][0]
            assert links.votes[item.number][2] in unwrapped  # its page holds all three
            for text in (page.text, unwrapped):
                assert item.reason.text in text
                assert all(sentence in text for sentence in item.excerpt)
                assert f"{samples.strength_word(item.strength)}, because" in text
    assert page.links["Unsubscribe"] == links.one_click
    assert f"Unsubscribe: {links.one_click}" in content.text


def test_the_masthead_says_whose_paper_of_which_day_this_is(issue: Any, samples: ModuleType) -> None:
    late = samples.digest(period=samples.digest().period)
    assert "The Paperround Friday 20 November 2026 · No. 128 · for Ada" in Page(issue(late).html).text
    german = Page(issue(subscriber=samples.subscriber(language="de")).html)
    assert "Freitag, 20. November 2026" in german.text
    assert german.all("html")[0]["lang"] == "de"


def test_a_language_that_nobody_translated_is_english_throughout(issue: Any, samples: ModuleType) -> None:
    page = Page(issue(subscriber=samples.subscriber(language="ar")).html)
    assert (page.all("html")[0]["lang"], page.all("html")[0]["dir"]) == ("en", "ltr")
    assert "Friday 20 November 2026" in page.text


def test_only_what_the_installation_can_do_is_offered(issue: Any, samples: ModuleType) -> None:
    bare = issue(identity=samples.identity(address=None, privacy_url=None), links=samples.bare_links())
    page = Page(bare.html)
    titles = {item.work.title for item in samples.items()}
    assert {text for text in page.links if not re.match(r"PDF|Code", text)} == {*titles, "Unsubscribe"}
    for text in (page.text, bare.text):
        assert "by reply" not in text
        assert "mailto:" not in text
        assert "your vote" not in text
        assert "More like" not in text
    assert "Steer it by reply: more 1" in Page(issue().html).text


def test_sections_carry_the_readers_own_words_only_where_there_are_several(issue: Any, samples: ModuleType) -> None:
    assert Page(issue().html).text.count(samples.SPECULATIVE) == 3  # one heading for the run, and the two reasons
    one = [replace(item, reason=Reason(kind=ReasonKind.INTEREST, text=samples.PRUNING)) for item in samples.items(3)[:3]]
    assert Page(issue(samples.digest(one)).html).text.count(samples.PRUNING) == 3  # the reasons


def under(samples: ModuleType, order: str) -> list[DigestItem]:
    """Items by the letters of their interests, in that order."""
    reasons = {letter: Reason(kind=ReasonKind.INTEREST, text=f"interest {letter}") for letter in "abcd"}
    return [samples.item(n, samples.work(n, f"Title {n}"), 0.5, reasons[letter]) for n, letter in enumerate(order, 1)]


def headings(samples: ModuleType, issue: Any, order: str) -> list[str]:
    found = re.findall(r'<p class="k"[^>]*>([^<]*)</p>|<span class="n"[^>]*>(\d+)<', issue(samples.digest(under(samples, order))).html)
    return [heading.removeprefix("interest ") or number for heading, number in found]


def test_the_openers_of_several_interests_are_the_front_page_so_that_no_heading_stands_twice(issue: Any, samples: ModuleType) -> None:
    assert headings(samples, issue, "aaa") == ["1", "2", "3"]
    assert headings(samples, issue, "aabc") == ["a", "1", "2", "b", "3", "c", "4"]
    assert headings(samples, issue, "abccab") == ["Front page", "1", "2", "3", "c", "4", "a", "5", "b", "6"]
    assert headings(samples, issue, "abcabcd") == ["Front page", "1", "2", "3", "a", "4", "b", "5", "c", "6", "d", "7"]


@given(st.text(alphabet="abcd", min_size=1, max_size=12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_in_whatever_order_items_come_no_heading_stands_twice_and_none_is_wrong(issue: Any, samples: ModuleType, order: str) -> None:
    found = headings(samples, issue, order)
    names = [each for each in found if not each.isdigit()]
    assert len(names) == len(set(names))
    assert [each for each in found if each.isdigit()] == [str(number) for number in range(1, len(order) + 1)]
    current = None
    for each in found:
        current = current if each.isdigit() else each
        assert not each.isdigit() or current in (None, "Front page", order[int(each) - 1])


def test_a_weekly_names_the_day_each_work_appeared_and_a_daily_its_age(issue: Any, samples: ModuleType) -> None:
    week = samples.digest(since=samples.NOW - timedelta(days=7))
    weekly = Page(issue(week, subscriber=samples.subscriber(schedule="weekly friday 07:30")).html).text
    assert "arXiv cs.CV, Wednesday 18 November" in weekly
    assert "days ago" not in weekly
    german = Page(issue(week, subscriber=samples.subscriber(schedule="weekly friday 07:30", language="de")).html).text
    assert "arXiv cs.CV, Mittwoch, 18. November" in german
    assert "arXiv cs.CV, 2 days ago" in Page(issue().html).text


def test_where_room_is_short_the_best_sentence_stays_and_others_as_far_as_they_fit(issue: Any, samples: ModuleType) -> None:
    words = ("Long " * 130 + "start.", "Short one.", "The best of all. " * 20, "Short end.")
    item = replace(samples.items()[1], excerpt=words, best=2)
    (shown,) = re.findall(r'<p class="x"[^>]*>(.*?)</p>', issue(samples.digest([item])).html)
    assert "start" not in shown
    assert re.search(r"Short one\. <span[^>]*>The best of all.*</span> Short end\.", shown)


def test_the_lead_has_more_room_than_the_rest(issue: Any, samples: ModuleType) -> None:
    long = [
        replace(each, excerpt=("Eighty letters of a sentence that says little about tokens and much about space.",) * 12)
        for each in samples.items()
    ]
    found = re.findall(r'<p class="x(?: more)?"[^>]*>(.*?)</p>', issue(samples.digest(long)).html)
    assert len(found[0]) > 1.3 * len(found[1])
    assert len({len(each) for each in found[1:]}) == 1


def test_the_best_sentence_is_marked(issue: Any, samples: ModuleType) -> None:
    html = issue().html
    for item in samples.items():
        if item.best is not None:
            assert re.search(rf'<span class="b"[^>]*>{re.escape(item.excerpt[item.best])}</span>', html)


def test_items_in_a_row_share_a_reason_only_when_it_is_the_same_to_the_last_part(issue: Any, samples: ModuleType) -> None:
    reasons = [
        Reason(kind=ReasonKind.INTEREST, text="tokens"),
        Reason(kind=ReasonKind.INTEREST, text="tokens", share=0.4),
        Reason(kind=ReasonKind.MUST, text="tokens"),
        Reason(kind=ReasonKind.LIKED, text="tokens", liked_at=samples.NOW - timedelta(days=2)),
        Reason(kind=ReasonKind.LIKED, text="tokens", liked_at=samples.NOW - timedelta(days=4)),
    ]
    items = [replace(each, reason=reason) for each, reason in zip(samples.items(), reasons, strict=False)]
    told = re.findall(r"because .*", " ".join(issue(samples.digest(items)).text.split("\n")).replace("because", "\nbecause"))
    liked = "because it is close to “tokens”, which you liked on"
    starts = ["because you follow “tokens”"] * 2 + ["because you always want “tokens”", f"{liked} 18 November", f"{liked} 16 November"]
    assert [line[: len(start)] for line, start in zip((" ".join(each.split()) for each in told), starts, strict=True)] == starts


def test_bars_are_hidden_from_screen_readers_and_the_word_is_not(issue: Any, samples: ModuleType) -> None:
    html = issue(samples.digest([replace(samples.items()[0], strength=0.6)])).html
    assert re.search(
        r'<span class="on" aria-hidden="true"[^>]*>▬▬▬</span><span class="of" aria-hidden="true"[^>]*>▬</span>\xa0 strong, because', html
    )


def test_an_empty_day_says_so_in_one_line_and_names_the_nearest(issue: Any, samples: ModuleType) -> None:
    below = [item for item in samples.items() if item.role is ItemRole.BELOW]
    content = issue(samples.digest(below))
    assert content.subject == "214 new papers today, and none that fits"
    for text in (Page(content.html).text, content.text):
        assert "214 new papers today, and none that fits." in text
        assert "The nearest" in text
        assert all(item.work.title in text for item in below)
    nothing = issue(samples.digest([], candidates=0))
    assert nothing.subject == "No new papers today"


def test_the_trending_issue_says_how_things_trend_and_claims_no_strength(issue: Any, samples: ModuleType) -> None:
    first = samples.items()[0]
    item = replace(first, reason=Reason(kind=ReasonKind.TRENDING), strength=0.0, work=replace(first.work, upvotes=86))
    page = Page(issue(samples.digest([item], kind="trending")).html)
    assert "Trending: 86 votes" in page.text
    assert "▬" not in page.text
    assert "weak" not in page.text


def test_the_line_tells_the_span_that_the_issue_is_about(issue: Any, samples: ModuleType) -> None:
    def line(days: float, schedule: str) -> str:
        content = issue(samples.digest(since=samples.NOW - timedelta(days=days)), subscriber=samples.subscriber(schedule=schedule))
        return Page(content.html).text

    assert "Five of 214 new papers today; " in line(1, "daily 07:30")
    assert "Five of 214 new papers since Tuesday; " in line(3, "weekdays 07:30")
    assert "Five of 214 new papers since 13 November; " in line(7, "daily 07:30")
    assert "Five of 214 new papers this week; " in line(7, "weekly friday 07:30")
    assert "Five of 214 new papers this month; " in line(30, "monthly 20 07:30")


def test_a_work_without_address_keeps_its_title_and_gets_no_link(issue: Any, samples: ModuleType) -> None:
    item = samples.items()[0]
    lone = replace(item, work=replace(item.work, url=None, links=Links(), mentions=()))
    content = issue(samples.digest([lone]))
    page = Page(content.html)
    assert lone.work.title in page.text
    assert lone.work.title not in page.links
    assert "None" not in page.text + content.text


def test_links_that_are_not_http_are_dropped_and_trackers_stripped(issue: Any, samples: ModuleType) -> None:
    item = samples.items()[0]
    links = Links(pdf="javascript:alert(1)", code="https://code.example/x?utm_source=feed&id=7&fbclid=9", project="file:///etc/passwd")
    content = issue(samples.digest([replace(item, work=replace(item.work, url="data:text/html,x", links=links, mentions=()))]))
    assert not re.search("javascript:|data:|file:|utm_|fbclid", content.html + content.text)
    assert Page(content.html).links["Code 1"] == "https://code.example/x?id=7"


def test_notes_what_changed_and_who_sends_this_stand_in_the_issue(issue: Any, samples: ModuleType) -> None:
    first = samples.items()[0]
    work = replace(first.work, change="version 2: the abstract now reports 2.6 ×, was 2.1 ×", changed_at=samples.NOW - timedelta(hours=3))
    content = issue(samples.digest([replace(first, work=work)], notes=("The feed cs.AI was stale until 11:40 yesterday.",)))
    for text in (Page(content.html).text, " ".join(content.text.split())):
        assert "version 2: the abstract now reports 2.6 ×, was 2.1 ×" in text
        assert "The feed cs.AI was stale until 11:40 yesterday." in text
        assert "Sent to ada@example.org, who asked for it on 2 May 2026." in text
        assert "Example Lab, 1 Example Street, Exampleton" in text


# ---------------------------------------------------------------- the form of it


def test_the_html_is_fit_for_mail_programs_and_screen_readers(issue: Any) -> None:
    page = Page(issue().html)
    names = [name for name, _ in page.tags]
    assert names.count("h1") == 1
    assert {found.get("role") for found in page.all("table")} == {"presentation"}
    assert not {"script", "form", "iframe", "svg", "object", "link"} & set(names)
    assert all(found.get("lang") == "en" and found.get("dir") == "ltr" for found in (page.all("html")[0], page.all("div")[0]))
    assert {"color-scheme", "supported-color-schemes"} <= {found.get("name") for found in page.all("meta")}
    assert "prefers-color-scheme" in issue().html


def test_link_texts_are_distinct(issue: Any) -> None:
    texts = re.findall(r"<a [^>]*>([^<]*)</a>", issue().html)
    assert len(texts) == len(set(texts)) > 20


def test_the_preheader_differs_per_issue_and_has_a_good_length(issue: Any, samples: ModuleType) -> None:
    below = [item for item in samples.items() if item.role is ItemRole.BELOW]
    digests = [samples.digest(samples.items(count)) for count in (1, 2, 5, 30)]
    digests += [samples.digest(below), samples.digest([]), samples.digest([], number=129)]
    found = [issue(each).preheader for each in digests]
    assert [len(each) for each in found if not 40 <= len(each) <= 130] == []
    assert len(set(found)) == len(found)


def test_a_logo_has_alternative_text_and_a_size(issue: Any, samples: ModuleType) -> None:
    (image,) = Page(issue(identity=samples.identity(logo_url="https://example.org/logo.png")).html).all("img")
    assert image.keys() >= {"alt", "width", "height"}


def test_fifty_long_items_fit_by_shorter_sentences_before_fewer_items(issue: Any, samples: ModuleType) -> None:
    long = [replace(item, excerpt=("A sentence of some length about tokens. " * 8,) * 3, best=2) for item in samples.items(50)]
    content = issue(samples.digest(long))
    assert 40_000 < len(content.html.encode()) <= MOST_BYTES
    assert all(item.work.title in Page(content.html).text for item in long if item.role is ItemRole.CHOSEN)


def test_what_does_not_fit_is_counted_and_stands_on_the_page(issue: Any, samples: ModuleType) -> None:
    huge = [
        replace(item, work=replace(item.work, title=f"{item.number} " + "W" * 290, authors=("A" * 60,) * 3)) for item in samples.items(120)
    ]
    long_links = replace(samples.links(), votes={n: ("https://paperround.example/" + "v" * 600 + str(n),) * 3 for n in range(130)})
    content = issue(samples.digest(huge), links=long_links)
    page = Page(content.html)
    shown = len([text for text in page.links if text.startswith("More like")])
    assert len(content.html.encode()) <= MOST_BYTES
    assert 5 <= shown < 50
    assert any(re.fullmatch(r"1\d\d more on your page", text) for text in page.links)
    assert len(re.findall(r"^ {3}More like", content.text, re.MULTILINE)) == shown


# ---------------------------------------------------------------- hostile words


hostile = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="<>&\"'/=;#x3cscriptonerror \n\r\t\x00\x1b\u202e\u2066\u200fابت日本🎉", max_size=400),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "{{ 7*7 }}{% raw %}",
            "&lt;b&gt; &#39; </td></table>",
            "-->",
            "jj0001jj",
            "W" * 2000,
        ]
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hostile, hostile)
def test_no_title_author_or_name_reaches_markup_or_headers(issue: Any, samples: ModuleType, title: str, name: str) -> None:
    plain = issue()
    item = samples.items()[0]
    other = replace(item, work=replace(item.work, title=title, authors=(name,) * 5), also=(title,), excerpt=(title, name), best=0)
    reason = replace(other, reason=Reason(kind=ReasonKind.INTEREST, text=name))
    content = issue(samples.digest([reason, *samples.items()[1:]]), subscriber=samples.subscriber(name=name))
    kinds = {(tag, *sorted(found)) for tag, found in Page(content.html).tags}
    assert kinds <= {(tag, *sorted(found)) for tag, found in Page(plain.html).tags} | {("span", "dir")}
    assert content.subject.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", content.subject)
    assert not _MARKUP.search(content.text)
    assert len(content.html.encode()) <= MOST_BYTES
    content.html.encode()  # no lone surrogates


def test_the_same_digest_gives_the_same_mail(issue: Any) -> None:
    assert issue() == issue()


# ---------------------------------------------------------------- short mails


def test_a_confirmation_offers_the_button_and_the_reply_that_exist(samples: ModuleType, templates: Templates) -> None:
    url = "https://paperround.example/c/abc"
    values = {"confirm_url": url, "consent_text": "We keep your address to send you this.", "titles": ["Half the Tokens"]}
    content = render_short(templates, "confirmation", values, samples.identity(), "en")
    assert Page(content.html).links == {"Yes, send it to me": url, "Privacy": "https://example.org/privacy"}
    for text in (Page(content.html).text, " ".join(content.text.split())):
        assert "We keep your address to send you this." in text
        assert "Half the Tokens" in text
        assert "this mail with" not in text
        assert "without your yes no other mail comes" in text
    by_reply = render_short(templates, "confirmation", {"confirm_reply": True}, samples.identity(), "en")
    assert "Answer this mail with this word: yes" in Page(by_reply.html).text
    assert "Answer this mail with this word: yes" in by_reply.text


@pytest.mark.parametrize("name", ["answer", "notice"])
def test_a_short_mail_says_its_lines_and_links(name: str, samples: ModuleType, templates: Templates) -> None:
    values = {
        "subject": "Paused\nBcc: x",
        "lines": ["Until <Monday>."],
        "links": [["Undo", "https://e.example/u"], ["Bad", "javascript:x"]],
    }
    content = render_short(templates, name, values, samples.identity(), "en")
    page = Page(content.html)
    assert content.subject == "Paused Bcc: x"
    assert "Until <Monday>." in page.text
    assert page.links["Undo"] == "https://e.example/u"
    assert "Bad" not in page.links
    assert "Undo: https://e.example/u" in content.text
    assert [found["role"] for found in page.all("table")] == ["presentation"] * len(page.all("table"))
    assert len(page.all("h1")) == 1


# ---------------------------------------------------------------- text


@given(st.text(alphabet="abc déf", max_size=400), st.sampled_from(["", "1. ", "   "]))
def test_filling_keeps_every_word_and_breaks_at_72(text: str, first: str) -> None:
    text = " ".join(text.split())
    filled = fill(text, first, "   ")
    assert filled.removeprefix(first).split() == text.split()
    for line in filled.splitlines():
        assert len(line) <= 72 or " " not in line.strip().removeprefix(first.strip() or " ")


@given(st.text(alphabet="<>&;#39/pdiva ", max_size=40))
def test_text_holds_nothing_that_could_be_taken_for_markup(text: str) -> None:
    assert not _MARKUP.search(textual(text))
