"""What every command shares: the configuration named on the command line, the open parts, exit statuses."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from paperround.cli.output import patience, warn
from paperround.errors import NotFoundError

if TYPE_CHECKING:
    from paperround.config import Settings
    from paperround.models import Source, Subscriber
    from paperround.wiring import Parts

Result = TypeVar("Result")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change and send nothing.")]
NowOption = Annotated[
    str | None, typer.Option("--now", metavar="TIME", help="The time of the step, ISO 8601 (2026-11-20T07:30:00Z); default: now.")
]


GO_ON = "stopped; what was done is kept, run the same command again to go on"
MOST_SUGGESTED = 50_000  # names among which a mistyped one is looked for


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
    """Open the real parts, do the work, close them, whatever happens. Ctrl-C and SIGTERM end what is under way and close what is open."""
    with no_interrupt():
        from paperround.wiring import open_parts

    loaded, moment = settings(context), parse_time(now)
    stopped_by: list[int] = []

    async def body() -> Result:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def stop(number: int) -> None:
            stopped_by.append(number)
            loop.remove_signal_handler(number)  # a second one is not patient
            if task:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):  # by the loop: asyncio's own handler cancels between any two instructions
            loop.add_signal_handler(number, stop, number)
        async with open_parts(loaded, now=moment, upgrade=upgrade) as parts:
            return await work(parts)

    try:
        with patience(context.command_path):
            return asyncio.run(body())
    except asyncio.CancelledError:
        raise KeyboardInterrupt if signal.SIGINT in stopped_by else CommandFailedError(GO_ON) from None


@contextmanager
def no_interrupt() -> Iterator[None]:
    """For imports: Ctrl-C waits until they are done. Within one it is lost (in a callback of the import system) or breaks the module."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that a mistyped one is nearest to, as a question; nothing where none is near."""
    from difflib import get_close_matches

    folded = {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


async def find_subscriber(parts: "Parts", name: str) -> "Subscriber":
    """By address or id. Raises NotFoundError, with the address that was meant perhaps."""
    try:
        return await parts.storage.find_subscriber(name)
    except NotFoundError as error:
        known: list[str] = []
        async for batch in parts.storage.subscribers():
            known += [each.email for each in batch if each.email]
            if len(known) >= MOST_SUGGESTED:
                break
        raise NotFoundError(f"{error}{meant(name, known)}") from None


async def find_source(parts: "Parts", name: str) -> "Source":
    """By name or address. Raises NotFoundError, with the name that was meant perhaps."""
    try:
        return await parts.storage.find_source(name)
    except NotFoundError as error:
        known = [text for each in await parts.storage.sources() for text in (each.name, each.location)]
        raise NotFoundError(f"{error}{meant(name, known)}") from None


def parse_time(text: str | None) -> datetime | None:
    """An ISO 8601 time as an aware one; without zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no ISO 8601 time such as 2026-11-20T07:30:00Z", param_hint="--now") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
