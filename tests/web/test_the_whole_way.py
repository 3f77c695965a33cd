"""The whole way of a reader, through the parts as they are wired: pages in a browser, mails over a real SMTP server, issues that follow."""

import contextlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from paperround import wiring
from paperround.config import load_settings
from paperround.models import ConsentState, Source, SourceId, SourceKind, Subscriber
from paperround.testing import FixedClock
from paperround.web.app import create_app
from paperround.web.services import from_parts

Browse = Callable[..., Any]
BASE = "http://paper.example"
FRIDAY = datetime(2026, 11, 20, 9, tzinfo=UTC)
SIZES = {"desk": {"width": 1100, "height": 800}, "phone": {"width": 375, "height": 740}}
KEYS = (b"first key of the installation...",)
TOPICS = {  # what every day brings of each
    "speech": "Speech recognition in noisy rooms: a recogniser hears each spoken sentence twice and repairs the words that noise covers.",
    "robots": "Robots that learn gestures from people: a robot arm watches hands, copies their gestures and finishes its work sooner.",
    "protein": "Protein folding without templates: a folded chain of amino acids is predicted from its sequence and checked in the lab.",
    "weather": "Weather forecasts from satellites: clouds seen from orbit become a forecast of rain and storm for the next six hours.",
    "markets": "Auction markets with shy bidders: an auction whose bidders hide their price still sells each lot for what it is worth.",
    "quantum": "Quantum circuits that forget noise: qubits are measured half way and the circuit goes on with a corrected state.",
}


@dataclass
class Press:
    """An installation whose clock we move and whose mails we catch."""

    parts: Any
    clock: FixedClock
    server: Any
    folder: Path
    read: int = 0

    async def news(self, days: int) -> None:
        """So many days after the Friday: a file of one work a topic comes in, is read and embedded, an hour before it is nine."""
        self.clock.moment = FRIDAY + timedelta(days=days, hours=-1)
        day = f"{self.clock.moment:%A %-d}"
        items = [
            {
                "id": f"{day}-{name}",
                "url": f"https://example.org/{days}/{name}",
                "title": f"{text.partition(':')[0]}, as seen on {day}",
                "content_text": f"{text} This was written on {day}.",
            }
            for name, text in TOPICS.items()
        ]
        path = self.folder / f"{day}.json"
        feed = {"version": "https://jsonfeed.org/version/1.1", "title": day, "items": items}
        path.write_text(json.dumps(feed), encoding="utf-8")
        await self.parts.storage.add_source(
            Source(id=SourceId(0), location=str(path), kind=SourceKind.FEED, name=day, added_at=self.clock.now())
        )
        await self.parts.steps.read()

    async def post(self) -> list[EmailMessage]:
        """Deliver; what arrived."""
        await self.parts.steps.deliver()
        arrived = self.server.accepted[self.read :]
        self.read = len(self.server.accepted)
        return [message_from_bytes(each.content, policy=policy.default) for each in arrived]  # type: ignore[misc]

    async def issue_on(self, days: int) -> EmailMessage:
        """The one issue that is due by then."""
        self.clock.moment = FRIDAY + timedelta(days=days)
        await self.parts.steps.compose()
        (mail,) = await self.post()
        return mail

    async def reader(self, email: str) -> Subscriber:
        found: Subscriber = await self.parts.storage.find_subscriber(email)
        return found

    def remembered(self) -> list[str]:
        """Every row of the database."""
        with contextlib.closing(sqlite3.connect(self.folder / "p.db")) as database:
            return list(database.iterdump())


@pytest.fixture
async def press(tmp_path: Path, smtp_server: ModuleType, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Press]:
    clock = FixedClock(FRIDAY)
    monkeypatch.setattr(wiring, "SystemClock", lambda *_: clock)
    async with smtp_server.ScriptedServer() as server:
        settings = {
            "PAPERROUND_DATABASE": f"sqlite:///{tmp_path}/p.db",
            "PAPERROUND_TRANSPORT": f"smtp://127.0.0.1:{server.port}?starttls=never",
            "PAPERROUND_BASE_URL": BASE,
            "PAPERROUND_EMBEDDING_MODEL": "hashing",
            "PAPERROUND_LIST_ADDRESS": "paper@paper.example",
            "PAPERROUND_LIST_SENDER": "paper@paper.example",
        }
        (tmp_path / "paperround.toml").touch()
        async with wiring.open_parts(load_settings(tmp_path / "paperround.toml", settings), keys=KEYS, serving=True) as parts:
            made = Press(parts, clock, server, tmp_path)
            await made.news(0)
            clock.moment = FRIDAY
            yield made


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def links_of(mail: EmailMessage) -> list[str]:
    """Every address in a mail: headers, text and HTML."""
    html = mail.get_body(("html",))
    whole = f"{mail['List-Unsubscribe']} {mail['Archived-At']} {text_of(mail)} {html.get_content() if html else ''}".replace("&amp;", "&")
    return list(dict.fromkeys(re.findall(rf"{BASE}[^\s<>\"')]*", whole)))


def link(mail: EmailMessage, *parts: str) -> str:
    return next(url for url in links_of(mail) if all(part in url for part in parts))


