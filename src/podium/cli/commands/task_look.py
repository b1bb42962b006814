"""What ``podium task`` tells of one task, and how tasks are shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import output
from podium.cli.failures import Failure, Status
from podium.cli.options import Json, Project, TaskId, connect, whole_id
from podium.cli.text import age, duration, last_form, line, size

if TYPE_CHECKING:
    from podium.client.models import Attempt, LogItem, RunningOn, Task, TaskSummary

_OUTPUT = "output.json"
"""The artifact that a worker makes of an output that is too large."""


def add(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (history, attempts, logs, artifacts, download, explain):
        app.command()(command)


def show_summaries(tasks: "Sequence[TaskSummary]") -> None:
    """A table of tasks."""
    rows = [
        (
            task.id,
            output.state(task.state),
            line(task.title, 60),
            task.agent,
            age(task.created_at),
            _how_long(task),
            _remark(task),
        )
        for task in tasks
    ]
    headers = ("ID", "State", "Title", "Agent", "Age", "Ran", "Note")
    output.show_table(
        headers,
        rows,
        "There are no such tasks.",
        cut=("Title", "Agent", "Note"),
        shorten=("ID",),
        drop=("Ran", "Age", "Note", "Agent"),
    )


def show_task(task: "Task", why: str | None = None) -> None:
    """Everything about one task, and ``why`` it is not running."""
    output.show_fields(
        {
            "Id": task.id,
            "Title": task.title,
            "State": output.state(task.state),
            "Why": why,
            "Project": task.project,
            "Agent": task.agent,
            "Capabilities": ", ".join(task.capabilities) or None,
            "Queue": task.queue,
            "Priority": task.priority,
            "Labels": ", ".join(f"{k}={v}" for k, v in task.labels.items()) or None,
            "Template": _template(task),
            "Progress": _progress(task),
            "Attempt": task.attempt or None,
            "Running on": _place(task),
            "Depends on": "\n".join(f"{d.id} ({d.state})" for d in task.depends_on) or None,
            "Created": task.created_at,
            "Created by": task.created_by,
            "Started": task.started_at,
            "Finished": task.finished_at,
            "Waited": None if task.queued_seconds is None else duration(task.queued_seconds),
            "Ran": None if task.run_seconds is None else duration(task.run_seconds),
            "Input": None if task.input is None else output.pretty(task.input),
            "Output": None if task.output is None else output.pretty(task.output),
            "Error": _error(task),
            "Traceback": _traceback(task),
        }
    )
    tell_where_output_is(task)


def _template(task: "Task") -> str | None:
    used = task.template
    if used is None:
        return None
    return f"{used.name} v{used.version}{' (built in)' if used.built_in else ''}"


def tell_where_output_is(task: "Task") -> None:
    """Say how to get an output that was too large to be kept with the task itself."""
    if _is_elsewhere(task.output):
        output.note(f"All of the output: podium task download {task.id} {_OUTPUT}")


def _is_elsewhere(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    found = cast("dict[str, object]", value)
    return found.keys() == {"artifact", "size"} and found["artifact"] == _OUTPUT


def history(task_id: TaskId, project: Project = None, json: Json = False) -> None:
    """Show every transition of a task."""
    with connect(project) as client:
        events = client.tasks.history(whole_id(client, task_id))
    if json:
        output.emit(events)
        return
    rows = [(e.at, e.type, e.actor, output.data(e.data)) for e in events]
    headers = ("At", "Event", "By", "Data")
    output.show_table(
        headers, rows, "There is no history.", cut=("By",), fold=("Data",), drop=("By",)
    )


def attempts(task_id: TaskId, project: Project = None, json: Json = False) -> None:
    """Show the attempts of a task: whose, where, how they ended."""
    with connect(project) as client:
        made = client.tasks.attempts(whole_id(client, task_id))
    if json:
        output.emit(made)
        return
    rows = [
        (
            attempt.attempt,
            output.state(attempt.outcome),
            f"{attempt.agent} v{attempt.agent_version}" if attempt.agent else None,
            _worker(attempt),
            attempt.started_at,
            _ran(attempt),
            line(str(attempt.error.get("message")), 100) if attempt.error else None,
        )
        for attempt in made
    ]
    headers = ("No.", "Outcome", "Agent", "Worker", "Started", "Ran", "Error")
    output.show_table(
        headers,
        rows,
        "It has not been tried yet.",
        cut=("Agent", "Worker"),
        fold=("Error",),
        drop=("Worker", "Started"),
    )


def logs(
    task_id: TaskId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    attempt: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Only this attempt's.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print what the agents of a task wrote.

    On a terminal a line stands where another attempt begins; elsewhere the text is theirs alone.
    """
    shown = 0
    with connect(project) as client:
        whole = whole_id(client, task_id)
        for log in client.tasks.logs(whole, follow=follow, attempt=attempt):
            if json:
                output.emit(log)
            else:
                if log.attempt != (shown or attempt or 1):
                    output.divide(f"attempt {log.attempt}")
                print_log(log)
            shown = log.attempt
        if attempt is not None and not shown:
            _must_exist(attempt, client.tasks.attempts(whole))
    if not (shown or json):
        output.note("Nothing was written." if attempt is None else f"Attempt {attempt} has no log.")


