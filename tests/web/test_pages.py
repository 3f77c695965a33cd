"""The pages as visitors, readers, mail programs and mail scanners meet them."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from paperround.errors import EmbeddingError
from paperround.models import ConsentState, Interest, MailKind
from paperround.pipeline.embed import embed
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import KeyRing
from paperround.testing import HashingEmbedder
from paperround.web.app import create_app
from paperround.web.guards import Guards

URLENCODED = {"content": b"List-Unsubscribe=One-Click", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
MULTIPART = {
    "content": b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
    "headers": {"Content-Type": "multipart/form-data; boundary=x"},
}
BROKEN = {"content": b"\xff--%%", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
PROFILE = {
    "rhythm": "weekly",
    "weekday": "friday",
    "time": "08:15",
    "timezone": "Europe/Paris",
    "max_items": "8",
    "min_score": "0.25",
    "channels": ["email", "feed"],
    "interest": ["graphs", "lip reading", ""],
    "weight": ["2.0", "1.0", "1.0"],
    "avoid": "images\n\nvideo",
    "sources": ["ai"],
    "language": "de",
    "name": "Ada L",
    "explore": "on",
    "note": "on",
}

Site = Any  # the fixture's class stands in conftest.py, which importlib mode does not let us import


class Forms(HTMLParser):
    """Every address that a page leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.posts: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.scripts += tag == "script" or any(name.startswith("on") or name == "style" for name in given)
        if tag in ("a", "link") and given.get("href"):
            self.links.append(str(given["href"]))
        if tag == "form" and given.get("method") == "post":
            self.posts.append(str(given["action"]))


async def everything(site: Site) -> tuple[Any, ...]:
    """All that a page could have changed."""
    events = await site.storage.consent_events(site.ada.id)
    return await site.now(), await site.votes(), events, await site.storage.layers(site.ada.id), len(await site.outbox(MailKind.ANSWER))


def reader_pages(site: Site) -> list[str]:
    links = site.links
    votes = [url for ways in links.votes.values() for url in ways]
    return [site.path(url) for url in (links.one_click, links.preferences, links.archive, *votes, links.feed_rss)] + [site.owner()]


# ---------------------------------------------------------------- what every page promises


