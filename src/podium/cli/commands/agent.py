"""``podium agent``: register and look after agents."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import output
from podium.cli.agent_config import (
    Asked,
    Name,
    OutputMode,
    Prompt,
    TakesProgram,
    entry_point,
)
from podium.cli.commands import agent_detect, agent_look, agent_versions
from podium.cli.options import (
    Json,
    Labels,
    Project,
    Yes,
    application,
    confirm,
    connect,
    labels,
    wrong,
)
from podium.client.errors import Forbidden, PodiumError

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import AgentEdit, AgentNew
    from podium.client.models import Agent, Probe


class Clearable(StrEnum):
    """What an agent can do without."""

    LABELS = "labels"
    CAPABILITIES = "capabilities"
    MAX_CONCURRENCY = "max-concurrency"


NewName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the agent.", show_default=False)
]
Config = Annotated[
    str | None,
    typer.Option(
        metavar="JSON",
        help="Configuration of its runtime as JSON; @FILE reads a file, - standard input.",
    ),
]
Description = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="What it is good for.")
]
Capabilities = Annotated[
    list[str] | None,
    typer.Option("--capability", "-c", metavar="NAME", help="What it can do; may be repeated."),
]
Most = Annotated[
    int | None, typer.Option("--max-concurrency", min=1, metavar="NUMBER", help="Tasks at once.")
]
Weight = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=1000,
        metavar="NUMBER",
        help="Its share of what queues share out by weight; of a new one unset, 1.",
    ),
]
Command = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- COMMAND...]", help="The program and its arguments, after --."),
]
Function = Annotated[
    str | None,
    typer.Option(
        "--function", metavar="NAME", help="Python function, as module:function or by name."
    ),
]
PromptOption = Annotated[
    Prompt | None, typer.Option("--prompt", help="How a program gets the prompt; unset, stdin.")
]
OutputOption = Annotated[
    OutputMode | None, typer.Option("--output", help="What its output means; unset, text.")
]

Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it gets tasks.")]
Clear = Annotated[
    list[Clearable] | None,
    typer.Option(
        "--clear",
        metavar="FIELD",
        help="Empty it: labels, capabilities or max-concurrency; may be repeated.",
    ),
]

_OPEN = ("pending", "queued", "running", "waiting")
_COUNTED = 100
"""More open tasks of an agent are not counted."""

app = application("agent", "Register and look after agents.")


@app.command(cls=TakesProgram)
def add(
    name: NewName,
    command: Command = None,
    function: Function = None,
    prompt: PromptOption = None,
    output_mode: OutputOption = None,
    config: Config = None,
    description: Description = None,
    capability: Capabilities = None,
    label: Labels = None,
    max_concurrency: Most = None,
    weight: Weight = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Register an agent.

    A program: podium agent add NAME -- PROGRAM ARGS. A Python function: podium agent add NAME
    --function MODULE:FUNCTION. Either may be in --config instead, as command or function. Unless
    --json is given, it is tried whether the server's machine could start it.
    """
    given: dict[str, object] = {
        "name": name,
        **Asked(command, function, prompt, output_mode, config).first(),
        "description": description,
        "capabilities": capability,
        "labels": labels(label) or None,
        "max_concurrency": max_concurrency,
        "weight": weight,
    }
    new = cast("AgentNew", {key: value for key, value in given.items() if value is not None})
    with connect(project) as client:
        agent = client.agents.create(**new)
        health = None if json else _probed(client, agent)
    if json:
        output.emit(agent)
    else:
        _tell_registered(agent, health, "" if project is None else f" --project {project}")


def _probed(client: "Podium", agent: "Agent") -> "Probe | None":
    """What a probe finds, which is kept only if it is good: the agent may be on other machines."""
    try:
        return client.agents.probe(agent.name, record="healthy")
    except PodiumError:  # it is registered all the same
        return None


def _tell_registered(agent: "Agent", health: "Probe | None", here: str) -> None:
    output.say(f"{agent.name} is registered")
    again = f"podium agent probe {agent.name}{here}"
    if health is None:
        output.note(f"Whether the server can start it says: {again}")
    elif not health.ok:
        output.note(f"Warning: the server's machine cannot start it: {health.detail}")
        output.note(f"Its tasks are given to workers all the same. To try it again: {again}")
    if told := entry_point(agent.config):
        output.note(told)
    output.note(f'Try: podium ask "hello" --agent {agent.name}{here}')


@app.command(cls=TakesProgram)
def edit(
    name: Name,
    command: Command = None,
    function: Function = None,
    prompt: PromptOption = None,
    output_mode: OutputOption = None,
    config: Config = None,
    description: Description = None,
    capability: Capabilities = None,
    label: Labels = None,
    max_concurrency: Most = None,
    weight: Weight = None,
    enabled: Enabled = None,
    clear: Clear = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Change an agent. What configures its runtime replaces all of that and is a new version."""
    given: dict[str, object] = {
        **Asked(command, function, prompt, output_mode, config).another(name),
        "description": description,
        "capabilities": capability,
        "labels": labels(label) or None,
        "max_concurrency": max_concurrency,
        "weight": weight,
        "enabled": enabled,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    changes |= _cleared(clear or (), changes)
    if not changes:
        raise wrong("Nothing to change was given.", "See 'podium agent edit --help'.")
    with connect(project) as client:
        agent = client.agents.update(name, **cast("AgentEdit", changes))
    if json:
        output.emit(agent)
    else:
        output.say(f"{agent.name} is changed, at version {agent.version}")


@app.command()
def remove(
    name: Name,
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Remove an agent."""
    here = "" if project is None else f" --project {project}"
    with connect(project) as client:
        if not yes:
            client.agents.get(name)  # nobody need agree to what cannot be done
        left = None if json else _open_tasks(client, name, here)
        if left and not yes:
            output.note(left)
        confirm(f"Remove the agent {name}", yes=yes)
        client.agents.delete(name)
    if json:
        output.emit({"name": name, "removed": True})
    else:
        output.say(f"{name} is removed")
    if left:
        output.note(left)


def _open_tasks(client: "Podium", name: str, here: str) -> str | None:
    """How many tasks have no other agent, for whoever may see tasks."""
    try:
        found = list(client.tasks.list(states=_OPEN, agent=name, limit=_COUNTED + 1))
    except Forbidden:
        return None
    if not found:
        return None
    count = f"More than {_COUNTED}" if len(found) > _COUNTED else str(len(found))
    name_it = "task that has not ended names" if count == "1" else "tasks that have not ended name"
    return f"{count} {name_it} it; 'podium task list --agent {name}{here}' lists them."


def _cleared(wanted: Sequence[Clearable], changes: Mapping[str, object]) -> dict[str, object]:
    """What ``--clear`` empties."""
    empty: dict[str, object] = {"labels": {}, "capabilities": [], "max_concurrency": None}
    made: dict[str, object] = {}
    for field in wanted:
        name = field.name.lower()
        if name in changes:
            raise wrong(
                f"{field} cannot be both given and cleared.",
                f"Leave out --clear {field}: what is given replaces what there was.",
            )
        made[name] = empty[name]
    return made


agent_look.add(app)
agent_versions.add(app)
agent_detect.add(app)
