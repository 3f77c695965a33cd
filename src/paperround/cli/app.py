"""The program `paperround`: its groups, its global options, and what an error becomes on the way out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from paperround.cli import demo, doctor, operation, profiles, reading, report, sources, steps, subscribers, templates, worker
from paperround.cli.output import warn
from paperround.cli.session import CommandFailedError
from paperround.errors import ConfigError, PaperroundError

app = typer.Typer(
    name="paperround",
    help="Every subscriber's own paper, delivered on schedule.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, sources, subscribers, profiles, steps, reading, operation, report, doctor, templates, worker):
    module.register(app)


def version(show: bool) -> None:
    if show:
        from importlib.metadata import version as installed

        typer.echo(f"paperround {installed('paperround')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", envvar="PAPERROUND_CONFIG", help="The configuration; default ./paperround.toml."),
    ] = None,
    _version: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Every subscriber's own paper, delivered on schedule."""
    context.obj = {"config": config, "settings": None}


def run() -> None:
    """Exit status 0: the step ran; 1: it could not, or a thing named failed; 2: wrong usage or configuration."""
    try:
        app()
    except ConfigError as error:
        warn(f"paperround: {error}")
        sys.exit(2)
    except (PaperroundError, CommandFailedError) as error:
        if str(error):
            warn(f"paperround: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        warn("paperround: stopped; what was done is kept, run the same command again to go on")
        sys.exit(130)
