"""`paperround init|status|db|config|suppressions|bounces`: running it for years."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import print_json, say, table, warn
from paperround.cli.session import CommandFailedError, DryRun, JsonFlag, fail_with, settings, with_parts

if TYPE_CHECKING:
    from paperround.wiring import Parts

database = typer.Typer(help="The database.", no_args_is_help=True)
suppressions = typer.Typer(help="Addresses that are never mailed, whatever their consent.", no_args_is_help=True)
configuration = typer.Typer(help="The configuration.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    for command in (init, status, bounces):
        app.command()(command)
    for name, group in (("db", database), ("suppressions", suppressions), ("config", configuration)):
        app.add_typer(group, name=name)


def init(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path()) -> None:
    """Write paperround.toml, a key, an example profile and the data directory; what is there is kept."""
    from paperround.bundled_files import bundled
    from paperround.config import example_config, write_new_key

    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("paperround.toml", lambda path: path.write_text(example_config(), encoding="utf-8")),
        ("paperround.key", write_new_key),
        ("subscribers/example.toml.sample", lambda path: path.write_bytes(bundled("subscribers/example.toml.sample").read_bytes())),
    ):
        path = folder / name
        if path.exists():
            say(f"kept {path}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        say(f"wrote {path}")
    say(f"Next: paperround --config {folder / 'paperround.toml'} sources add URL_OR_PATH")


def status(context: typer.Context, json_: JsonFlag = False) -> None:
    """What is there, what is due, what failed."""
    from paperround.pipeline.status import status as stand

    async def work(parts: "Parts") -> dict[str, Any]:
        found = await stand(parts.storage, parts.embedder.model, now=parts.clock.now())
        return {**found, **(await parts.queue.state() if parts.queue else {})}

    found = with_parts(context, work)
    if json_:
        print_json(found)
        return
    for key, value in found.items():
        if isinstance(value, dict):
            say(f"{key + ':':16}{', '.join(f'{count} {name}' for name, count in value.items()) or 'none'}")
        elif isinstance(value, list):
            for line in value:
                warn(f"{key}: {line}")
        else:
            say(f"{key + ':':16}{value if value is not None else '–'}")


def bounces(context: typer.Context, files: Annotated[list[Path], typer.Argument(metavar="FILE…")], json_: JsonFlag = False) -> None:
    """Read bounce, complaint and auto-reply mails from files and act on them."""
    done, failed = [], []

    async def work(parts: "Parts") -> None:
        for file in files:
            try:
                done.append({"file": str(file), "did": await parts.inbox.receive(file.read_bytes(), trusted=True)})
            except OSError as error:
                failed.append(f"{file}: {error.strerror}")

    with_parts(context, work)
    if json_:
        print_json(done)
    for each in [] if json_ else done:
        say(f"{each['file']}: {each['did']}")
    fail_with(failed)


# ---------------------------------------------------------------- db


@database.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the database to this version's schema."""
    faults = with_parts(context, lambda parts: parts.storage.check(), upgrade=True)
    say(f"{settings(context).shown_database} is up to date")
    for fault in faults:
        warn(fault)


@database.command("check")
def check(context: typer.Context, json_: JsonFlag = False) -> None:
    """Look for damage."""
    faults = with_parts(context, lambda parts: parts.storage.check())
    if json_:
        print_json({"faults": faults})
    else:
        say("the database is sound" if not faults else f"{len(faults)} faults")
    fail_with(faults)


# ---------------------------------------------------------------- suppressions, config


@suppressions.command("list")
def list_suppressions(context: typer.Context, json_: JsonFlag = False) -> None:
    """List suppressed addresses with reason and evidence."""
    rows = with_parts(context, lambda parts: parts.storage.suppressions())
    if json_:
        print_json(rows)
    else:
        table(["address", "reason", "since", "evidence"], ([row["address"], row["reason"], row["at"], row["evidence"]] for row in rows))


@suppressions.command("add")
def add_suppression(context: typer.Context, address: str, reason: Annotated[str, typer.Option()] = "admin") -> None:
    """Never mail an address again."""
    with_parts(context, lambda parts: parts.storage.suppress(address, reason=reason, evidence="command line", now=parts.clock.now()))
    say(f"suppressed {address}")


@suppressions.command("remove")
def remove_suppression(context: typer.Context, address: str, dry_run: DryRun = False) -> None:
    """Allow an address to be mailed again; its consent is another matter."""

    async def work(parts: "Parts") -> object:
        return await (parts.storage.suppression([address]) if dry_run else parts.storage.unsuppress(address))

    if not with_parts(context, work):
        raise CommandFailedError(f"{address} is not suppressed")
    say(f"{'would remove' if dry_run else 'removed'} the suppression of {address}")


@configuration.command("show")
def show_configuration(context: typer.Context, json_: JsonFlag = False) -> None:
    """Print what is in force and where each value comes from; secrets are hidden."""
    from paperround.config import provenance

    rows = provenance(settings(context))
    if json_:
        print_json({row.key: {"value": row.value, "from": row.source} for row in rows})
    else:
        table(["key", "value", "from"], ([row.key, row.value, row.source] for row in rows))
