"""What ``podium task`` tells of many tasks: lists, their number, and all of them as JSON."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from podium.cli import output
from podium.cli.commands import task_look
from podium.cli.failures import Failure, Status
from podium.cli.options import Json, Labels, Project, connect
from podium.cli.task_filters import (
    After,
    Before,
    OfAgent,
    OfQueue,
    Saved,
    Search,
    SortOption,
    arguments,
    narrowed,
    query,
)
from podium.cli.task_options import States

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import TaskQuery


def add(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command("list")(list_tasks)
    app.command()(count)
    app.command()(export)


def list_tasks(
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    sort: SortOption = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="NUMBER", help="At most so many.")
    ] = 50,
    project: Project = None,
    json: Json = False,
) -> None:
    """List tasks, newest first unless sorted otherwise."""
    wanted = query(state, agent, queue, label, search, created_after, created_before)
    with connect(project) as client:
        found, order = narrowed(client, saved, wanted)
        by = sort.value if sort is not None else order or "newest"
        tasks = list(client.tasks.list(**arguments(found), sort=by, limit=limit + 1))
    if json:
        output.emit(tasks[:limit])
        return
    task_look.show_summaries(tasks[:limit])
    if len(tasks) > limit:
        output.note(f"These are the first {limit}; --limit NUMBER shows more.")


def count(
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Count tasks; beyond 10,000 it says so."""
    wanted = query(state, agent, queue, label, search, created_after, created_before)
    with connect(project) as client:
        found, _ = narrowed(client, saved, wanted)
        counted = client.tasks.count(**arguments(found))
    if json:
        output.emit(counted)
    else:
        output.say(f"{'more than ' if counted.capped else ''}{counted.count:,}")


def export(
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to this new file, not to the screen."
        ),
    ] = None,
    project: Project = None,
) -> None:
    """Write tasks as JSON, one in each line. They have their input, output and error."""
    wanted = query(state, agent, queue, label, search, created_after, created_before)
    if to is not None and to.exists():
        raise Failure(
            Status.CONFLICT, "conflict", f"{to} is there already.", "Choose another name."
        )
    with connect(project) as client:
        found, _ = narrowed(client, saved, wanted)
        if to is None:
            _write(client, found, sys.stdout.buffer)
            return
        with _whole(to) as file:
            written = _write(client, found, file)
    output.note(f"{written:,} task{'' if written == 1 else 's'} in {to}")


@contextmanager
def _whole(path: Path) -> Generator[BinaryIO]:
    """A file that appears when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise Failure(
            Status.FAILED, "unwritable", f"{path} cannot be written: {error.strerror}."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _write(client: "Podium", wanted: "TaskQuery", file: BinaryIO) -> int:
    """Write the tasks; gives their number."""
    import msgspec

    counted = client.tasks.count(**arguments(wanted))
    written = 0
    with output.progress("export", None if counted.capped else counted.count) as advance:
        for task in client.tasks.export(**arguments(wanted)):
            file.write(msgspec.json.encode(task) + b"\n")
            written += 1
            advance(1)
    return written
