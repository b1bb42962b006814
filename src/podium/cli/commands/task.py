"""``podium task``: submit, look at and steer tasks."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from podium.cli import completion, output
from podium.cli.commands import task_follow, task_look
from podium.cli.failures import Failure, Status, report
from podium.cli.options import (
    Json,
    Labels,
    Project,
    TaskId,
    TaskIds,
    application,
    confirm,
    connect,
    json_value,
    labels,
    moment,
    seconds,
    whole_id,
    wrong,
)
from podium.client.errors import ApiError

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import TaskEdit, TaskNew


class State(StrEnum):
    """Where a task can be."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


Backoff = Literal["exponential", "linear", "fixed", "fibonacci"]
Policy = Literal["cancel", "run", "hold"]

Input = Annotated[
    str | None,
    typer.Option(
        "--input", "-i", metavar="JSON", help="Input as JSON; @FILE reads a file, - standard input."
    ),
]
ForAgent = Annotated[
    str | None,
    typer.Option(
        "--agent", "-a", metavar="NAME", help="Agent by name.", autocompletion=completion.agents
    ),
]
Capability = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        "-c",
        metavar="NAME",
        help="Any agent that has this; may be repeated, for one that has all.",
    ),
]
Queue = Annotated[str | None, typer.Option(metavar="NAME", help="Queue; unset, default.")]
DependsOn = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Id of a task that must end first; may be repeated."),
]
OnFailure = Annotated[
    Policy | None,
    typer.Option(
        help="What to do when one of those does not succeed: be cancelled, run all the same, or "
        "wait until it was retried and succeeded; unset, cancel."
    ),
]
Delay = Annotated[str | None, typer.Option(metavar="TIME", help="Time to wait first, such as 90s.")]
At = Annotated[str | None, typer.Option(metavar="MOMENT", help="Moment to start, in ISO 8601.")]
Key = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Submitting again with this key gives the same task."),
]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait until it has ended.")]
Title = Annotated[
    str | None, typer.Option("--title", "-t", metavar="TEXT", help="What it is about.")
]
Priority = Annotated[
    int | None, typer.Option(min=-100, max=100, metavar="NUMBER", help="Higher runs first.")
]
RunTimeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Longest time an attempt may run.")
]
QueueTimeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Longest time until it has started.")
]
HeartbeatTimeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Longest silence of an attempt.")
]
Retries = Annotated[
    int | None,
    typer.Option(min=0, metavar="NUMBER", help="Attempts after the first; of a new task unset, 0."),
]
BackoffOption = Annotated[
    Backoff | None,
    typer.Option(help="How waits between attempts grow; of a new task unset, exponential."),
]

States = Annotated[
    list[State] | None,
    typer.Option(
        "--state",
        "-s",
        metavar="STATE",
        help=f"Only tasks in this state: {', '.join(State)}; may be repeated.",
    ),
]

app = application("task", "Submit, look at and steer tasks.")


def _given(**options: object) -> dict[str, object]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _timeouts(run: str | None, queue: str | None, heartbeat: str | None) -> dict[str, object]:
    return _given(
        run=seconds(run, "--run-timeout"),
        queue=seconds(queue, "--queue-timeout"),
        heartbeat=seconds(heartbeat, "--heartbeat-timeout"),
    )


def _retry(retries: int | None, backoff: Backoff | None) -> dict[str, object]:
    return _given(max_retries=retries, backoff=backoff)


