"""One issue as a page: what its mail says, for reading, printing and citing."""

import importlib
import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from paperround.digests import mail_content
from paperround.matching.scoring import strength_word
from paperround.models import ReaderLinks
from paperround.subscribers import signed_links

Site = Any


@pytest.fixture
def archive(site: Site) -> str:
    path: str = site.path(site.links.archive)
    return path


async def everything(site: Site) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    async with site.storage.db.reading() as connection:
        names = (await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))).scalars().all()
        return {name: [tuple(row) for row in await connection.execute(text(f'SELECT * FROM "{name}"'))] for name in names}


async def test_the_page_says_what_the_mail_says_and_the_mail_leads_to_it(site: Site, archive: str) -> None:
    given = (site.services.templates, site.digest, site.ada, site.services.identity, site.links)
    mail = mail_content.render_issue(*given, now=site.clock.now(), strength_word=strength_word)
    page = (await site.client.get(archive)).text
    assert site.links.archive in mail.html
    assert site.links.archive in mail.text
    view = mail_content.view(site.digest, site.ada, site.links, strength_word=strength_word)
    links = [item.url for item in (*view.items, view.outside, *view.below) if item]
    for html in (page, mail.html):
        places = [html.index(f'href="{url}"') for url in links]
        assert places == sorted(places)
        assert view.line in html
        assert all(url in html for votes in site.links.votes.values() for url in votes)
    assert page.count("<h1") == 1


async def test_the_page_speaks_the_readers_language(site: Site, archive: str) -> None:
    await site.actions.change_profile(site.ada, {"language": "de"}, way="reader")
    page = (await site.client.get(archive)).text
    assert '<html lang="de" dir="ltr">' in page
    assert "Freitag, 20. November 2026" in page
    for english in ("because", "More like", "Unsubscribe", "Cite this", "What is kept", "Just below", "Skip to"):
        assert english not in page


async def test_looking_changes_nothing(site: Site, archive: str) -> None:
    before = await everything(site)
    assert sum(map(len, before.values())) > 10
    for path in (archive, f"{archive}/issue.bib", f"{archive}/1.ris"):
        for method in ("GET", "HEAD", "OPTIONS"):
            await site.client.request(method, path)
    assert (await site.client.post(archive)).status_code == 405
    assert await everything(site) == before


async def test_each_item_and_the_issue_are_cited_as_the_page_offers(site: Site, archive: str) -> None:
    page = (await site.client.get(archive)).text
    offered = re.findall(rf'href="http://paper\.example({re.escape(archive)}/[^"]+)"', page)
    names = ("1.bib", "1.ris", "2.bib", "2.ris", "3.bib", "3.ris", "issue.bib", "issue.ris")
    assert offered == [f"{archive}/{name}" for name in names]
    for path in offered:
        answer = await site.client.get(path)
        name = path.rpartition("/")[2]
        kind = {"bib": "application/x-bibtex; charset=utf-8", "ris": "application/x-research-info-systems; charset=utf-8"}
        assert answer.headers["content-type"] == kind[name.rpartition(".")[2]]
        assert answer.headers["content-disposition"].startswith('attachment; filename="2026-11-20')
        titles = re.findall(r"title = \{\{(.*)\}\}|TI  - (.*)\r\n", answer.text)
        assert len(titles) == (3 if name.startswith("issue") else 1)


async def test_what_is_not_in_the_issue_is_not_cited(site: Site, archive: str) -> None:
    for path in ("0.bib", "4.bib", "9.bib", "01.bib", "issue.pdf", "issue.html", "x.bib"):
        assert (await site.client.get(f"{archive}/{path}")).status_code == 404
    forged = archive[:-4] + "AAAA"
    assert (await site.client.get(f"{forged}/issue.bib")).status_code == (await site.client.get(forged)).status_code == 404


async def test_the_page_has_its_own_token_which_opens_nothing_else_and_can_be_replaced(site: Site, archive: str) -> None:
    token = archive.rpartition("/")[2]
    for room in ("p", "o", "u", "c"):
        assert (await site.client.get(f"/{room}/{token}")).status_code == 404
    for ending in (".rss", "/liked.bib"):
        assert (await site.client.get(f"/f/{token}{ending}")).status_code == 404
    answer = await site.client.get(archive)
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    await site.storage.raise_epochs(site.ada.id, link=True)
    for path in (archive, f"{archive}/issue.bib"):
        assert (await site.client.get(path)).status_code == 410


async def test_somebody_elses_issue_stays_closed(site: Site) -> None:
    bob = await site.actions.add("bob@example.org", {}, active=True)
    links: ReaderLinks = signed_links.reader_links(site.actions.keys, "http://paper.example", bob, site.digest)
    assert (await site.client.get(site.path(links.archive))).status_code == 404
    unknown = signed_links.reader_links(site.actions.keys, "http://paper.example", bob, replace(site.digest, id=99))
    assert (await site.client.get(site.path(unknown.archive))).status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_in_a_browser_it_bars_nobody_and_prints_in_black_on_white(site: Site, archive: str, browse: Any, scheme: str) -> None:
    axe = importlib.import_module("axe_playwright_python.async_playwright")
    async with browse(site.services, viewport={"width": 375, "height": 740}, color_scheme=scheme, bypass_csp=True) as page:
        await page.goto(archive)
        for width, media in ((375, "screen"), (1100, "screen"), (680, "print")):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(media=media, color_scheme=scheme)
            found = await axe.Axe().run(page)
            assert [each["id"] for each in found.response["violations"]] == []
            assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        assert await page.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
        assert not await page.locator(".ways").first.is_visible()
        shown = await page.evaluate("getComputedStyle(document.querySelector('article h2 a'), '::after').content")
        assert shown == '"https://example.org/0"'
