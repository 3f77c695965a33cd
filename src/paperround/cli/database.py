"""`paperround db`: bring the database up to date, look at it, back it up, bring it back, move it elsewhere."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import patience, print_json, progress, say, table, warn
from paperround.cli.session import DryRun, JsonFlag, fail_with, settings, with_parts

if TYPE_CHECKING:
    from paperround.wiring import Parts

database = typer.Typer(help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(database, name="db")


@database.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the database to this version's schema.

    \b
    Example:
      paperround db upgrade
    """
    faults = with_parts(context, lambda parts: parts.storage.check(), upgrade=True)
    say(f"{settings(context).shown_database} is up to date")
    for fault in faults:
        warn(fault)


@database.command("check")
def check(context: typer.Context, json_: JsonFlag = False) -> None:
    """Look for damage, and tell how large the tables are.

    \b
    Example:
      paperround db check --json
    """

    async def work(parts: "Parts") -> tuple[list[str], list[Any]]:
        return await parts.storage.check(), await parts.storage.sizes()

    with patience("checking"):
        faults, sizes = with_parts(context, work)
    if json_:
        print_json({"faults": faults, "sizes": sizes})
    else:
        table(["table", "rows", "bytes"], ([each.name or "the whole", each.rows, each.bytes] for each in sizes if each.rows or each.bytes))
        say("the database is sound" if not faults else f"{len(faults)} faults")
    fail_with(faults)


@database.command("backup")
def backup(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A new file; default: one named by the time, here.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Write one moment of the database into a file, while the program goes on.

    \b
    The file is complete or not there at all. Keep the key file beside it:
    without it the links in mails that were sent are worth nothing.
    Example:
      paperround db backup /var/backups/paperround-monday.db
    """
    from paperround.wiring import back_up, backup_suffix

    address = settings(context).database
    place = file or Path(f"paperround-{datetime.now(UTC):%Y%m%d-%H%M%S}{backup_suffix(address)}")
    with patience("backing up"):
        back_up(address, place)
    told = {"file": str(place), "bytes": place.stat().st_size}
    print_json(told) if json_ else say(f"wrote {place}, {told['bytes']:,} bytes")


@database.command("restore")
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the data that is there. SQLite keeps the old file beside it.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Bring a backup back into the configured database, which must be new.

    \b
    Example:
      paperround db restore /var/backups/paperround-monday.db
    """
    from paperround.wiring import restore as bring_back

    with patience("restoring"):
        replaced = bring_back(settings(context).database, file, force=force)
    if json_:
        print_json({"database": settings(context).shown_database, "replaced": replaced})
        return
    say(f"{settings(context).shown_database} holds what stood in {file}")
    if replaced:
        say(f"what it held before is kept in {replaced}")


@database.command("move")
def move(
    source: Annotated[str, typer.Argument(metavar="FROM", help="sqlite:///PATH or postgresql+psycopg://…")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same; an empty database.")],
    json_: JsonFlag = False,
) -> None:
    """Copy everything into another database, and compare every row.

    \b
    Stop the program first. After an interruption the same command goes on.
    The source is left as it is; set `database` to the new address afterwards.
    Example:
      paperround db move sqlite:///paperround.db postgresql+psycopg://localhost/paperround
    """
    from paperround.wiring import move_database

    for address in (source, target):
        if not address.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise typer.BadParameter("an address begins with sqlite:/// or postgresql+psycopg://")
    with progress("copying and comparing") as bar:
        counts = asyncio.run(move_database(source, target, bar))
    if json_:
        print_json({"tables": counts})
    else:
        say(f"moved {sum(counts.values()):,} rows of {len(counts)} tables, and each is the same there")
        say("Next: set `database` in paperround.toml to the new address")


@database.command("prune")
def prune(context: typer.Context, dry_run: DryRun = False, json_: JsonFlag = False) -> None:
    """Remove what [retention] no longer keeps, in small steps.

    \b
    `run` and `serve` do so by themselves.
    Example:
      paperround db prune --dry-run
    """

    async def work(parts: "Parts") -> dict[str, int]:
        return await (parts.steps.to_prune() if dry_run else parts.steps.prune())

    removed = with_parts(context, work)
    if json_:
        print_json(removed)
        return
    for name, count in removed.items():
        say(f"{'would remove' if dry_run else 'removed'} {count} {name}")
