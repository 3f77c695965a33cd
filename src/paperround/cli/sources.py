"""`paperround sources`: where entries come from."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import facts, print_json, say, table
from paperround.cli.rows import read_file, read_rows, write_csv
from paperround.cli.session import DryRun, JsonFlag, fail_with, find_source, with_parts

if TYPE_CHECKING:
    from paperround.models import Source, SourceKind
    from paperround.pipeline.source_actions import Health
    from paperround.wiring import Parts

group = typer.Typer(help="Where entries come from: feeds, digest pages, files and folders.", no_args_is_help=True)


NAME = "A source's name or address."
PLACES = (
    "A feed, a page that announces one, a digest page, a file, a folder of files; or a shortcut: arxiv:cs.CL, biorxiv:neuroscience, "
    "medrxiv:SUBJECT, hf:daily-papers[/week|/month], hf:search?q=WORDS."
)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="sources")


def shown(source: "Source", health: "Health | None" = None) -> dict[str, object]:
    keys = ("name", "kind", "location", "tags", "state", "last_success_at", "last_new_at", "next_poll_at", "failures", "error")
    told = {"weekly": health.weekly, "concern": health.concern} if health else {}
    return {key: getattr(source, key) for key in keys} | told


@group.command("add")
def add(
    context: typer.Context,
    places: Annotated[list[str], typer.Argument(metavar="URL_OR_PATH…", help=PLACES)],
    kind: Annotated[str | None, typer.Option(help="feed or daily-papers; found out by itself for files.")] = None,
    name: Annotated[str | None, typer.Option(help="How readers see it; default: what it calls itself.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="For profiles that take only some sources; may be repeated.")] = None,
    backlog: Annotated[
        str | None, typer.Option(metavar="all|N|none", help="How much of the first poll is new; default: files all, feeds none.")
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="DATE", help="The day a page without a year was seen.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Add sources.

    \b
    Example:
      paperround sources add arxiv:cs.CL --tag nlp
    """
    from paperround.errors import PaperroundError
    from paperround.pipeline.source_actions import NewSource, add_source

    added: list[Source] = []
    failed: list[str] = []
    given = NewSource(kind=source_kind(kind), name=name, tags=tuple(tag or ()), backlog=backlog, as_of=day_of(as_of, "--as-of"))

    async def work(parts: "Parts") -> None:
        for place in spread(places, failed):
            try:
                added.append(await add_source(parts.storage, parts.fetcher, place, given, now=parts.clock.now()))
            except (PaperroundError, ValueError) as error:
                failed.append(f"{place}: {error}" if place not in str(error) else str(error))

    with_parts(context, work)
    if json_:
        print_json({"added": [shown(source) for source in added], "failed": failed})
    else:
        for source in added:
            say(f"added {source.name} ({source.kind}) {source.location}")
    fail_with(failed)


def source_kind(text: str | None) -> "SourceKind | None":
    """Raises BadParameter."""
    from paperround.models import SourceKind

    if text is None or text in list(SourceKind):
        return SourceKind(text) if text else None
    raise typer.BadParameter(f"{text!r} is neither feed nor daily-papers", param_hint="--kind")


def day_of(text: str | None, option: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date such as 2026-11-20", param_hint=option) from None


def spread(places: list[str], failed: list[str]) -> list[str]:
    """Addresses and what shortcuts stand for, files as absolute paths, folders as their files; what is not there is named in `failed`."""
    from paperround.errors import FetchError
    from paperround.pipeline.source_actions import expanded
    from paperround.wiring import expand

    found = []
    for place in places:
        try:
            address = expanded(place)
            found += [address] if "://" in address else [str(path) for path in expand(Path(place).absolute())]
        except (FetchError, ValueError) as error:
            failed.append(str(error))
    return found


@group.command("list")
def list_(context: typer.Context, json_: JsonFlag = False) -> None:
    """List the sources with how each is doing.

    \b
    Example:
      paperround sources list --json
    """
    from paperround.pipeline.source_actions import healths

    async def work(parts: "Parts") -> "list[tuple[Source, Health]]":
        return await healths(parts.storage, parts.clock.now())

    found = with_parts(context, work)
    if json_:
        print_json([shown(source, health) for source, health in found])
        return
    table(
        ["name", "kind", "state", "last read", "next", "a week", "attention", "where"],
        ([s.name, s.kind, s.state, s.last_success_at, s.next_poll_at, rounded(h.weekly), h.concern, s.location] for s, h in found),
    )


def rounded(number: float | None) -> str | None:
    return None if number is None else f"{number:.2g}" if number < 10 else f"{number:.0f}"


@group.command("show")
def show(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help=NAME)], json_: JsonFlag = False) -> None:
    """Show one source.

    \b
    Example:
      paperround sources show "arXiv cs.CL"
    """
    from paperround.pipeline.source_actions import healths

    async def work(parts: "Parts") -> "tuple[Source, Health]":
        wanted = (await find_source(parts, name)).id
        return next(each for each in await healths(parts.storage, parts.clock.now()) if each[0].id == wanted)

    source = shown(*with_parts(context, work))
    print_json(source) if json_ else facts(source)


