"""The mails in a real browser: they fit every width, and nothing in them is a barrier, in either palette."""

import importlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from paperround.digests.mail_content import render_issue, render_short
from paperround.digests.template_loader import Templates
from paperround.models import ItemRole, Reason, ReasonKind

playwright = importlib.import_module("playwright.sync_api")
axe = importlib.import_module("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with playwright.sync_playwright() as running:
        path = found or running.chromium.executable_path
        if not Path(path).exists():
            if "browser" in os.environ.get("PAPERROUND_TEST_REQUIRE", "").split(","):
                pytest.fail("a browser is required here and absent")
            pytest.skip("no Chromium: install it by apt, or with `playwright install chromium`")
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        instance = running.chromium.launch(executable_path=path, args=flags)
        yield instance
        instance.close()


@pytest.fixture(scope="module")
def mails(samples: ModuleType, templates: Templates) -> dict[str, str]:
    hostile = [
        replace(
            item, work=replace(item.work, title=title, authors=("N" * 200,) * 9), reason=Reason(kind=ReasonKind.INTEREST, text="W" * 300)
        )
        for item, title in zip(
            samples.items()[:4], ("<script>" + "x" * 2000, "قراءة الشفاه بأربع لغات", "超长" * 300, "🎉" * 90), strict=True
        )
    ]
    below = [item for item in samples.items() if item.role is ItemRole.BELOW]
    trending = [replace(item, reason=Reason(kind=ReasonKind.TRENDING)) for item in samples.items()[:5]]
    digests = {
        "daily": samples.digest(notes=("A source was stale until noon.",)),
        "hostile": samples.digest(hostile),
        "empty": samples.digest(below),
        "trending": samples.digest(trending, kind="trending"),
    }
    issues = {
        name: render_issue(
            templates, each, samples.subscriber(), samples.identity(), samples.links(), now=samples.NOW, strength_word=samples.strength_word
        ).html
        for name, each in digests.items()
    }
    values = {
        "confirm_url": "https://paperround.example/c/x",
        "confirm_reply": True,
        "titles": ["A title"],
        "consent_text": "We keep this.",
    }
    return {**issues, "confirmation": render_short(templates, "confirmation", values, samples.identity(), "en").html}


@pytest.mark.parametrize("palette", ["light", "dark"])
@pytest.mark.parametrize("name", ["daily", "hostile", "empty", "trending", "confirmation"])
def test_a_mail_fits_every_width_and_has_no_barrier(browser: playwright.Browser, mails: dict[str, str], name: str, palette: str) -> None:
    context = browser.new_context(color_scheme=palette, viewport={"width": 640, "height": 800})
    page = context.new_page()
    page.route("**/*", lambda route: route.abort())  # a mail needs nothing from the network
    page.set_content(mails[name])
    violations = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    for width in (320, 375, 1200):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.querySelector('.paper')).backgroundColor")
    assert background == {"light": "rgb(251, 249, 244)", "dark": "rgb(23, 21, 18)"}[palette]
    context.close()