async def test_a_scanner_that_opens_every_link_of_a_mail_and_of_its_pages_changes_nothing(site: Site) -> None:
    before = await everything(site)
    seen: set[str] = set()
    waiting = [*reader_pages(site), "/"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.startswith("/"):
            continue
        seen.add(path)
        for method in ("HEAD", "OPTIONS", "GET"):
            answer = await site.client.request(method, path)
            assert answer.status_code < 500
        if "html" in answer.headers["content-type"]:
            waiting += [url.removeprefix("http://paper.example") for url in Forms(answer.text).links]
    assert len(seen) > 12
    assert await everything(site) == before


async def test_no_page_holds_a_script_and_every_form_stays_here(site: Site) -> None:
    for path in [*reader_pages(site)[:-2], site.owner(), "/", "/?q=tokens", "/privacy"]:
        answer = await site.client.get(path)
        page = Forms(answer.text)
        assert (answer.status_code, page.scripts) == (200, 0), path
        assert all(action.startswith("/") for action in page.posts)


async def test_token_pages_may_not_be_framed_cached_or_told_to_others(site: Site) -> None:
    for path in [*reader_pages(site), "/u/none", "/nothing"]:
        headers = (await site.client.get(path)).headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "noindex" in headers["X-Robots-Tag"]
        assert "no-store" in headers["Cache-Control"] or path.startswith("/f/")


async def test_the_style_sheet_is_found_by_its_content_and_kept_for_ever(site: Site) -> None:
    (sheet,) = re.findall(r'rel="stylesheet" href="([^"]+)"', (await site.client.get("/")).text)
    answer = await site.client.get(sheet)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in answer.headers["Cache-Control"]
    assert (await site.client.get("/paper-0.css")).status_code == 404


async def test_wrong_and_unknown_links_answer_the_same_bytes(site: Site) -> None:
    nobody = signed_links.make_token(site.actions.keys, signed_links.Purpose.PREFERENCES, "f" * 32, 0)
    right = site.path(site.links.preferences)
    wrong = [right[:-4] + "AAAA", f"/p/{nobody}", "/p/x", "/c/x", "/f/x.rss", "/nothing", right.replace("/p/", "/a/"), right + "%00"]
    answers = [await site.client.get(path) for path in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert (await site.client.post(wrong[0] + "/pause")).content == answers[0].content


async def test_a_body_that_never_ends_is_refused(site: Site) -> None:
    answer = await site.client.post("/subscribe", content=b"email=" + b"a" * 300_000, headers=URLENCODED["headers"])
    assert answer.status_code == 413


async def test_what_breaks_shows_nothing_of_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    from paperround.web.app import create_app

    async def fails(*_: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(type(site.storage), "by_public_id", fails)
    transport = httpx2.ASGITransport(app=create_app(site.services), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://paper.example") as client:
        answer = await client.get(site.path(site.links.preferences))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "no-store" in answer.headers["Cache-Control"]


# ---------------------------------------------------------------- leaving


@pytest.mark.parametrize("form", [URLENCODED, MULTIPART, BROKEN, {}])
async def test_one_post_unsubscribes_in_whatever_form_and_as_often_as_it_comes(site: Site, form: dict[str, Any]) -> None:
    path = site.path(site.links.one_click)
    for _ in range(2):
        answer = await site.client.post(path, **form)
        assert answer.status_code == 200
    left = await site.now()
    assert (left.state, left.next_due_at) == (ConsentState.UNSUBSCRIBED, None)
    assert await site.outbox(MailKind.ISSUE) == []
    assert (await site.client.get(path)).status_code == 200


async def test_a_well_signed_way_out_answers_even_when_nobody_is_known_any_more(site: Site) -> None:
    await site.actions.forget(site.ada, way="cli")
    assert (await site.client.post(site.path(site.links.one_click), **URLENCODED)).status_code == 200
    stranger = signed_links.make_token(site.actions.keys, signed_links.Purpose.UNSUBSCRIBE, "0" * 32, 0)
    assert (await site.client.post(f"/u/{stranger}", **URLENCODED)).status_code == 200
    assert (await site.client.post(f"/u/{stranger[:-4]}AAAA", **URLENCODED)).status_code == 404


async def test_every_way_out_ever_sent_works_after_the_keys_were_changed(site: Site) -> None:
    sent = [site.path(site.links.one_click)]
    ring = site.actions.keys.keys
    for number in range(3):
        ring = (bytes([number]) * 32, *ring)
        site.actions.keys = KeyRing(ring)
        links = signed_links.reader_links(site.actions.keys, "http://paper.example", await site.now())
        sent.append(site.path(links.one_click))
        await site.storage.raise_epochs(site.ada.id, link=True, feed=True)
    assert len(set(sent)) == 4
    for path in sent:
        if (await site.now()).state is ConsentState.UNSUBSCRIBED:
            await site.actions.add("ada@example.org", {}, active=True)
        assert (await site.client.post(path, **URLENCODED)).status_code == 200
        assert (await site.now()).state is ConsentState.UNSUBSCRIBED
    site.actions.keys = KeyRing(ring[:1])
    assert (await site.client.post(sent[0], **URLENCODED)).status_code == 404  # only a key that was thrown away ends a link


async def test_the_page_says_which_way_was_taken_and_closes_the_feed_when_asked_to(site: Site) -> None:
    await site.client.post(site.path(site.links.one_click), data={"List-Unsubscribe": "One-Click", "page": "1", "feed": "revoke"})
    assert (await site.storage.consent_events(site.ada.id))[-1].way == "page"
    assert (await site.client.get(site.path(site.links.feed_rss))).status_code == 410


# ---------------------------------------------------------------- saying yes


async def test_the_button_of_a_confirmation_makes_active_and_opening_it_does_not(site: Site) -> None:
    await site.actions.sign_up("bob@example.org", {"interests": ["<b>bold</b>"]}, way="page")
    (mail,) = await site.outbox(MailKind.CONFIRMATION)
    path = site.path(mail.values["confirm_url"])
    page = await site.client.get(path)
    assert "&lt;b&gt;bold" in page.text
    assert (await site.storage.find_subscriber("bob@example.org")).state is ConsentState.PENDING
    assert Forms(page.text).posts == [path]
    for _ in range(2):
        assert "You are subscribed" in (await site.client.post(path)).text
    bob = await site.storage.find_subscriber("bob@example.org")
    assert bob.state is ConsentState.ACTIVE
    assert (await site.storage.consent_events(bob.id))[-1].address_prefix == "192.0.2.0/24"
    await site.actions.unsubscribe(bob, way="cli")
    assert "ended" in (await site.client.post(path)).text


# ---------------------------------------------------------------- signing up


async def test_a_sign_up_answers_the_same_for_every_address(site: Site) -> None:
    await site.actions.sign_up("pending@example.org", {}, way="page")
    await site.actions.suppress("bounced@example.org", reason="bounced", evidence="")
    answers = [
        await site.client.post("/subscribe", data={"email": email, "interests": "one\ntwo"})
        for email in ("new@example.org", "pending@example.org", "ada@example.org", "bounced@example.org")
    ]
    assert len({(answer.status_code, answer.content, tuple(answer.headers.items())) for answer in answers}) == 1
    assert answers[0].status_code == 200
    assert sorted(mail.recipient for mail in await site.outbox(MailKind.CONFIRMATION)) == ["new@example.org", "pending@example.org"]
    new = await site.storage.find_subscriber("new@example.org")
    assert new.profile.interests == (Interest(text="one"), Interest(text="two"))
    assert (await site.now()).profile == site.ada.profile


async def test_an_interest_that_the_model_does_not_read_is_told_of_at_once_and_on_the_page(site: Site) -> None:
    words = "Erkennung von Texten für ältere Menschen und Kinder"
    for language, told in (("en", "does not look like English"), ("de", "sieht nicht nach Englisch aus")):
        form = {"email": "new@example.org", "interests": f"{words}\nlip reading"}
        answer = await site.client.post("/subscribe", data=form, headers={"Accept-Language": language})
        assert (answer.status_code, answer.text.count(told)) == (200, 1)
    await site.client.post(f"{site.owner()}/profile", data={**PROFILE, "language": "fr", "interest": [words], "weight": ["1.0"]})
    assert "ne semble pas être de l’anglais" in (await site.client.get(site.owner())).text
    assert "English" not in (await site.client.post("/subscribe", data={**form, "interests": "van der Waals forces"})).text


async def test_a_form_that_cannot_be_is_shown_again_with_what_was_typed(site: Site) -> None:
    for data, told in (({"email": "nobody@"}, "mail address"), ({"email": "a@example.org", "max_items": "900"}, "from 1 to 50 papers")):
        answer = await site.client.post("/subscribe", data={**data, "interests": "my <own> words"})
        assert answer.status_code == 400
        assert told in answer.text
        assert "my &lt;own&gt; words" in answer.text
    assert await site.outbox(MailKind.CONFIRMATION) == []


async def test_robots_that_fill_every_field_are_thanked_and_forgotten(site: Site) -> None:
    human = await site.client.post("/subscribe", data={"email": "a@example.org"})
    robot = await site.client.post("/subscribe", data={"email": "b@example.org", "website": "https://spam.example"})
    assert robot.content == human.content
    assert [mail.recipient for mail in await site.outbox(MailKind.CONFIRMATION)] == ["a@example.org"]


async def test_words_that_are_not_read_in_time_are_promised_for_the_next_issue(site: Site) -> None:
    async def too_slow(_words: str, _since: object) -> list[Any]:
        raise EmbeddingError("not in time")

    transport = httpx2.ASGITransport(app=create_app(replace(site.services, search=too_slow)), client=("192.0.2.7", 5000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        found = await client.get("/?q=robots")
    assert found.status_code == 200
    assert "still being read" in found.text
    assert "Nothing is near" not in found.text


async def test_one_network_may_sign_up_so_often_an_hour(site: Site) -> None:
    statuses = [(await site.client.post("/subscribe", data={"email": f"a{n}@example.org"})).status_code for n in range(7)]
    assert statuses == [200] * 5 + [429] * 2


async def test_ten_thousand_sign_ups_of_one_victim_from_everywhere_are_one_mail(site: Site) -> None:
    services = replace(site.services, guards=Guards(sign_ups=600, searches=0))
    app, statuses = create_app(services), Counter[int]()

    async def post(number: int) -> None:
        name = "".join(letter + "." * (number >> place & 1) for place, letter in enumerate("victim"[:-1])) + "m"
        body = urlencode({"email": f"{name}+{number}@{('gmail.com', 'GoogleMail.com')[number % 2]}", "interests": str(number)}).encode()
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/subscribe",
            "query_string": b"",
            "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
            "client": (f"{number % 200 + 1}.{number // 200}.7.9", 5000),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses[message["status"]] += 1

        await app(scope, receive, send)

    for number in range(10_000):
        await post(number)
    assert statuses == {200: 600, 429: 9400}
    assert len(await site.outbox(MailKind.CONFIRMATION)) == 1
    assert (await site.storage.count_subscribers())["pending"] == 1


async def test_only_a_feed_needs_no_address_and_works_at_once(site: Site) -> None:
    answer = await site.client.post("/subscribe", data={"channels": "feed", "interests": "graphs"})
    feeds = sorted(set(re.findall(r"http://paper\.example(/f/[^\"<]+)", answer.text)))
    assert [path.rpartition(".")[2] for path in feeds] == ["atom", "json", "rss", "bib"]
    own = re.findall(r"http://paper\.example(/o/[^\"<]+)", answer.text)
    assert "graphs" in (await site.client.get(own[0])).text
    assert [(await site.client.get(path)).status_code for path in feeds] == [200] * 4
    assert await site.outbox(MailKind.CONFIRMATION) == []


async def test_the_front_page_shows_what_is_talked_about_and_finds_by_words(site: Site) -> None:
    front = await site.client.get("/", headers={"Accept-Language": "de-DE,de;q=0.9"})
    assert "Half the Tokens &amp; &lt;All&gt; the Picture" in front.text
    assert '<option value="Europe/Berlin" selected>' in front.text
    found = await site.client.get("/", params={"q": "lips <i>"})
    assert "lips &lt;i&gt;" in found.text
    assert ">lips &lt;i&gt;</textarea>" in found.text  # the sign-up carries the words
    assert "7 days" in (await site.client.get("/privacy")).text


async def test_a_sign_up_shows_at_once_what_last_week_would_have_brought(site: Site) -> None:
    near = await site.client.post("/subscribe", data={"email": "a@example.org", "interests": "drafts on the cheap"})
    assert "What last week would have brought you" in near.text
    assert "Drafts on the Cheap" in near.text
    (mail,) = await site.outbox(MailKind.CONFIRMATION)
    assert "Drafts on the Cheap" in mail.values["titles"]
    far = await site.client.post("/subscribe", data={"email": "b@example.org", "interests": "medieval ploughs"})
    assert "close enough" in far.text
    assert "would have brought" not in (await site.client.post("/subscribe", data={"email": "c@example.org"})).text


async def test_examples_come_as_links_titles_or_bibtex(site: Site) -> None:
    liked = "https://arxiv.org/abs/2410.01234v2\n@article{x, title={A {Survey} of Caches}}"
    await site.client.post("/subscribe", data={"email": "a@example.org", "liked": liked, "channels": "email"})
    profile = (await site.storage.find_subscriber("a@example.org")).profile
    assert (profile.liked, profile.channels) == (("arxiv:2410.01234", "A Survey of Caches"), ("email",))


async def test_what_is_talked_about_is_a_public_feed(site: Site) -> None:
    front = (await site.client.get("/")).text
    for form in ("rss", "atom", "json"):
        answer = await site.client.get(f"/trending.{form}")
        assert f"/trending.{form}" in front
        assert (answer.status_code, "Drafts on the Cheap" in answer.text) == (200, True)
        assert "/v/" not in answer.text
        again = {"If-None-Match": answer.headers["ETag"]}
        assert (await site.client.get(f"/trending.{form}", headers=again)).status_code == 304
        site.clock.advance(minutes=10)
        assert (await site.client.get(f"/trending.{form}", headers=again)).status_code == 304
    assert (await site.client.get("/trending.xml")).status_code == 404


async def test_on_a_day_without_news_the_week_is_shown(site: Site) -> None:
    site.clock.advance(days=2)
    page = (await site.client.get("/")).text
    assert 'view=week" aria-current="true"' in page
    assert "Drafts on the Cheap" in page
    assert "Nothing new yet" in (await site.client.get("/?view=day")).text


# ---------------------------------------------------------------- steering


async def test_the_owner_has_any_paper_explained(site: Site) -> None:
    page = (await site.client.get(site.owner(), params={"why": "Drafts on the Cheap"})).text
    for words in ("Strength", "Reason", "because you follow", "token pruning", "Score", "never sent twice"):
        assert words in page
    assert "No paper of that name" in (await site.client.get(site.owner(), params={"why": "<b>"})).text
    unsent = await site.client.get(site.owner(), params={"why": "A Survey of Caches"})
    assert (unsent.status_code, "Score" in unsent.text, "never sent twice" in unsent.text) == (200, True, False)
    await site.actions.change_profile(site.ada, {"never": ["caches"]}, way="reader")
    assert "kept out by a word" in (await site.client.get(site.owner(), params={"why": "A Survey of Caches"})).text
    await site.actions.change_profile(site.ada, {"never": [], "language": "de"}, way="reader")
    page = (await site.client.get(site.owner(), params={"why": "Drafts on the Cheap"})).text
    assert all(words in page for words in ("weil Sie", "der Wertung", "nichts kommt zweimal", "Interesse: token pruning"))
    assert "Why, or why not" not in (await site.client.get(site.path(site.links.preferences))).text


async def test_the_owner_moves_the_paper_to_another_address_which_says_yes(site: Site) -> None:
    owner = site.owner()
    answers = [await site.client.post(f"{owner}/move", data={"email": email}) for email in ("new@example.org", "ada@example.org")]
    assert [(each.status_code, each.headers["location"]) for each in answers] == [(303, f"{owner}?done=move")] * 2
    assert (await site.client.post(f"{owner}/move", data={"email": "new@"})).status_code == 400
    (mail,) = await site.outbox(MailKind.CONFIRMATION)
    link = site.path(mail.values["confirm_url"])
    assert Forms((await site.client.get(link)).text).posts == [link]
    assert (await site.now()).email == "ada@example.org"
    assert "comes here now" in (await site.client.post(link)).text
    assert (await site.now()).email == "new@example.org"
    assert (await site.client.post(link)).status_code == 410
    assert [each.recipient for each in await site.outbox(MailKind.ANSWER)] == ["ada@example.org"]
    assert [each.recipient for each in await site.outbox(MailKind.ISSUE)] == ["new@example.org"]


async def test_an_address_that_was_taken_meanwhile_is_not_moved_to(site: Site) -> None:
    await site.client.post(f"{site.owner()}/move", data={"email": "new@example.org"})
    (mail,) = await site.outbox(MailKind.CONFIRMATION)
    await site.actions.add("new@example.org", {}, active=True)
    assert (await site.client.post(site.path(mail.values["confirm_url"]))).status_code == 409
    assert (await site.now()).email == "ada@example.org"


async def test_a_vote_counts_when_its_button_is_pressed_and_can_be_taken_back(site: Site) -> None:
    more, less, why = map(site.path, site.links.votes[1])
    assert TITLES_1 in (await site.client.get(more)).text
    assert await site.votes() == {}
    assert (await site.client.post(more)).status_code == 303
    assert await site.votes() == {"Half the Tokens & <All> the Picture": 1}
    assert "from the next issue on" in (await site.client.get(more)).text
    await site.client.post(less)
    assert await site.votes() == {"Half the Tokens & <All> the Picture": -1}
    await site.client.post(less.replace("/less", "/undo"))
    assert await site.votes() == {}
    assert "because you follow" in (await site.client.get(why)).text
    assert (await site.client.post(why)).status_code == 404


TITLES_1 = "Half the Tokens &amp; &lt;All&gt; the Picture"


async def test_the_issue_is_a_page(site: Site) -> None:
    page = (await site.client.get(site.path(site.links.archive))).text
    for words in (
        TITLES_1,
        "Drafts on the Cheap",
        "From outside your round",
        "A Survey of Caches",
        "for Ada",
        "Two of 40 new papers today",
    ):
        assert words in page


async def test_a_link_in_a_mail_changes_the_schedule_and_pauses(site: Site) -> None:
    base = site.path(site.links.preferences)
    assert (await site.client.post(f"{base}/schedule", data=PROFILE)).status_code == 303
    changed = await site.now()
    assert (changed.profile.schedule, changed.profile.timezone) == ("weekly friday 08:15", "Europe/Paris")
    assert changed.profile.interests == site.ada.profile.interests
    await site.client.post(f"{base}/pause", data={"until": "2026-12-24"})
    assert (await site.now()).state is ConsentState.PAUSED
    assert "24 December 2026" in (await site.client.get(base)).text
    await site.client.post(f"{base}/resume")
    assert (await site.now()).state is ConsentState.ACTIVE
    for wrong in ({"until": "yesterday"}, {"until": "2020-01-01"}):
        assert (await site.client.post(f"{base}/pause", data=wrong)).status_code == 400


async def test_with_all_that_stands_in_a_forwarded_mail_a_stranger_can_neither_read_nor_take_the_profile(site: Site) -> None:
    base = site.path(site.links.preferences)
    page = (await site.client.get(base)).text
    for secret in ("token pruning", "ada@example.org", site.path(site.links.feed_rss)):
        assert secret not in page
    before = await everything(site)
    for what in ("profile", "vote", "feed", "move", "export", "erase"):
        assert (await site.client.post(f"{base}/{what}", data={**PROFILE, "sure": "on", "email": "me@example.org"})).status_code == 404
    token = base.rpartition("/")[2]
    assert (await site.client.get(f"/o/{token}")).status_code == 404
    assert await everything(site) == before


async def test_the_owners_page_opens_by_a_fresh_link_mailed_to_the_owner_and_closes_after_an_hour(site: Site) -> None:
    base = site.path(site.links.preferences)
    answers = [await site.client.post(f"{base}/link") for _ in range(5)]
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {(303, f"{base}?done=link")}
    mails = await site.outbox(MailKind.ANSWER)
    assert [mail.recipient for mail in mails] == ["ada@example.org"] * 3
    owner = site.path(mails[0].values["links"][0][1])
    assert "token pruning" in (await site.client.get(owner)).text
    site.clock.advance(minutes=61)
    assert (await site.client.get(owner)).status_code == 410


async def test_the_owner_changes_every_key_of_the_profile(site: Site) -> None:
    assert (await site.client.post(f"{site.owner()}/profile", data=PROFILE)).status_code == 303
    profile = (await site.now()).profile
    assert profile.interests == (Interest(text="graphs", weight=2.0), Interest(text="lip reading"))
    assert (profile.schedule, profile.max_items, profile.min_score, profile.avoid) == ("weekly friday 08:15", 8, 0.25, ("images", "video"))
    assert (profile.name, profile.language, profile.empty, profile.explore, profile.sources) == ("Ada L", "de", "note", True, ("ai",))
    page = (await site.client.get(site.owner())).text
    assert all(words in page for words in ("graphs", "lip reading", "Ada L", "images\nvideo"))
    refused = await site.client.post(f"{site.owner()}/profile", data={**PROFILE, "max_items": "99"})
    assert refused.status_code == 400
    assert "Eine Ausgabe fasst 1 bis 50 Artikel." in refused.text


async def test_the_owner_takes_votes_back_moves_the_feed_exports_and_erases(site: Site) -> None:
    await site.client.post(site.path(site.links.votes[2][1]))
    work = site.digest.items[1].work.id
    await site.client.post(f"{site.owner()}/vote", data={"work": str(work)})
    assert await site.votes() == {}
    feed = site.path(site.links.feed_rss)
    assert (await site.client.get(feed)).status_code == 200
    await site.client.post(f"{site.owner()}/feed")
    assert (await site.client.get(feed)).status_code == 410
    export = (await site.client.post(f"{site.owner()}/export")).json()
    assert (export["email"], export["profile"]["interests"]) == ("ada@example.org", ["token pruning"])
    assert (await site.client.post(f"{site.owner()}/erase")).status_code == 400
    assert (await site.client.post(f"{site.owner()}/erase", data={"sure": "on"})).status_code == 200
    assert (await site.now()).state is ConsentState.FORGOTTEN
    assert (await site.client.get(site.owner())).status_code == 404


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir()).lower()


async def test_what_is_forgotten_is_found_nowhere(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Database, write-ahead log, memory of the pages, what was logged; and an old mail's way out still answers."""
    words = "unmistakable taste"
    email = "unmistakable@example.org"
    await site.client.post("/subscribe", data={"email": email, "interests": words})
    (question,) = await site.outbox(MailKind.CONFIRMATION)
    await site.client.post(site.path(question.values["confirm_url"]))
    reader = await site.storage.find_subscriber(email)
    await embed(site.storage, HashingEmbedder(), now=site.clock.now())
    links = signed_links.reader_links(site.actions.keys, "http://paper.example", reader)
    for url in (links.feed_rss, links.preferences):
        await site.client.get(site.path(url))
    await site.actions.mail_owner_link(reader)
    owner = site.path((await site.outbox(MailKind.ANSWER))[0].values["links"][0][1])
    await site.client.post(f"{owner}/profile", data={**PROFILE, "name": "Unmistakable Name", "avoid": "unmistakable distaste"})
    await site.client.post(f"{owner}/move", data={"email": "unmistakable2@example.org"})
    assert (await site.client.post(f"{owner}/erase", data={"sure": "on"})).status_code == 200
    assert b"unmistakable" not in everything_in(tmp_path)
    for text in (words, "unmistakable distaste", "graphs"):
        assert await site.storage.text_vectors(HashingEmbedder().model, [text]) == {}
    assert "unmistakable" not in repr((site.services.feeds, site.services.kept, vars(site.services.guards._limiter.storage))).lower()
    assert "unmistakable" not in "".join(capfd.readouterr()).lower()
    assert (await site.client.post(site.path(links.one_click), **URLENCODED)).status_code == 200
    assert (await site.client.get(site.path(links.feed_rss))).status_code == 404


async def test_pages_speak_the_browsers_language_and_readers_pages_the_readers(site: Site) -> None:
    german = {"Accept-Language": "it, de-AT;q=0.9, en;q=0.5"}
    front = (await site.client.get("/", headers=german)).text
    for words in ('lang="de"', "Worüber gesprochen wird", "Montag bis Freitag", "Abonnieren", "Zeitzone"):
        assert words in front
    assert "What" not in re.sub(r"<[^>]+>", "", front)
    kept = (await site.client.get("/privacy", headers=german)).text
    assert "7 Tage" in kept
    answer = await site.client.post("/subscribe", data={"email": "a@example.org", "interests": "drafts on the cheap"}, headers=german)
    assert "Sehen Sie in Ihre Mails" in answer.text
    assert (await site.storage.find_subscriber("a@example.org")).profile.language == "de"
    (question,) = await site.outbox(MailKind.CONFIRMATION)
    assert question.values["language"] == "de"
    await site.actions.change_profile(site.ada, {"language": "fr"}, way="reader")
    for url, words in (
        (site.links.preferences, "Votre rythme"),
        (site.links.votes[1][0], "Plus comme ceci"),
        (site.links.one_click, "Quitter"),
    ):
        page = (await site.client.get(site.path(url), headers=german)).text
        assert 'lang="fr"' in page
        assert words in page
