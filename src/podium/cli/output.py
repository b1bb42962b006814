"""What commands print: tables and lines for people, JSON for programs."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

import msgspec

from podium.cli import tables
from podium.cli.tables import Cell
from podium.cli.text import clean, has_colours, local_time

STATE_STYLES = {
    "pending": "dim",
    "queued": "cyan",
    "running": "bold blue",
    "waiting": "magenta",
    "succeeded": "green",
    "completed": "green",
    "failed": "red",
    "dead": "bold red",
    "lost": "red",
    "cancelled": "yellow",
    "ok": "green",
    "warning": "yellow",
}


def emit(value: object) -> None:
    """One JSON document on a line of standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


@cache
def look(*, stderr: bool = False) -> tables.Look:
    """The terminal; what is not one gets whole lines without colour."""
    stream = sys.stderr if stderr else sys.stdout
    if not stream.isatty():
        return tables.Look()
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    return tables.Look(width or None, coloured=has_colours(stream))


def say(text: str) -> None:
    """A line for people on standard output."""
    sys.stdout.write(clean(text) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line beside the output: on standard error, so that the output stays what was asked."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def painted(text: str, style: str) -> str:
    """Text of others, safe to print with ``show``, in a style where there are colours."""
    return look().painted(clean(text), style)


def show(text: str) -> None:
    """Print what was made safe before."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def styled(text: object, style: str = "") -> Cell:
    """Text of others, safe to print, perhaps in a style."""
    return Cell(clean(_text(text)), style)


def state(name: str) -> Cell:
    """A state in its colour."""
    return styled(name, STATE_STYLES.get(name, ""))


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, stderr: bool = False) -> str:
    """A table whose cells are texts, numbers, moments, ``Cell`` or None."""
    cells = [[_cell(value) for value in row] for row in rows]
    return tables.table(headers, cells, look(stderr=stderr))


def show_table(headers: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """Print a table, or say on standard error that there is ``nothing``."""
    if rows:
        show(table(headers, rows))
    else:
        note(nothing)


def show_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, leaving out what is None."""
    given = {name: _cell(value) for name, value in fields.items() if value is not None}
    show(tables.fields(given, look()))


def pretty(value: object) -> str:
    """JSON over several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _cell(value: object) -> Cell:
    return value if isinstance(value, Cell) else styled(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return local_time(value) if isinstance(value, datetime) else str(value)
