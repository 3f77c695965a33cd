"""The report: its numbers by hand, and the page itself in a real browser, light and dark, on a phone and on a desk."""

import importlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from paperround.bundled_files import bundled
from paperround.digests.template_loader import TemplateLoader
from paperround.models import DigestId, SubscriberId, WorkId
from paperround.operation.plots import Plot, scale
from paperround.operation.report import Report, report
from paperround.records import Figures, Judged, Run

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
SINCE, DAY = datetime(2026, 8, 22, tzinfo=UTC), timedelta(days=1)
EMPTY = Figures(states=(), shown=(), sources=(), mails=(), suppressed=())


def judged(number: int, strength: float, value: int) -> Judged:
    return Judged(
        subscriber_id=SubscriberId(1),
        digest_id=DigestId(1),
        cutoff=NOW,
        work_id=WorkId(number),
        score=1.0,
        strength=strength,
        value=value,
    )


def full() -> Report:
    """A lab's quarter: readers come and go, the stronger an item the likelier a vote, one week has a bad relay."""
    chance, states = Random(4), []
    for reader in range(420):
        came = SINCE - 30 * DAY + chance.random() ** 0.7 * 120 * DAY
        states.append((reader, came, "active"))
        if chance.random() < 0.18:
            states.append((reader, came + chance.random() * 60 * DAY, "unsubscribed"))
    states = sorted((each for each in states if each[1] < NOW), key=lambda each: each[1])
    shown = tuple(
        (place, tenth, count, round(count * tenth / 30 * (1.3 - place / 12)), round(count * (10 - tenth) / 160))
        for place in range(1, 9)
        for tenth in range(3, 10)
        if (count := chance.randint(40, 900) // place)
    )
    names = (
        "arXiv cs.CL",
        "arXiv cs.CV",
        "Daily Papers",
        "A blog with quite a long name indeed",
        "bioRxiv",
        "JMLR",
        "Distill",
        "ACL Anthology",
    )
    sources = tuple((name, 4000 >> rank, 900 >> rank, 120 >> rank) for rank, name in enumerate((*names, *(f"feed {n}" for n in range(9)))))
    days = [SINCE.date() + number * DAY for number in range(91)]
    mails = [(day, "sent", 260 + 2 * number) for number, day in enumerate(days) if day.weekday() < 5]
    mails += [(day, "failed", 40) for day in days[40:44]] + [(days[-1], "deferred", 12), (days[-1], "in-doubt", 3)]
    lost = [(day, chance.choice(["bounced", "complained"]), 1) for day in days[::9]]
    votes = [judged(number, strength := chance.random(), 1 if chance.random() < strength * 0.9 else 0) for number in range(800)]
    took = {"collect": 8.0, "embed": 40.0, "compose": 0.9, "deliver": 12.0}
    runs = [
        Run(step=step, at=SINCE, seconds=usual * chance.lognormvariate(0, 0.7), count=50, fault="no" if chance.random() < 0.02 else None)
        for step, usual in took.items()
        for _ in range(200)
    ]
    figures = Figures(states=tuple(states), shown=shown, sources=sources, mails=tuple(mails), suppressed=tuple(lost))
    return report(figures, votes, runs, since=SINCE, now=NOW)


def made(figures: Figures = EMPTY, votes: list[Judged] | None = None, runs: list[Run] | None = None) -> dict[str, Plot]:
    found = report(figures, votes or [], runs or [], since=SINCE, now=NOW)
    return {plot.title: plot for plot in found.plots}


def page(made: Report, **values: str) -> str:
    templates = TemplateLoader([bundled("templates")]).load()
    given = {"name": "The <Paperround>", "since": "21 August", "until": "20 November", "colour": "#9a3412", "colour_dark": "#f4a261"}
    return templates.get("web/report.html.j2").render(report=made, **given | values)


# ---------------------------------------------------------------- the numbers


def test_an_empty_installation_has_a_whole_report() -> None:
    found = report(EMPTY, [], [], since=SINCE, now=NOW)
    assert found.line == "0 readers, 0 issues by mail and 0 sources in 91 days."
    assert [plot.rows for plot in found.plots if plot.rows] == []
    assert page(found).count("Nothing to draw yet") == len(found.plots)


def test_readers_are_those_active_at_the_end_of_the_day() -> None:
    week = NOW - 7 * DAY
    states = (
        (1, SINCE - DAY, "pending"),
        (1, SINCE - DAY, "active"),
        (2, week, "active"),
        (2, week + DAY, "paused"),
        (2, NOW, "active"),
        (3, NOW, "active"),
    )
    rows = made(Figures(**{**dict.fromkeys(Figures.__slots__, ()), "states": states}))["Readers"].rows
    assert [row[1:] for row in rows[-2:]] == [("2", "1", "0"), ("3", "2", "1")]
    assert rows[0][1:] == ("1", "0", "0"), "who was there before the time is no newcomer"


def test_votes_are_told_by_place_and_by_strength() -> None:
    shown = ((1, 9, 100, 20, 5), (1, 5, 100, 10, 5), (2, 5, 50, 0, 0))
    plots = made(Figures(states=(), shown=shown, sources=(), mails=(), suppressed=()))
    assert plots["Votes by place"].rows == [("1", "200", "30", "10", "20 %"), ("2", "50", "0", "0", "0 %")]
    assert plots["Votes by strength"].rows == [("50–60", "150", "10", "5", "10 %"), ("90–100", "100", "20", "5", "25 %")]


def test_a_calibration_is_drawn_from_ten_bins_of_equal_count_and_not_from_a_handful() -> None:
    votes = [judged(number, (number + 0.5) / 100, 1 if number % 2 else 0) for number in range(100)]
    plot = made(votes=votes)["What a strength is worth"]
    assert plot.rows[0] == ("5 %", "50 %", "10")
    assert len(plot.rows) == 10
    few = made(votes=votes[:9])["What a strength is worth"]
    assert (few.svg, few.rows, "So far 9 items" in few.said) == ("", (), True)


def test_deliveries_and_bounces_are_counted_by_week() -> None:
    day = date(2026, 11, 20)
    figures = Figures(states=(), shown=(), sources=(), mails=((day, "failed", 2), (day, "sent", 9)), suppressed=((day, "bounced", 1),))
    plots = made(figures)
    assert plots["Deliveries"].head == ("Week to", "sent", "failed")
    assert plots["Deliveries"].rows[-1] == ("20 Nov", "9", "2")
    assert sum(int(row[1]) for row in plots["Deliveries"].rows) == 9
    assert plots["Bounces and complaints"].rows[-1] == ("20 Nov", "1")


def test_steps_are_told_with_their_slowest_and_their_stops() -> None:
    runs = [Run(step="compose", at=NOW, seconds=seconds, count=10, fault=None) for seconds in (1.0, 2.0, 3.0)]
    runs.append(Run(step="embed", at=NOW, seconds=0.25, count=0, fault="no"))
    rows = made(runs=runs)["How long the steps take"].rows
    assert rows[0] == ("embed (texts embedded)", "1", "250 ms", "250 ms", "0", "–", "1")
    assert rows[1][:3] == ("compose (issues due)", "3", "2.0 s")
    assert rows[1][4:] == ("30", "200.0 ms", "0")


@pytest.mark.parametrize(("highest", "top"), [(0, 4), (3, 4), (5, 8), (99, 120), (100, 120), (412, 800), (4100, 8000)])
def test_a_scale_is_round_and_high_enough(highest: int, top: int) -> None:
    found, labels = scale(highest)
    assert highest <= found <= max(4, 2 * highest)
    assert labels[-1] == "0"
    assert len(set(labels)) == 5


def test_the_page_needs_nothing_else_and_escapes_what_it_names() -> None:
    text = page(full())
    assert "The &lt;Paperround&gt;" in text
    assert not any(mark in text for mark in ("http://", "https://", "<script", "url(", "@import", "src="))
    assert "Opens and clicks are not tracked" in text


# ---------------------------------------------------------------- the page

axe = importlib.import_module("axe_playwright_python.async_playwright")


@pytest.mark.browser
@pytest.mark.parametrize("build", [full, lambda: report(EMPTY, [], [], since=SINCE, now=NOW)], ids=["full", "empty"])
async def test_the_page_is_no_barrier_and_no_wider_than_a_phone(tmp_path: Path, chromium: str, build: Callable[[], Report]) -> None:
    (tmp_path / "report.html").write_text(page(build()), encoding="utf-8")
    async with importlib.import_module("playwright.async_api").async_playwright() as running:
        browser = await running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            for width in (375, 1280):
                view = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                await view.goto((tmp_path / "report.html").as_uri())
                await view.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
                found = await axe.Axe().run(view)
                assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found.response["violations"]] == []
                assert await view.evaluate("document.documentElement.scrollWidth <= innerWidth")
                await view.close()
        await browser.close()