def _must_exist(attempt: int, made: "Sequence[Attempt]") -> None:
    if any(each.attempt == attempt for each in made):
        return
    numbers = ", ".join(str(each.attempt) for each in made)
    raise Failure(
        Status.REFUSED,
        "not_found",
        f"There is no attempt {attempt} of this task.",
        f"It has been tried as: {numbers}." if made else "It has not been tried yet.",
    )


def print_log(log: "LogItem") -> None:
    """One line of a task's log; what went to standard error is marked."""
    for text in last_form(log.text).splitlines():
        output.say(f"! {text}" if log.stream == "stderr" else text)


def artifacts(task_id: TaskId, project: Project = None, json: Json = False) -> None:
    """List the files that were kept with a task."""
    with connect(project) as client:
        files = client.tasks.artifacts(whole_id(client, task_id))
    if json:
        output.emit(files)
        return
    rows = [
        (file.name, size(file.size), file.content_type, file.attempt, file.created_at)
        for file in files
    ]
    headers = ("Name", "Size", "Type", "Attempt", "Created")
    output.show_table(
        headers, rows, "It has no artifacts.", fold=("Name",), drop=("Type", "Created")
    )


def download(
    task_id: TaskId,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="File to write; unset, NAME's last part."),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="This attempt's file.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Write an artifact of a task to a file."""
    target = to or Path(Path(name).name)
    with connect(project) as client:
        whole = whole_id(client, task_id)
        try:
            client.tasks.download(whole, name, target, attempt=attempt)
        except OSError as error:
            raise Failure(
                Status.FAILED,
                "not_written",
                f"{target} cannot be written: {error.strerror}.",
                "Give another file with --to.",
            ) from None
    if json:
        output.emit({"path": str(target), "size": target.stat().st_size})
    else:
        output.say(f"{target} ({size(target.stat().st_size)})")


def explain(task_id: TaskId, project: Project = None, json: Json = False) -> None:
    """Say why a task is not running, and why an agent is chosen."""
    with connect(project) as client:
        told = client.tasks.explain(whole_id(client, task_id))
    if json:
        output.emit(told)
        return
    output.say(told.why)
    for blocker in told.blockers:
        if blocker.detail not in told.why:
            output.say(f"  - {blocker.detail}")
    if told.agent and told.agent.candidates:  # else the task names it
        output.say(f"Agent {told.agent.name}: {told.agent.how}")
        for candidate in told.agent.candidates:
            output.say(f"  - {line(output.pretty(candidate), 200)}")


def _how_long(task: "TaskSummary") -> str:
    if task.started_at is None:
        return "-"
    if task.finished_at is None:
        return age(task.started_at)
    return duration((task.finished_at - task.started_at).total_seconds())


def _ran(attempt: "Attempt") -> str:
    if attempt.finished_at is None:
        return age(attempt.started_at)
    return duration((attempt.finished_at - attempt.started_at).total_seconds())


def _remark(task: "TaskSummary") -> str:
    if task.error_code:
        return task.error_code
    return _progress(task) or ""


def _progress(task: "Task | TaskSummary") -> str | None:
    if task.progress is None:
        return None
    parts: list[str] = []
    if task.progress.fraction is not None:
        parts.append(f"{task.progress.fraction:.0%}")
    if task.progress.note:
        parts.append(line(task.progress.note, 60))
    return " ".join(parts) or None


def _place(task: "Task") -> str | None:
    where = task.running_on
    return f"{where.agent} on {_worker(where)}" if where else None


def _worker(where: "RunningOn | Attempt") -> str | None:
    """The worker as 'podium status' names it; by its id once it is forgotten."""
    if where.worker_name is None:
        return where.worker
    return f"{where.worker_name} at {where.worker_host}"


def _error(task: "Task") -> str | None:
    if task.error is None:
        return None
    text = f"{task.error.get('message')} ({task.error.get('code')})"
    hint = task.error.get("hint")
    return f"{text}\n{hint}" if hint else text


def _traceback(task: "Task") -> str | None:
    """Where in its code a function failed."""
    detail = (task.error or {}).get("detail")
    if not isinstance(detail, dict):
        return None
    found = cast("dict[str, object]", detail).get("traceback")
    return found.rstrip() if isinstance(found, str) else None