def chosen(mail: EmailMessage) -> set[str]:
    """The topics of an issue's numbered items, without the one from outside."""
    inside = text_of(mail).partition("— From outside")[0]
    return {name for name, text in TOPICS.items() if re.search(rf"^\d+\. {text.partition(':')[0]}", inside, re.M)}


async def sign_up(press: Press, page: Any, words: str, email: str) -> EmailMessage:
    """By search and form; the confirmation mail."""
    await page.goto("/")
    await page.get_by_role("searchbox").fill(words)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_label("Your mail address").fill(email)
    await page.get_by_role("button", name="Subscribe").click()
    assert await page.get_by_role("heading", level=1).inner_text() == "Look into your mail"
    for _ in range(200):
        if mails := await press.post():
            return mails[0]
        await page.wait_for_timeout(25)
    raise AssertionError("no confirmation came")


@pytest.mark.browser
@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("size", SIZES)
async def test_from_a_search_to_the_way_out(press: Press, browse: Browse, size: str, scripts: bool) -> None:
    async with browse(from_parts(press.parts), java_script_enabled=scripts, viewport=SIZES[size]) as page:
        asked = await sign_up(press, page, "speech recognition in noisy rooms", "bob@example.org")
        assert await page.get_by_role("heading", name="What last week would have brought you").is_visible()
        assert "* Speech recognition in noisy rooms, as seen on Friday 20" in text_of(asked)
        await page.goto(link(asked, "/c/"))
        await page.get_by_role("button", name="Subscribe").click()
        assert (await press.reader("bob@example.org")).state is ConsentState.ACTIVE

        await press.news(3)
        first = await press.issue_on(3)
        assert chosen(first) == {"speech"}
        await page.goto(link(first, "/v/", ".3.", "/more"))  # the third is the one from outside
        outside = (await page.get_by_role("heading", level=2).inner_text()).partition(",")[0].lstrip("3 ")
        await page.get_by_role("button", name="More like this").click()
        assert "More like this" in await page.get_by_role("status").inner_text()

        await page.goto(link(first, "/p/"))
        await page.get_by_label("How often").select_option("daily")
        await page.get_by_label("At", exact=True).fill("08:00")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("button", name="Mail me the link").click()
        (fresh,) = await press.post()
        await page.goto(link(fresh, "/o/"))
        await page.get_by_label("Interest 2", exact=True).fill("weather forecasts from satellites")
        await page.get_by_role("button", name="Save").click()
        assert "Saved" in await page.get_by_role("status").inner_text()

        await press.news(4)
        second = await press.issue_on(4)
        voted = next(name for name, text in TOPICS.items() if text.startswith(outside))
        assert chosen(second) == {"speech", "weather", voted}
        assert "close to what you liked" in text_of(second).lower()

        await page.goto(link(second, "/p/"))
        await page.get_by_role("button", name="Pause").click()
        await press.news(5)
        press.clock.moment = FRIDAY + timedelta(days=5)
        await press.parts.steps.compose()
        assert await press.post() == []
        await page.get_by_role("button", name="Send it again now").click()
        third = await press.issue_on(6)

        await press.news(7)
        press.clock.moment = FRIDAY + timedelta(days=7)
        await press.parts.steps.compose()  # its mail waits, and never goes
        await page.goto(link(third, "/u/"))
        await page.get_by_role("button", name="Unsubscribe").click()
        assert (await press.reader("bob@example.org")).state is ConsentState.UNSUBSCRIBED
        assert await press.post() == []


@pytest.mark.browser
async def test_a_scanner_that_opens_every_link_of_every_mail_and_runs_the_pages_changes_nothing(press: Press, browse: Browse) -> None:
    services, actions = from_parts(press.parts), press.parts.actions
    await actions.sign_up("asked@example.org", {}, way="page")
    ada = await actions.add("ada@example.org", {"interests": ["robots that learn gestures"], "schedule": "daily 07:30"}, active=True)
    await actions.mail_owner_link(ada)
    await actions.ask_to_move(ada, "moved@example.org")
    press.clock.moment = FRIDAY + timedelta(minutes=30)
    mails = await press.post()
    assert sorted(mail["To"] for mail in mails) == ["ada@example.org", "asked@example.org", "moved@example.org"]
    mails.append(await press.issue_on(1))
    press.clock.moment = FRIDAY + timedelta(minutes=40)  # within the hour of the fresh links
    urls = dict.fromkeys(url for mail in mails for url in links_of(mail))
    assert {url.removeprefix(BASE)[1] for url in urls} == set("ucpvaom")
    before = press.remembered()
    transport = httpx2.ASGITransport(app=create_app(services))
    async with browse(services) as page, httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
        failed: list[str] = []
        page.on("pageerror", lambda error: failed.append(str(error)))
        for url in urls:
            head = await client.head(url)
            assert head.status_code == (await page.goto(url)).status == 200, url
            for anchor in await page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)"):
                if anchor.startswith(BASE):
                    assert (await client.get(anchor)).status_code == 200, anchor
        assert failed == []
    assert press.remembered() == before
    assert await press.post() == []
