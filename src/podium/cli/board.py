"""Tasks as they go on: states from events, a live table on a terminal, lines elsewhere."""

import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from podium.cli import output
from podium.cli.text import duration, line

if TYPE_CHECKING:
    from rich.table import Table

    from podium.client.models import Event, Task, TaskSummary

ENDED = frozenset({"succeeded", "failed", "cancelled", "dead"})

_STATES = {
    "task.queued": "queued",
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
    """The tasks that are looked at. ``told`` is called with each row that changed its state."""

    def __init__(self, rows: Iterable[Row], told: Callable[[Row], None] | None = None) -> None:
        self.rows = {row.id: row for row in rows}
        self.told = told

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
        elif event.type in {"task.created", *_STATES}:
            self._move(row, event)

    def _move(self, row: Row, event: "Event") -> None:
        before = row.state
        row.state = _STATES.get(event.type) or str(event.data.get("state", row.state))
        if row.state == "queued":
            row.ready_at, row.started_at, row.finished_at = event.at, None, None
        elif row.state == "running":
            row.started_at = event.at
        elif row.state in ENDED:
            row.finished_at = event.at
        error: dict[str, object] = event.data.get("error") or {}
        row.error = str(error.get("message") or error.get("code") or "")
        if self.told and row.state != before:
            self.told(row)

    def table(self) -> "Table":
        """The rows as they are now."""
        return output.table(
            ("Task", "State", "Waited", "Ran", "Note"),
            [
                (
                    line(row.title, 50),
                    output.state(row.state),
                    duration(row.waited),
                    duration(row.ran),
                    line(row.error or row.note, 80),
                )
                for row in self.rows.values()
            ],
            cut=("Task", "Note"),
        )

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

        live = Live(
            get_renderable=self.table,
            console=output.console(stderr=True),
            refresh_per_second=8,
            transient=True,
        )
        with live:
            yield


def row_of(task: "Task | TaskSummary") -> Row:
    """What a task says of itself; when it became ready only its events know."""
    return Row(
        task.id,
        task.title,
        task.state,
        started_at=task.started_at,
        finished_at=task.finished_at,
        note=(task.progress.note or "") if task.progress else "",
    )


def _progress(row: Row, data: Mapping[str, object]) -> None:
    fraction, note = data.get("fraction"), data.get("note")
    parts = [f"{fraction:.0%}"] if isinstance(fraction, int | float) else []
    row.note = " ".join([*parts, *([note] if isinstance(note, str) else [])])


def _tell(row: Row) -> None:
    if row.state == "queued":
        return  # it runs in a moment, or ``not_started`` tells why not
    how = f" after {duration(row.ran)}" if row.state in ENDED and row.ran is not None else ""
    why = f": {line(row.error)}" if row.error and row.state in ENDED else ""
    output.note(f"{row.title}: {row.state}{how}{why}")
