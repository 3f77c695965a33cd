"""`paperround report`: the last months of an installation as one page that needs nothing else."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paperround.cli.output import print_json, say
from paperround.cli.session import CommandFailedError, JsonFlag, NowOption, with_parts

if TYPE_CHECKING:
    from paperround.operation.report import Report
    from paperround.wiring import Parts


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="Where to write the page.")],
    days: Annotated[int, typer.Option("--days", min=7, max=400, help="How far to look back.")] = 91,
    now: NowOption = None,
    json_: JsonFlag = False,
) -> None:
    """Write the last months as one HTML file of plots and tables.

    \b
    Readers, votes, calibration, sources, deliveries, bounces and times.
    Example:
      paperround report --out report.html --days 30
    """

    async def work(parts: "Parts") -> "tuple[Report, str]":
        from paperround.operation.report import report as made

        moment, storage = parts.clock.now(), parts.storage
        since = moment.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
        figures, judged, runs = await storage.figures(since), await storage.judged(since=since), await storage.runs(since)
        found, identity = made(figures, judged, runs, since=since, now=moment), parts.settings.identity
        dates = {"since": f"{found.since:%-d %B %Y}", "until": f"{found.until:%-d %B %Y}"}
        colours = {"colour": identity.colour, "colour_dark": identity.colour_dark}
        page = parts.messages.templates.get("web/report.html.j2").render(report=found, name=identity.name, **dates, **colours)
        return found, page

    found, page = with_parts(context, work, now=now)
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandFailedError(f"{out}: {error.strerror}") from None
    if json_:
        tables = {plot.title: [dict(zip(plot.head, row, strict=True)) for row in plot.rows] for plot in found.plots}
        print_json({"out": out, "since": found.since, "until": found.until, "line": found.line, "tables": tables})
    else:
        say(f"{found.line}\nwrote {out}")