@app.command()
def create(
    agent: ForAgent = None,
    capability: Capability = None,
    input: Input = None,  # noqa: A002 - named as the option is
    title: Title = None,
    priority: Priority = None,
    label: Labels = None,
    queue: Queue = None,
    depends_on: DependsOn = None,
    on_dependency_failure: OnFailure = None,
    delay: Delay = None,
    at: At = None,
    run_timeout: RunTimeout = None,
    queue_timeout: QueueTimeout = None,
    heartbeat_timeout: HeartbeatTimeout = None,
    retries: Retries = None,
    backoff: BackoffOption = None,
    idempotency_key: Key = None,
    wait: Wait = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Submit a task for an agent, or for any agent with some capabilities."""
    new = _given(
        title=title,
        agent=agent,
        capabilities=capability or None,
        input=None if input is None else json_value(input, "--input"),
        priority=priority,
        labels=labels(label) or None,
        queue=queue,
        depends_on=depends_on,
        on_dependency_failure=on_dependency_failure,
        delay=seconds(delay, "--delay"),
        start_at=moment(at, "--at"),
        timeouts=_timeouts(run_timeout, queue_timeout, heartbeat_timeout) or None,
        retry=_retry(retries, backoff) or None,
    )
    _submit(cast("TaskNew", new), idempotency_key, project, wait=wait, json=json)


def _submit(
    new: "TaskNew", key: str | None, project: str | None, *, wait: bool, json: bool
) -> None:
    if ("agent" in new) == ("capabilities" in new):
        raise wrong("Give either --agent or --capability.", "'podium agent list' shows the agents.")
    with connect(project) as client:
        if dependencies := new.get("depends_on"):
            new["depends_on"] = [whole_id(client, given) for given in dependencies]
        task = client.tasks.create(idempotency_key=key, **new)
        if wait:
            tasks = task_follow.finished(client, [task.id], timeout=None, quiet=json)
            task_follow.show_outcome(tasks, json=json)
            return
    if json:
        output.emit(task)
    else:
        output.say(task.id)


@app.command("list")
def list_tasks(
    state: States = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            "-a",
            metavar="NAME",
            help="Only this agent's.",
            autocompletion=completion.agents,
        ),
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only this queue's.")] = None,
    label: Labels = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="NUMBER", help="At most so many.")
    ] = 50,
    project: Project = None,
    json: Json = False,
) -> None:
    """List tasks, newest first."""
    with connect(project) as client:
        tasks = list(
            client.tasks.list(
                states=state or (), agent=agent, queue=queue, labels=labels(label), limit=limit + 1
            )
        )
    if json:
        output.emit(tasks[:limit])
        return
    task_look.show_summaries(tasks[:limit])
    if len(tasks) > limit:
        output.note(f"These are the newest {limit}; --limit NUMBER shows more.")


@app.command()
def show(task_id: TaskId, project: Project = None, json: Json = False) -> None:
    """Show all of one task."""
    with connect(project) as client:
        task = client.tasks.get(whole_id(client, task_id))
        waits = not json and task.state in {"pending", "queued", "waiting"}
        why = client.tasks.explain(task.id).why if waits else None
    if json:
        output.emit(task)
    else:
        task_look.show_task(task, why)


@app.command()
def edit(
    task_id: TaskId,
    title: Title = None,
    priority: Priority = None,
    label: Labels = None,
    input: Input = None,  # noqa: A002 - named as the option is
    run_timeout: RunTimeout = None,
    queue_timeout: QueueTimeout = None,
    heartbeat_timeout: HeartbeatTimeout = None,
    retries: Retries = None,
    backoff: BackoffOption = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Change a task that has not begun to run.

    What is not given stays as it is; labels given replace all labels. A change of any timeout
    lets the queue timeout count anew.
    """
    changes = _given(title=title, priority=priority, labels=labels(label) or None)
    if input is not None:
        changes["input"] = json_value(input, "--input")
    parts = {
        "timeouts": _timeouts(run_timeout, queue_timeout, heartbeat_timeout),
        "retry": _retry(retries, backoff),
    }
    if not changes and not any(parts.values()):
        raise wrong("Nothing to change was given.", "See 'podium task edit --help'.")
    with connect(project) as client:
        whole = whole_id(client, task_id)
        changes |= _merged(client, whole, parts)
        task = client.tasks.update(whole, **cast("TaskEdit", changes))
    if json:
        output.emit(task)
    else:
        task_look.show_task(task)


def _merged(
    client: "Podium", task_id: str, parts: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    """The parts that are changed, filled up with what the task has: the API replaces them whole."""
    changed = {name: part for name, part in parts.items() if part}
    if not changed:
        return {}
    import msgspec

    has = msgspec.to_builtins(client.tasks.get(task_id))
    return {name: {**has[name], **part} for name, part in changed.items()}


@app.command()
def cancel(
    task_ids: TaskIds,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; kept with the task.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Cancel tasks, whether they wait or run."""
    said = {
        "cancelled": "is cancelled",
        "cancelling": "is being stopped",
        "ended": "had already ended",
    }
    with connect(project) as client:

        def do(task_id: str) -> None:
            result = client.tasks.cancel(task_id, reason)
            if json:
                output.emit({"id": task_id, "result": result})
            else:
                output.say(f"{task_id} {said.get(result, result)}")

        _each(client, task_ids, do, json=json)


@app.command()
def retry(
    task_ids: TaskIds,
    project: Project = None,
    json: Json = False,
) -> None:
    """Run tasks again that failed, are dead or were cancelled."""
    with connect(project) as client:

        def do(task_id: str) -> None:
            task = client.tasks.retry(task_id)
            if json:
                output.emit(task)
            else:
                output.say(f"{task.id} is {task.state}")

        _each(client, task_ids, do, json=json)


@app.command()
def delete(
    task_ids: TaskIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Delete ended tasks with their logs and artifacts; their events stay for a while."""
    which = "1 task" if len(task_ids) == 1 else f"{len(task_ids)} tasks"
    confirm(f"Delete {which} and all that was kept", yes=yes)
    with connect(project) as client:

        def do(task_id: str) -> None:
            client.tasks.delete(task_id)
            if json:
                output.emit({"id": task_id, "deleted": True})
            else:
                output.say(f"{task_id} is deleted")

        _each(client, task_ids, do, json=json)


def _each(client: "Podium", given: Sequence[str], do: Callable[[str], None], *, json: bool) -> None:
    """Do something to each task, whatever the server says of the others.

    The exit status is that of the first error. Nothing is done when an id cannot be read.
    """
    statuses: list[Status] = []
    found: list[str] = []
    for each in dict.fromkeys(given):
        try:
            found.append(whole_id(client, each))
        except Failure as error:
            if error.status is Status.USAGE:
                raise
            statuses.append(report(error, as_json=json))
    for task_id in found:
        try:
            do(task_id)
        except ApiError as error:
            statuses.append(report(error, as_json=json, about=task_id))
    if statuses:
        raise typer.Exit(statuses[0])


task_look.add(app)
task_follow.add(app)
