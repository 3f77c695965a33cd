"""The program `paperround`: its groups, its global options, and what an error becomes on the way out."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from paperround.cli import database, demo, doctor, operation, profiles, reading, report, sources, steps, subscribers, templates, worker
from paperround.cli.output import warn
from paperround.cli.session import GO_ON, CommandFailedError
from paperround.errors import ConfigError, PaperroundError

app = typer.Typer(
    name="paperround",
    help="Every subscriber's own paper, delivered on schedule.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help as plain text: fits any pager, width and screen reader
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, sources, subscribers, profiles, steps, reading, operation, database, report, doctor, templates, worker):
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


UsageError: Any = typer.BadParameter.__mro__[1]  # typer exports its subclass only


def run() -> None:
    """Exit status 0: the step ran; 1: it could not, or a thing named failed; 2: wrong usage or configuration; 130: Ctrl-C."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        status = app(standalone_mode=False, prog_name="paperround")
        sys.stdout.flush()
    except UsageError as error:
        status = wrong_usage(error)
    except ConfigError as error:
        status = said(2, error)
    except (PaperroundError, CommandFailedError) as error:
        status = said(1, error)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    if status == 130:
        warn(f"\npaperround: {GO_ON}")
    sys.exit(status)


def said(status: int, error: Exception) -> int:
    if str(error):
        warn(f"paperround: {error}")
    return status


def wrong_usage(error: Any) -> int:
    """One line; the help where a group was called without a command."""
    where = error.ctx.command_path if error.ctx else "paperround"
    text = error.format_message()
    warn(text if "\n" in text else f"{where}: {text[:1].lower()}{text[1:].rstrip('.')} (see {where} --help)")
    return 2
