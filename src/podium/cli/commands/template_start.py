"""The part of ``podium template`` that starts tasks, or shows what it would start."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import output
from podium.cli.commands import task_follow, template_look
from podium.cli.options import Json, Labels, Project, connect, labels, whole_id
from podium.cli.task_options import (
    At,
    BackoffOption,
    Capability,
    Deadline,
    Delay,
    DependsOn,
    ForAgent,
    HeartbeatTimeout,
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
from podium.cli.template_options import Name, Parameters, Values, Version, parameters

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import TaskChanges, TemplateCall


def add(app: typer.Typer) -> None:
    """Add these commands to the group."""
    for command in (start, preview):
        app.command()(command)


def start(
    name: Name,
    values: Values = None,
    whole: Parameters = None,
    version: Version = None,
    agent: ForAgent = None,
    capability: Capability = None,
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the task that it would submit.")
    ] = False,
    idempotency_key: Key = None,
    wait: Wait = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Start a task of a template. Other options than its parameters count for this task alone."""
    changes = given(
        agent=agent,
        capabilities=capability or None,
        title=title,
        priority=priority,
        labels=labels(label) or None,
        queue=queue,
        limits=limit or None,
        sticky=sticky,
        on_dependency_failure=on_dependency_failure,
        **times(delay, at, deadline),
        timeouts=timeouts(run_timeout, queue_timeout, heartbeat_timeout) or None,
        retry=retry_policy(retries, backoff) or None,
    )
    with connect(project) as client:
        if depends_on:
            changes["depends_on"] = [whole_id(client, each) for each in depends_on]
        call = _call(client, name, version, whole, values)
        if changes:
            call["task"] = cast("TaskChanges", changes)
        if dry_run:
            _preview(client, name, call, json=json)
            return
        task = client.templates.start(name, idempotency_key=idempotency_key, **call)
        if wait:
            tasks = task_follow.finished(client, [task.id], timeout=None, quiet=json)
            task_follow.show_outcome(tasks, json=json)
            return
    if json:
        output.emit(task)
    else:
        output.say(task.id)


def preview(
    name: Name,
    values: Values = None,
    whole: Parameters = None,
    version: Version = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show the task that start would submit; nothing is written."""
    with connect(project) as client:
        _preview(client, name, _call(client, name, version, whole, values), json=json)


def _preview(client: "Podium", name: str, call: "TemplateCall", *, json: bool) -> None:
    found = client.templates.preview(name, **call)
    if json:
        output.emit(found)
    else:
        template_look.show_preview(found)


def _call(
    client: "Podium",
    name: str,
    version: int | None,
    whole: str | None,
    values: "Sequence[str] | None",
) -> "TemplateCall":
    """What is to be sent. The template is read for the types of what stands on the command line."""
    schema = client.templates.get(name, version).parameters if values else {}
    made: TemplateCall = {"parameters": parameters(schema, whole, values)}
    if version is not None:
        made["version"] = version
    return made
