"""``podium task``: submit, look at and steer tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import output
from podium.cli.commands import task_bulk, task_find, task_follow, task_look
from podium.cli.failures import Failure, Status, report
from podium.cli.options import (
    Json,
    Labels,
    Project,
    TaskId,
    TaskIds,
    Yes,
    application,
    confirm,
    connect,
    json_value,
    labels,
    moment,
    whole_id,
    wrong,
)
from podium.cli.task_options import (
    At,
    BackoffOption,
    Capability,
    Deadline,
    Delay,
    DependsOn,
    ForAgent,
    HeartbeatTimeout,
    Input,
    Key,
    NamedLimits,
    OnFailure,
    Priority,
    Queue,
    QueueTimeout,
    Retries,
    RunTimeout,
    Sticky,
    Title,
    Wait,
    given,
    retry_policy,
    timeouts,
    times,
)
from podium.client.errors import ApiError

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import TaskEdit, TaskNew


app = application("task", "Submit, look at and steer tasks.")


@app.command()
def create(
    agent: ForAgent = None,
    capability: Capability = None,
    input: Input = None,  # noqa: A002 - named as the option is
    title: Title = None,
    priority: Priority = None,
    label: Labels = None,
    queue: Queue = None,
    limit: NamedLimits = None,
    sticky: Sticky = None,
    depends_on: DependsOn = None,
    on_dependency_failure: OnFailure = None,
    delay: Delay = None,
    at: At = None,
    deadline: Deadline = None,
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
    """Submit a task for an agent, or for any with the capabilities."""
    new = given(
        title=title,
        agent=agent,
        capabilities=capability or None,
        input=None if input is None else json_value(input, "--input"),
        priority=priority,
        labels=labels(label) or None,
        queue=queue,
        limits=limit,
        sticky=sticky,
        depends_on=depends_on,
        on_dependency_failure=on_dependency_failure,
        **times(delay, at, deadline),
        timeouts=timeouts(run_timeout, queue_timeout, heartbeat_timeout) or None,
        retry=retry_policy(retries, backoff) or None,
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
    deadline: Deadline = None,
    run_timeout: RunTimeout = None,
    queue_timeout: QueueTimeout = None,
    heartbeat_timeout: HeartbeatTimeout = None,
    retries: Retries = None,
    backoff: BackoffOption = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Change a task that has not begun to run.

    What is not given stays as it is; labels given replace all labels. A change of the deadline or
    any timeout lets the queue timeout count anew.
    """
    changes = given(
        title=title,
        priority=priority,
        labels=labels(label) or None,
        deadline=moment(deadline, "--deadline"),
    )
    if input is not None:
        changes["input"] = json_value(input, "--input")
    parts = {
        "timeouts": timeouts(run_timeout, queue_timeout, heartbeat_timeout),
        "retry": retry_policy(retries, backoff),
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
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Delete ended tasks with their logs and artifacts. Their events stay for a while."""
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
task_find.add(app)
task_follow.add(app)
app.add_typer(task_bulk.app)
