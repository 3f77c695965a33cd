"""`paperround init|status|config|suppressions|bounces`: running it for years."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import facts, print_json, say, table, warn
from paperround.cli.session import CommandFailedError, DryRun, JsonFlag, fail_with, settings, with_parts

if TYPE_CHECKING:
    from paperround.wiring import Parts

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A mail address.")]
suppressions = typer.Typer(help="Addresses that are never mailed, whatever their consent.", no_args_is_help=True)
configuration = typer.Typer(help="The configuration.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    for command in (init, status, bounces):
        app.command()(command)
    for name, group in (("suppressions", suppressions), ("config", configuration)):
        app.add_typer(group, name=name)


def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; default: here.")] = Path(), json_: JsonFlag = False) -> None:
    """Write a configuration, a key and an example profile.

    \b
    What is there is kept.
    Example:
      paperround init my-list
    """
    from paperround.bundled_files import bundled
    from paperround.config import example_config, write_new_key

    done: dict[str, list[Path]] = {"wrote": [], "kept": []}
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("paperround.toml", lambda path: path.write_text(example_config(), encoding="utf-8")),
        ("paperround.key", write_new_key),
        ("subscribers/example.toml.sample", lambda path: path.write_bytes(bundled("subscribers/example.toml.sample").read_bytes())),
    ):
        path = folder / name
        there = path.exists()
        done["kept" if there else "wrote"].append(path)
        if not there:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
        if not json_:
            say(f"{'kept' if there else 'wrote'} {path}")
    if json_:
        print_json(done)
        return
    say(f"Next: {'' if folder == Path() else f'cd {folder} && '}paperround sources add URL_OR_PATH")


def status(context: typer.Context, json_: JsonFlag = False) -> None:
    """Tell what is there, what is due, what failed.

    \b
    Example:
      paperround status --json
    """
    from paperround.pipeline.status import status as stand

    async def work(parts: "Parts") -> dict[str, Any]:
        found = await stand(parts.storage, parts.embedder.model, now=parts.clock.now())
        return {**found, **(await parts.queue.state() if parts.queue else {})}

    found = with_parts(context, work)
    if json_:
        print_json(found)
        return
    facts({key: value for key, value in found.items() if key != "attention"})
    for line in found["attention"]:
        warn(f"attention: {line}")


def bounces(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Mails as they came.")],
    json_: JsonFlag = False,
) -> None:
    """Act on bounces and complaints that lie in files.

    \b
    Example:
      paperround bounces returned/*.eml
    """
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


# ---------------------------------------------------------------- suppressions, config


@suppressions.command("list")
def list_suppressions(context: typer.Context, json_: JsonFlag = False) -> None:
    """List suppressed addresses with reason and evidence.

    \b
    Example:
      paperround suppressions list --json
    """
    rows = with_parts(context, lambda parts: parts.storage.suppressions())
    if json_:
        print_json(rows)
    else:
        table(["address", "reason", "since", "evidence"], ([row["address"], row["reason"], row["at"], row["evidence"]] for row in rows))


@suppressions.command("add")
def add_suppression(
    context: typer.Context,
    address: Address,
    reason: Annotated[str, typer.Option(help="bounced, complained, admin, or what you will.")] = "admin",
) -> None:
    """Never mail an address again.

    \b
    Example:
      paperround suppressions add ada@example.org --reason complained
    """
    with_parts(context, lambda parts: parts.storage.suppress(address, reason=reason, evidence="command line", now=parts.clock.now()))
    say(f"suppressed {address}")


@suppressions.command("remove")
def remove_suppression(context: typer.Context, address: Address, dry_run: DryRun = False) -> None:
    """Allow an address to be mailed again.

    \b
    Its consent is another matter.
    Example:
      paperround suppressions remove ada@example.org
    """

    async def work(parts: "Parts") -> object:
        return await (parts.actions.suppressed(address) if dry_run else parts.actions.unsuppress(address))

    if not with_parts(context, work):
        raise CommandFailedError(f"{address} is not suppressed")
    say(f"{'would remove' if dry_run else 'removed'} the suppression of {address}")


@configuration.command("show")
def show_configuration(context: typer.Context, json_: JsonFlag = False) -> None:
    """Print what is in force, and where from.

    \b
    Secrets are hidden.
    Example:
      paperround config show --json
    """
    from paperround.config import provenance

    rows = provenance(settings(context))
    if json_:
        print_json({row.key: {"value": row.value, "from": row.source} for row in rows})
    else:
        table(["key", "value", "from"], ([row.key, row.value, row.source] for row in rows))
