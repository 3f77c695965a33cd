"""What commands read and write as CSV and JSON: rows of a file in, rows on stdout out."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from paperround.cli.output import plain
from paperround.cli.session import CommandFailedError

SEPARATORS = {".csv": ",", ".txt": ",", ".tsv": "\t"}


def read_file(file: Path) -> bytes:
    """Raises CommandFailedError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandFailedError(f"{file}: {error.strerror}") from None


def read_rows(file: Path, text: bytes) -> list[dict[str, Any]] | None:
    """The rows of a CSV or JSON file, which of them by its name; None for any other. Raises CommandFailedError."""
    kind = file.suffix.lower()
    try:
        if kind in SEPARATORS:
            return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline=""), delimiter=SEPARATORS[kind]))
        if kind != ".json":
            return None
        rows = json.loads(text)
    except (ValueError, csv.Error) as error:
        raise CommandFailedError(f"{file}: cannot be read: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CommandFailedError(f"{file}: is no list of objects")
    return rows


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """On stdout; lists separated by semicolons, as imports read them."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["; ".join(map(str, cell)) if isinstance(cell, list | tuple) else plain(cell) for cell in row])
