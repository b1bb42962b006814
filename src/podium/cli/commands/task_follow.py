"""``podium task wait`` and ``podium task watch``: follow tasks by their events."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import completion, output
from podium.cli.board import ENDED, Board, Row, moves, row_of
from podium.cli.failures import Failure, Status
from podium.cli.options import ID_HELP, Json, Project, TaskIds, connect, seconds, whole_id
from podium.client.errors import NotFound

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.models import Event, Task

_BEGUN = ("running", "waiting")
_WAITING = ("queued", "pending")
_WATCHED = 5_000


def add(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(wait)
    app.command()(watch)


def wait(
    task_ids: TaskIds,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Longest time to wait, such as 5m.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Wait until tasks have ended. The exit status tells how: 0, 1 failed, 5 cancelled."""
    with connect(project) as client:
        ids = [whole_id(client, given) for given in task_ids]
        tasks = finished(client, ids, timeout=seconds(timeout, "--timeout"), quiet=json)
    show_outcome(tasks, json=json)


def watch(
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID...]", help=ID_HELP, show_default=False, autocompletion=completion.tasks
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show tasks live until they have ended. Without ids, all of a project until Ctrl-C.

    The exit status tells how those given ended: 0, 1 failed, 5 cancelled. With --json it prints
    the events from now on, one a line.
    """
    with connect(project) as client:
        ids = [whole_id(client, given) for given in task_ids or ()]
        if ids:
            told = output.emit if json else None
            tasks = finished(client, ids, timeout=None, quiet=json, told=told)
            _end(tasks) if json else show_outcome(tasks, json=False)
        elif json:
            for event in client.events(types=["task.*"]):
                output.emit(event)
        else:
            _watch_all(client)


def finished(
    client: "Podium",
    task_ids: Sequence[str],
    *,
    timeout: float | None,
    quiet: bool,
    told: "Callable[[Event], None] | None" = None,
) -> "list[Task]":
    """The tasks once all have ended, shown as they go on unless ``quiet``.

    ``told`` is called with each of their events meanwhile.
    """
    ids = list(dict.fromkeys(task_ids))
    tasks = _read(client, ids)
    if _ended(tasks):
        return tasks
    stream = client.events(types=["task.*"], subjects=ids, timeout=timeout)
    with stream:
        # Once the stream is open no event is missed: what happened before is seen by reading.
        tasks = _read(client, ids)
        board = Board(map(row_of, tasks), ids=True)
        with _left_alone(board, quiet=quiet), board.shown(quiet=quiet):
            while not _ended(tasks):
                if (event := next(stream, None)) is None:
                    raise _out_of_time(board)
                board.apply(event)
                if told:
                    told(event)
                if board.ended:  # unless one was retried meanwhile
                    tasks = _read(client, ids)
    return tasks


@contextmanager
def _left_alone(board: Board, *, quiet: bool) -> Generator[None]:
    """Tell on Ctrl-C how the tasks are, which go on; the live table is gone by then."""
    try:
        yield
    except KeyboardInterrupt:
        if not quiet:
            output.note("Interrupted; tasks that have not ended go on.")
            for row in board.rows.values():
                output.note(f"{row.id} {row.state}")
        raise


def _read(client: "Podium", task_ids: Sequence[str]) -> "list[Task]":
    return [client.tasks.get(task_id) for task_id in task_ids]


def _ended(tasks: "Sequence[Task]") -> bool:
    return all(task.state in ENDED for task in tasks)


def _out_of_time(board: Board) -> Failure:
    left = sum(row.state not in ENDED for row in board.rows.values())
    return Failure(
        Status.FAILED,
        "wait_timeout",
        f"{left} of {len(board.rows)} tasks have not ended in time.",
        "They go on; 'podium task explain ID' says what a task waits for.",
    )


def outcome(states: Iterable[str]) -> Status:
    """The exit status for tasks that ended in these states."""
    seen = set(states)
    if seen & {"failed", "dead"}:
        return Status.FAILED
    return Status.CANCELLED if "cancelled" in seen else Status.DONE


def show_outcome(tasks: "Sequence[Task]", *, json: bool) -> None:
    """Tell how tasks ended, in words and by the exit status."""
    for task in tasks:
        if json:
            output.emit(task)
        else:
            why = f": {task.error.get('message')}" if task.error else ""
            output.say(f"{task.id} {task.state}{why}")
    _end(tasks)


def _end(tasks: "Sequence[Task]") -> None:
    """Leave with the exit status that tells how tasks ended."""
    if status := outcome(task.state for task in tasks):
        raise typer.Exit(status)


def _watch_all(client: "Podium") -> None:
    output.watching("Watching the tasks of the project as they come and change.")
    with client.events(types=["task.*"]) as stream:
        running = list(client.tasks.list(states=_BEGUN))
        queued = list(client.tasks.list(states=_WAITING, limit=_WATCHED))
        board = Board(map(row_of, [*running, *reversed(queued)]), ids=True)
        with board.shown():
            for event in stream:
                if event.subject not in board.rows and (row := _row_for(client, event)):
                    board.add(row)
                board.apply(event)


def _row_for(client: "Podium", event: "Event") -> Row | None:
    """The row of a task that was not shown so far, before this event."""
    if event.type == "task.created":
        return Row(event.subject, str(event.data.get("title", "")))
    if not moves(event):
        return None
    try:
        task = client.tasks.get(event.subject)
    except NotFound:  # deleted meanwhile
        return None
    return Row(task.id, task.title, started_at=task.started_at)
