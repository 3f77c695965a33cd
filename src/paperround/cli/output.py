"""What commands print: JSON for programs on stdout, tables and progress for people, errors as one line on stderr."""

import dataclasses
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)  # no cell is cut for a program
err = Console(stderr=True, highlight=False, soft_wrap=True)

PATIENCE = 1.0  # seconds that a person waits before a command has to say that it is at work


def plain(value: object) -> Any:
    """A value of ours as JSON types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def print_json(value: object) -> None:
    """One JSON document, and nothing else, on stdout."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")


def say(text: str) -> None:
    """A line of the answer."""
    out.print(text, markup=False)


def warn(text: str) -> None:
    """A line about something that failed or is worth knowing; never on stdout."""
    err.print(text, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A plain table; empty cells for None."""
    grid = Table(*columns, title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for row in rows:
        grid.add_row(*("" if cell in (None, "") else shown(cell) for cell in row))
    if out.is_terminal:
        out.print(grid)
        return
    with out.capture() as captured:
        out.print(grid)
    for line in captured.get().splitlines():
        say(line.rstrip())


def shown(value: object) -> str:
    """A value as a person reads it; what is not there as a dash."""
    if value in (None, "", [], (), {}):
        return "–"
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case {"text": text, "weight": weight}:
            return f"{text} (weight {weight:g})"
        case Mapping():
            return ", ".join(f"{shown(each)} {name}" for name, each in value.items())
        case list() | tuple():
            return "; ".join(map(shown, value))
    return str(plain(value))


def facts(values: Mapping[str, object]) -> None:
    """Names and values, a line each."""
    width = max(map(len, values)) + 2
    for name, value in values.items():
        say(f"{name + ':':{width}}{shown(value)}")


@contextmanager
def progress(label: str) -> Iterator[Any]:
    """A function (done, of all) that moves a bar on a terminal and does nothing elsewhere."""
    if not err.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, of_all: bar.update(task, completed=done, total=of_all)


@contextmanager
def patience(label: str) -> Iterator[None]:
    """On a terminal, say after a second that the work goes on; what has a bar of its own shows both."""
    if not err.is_terminal:
        yield
        return
    waiting = Progress(SpinnerColumn(), TextColumn(f"{label} …"), TimeElapsedColumn(), console=err, transient=True)
    waiting.add_task("")
    timer = threading.Timer(PATIENCE, waiting.start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        waiting.stop()
