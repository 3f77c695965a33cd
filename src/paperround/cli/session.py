"""What every command shares: the configuration named on the command line, the open parts, exit statuses."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from paperround.cli.output import warn

if TYPE_CHECKING:
    from paperround.config import Settings
    from paperround.wiring import Parts

Result = TypeVar("Result")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change and send nothing.")]
NowOption = Annotated[
    str | None, typer.Option("--now", metavar="TIME", help="The time of the step, ISO 8601 (2026-11-20T07:30:00Z); default: now.")
]


class CommandFailedError(Exception):
    """A step could not run, or a thing named on the command line failed: exit status 1."""


def fail_with(failures: Sequence[str]) -> None:
    """What failed, a line each on stderr, and the exit status that says so; nothing where all went well."""
    for line in failures:
        warn(line)
    if failures:
        raise CommandFailedError


def settings(context: typer.Context) -> "Settings":
    """The configuration of this call; read once."""
    from paperround.config import load_settings

    state = context.find_root().obj
    if state.get("settings") is None:
        state["settings"] = load_settings(state["config"], os.environ)
    loaded: Settings = state["settings"]
    return loaded


def with_parts(
    context: typer.Context, work: "Callable[[Parts], Awaitable[Result]]", *, now: str | None = None, upgrade: bool = False
) -> Result:
    """Open the real parts, do the work, close them, whatever happens."""
    from paperround.wiring import open_parts

    loaded, moment = settings(context), parse_time(now)

    async def body() -> Result:
        task = asyncio.current_task()
        if task:  # as Ctrl-C does: what is under way ends, what is open is closed
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with open_parts(loaded, now=moment, upgrade=upgrade) as parts:
            return await work(parts)

    try:
        return asyncio.run(body())
    except asyncio.CancelledError:
        raise CommandFailedError("stopped by a signal") from None


def parse_time(text: str | None) -> datetime | None:
    """An ISO 8601 time as an aware one; without zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no ISO 8601 time such as 2026-11-20T07:30:00Z", param_hint="--now") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