@group.command("remove")
def remove(
    context: typer.Context, names: Annotated[list[str], typer.Argument(metavar="NAME…", help=NAME)], dry_run: DryRun = False
) -> None:
    """Remove sources; what they brought stays.

    \b
    Example:
      paperround sources remove "arXiv cs.CL" --dry-run
    """
    from paperround.errors import NotFoundError

    done, failed = [], []

    async def work(parts: "Parts") -> None:
        for name in names:
            try:
                source = await find_source(parts, name)
            except NotFoundError as error:
                failed.append(str(error))
                continue
            if not dry_run:
                await parts.storage.remove_source(source.id)
            done.append(source.name)

    with_parts(context, work)
    for each in done:
        say(f"{'would remove' if dry_run else 'removed'} {each}")
    fail_with(failed)


@group.command("check")
def check(
    context: typer.Context, place: Annotated[str, typer.Argument(metavar="URL_OR_PATH", help=PLACES)], json_: JsonFlag = False
) -> None:
    """Tell what would be read from a place, without adding it.

    \b
    Example:
      paperround sources check https://example.org/blog
    """
    from paperround.errors import PaperroundError
    from paperround.pipeline.source_actions import known, look

    seen: list[dict[str, Any]] = []
    failed: list[str] = []

    async def work(parts: "Parts") -> None:
        for each in spread([place], failed):
            try:
                found = await look(parts.fetcher, each, kind=None, now=parts.clock.now())
            except PaperroundError as error:
                failed.append(str(error))
                continue
            there = await known(parts.storage, found.location, found.address)
            told = {name: getattr(found, name) for name in ("location", "kind", "title", "works", "weekly", "others")}
            titles = [entry.title for entry in found.entries]
            seen.append({**told, "entries": len(titles), "titles": titles[:5], "added_as": there.name if there else None})

    with_parts(context, work)
    if json_:
        print_json(seen)
    for told in [] if json_ else seen:
        weekly = f", about {told['weekly']:.2g} a week" if told["weekly"] else ""
        say(f"{told['location']}: {told['kind']}, {told['entries']} entries{weekly}, {told['works']} works, called {told['title']!r}")
        for line in (*told["titles"], *(f"it also announces {other}" for other in told["others"])):
            say(f"  {line}")
        if told["added_as"]:
            say(f"  it is a source already: {told['added_as']}")
    fail_with(failed)


@group.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="OPML; or CSV or JSON, as `sources export` writes them.")],
    json_: JsonFlag = False,
) -> None:
    """Add the sources of an OPML, CSV or JSON file.

    \b
    Example:
      paperround sources import feeds.opml
    """
    from paperround.pipeline.source_actions import import_opml, import_rows

    text = read_file(file)
    rows = read_rows(file, text)

    async def work(parts: "Parts") -> "tuple[list[Source], list[str]]":
        if rows is None:
            return await import_opml(parts.storage, parts.fetcher, text, now=parts.clock.now())
        return await import_rows(parts.storage, parts.fetcher, rows, now=parts.clock.now())

    added, failed = with_parts(context, work)
    if json_:
        print_json({"added": [shown(source) for source in added], "failed": failed})
    else:
        say(f"added {len(added)} sources from {file}")
    fail_with(failed)


@group.command("export")
def export(
    context: typer.Context, csv_: Annotated[bool, typer.Option("--csv", help="As CSV instead of OPML.")] = False, json_: JsonFlag = False
) -> None:
    """Print the feeds as OPML; all sources as CSV or JSON.

    \b
    Example:
      paperround sources export > feeds.opml
    """
    from paperround.pipeline.source_actions import write_opml

    async def work(parts: "Parts") -> "list[Source]":
        return await parts.storage.sources()

    found = with_parts(context, work)
    if json_:
        print_json([shown(source) for source in found])
    elif csv_:
        write_csv(["location", "name", "kind", "tags"], ([each.location, each.name, each.kind, each.tags] for each in found))
    else:
        typer.echo(write_opml(found), nl=False)
