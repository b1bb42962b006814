"""Tasks as they go on: states from events, a live table on a terminal, lines elsewhere."""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from podium.cli import output
from podium.cli.text import duration, line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from podium.client.models import Event, Task, TaskSummary

ENDED = frozenset({"succeeded", "failed", "cancelled", "dead"})

_STATES = {
    "task.queued": "queued",
    "task.held": "pending",
    "task.started": "running",
    "task.waiting": "waiting",
    "task.retrying": "pending",
    "task.released": "queued",
    "task.lost": "queued",
    "task.completed": "succeeded",
    "task.failed": "failed",
    "task.dead": "dead",
    "task.cancelled": "cancelled",
    "task.redriven": "queued",
}

_KEPT_ENDED = 5
_HEADERS = ("Task", "State", "Waited", "Ran", "Note")
_RANKS = {"running": 0, **dict.fromkeys(ENDED, 1), "waiting": 2, "queued": 3, "pending": 4}
"""Which rows come first where there is not room for all."""
_AROUND = 5
"""Lines that the headers, the line below, the caption and the cursor take; it may fold once."""


def moves(event: "Event") -> bool:
    """Whether an event tells of another state of a task that was there before."""
    return event.type in _STATES


@dataclass(slots=True)
class Row:
    """One task as far as it is known. Moments are the server's."""

    id: str
    title: str
    state: str = "pending"
    ready_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    note: str = ""
    error: str = ""
    attempt: int = 0

    @property
    def waited(self) -> float | None:
        """Seconds from ready to started."""
        if self.ready_at is None:
            return None
        until = self.started_at or self.finished_at
        return ((until or datetime.now(UTC)) - self.ready_at).total_seconds()

    @property
    def ran(self) -> float | None:
        """Seconds from started to finished, or until now."""
        if self.started_at is None:
            return None
        return ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()


class Board:
    """The tasks that are looked at. ``told`` is called with each row that changed its state.

    With ``ids`` their ids are shown too.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        told: Callable[[Row], None] | None = None,
        *,
        ids: bool = False,
    ) -> None:
        self.rows = {row.id: row for row in rows}
        self.told = told
        self._ids = ids

    @property
    def ended(self) -> bool:
        """Whether every task has ended."""
        return all(row.state in ENDED for row in self.rows.values())

    def add(self, row: Row) -> None:
        """Look at one more task. Of those that have ended the oldest are forgotten."""
        self.rows[row.id] = row
        ended = [key for key, other in self.rows.items() if other.state in ENDED]
        for key in ended[:-_KEPT_ENDED]:
            del self.rows[key]

    def apply(self, event: "Event") -> None:
        """Take in an event; those of other tasks are passed over."""
        row = self.rows.get(event.subject)
        if row is None:
            return
        if event.type == "task.progress":
            _progress(row, event.data)
        elif event.type == "task.created" or moves(event):
            self._move(row, event)

    def _move(self, row: Row, event: "Event") -> None:
        before = row.state
        if event.type == "task.created" and before != "pending":
            return  # the transaction that moved the task on had begun before
        row.state = _STATES.get(event.type) or str(event.data.get("state", row.state))
        if row.state == "queued":
            row.ready_at, row.started_at, row.finished_at = event.at, None, None
        elif row.state == "running":
            row.started_at = event.at
        elif row.state in ENDED:
            row.finished_at = event.at
        error: dict[str, object] = event.data.get("error") or {}
        row.error = str(error.get("message") or error.get("code") or "")
        row.attempt = int(event.data.get("attempt") or row.attempt)
        if self.told and row.state != before:
            self.told(row)

    def table(self, on: "Console") -> "Table":
        """The rows as they are now, no more than the console is high: those that run first."""
        rows = list(self.rows.values())
        room = max(1, on.height - _AROUND)
        if len(rows) > room:
            rows.sort(key=lambda row: _RANKS.get(row.state, len(_RANKS)))
        made = output.fitted(
            on,
            ("ID", *_HEADERS) if self._ids else _HEADERS,
            [_cells(row, ids=self._ids) for row in rows[:room]],
            cut=("Task", "Note"),
            drop=("Waited", "Note", "Ran") if self._ids else (),
        )
        if left := Counter(row.state for row in rows[room:]):
            made.caption = "and " + ", ".join(f"{n:,} more {name}" for name, n in left.items())
            made.caption_justify = "left"
        return made

    @contextmanager
    def shown(self, *, quiet: bool = False) -> Generator[None]:
        """Show the rows while the body runs, on standard error: live, or a line a change."""
        if quiet:
            yield
            return
        if not sys.stderr.isatty():
            self.told = _tell
            yield
            return
        from rich.live import Live

        terminal = output.console(stderr=True)
        live = Live(
            get_renderable=lambda: self.table(terminal),
            console=terminal,
            refresh_per_second=8,
            transient=True,
        )
        with live:
            yield


def row_of(task: "Task | TaskSummary") -> Row:
    """What a task says of itself.

    Only its events know when it became ready; while it is queued for the first time that is
    taken to be when it was created.
    """
    return Row(
        task.id,
        task.title,
        task.state,
        ready_at=task.created_at if task.state == "queued" and not task.attempt else None,
        started_at=task.started_at,
        finished_at=task.finished_at,
        note=(task.progress.note or "") if task.progress else "",
    )


def _cells(row: Row, *, ids: bool) -> list[object]:
    cells: list[object] = [
        line(row.title, 50),
        output.state(row.state),
        duration(row.waited),
        duration(row.ran),
        line(row.error or row.note, 80),
    ]
    return [row.id, *cells] if ids else cells


def _progress(row: Row, data: Mapping[str, object]) -> None:
    fraction, note = data.get("fraction"), data.get("note")
    parts = [f"{fraction:.0%}"] if isinstance(fraction, int | float) else []
    row.note = " ".join([*parts, *([note] if isinstance(note, str) else [])])


def _tell(row: Row) -> None:
    if row.state == "queued":
        return  # it runs in a moment, or ``not_started`` tells why not
    how = f" after {duration(row.ran)}" if row.state in ENDED and row.ran is not None else ""
    if row.attempt > 1 or (row.error and row.state not in ENDED):
        how += f", attempt {row.attempt}"
    why = f": {line(row.error)}" if row.error else ""
    output.note(f"{row.title}: {row.state}{how}{why}")
