"""A reader's whole way in a real browser, with and without JavaScript, on a desk and on a phone; and no page a barrier."""

import asyncio
import contextlib
import importlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from paperround.errors import NotFoundError
from paperround.models import ConsentState, MailKind
from paperround.web.app import create_app

playwright = importlib.import_module("playwright.async_api")
axe = importlib.import_module("axe_playwright_python.async_playwright")

pytestmark = pytest.mark.browser
Site = Any
HOME = "http://paper.example"
SIZES = {"desk": (1100, 800), "phone": (375, 740)}


def chromium(running: Any) -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or str(running.chromium.executable_path)
    if not Path(found).exists():
        if "browser" in os.environ.get("PAPERROUND_TEST_REQUIRE", "").split(","):
            pytest.fail("a browser is required here and absent")
        pytest.skip("no Chromium: install it by apt, or with `playwright install chromium`")
    return found


@asynccontextmanager
async def opened(site: Site, **context: Any) -> AsyncIterator[Any]:
    """A page of a browser for which paper.example is the app, served over a socket."""
    async with playwright.async_playwright() as running:
        path = chromium(running)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(create_app(site.services), lifespan="off", log_config=None, access_log=False))
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            port = listening.getsockname()[1]
            flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            flags.append(f"--host-resolver-rules=MAP paper.example:80 127.0.0.1:{port}")
            browser = await running.chromium.launch(executable_path=path, args=flags)
            try:
                yield await (await browser.new_context(base_url=HOME, **context)).new_page()
            finally:
                await browser.close()
                server.should_exit = True
                await serving


async def signed_up(site: Site, email: str, *, mailed: bool = False) -> Any:
    """The subscriber, once the work behind the answer is done: the page answers before any lookup happens."""
    for _ in range(200):
        with contextlib.suppress(NotFoundError):
            found = await site.storage.find_subscriber(email)
            if not mailed or await site.outbox(MailKind.CONFIRMATION):
                return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{email} was never signed up")


@pytest.mark.parametrize(("size", "scripts"), [("desk", True), ("phone", False)])
async def test_from_a_search_to_the_way_out(site: Site, size: str, scripts: bool) -> None:
    width, height = SIZES[size]
    async with opened(site, java_script_enabled=scripts, viewport={"width": width, "height": height}) as page:
        await page.goto("/")
        await page.get_by_role("searchbox").fill("lip reading")
        await page.get_by_role("button", name="Search").click()
        assert await page.get_by_label("What would you like to read about?").last.input_value() == "lip reading"
        await page.get_by_label("Your mail address").fill("bob@example.org")
        await page.get_by_role("button", name="Subscribe").click()
        assert await page.get_by_role("heading", level=1).inner_text() == "Look into your mail"
        await signed_up(site, "bob@example.org", mailed=True)
        (mail,) = await site.outbox(MailKind.CONFIRMATION)

        await page.goto(mail.values["confirm_url"])
        await page.get_by_role("button", name="Subscribe").click()
        bob = await site.storage.find_subscriber("bob@example.org")
        assert (bob.state, bob.profile.interests[0].text) == (ConsentState.ACTIVE, "lip reading")

        await page.goto(site.links.votes[2][0])
        await page.get_by_role("button", name="More like this").click()
        assert await site.votes() == {"Drafts on the Cheap": 1}

        await page.goto(site.links.preferences)
        await page.get_by_label("How often").select_option("weekly")
        await page.get_by_label("On which day").first.select_option("friday")
        await page.get_by_role("button", name="Save").click()
        assert "Saved" in await page.get_by_role("status").inner_text()
        assert (await site.now()).profile.schedule == "weekly friday 07:30"
        await page.get_by_role("button", name="Pause").click()
        assert (await site.now()).state is ConsentState.PAUSED

        await page.get_by_role("link", name="Unsubscribe").click()
        await page.get_by_role("button", name="Unsubscribe").click()
        assert (await site.now()).state is ConsentState.UNSUBSCRIBED


async def test_the_keyboard_alone_is_enough_to_subscribe(site: Site) -> None:
    async with opened(site) as page:
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


async def test_no_page_is_a_barrier_or_wider_than_a_phone_in_either_palette(site: Site) -> None:
    await site.client.post(site.path(site.links.votes[1][0]))
    paths = ["/", "/?q=tokens", "/privacy", "/nothing", site.owner()]
    paths += [site.path(url) for url in (site.links.one_click, site.links.preferences, site.links.archive, site.links.votes[1][2])]
    barriers = []
    for scheme in ("light", "dark"):
        async with opened(site, viewport={"width": 375, "height": 740}, color_scheme=scheme, bypass_csp=True) as page:
            for path in paths:
                await page.goto(path)
                found = await axe.Axe().run(page)
                barriers += [(scheme, path, each["id"]) for each in found.response["violations"]]
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    barriers.append((scheme, path, "too wide"))
    assert barriers == []


async def test_nothing_on_a_page_breaks_its_own_policy_or_asks_another_host(site: Site) -> None:
    async with opened(site) as page:
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        for url in (HOME, site.links.one_click, site.links.preferences, site.links.archive, site.links.votes[1][0]):
            await page.goto(url)
        assert said == []
        assert [url for url in asked if not url.startswith((HOME, "data:"))] == []
