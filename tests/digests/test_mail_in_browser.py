"""The mails in a real browser: they fit every width, and nothing in them is a barrier, in either palette."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from paperround.digests.mail_content import render_issue
from paperround.digests.template_loader import Templates
from paperround.models import Reason, ReasonKind

playwright = importlib.import_module("playwright.sync_api")
axe = importlib.import_module("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[object]:
    with playwright.sync_playwright() as running:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        instance = running.chromium.launch(executable_path=chromium, args=flags)
        yield instance
        instance.close()


@pytest.fixture(scope="module")
def mails(samples: ModuleType, renew: ModuleType, templates: Templates) -> dict[str, str]:
    """Every kind in English, and one of hostile words."""
    titles = ("<script>" + "x" * 2000, "قراءة الشفاه بأربع لغات", "超长" * 300, "🎉" * 90)
    hostile = [
        replace(
            item, work=replace(item.work, title=title, authors=("N" * 200,) * 9), reason=Reason(kind=ReasonKind.INTEREST, text="W" * 300)
        )
        for item, title in zip(samples.items()[:4], titles, strict=True)
    ]
    content = render_issue(
        templates,
        samples.digest(hostile),
        samples.subscriber(),
        samples.identity(logo_url="https://logo.example/logo.png"),
        samples.links(),
        now=samples.NOW,
        strength_word=samples.strength_word,
    )
    return {"hostile": content.html, **{name: each.html for name, each in renew.mails(templates, "en")}}


LEAST_CONTRAST = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const seen = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length || element.closest("[aria-hidden]")) continue;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
    seen.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return [seen.length, ...seen.sort((a, b) => a[0] - b[0])[0]];
}"""


@pytest.mark.parametrize("palette", ["light", "dark"])
@pytest.mark.parametrize("name", ["one", "three", "trending", "empty", "weekly", "hostile", "confirmation", "answer", "notice"])
def test_a_mail_fits_every_width_and_has_no_barrier(browser: playwright.Browser, mails: dict[str, str], name: str, palette: str) -> None:
    context = browser.new_context(color_scheme=palette, viewport={"width": 640, "height": 800})
    page = context.new_page()
    page.route("**/*", lambda route: route.abort())  # a mail needs nothing from the network
    page.set_content(mails[name])
    violations = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    texts, contrast, where = page.evaluate(LEAST_CONTRAST)
    print(f"{name}, {palette}: least contrast {contrast:.2f} of {texts} texts, at “{where}”")
    assert texts >= 5
    assert contrast >= 4.5, where
    for width in (320, 375, 1200):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.querySelector('.paper')).backgroundColor")
    assert background == {"light": "rgb(251, 249, 244)", "dark": "rgb(23, 21, 18)"}[palette]
    context.close()
