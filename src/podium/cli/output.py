"""What commands print: tables and lines for people, JSON for programs."""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, cast

import msgspec

from podium.cli.text import clean, line, local_time, zones

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_WIDE = 10_000
_LONGEST_DATA = 2000
_LEAST_CUT, _LEAST_FOLDED = 12, 16
"""Cells that may be cut, and lines of those that may be folded, keep so many characters."""
_SHORT_ID = 18
"""So many characters of an id hold its time and its number within that: what no other id of the
same server has, and what commands take instead of all of it."""

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
    "blocked": "bold red",
    "cancelled": "yellow",
    "ok": "green",
    "open": "green",
    "paused": "yellow",
    "draining": "yellow",
    "warning": "yellow",
}


def emit(value: object) -> None:
    """One JSON document on a line of standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


@cache
def console(*, stderr: bool = False) -> "Console":
    """The terminal; what is not one gets whole lines without colour."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def say(text: str) -> None:
    """A line for people on standard output."""
    sys.stdout.write(clean(text) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line beside the output: on standard error, so that the output stays what was asked."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def watching(text: str) -> None:
    """Tell somebody at a terminal what a command waits for that shows nothing yet."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        note(f"{text} Ctrl-C ends this.")


@contextmanager
def progress(what: str, total: int | None) -> Generator[Callable[[int], None]]:
    """A bar on the terminal while something long goes on; gives what moves it on. Nothing where
    standard error is no terminal. ``total`` None: nobody knows how long."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    shown = console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=shown, transient=True, disable=not shown.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total)
        yield partial(bar.advance, task)


def divide(text: str) -> None:
    """On a terminal a dim line between parts of the output; none where a program may read it."""
    if console().is_terminal:
        console().print(styled(f"— {text} —", "dim"))


def styled(text: object, style: str | None = None) -> "Text":
    """Text of others, safe to print, perhaps in a style."""
    from rich.text import Text

    return Text(clean(_text(text)), style=style or "")


def state(name: str) -> "Text":
    """A state in its colour."""
    return styled(name, STATE_STYLES.get(name))


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    cut: Sequence[str] = (),
    fold: Sequence[str] = (),
) -> "Table":
    """A table whose cells are texts, numbers, moments, ``Text`` or None. The header of a column of
    moments names their time zone.

    Where there is not room for all, the columns ``cut`` lose their end and those to ``fold``
    take more lines; all others stay whole.
    """
    from rich import box
    from rich.table import Table

    rows = list(rows)
    cells = [[_cell(value, zone=False) for value in row] for row in rows]
    made = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    for place, header in enumerate(headers):
        widest = max((row[place].cell_len for row in cells), default=0)
        moments = [value for row in rows if isinstance(value := row[place], datetime)]
        least = _LEAST_FOLDED if header in fold else _LEAST_CUT if header in cut else widest
        made.add_column(
            f"{header} ({zones(moments)})" if moments else header,
            overflow="fold" if header in fold else "ellipsis",
            no_wrap=header not in (*cut, *fold),
            min_width=max(len(header), min(widest, least)),
        )
        if header in cut:
            for row in cells:
                row[place].no_wrap = True
    for row in cells:
        made.add_row(*row)
    return made


def fitted(
    on: "Console",
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    cut: Sequence[str] = (),
    fold: Sequence[str] = (),
    shorten: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> "Table":
    """A table for a console, without those columns to ``drop`` that it is too narrow for.

    The first of them goes first, and before any the ids in the columns ``shorten`` lose their end;
    ``cut`` and ``fold`` are as for ``table``.
    """
    left = list(headers)
    made = table(headers, rows, cut=cut, fold=fold)
    if shorten and _least(made) > on.width:
        ids = {headers.index(name) for name in shorten}
        rows = [
            [_short(row[at]) if at in ids else row[at] for at in range(len(row))] for row in rows
        ]
        made = table(headers, rows, cut=cut, fold=fold)
    for header in drop:
        if _least(made) <= on.width:
            break
        left.remove(header)
        places = [headers.index(name) for name in left]
        made = table(left, [[row[at] for at in places] for row in rows], cut=cut, fold=fold)
    if dropped := [name for name in headers if name not in left]:
        made.caption = f"Too narrow to show: {', '.join(dropped)}"
        made.caption_justify = "left"
    return made


def _least(made: "Table") -> int:
    """How narrow a table may become: a space behind each column, and one between two."""
    return sum(column.min_width or 0 for column in made.columns) + 2 * len(made.columns) - 1


def _short(value: object) -> str:
    text = _text(value)
    return text if len(text) <= _SHORT_ID else f"{text[:_SHORT_ID]}…"


def show_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    nothing: str,
    *,
    cut: Sequence[str] = (),
    fold: Sequence[str] = (),
    shorten: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> None:
    """Print a table, or say on standard error that there is ``nothing``.

    ``cut``, ``fold``, ``shorten`` and ``drop`` are as for ``fitted``; without the first two every
    column may fold. What is no terminal gets whole rows, and whole ids where COLUMNS narrows it.
    """
    if not rows:
        note(nothing)
        return
    if not (cut or fold):
        fold = headers
    on = console()
    if not on.is_terminal:
        on, shorten = _as_wide_as_asked(), ()
    _print(on, fitted(on, headers, rows, cut=cut, fold=fold, shorten=shorten, drop=drop))


def _print(on: "Console", shown: "Table") -> None:
    """Print a table; what is no terminal gets no spaces where a line ends."""
    if on.is_terminal:
        on.print(shown)
        return
    with on.capture() as told:
        on.print(shown)
    lines = told.get().removesuffix("\n").split("\n")
    sys.stdout.write("".join(f"{each.rstrip()}\n" for each in lines))


def _as_wide_as_asked() -> "Console":
    """For tables that no terminal limits: as wide as COLUMNS says, else as they come to be."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else _WIDE
    return Console(width=width, markup=False, highlight=False, emoji=False)


def show_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, leaving out what is None."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields.items():
        if value is not None:
            grid.add_row(name, _cell(value))
    _print(console(), grid)


def show_beside(head: "Text", told: "Text") -> None:
    """Print a text all of whose lines, also those that the terminal makes, stand beside a head."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(head, told)
    _print(console(), grid)


def pretty(value: object) -> str:
    """JSON over several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def data(given: Mapping[str, object]) -> str:
    """An event's data on one line; of an error first what it says."""
    rest = [f"{name}: {_told(value)}" for name, value in given.items() if name != "error"]
    shown = line(", ".join(rest), _LONGEST_DATA)
    error = given.get("error")
    if not isinstance(error, dict):
        return shown
    told = cast("dict[str, object]", error)
    return line(f"{told.get('message') or ''} ({told.get('code')}) {shown}", _LONGEST_DATA)


def _told(value: object) -> str:
    """A value within a line: text as it is, fractions to six digits, all else as JSON."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else msgspec.json.encode(value).decode()


def _cell(value: object, *, zone: bool = True) -> "Text":
    from rich.text import Text

    if isinstance(value, datetime):
        value = local_time(value, zone=zone)
    return value.copy() if isinstance(value, Text) else styled(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return local_time(value) if isinstance(value, datetime) else str(value)
