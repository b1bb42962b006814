"""``podium task wait`` and ``podium task watch``: follow tasks by their events."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import output
from podium.cli.board import ENDED, Board, Row, row_of
from podium.cli.failures import Failure, Status
from podium.cli.options import ID_HELP, Json, Project, TaskIds, connect, seconds, whole_id

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.models import Task

_ACTIVE = ("pending", "queued", "running", "waiting")
_WATCHED = 200


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
        list[str] | None, typer.Argument(metavar="[ID...]", help=ID_HELP, show_default=False)
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show tasks live: those given until they have ended, or all of a project until Ctrl-C."""
    with connect(project) as client:
        ids = [whole_id(client, given) for given in task_ids or ()]
        if ids and not json:
            show_outcome(finished(client, ids, timeout=None, quiet=False), json=False)
        elif json:
            for event in client.events(types=["task.*"], subjects=ids):
                output.emit(event)
        else:
            _watch_all(client)


def finished(
    client: "Podium", task_ids: Sequence[str], *, timeout: float | None, quiet: bool
) -> "list[Task]":
    """The tasks once all have ended, shown as they go on unless ``quiet``."""
    # Where to follow from is taken first: what happens while the tasks are read is not missed.
    history = client.tasks.history(task_ids[0])
    board = Board(row_of(client.tasks.get(task_id)) for task_id in dict.fromkeys(task_ids))
    if not board.ended:
        stream = client.events(
            types=["task.*"], subjects=list(board.rows), after=history[-1].cursor, timeout=timeout
        )
        with board.shown(quiet=quiet), stream:
            for event in stream:
                board.apply(event)
                if board.ended:
                    break
    if not board.ended:
        left = sum(row.state not in ENDED for row in board.rows.values())
        raise Failure(
            Status.FAILED,
            "wait_timeout",
            f"{left} of {len(board.rows)} tasks have not ended in time.",
            "They go on; 'podium task explain ID' says what a task waits for.",
        )
    return [client.tasks.get(task_id) for task_id in board.rows]


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
    if status := outcome(task.state for task in tasks):
        raise typer.Exit(status)


def _watch_all(client: "Podium") -> None:
    with client.events(types=["task.*"]) as stream:
        tasks = list(client.tasks.list(states=_ACTIVE, limit=_WATCHED))
        board = Board(row_of(task) for task in reversed(tasks))
        with board.shown():
            for event in stream:
                if event.type == "task.created":
                    board.add(Row(event.subject, str(event.data.get("title", ""))))
                board.apply(event)
