"""A reader's whole way in a real browser, with and without JavaScript, on a desk and on a phone; and no page a barrier."""

import asyncio
import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import pytest

from paperround.errors import NotFoundError
from paperround.models import ConsentState, MailKind

axe = importlib.import_module("axe_playwright_python.async_playwright")

pytestmark = pytest.mark.browser
Site = Any
Browse = Callable[..., Any]  # services, options of a browser's context → a page
HOME = "http://paper.example"


async def signed_up(site: Site, email: str, *, mailed: bool = False) -> Any:
    """The subscriber, once the work behind the answer is done: the page answers before any lookup happens."""
    for _ in range(200):
        with contextlib.suppress(NotFoundError):
            found = await site.storage.find_subscriber(email)
            if not mailed or await site.outbox(MailKind.CONFIRMATION):
                return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{email} was never signed up")


async def test_the_keyboard_alone_is_enough_to_subscribe(site: Site, browse: Browse) -> None:
    async with browse(site.services) as page:
        await page.goto("/")
        for _ in range(30):
            await page.keyboard.press("Tab")
            focused = await page.evaluate("document.activeElement.id || document.activeElement.name")
            assert focused != "website"  # the field for robots
            if focused == "email":
                break
        await page.keyboard.type("bob@example.org")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/subscribe")
        assert (await signed_up(site, "bob@example.org")).state is ConsentState.PENDING


async def press_by_keyboard(page: Any, name: str) -> None:
    """Tab until the button or link of that name has the focus, which must be seen, then Enter."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        focused = await page.evaluate("[document.activeElement.innerText, getComputedStyle(document.activeElement).outlineStyle]")
        if focused[0] == name:
            assert focused[1] != "none"
            async with page.expect_navigation():
                await page.keyboard.press("Enter")
            return
    raise AssertionError(f"{name} cannot be reached by the keyboard")


async def test_the_keyboard_alone_is_enough_to_vote_pause_and_leave(site: Site, browse: Browse) -> None:
    async with browse(site.services) as page:
        await page.goto(site.links.votes[2][0])
        await press_by_keyboard(page, "More like this")
        assert await site.votes() == {"Drafts on the Cheap": 1}
        await page.goto(HOME + site.owner())
        await press_by_keyboard(page, "Take back")
        assert await site.votes() == {}
        await page.goto(site.links.preferences)
        await press_by_keyboard(page, "Pause")
        assert (await site.now()).state is ConsentState.PAUSED
        await press_by_keyboard(page, "Unsubscribe")
        await press_by_keyboard(page, "Unsubscribe")
        assert (await site.now()).state is ConsentState.UNSUBSCRIBED


async def test_no_page_is_a_barrier_or_wider_than_a_phone_in_either_palette(site: Site, browse: Browse) -> None:
    await site.client.post(site.path(site.links.votes[1][0]))
    await site.actions.sign_up("bob@example.org", {"interests": ["lips"]}, way="page")
    await site.actions.ask_to_move(site.ada, "new@example.org")
    asked = [site.path(mail.values["confirm_url"]) for mail in await site.outbox(MailKind.CONFIRMATION)]
    paths = ["/", "/?q=tokens", "/privacy", "/nothing", f"{site.owner()}?why=Drafts+on+the+Cheap", *asked]
    paths += [site.path(url) for url in (site.links.one_click, site.links.preferences, site.links.archive, site.links.votes[1][2])]
    barriers: list[tuple[str, str, str]] = []
    for scheme in ("light", "dark"):
        async with browse(site.services, viewport={"width": 375, "height": 740}, color_scheme=scheme, bypass_csp=True) as page:

            async def look(path: str, page: Any = page, scheme: str = scheme) -> None:
                found = await axe.Axe().run(page)
                barriers.extend((scheme, path, each["id"]) for each in found.response["violations"])
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    barriers.append((scheme, path, "too wide"))

            for path in paths:
                await page.goto(path)
                await look(path)
            for channels in ("email", "feed"):
                await page.goto("/?q=drafts")
                await page.get_by_text("Examples, days, time, how many").click()
                await page.get_by_label("How it comes").select_option(channels)
                await look("the whole form")
                await page.get_by_label("Your mail address").fill(f"{scheme}@example.org")
                await page.get_by_role("button", name="Subscribe").click()
                await look(f"/subscribe {channels}")
    assert barriers == []


async def test_nothing_on_a_page_breaks_its_own_policy_or_asks_another_host(site: Site, browse: Browse) -> None:
    async with browse(site.services) as page:
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        for url in (HOME, site.links.one_click, site.links.preferences, site.links.archive, site.links.votes[1][0]):
            await page.goto(url)
        assert said == []
        assert [url for url in asked if not url.startswith((HOME, "data:"))] == []
