"""``podium template``: tasks with parameters, ready to be started."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import output
from podium.cli.commands import template_look, template_start
from podium.cli.options import (
    Json,
    Labels,
    Project,
    application,
    confirm,
    connect,
    json_object,
    json_value,
    labels,
    text_value,
    wrong,
)
from podium.cli.task_options import (
    BackoffOption,
    Capability,
    ForAgent,
    HeartbeatTimeout,
    Input,
    NamedLimits,
    Priority,
    Queue,
    QueueTimeout,
    Retries,
    RunTimeout,
    Sticky,
    Title,
    given,
    retry_policy,
    timeouts,
)
from podium.cli.template_options import (
    Approval,
    Defaults,
    Description,
    Name,
    NewName,
    Prompt,
    Schema,
    Unset,
    values,
)

if TYPE_CHECKING:
    from podium.client.inputs import TemplateEdit, TemplateNew, TemplateTask

app = application("template", "Start tasks from templates with parameters.")


@app.command()
def create(
    name: NewName,
    prompt: Prompt = None,
    schema: Schema = None,
    default: Defaults = None,
    description: Description = None,
    requires_approval: Approval = None,
    agent: ForAgent = None,
    capability: Capability = None,
    input: Input = None,  # noqa: A002 - named as the option is
    title: Title = None,
    priority: Priority = None,
    label: Labels = None,
    queue: Queue = None,
    limit: NamedLimits = None,
    sticky: Sticky = None,
    run_timeout: RunTimeout = None,
    queue_timeout: QueueTimeout = None,
    heartbeat_timeout: HeartbeatTimeout = None,
    retries: Retries = None,
    backoff: BackoffOption = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Make a template. Texts of --title and --input may hold {{ name }}, too."""
    if prompt is None:
        raise wrong("Give a --prompt.", "--prompt 'Sum up {{ path }}.', or --prompt @prompt.md.")
    if (agent is None) == (not capability):
        raise wrong("Give either --agent or --capability.", "'podium agent list' shows the agents.")
    known: Mapping[str, object] = {} if schema is None else json_object(schema, "--schema")
    new = given(
        name=name,
        prompt=text_value(prompt, "--prompt"),
        parameters=known or None,
        defaults=values(known, default, "--default") or None,
        description=description,
        requires_approval=requires_approval,
        task=given(
            agent=agent,
            capabilities=capability or None,
            input=None if input is None else json_value(input, "--input"),
            title=title,
            priority=priority,
            labels=labels(label) or None,
            queue=queue,
            limits=limit or None,
            sticky=sticky,
            timeouts=timeouts(run_timeout, queue_timeout, heartbeat_timeout) or None,
            retry=retry_policy(retries, backoff) or None,
        ),
    )
    with connect(project) as client:
        template = client.templates.create(**cast("TemplateNew", new))
    template_look.tell(template, json=json)


@app.command()
def edit(
    name: Name,
    prompt: Prompt = None,
    schema: Schema = None,
    default: Defaults = None,
    no_default: Unset = None,
    description: Description = None,
    requires_approval: Approval = None,
    agent: ForAgent = None,
    capability: Capability = None,
    input: Input = None,  # noqa: A002 - named as the option is
    title: Title = None,
    priority: Priority = None,
    label: Labels = None,
    queue: Queue = None,
    limit: NamedLimits = None,
    sticky: Sticky = None,
    run_timeout: RunTimeout = None,
    queue_timeout: QueueTimeout = None,
    heartbeat_timeout: HeartbeatTimeout = None,
    retries: Retries = None,
    backoff: BackoffOption = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Give a template another version. Of one that is built in it is the project's own.

    What is not given stays as it is; labels given replace all labels.
    """
    changes = given(
        prompt=None if prompt is None else text_value(prompt, "--prompt"),
        parameters=None if schema is None else json_object(schema, "--schema"),
        description=description,
        requires_approval=requires_approval,
    )
    work = given(
        agent=agent,
        capabilities=capability or None,
        input=None if input is None else json_value(input, "--input"),
        title=title,
        priority=priority,
        labels=labels(label) or None,
        queue=queue,
        limits=limit or None,
        sticky=sticky,
    )
    parts = {
        "timeouts": timeouts(run_timeout, queue_timeout, heartbeat_timeout),
        "retry": retry_policy(retries, backoff),
    }
    with_task = bool(work) or any(parts.values())
    if not (changes or with_task or default or no_default):
        raise wrong("Nothing to change was given.", "See 'podium template edit --help'.")
    with connect(project) as client:
        template = client.templates.get(name)
        if default or no_default:
            known = cast("dict[str, object]", changes.get("parameters") or template.parameters)
            kept = {k: v for k, v in template.defaults.items() if k not in (no_default or ())}
            changes["defaults"] = {**kept, **values(known, default, "--default")}
        if with_task:
            changes["task"] = _merged(template.task, work, parts)
        edit = cast("TemplateEdit", {**changes, "version": template.version})
        template = client.templates.update(name, **edit)
    template_look.tell(template, json=json)


def _merged(
    has: "dict[str, object]",
    work: dict[str, object],
    parts: dict[str, dict[str, object]],
) -> "TemplateTask":
    """The task as it is with what is changed, because the API replaces it whole."""
    task = dict(has)
    if "agent" in work:  # one takes the other's place
        task.pop("capabilities", None)
        task.pop("sticky", None)
    elif "capabilities" in work:
        task.pop("agent", None)
    for field, part in parts.items():
        if part:
            task[field] = {**cast("dict[str, object]", task.get(field) or {}), **part}
    return cast("TemplateTask", {**task, **work})


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Delete a template, or go back to what is built in. Its tasks stay."""
    confirm(f"Delete the template {name}", yes=yes)
    with connect(project) as client:
        client.templates.delete(name)
    if json:
        output.emit({"name": name, "deleted": True})
    else:
        output.say(f"{name} is deleted")


template_look.add(app)
template_start.add(app)
