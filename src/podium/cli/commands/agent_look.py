"""The part of ``podium agent`` that shows agents and tries whether they could start."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import completion, output
from podium.cli.agent_config import Name
from podium.cli.failures import Status
from podium.cli.options import Json, Labels, Project, connect, labels, wrong
from podium.cli.text import line

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.models import Agent, Probe

Capabilities = Annotated[
    list[str] | None,
    typer.Option("--capability", "-c", metavar="NAME", help="They can do this; may be repeated."),
]
Runtime = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", help="Of this kind: command, function.")
]
ProbedName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="Name of the agent.",
        show_default=False,
        autocompletion=completion.agents,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Try every agent that is not disabled.")]


def add(app: typer.Typer) -> None:
    """Add these commands to the group."""
    app.command("list")(list_agents)
    for command in (show, probe):
        app.command()(command)


def list_agents(
    capability: Capabilities = None,
    label: Labels = None,
    runtime: Runtime = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """List the agents: all, or those that have all that is asked for."""
    with connect(project) as client:
        found = client.agents.list(
            capabilities=capability or (), labels=labels(label), runtime=runtime
        )
        agents = list(found)
    if json:
        output.emit(agents)
        return
    rows = [
        (
            agent.name,
            agent.version,
            agent.runtime,
            "—" if _is_unknown(agent) else _health(agent),
            f"{agent.running}/{agent.max_concurrency or '∞'}",
            ", ".join(agent.capabilities),
            line(agent.description or "", 60),
        )
        for agent in agents
    ]
    headers = ("Name", "Version", "Runtime", "Health", "Runs", "Capabilities", "Description")
    output.show_table(
        headers,
        rows,
        "There are no such agents."
        if capability or label or runtime
        else "There are no agents. 'podium agent detect' looks for some, 'podium agent add --help' "
        "says how to add one.",
        cut=("Capabilities", "Description"),
        drop=("Version", "Runtime", "Capabilities", "Runs"),
    )


def show(name: Name, project: Project = None, json: Json = False) -> None:
    """Show all of one agent."""
    with connect(project) as client:
        agent = client.agents.get(name)
    if json:
        output.emit(agent)
    else:
        _show(agent)


def probe(
    name: ProbedName = None,
    every: All = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Try whether an agent could start now. The exit status is 1 when it could not."""
    if (name is None) is not every:
        raise wrong("Give either an agent or --all.", "For example: podium agent probe --all")
    with connect(project) as client:
        found = _probed_all(client) if name is None else [(name, client.agents.probe(name))]
    if json:
        output.emit(found[0][1] if name else [_record(*each) for each in found])
    for each, health in () if json else found:
        output.say(f"{each} {'is ready' if health.ok else 'is not ready'}: {health.detail}")
    if not found:
        output.note("There is no agent that is not disabled.")
    if not all(health.ok for _, health in found):
        raise typer.Exit(Status.FAILED)


def _probed_all(client: "Podium") -> "Sequence[tuple[str, Probe]]":
    names = [agent.name for agent in client.agents.list() if agent.enabled]
    return [(name, client.agents.probe(name)) for name in names]


def _record(name: str, health: "Probe") -> dict[str, object]:
    return {"name": name, "ok": health.ok, "detail": health.detail}


def _health(agent: "Agent") -> object:
    if not agent.enabled:
        return output.styled("disabled", "dim")
    if not agent.healthy:
        return output.styled("unhealthy", "red")
    if _is_unknown(agent):
        return output.styled("not probed", "dim")
    return output.styled("ok", "green")


def _is_unknown(agent: "Agent") -> bool:
    return agent.enabled and agent.healthy and agent.health_checked_at is None


def _show(agent: "Agent") -> None:
    output.show_fields(
        {
            "Id": agent.id,
            "Name": agent.name,
            "Project": agent.project,
            "Version": agent.version,
            "Runtime": agent.runtime,
            "Health": _health(agent),
            "Health detail": agent.health_detail,
            "Probed": agent.health_checked_at,
            "Probed on": agent.health_host,
            "Description": agent.description or None,
            "Capabilities": ", ".join(agent.capabilities) or None,
            "Labels": ", ".join(f"{k}={v}" for k, v in agent.labels.items()) or None,
            "At once": agent.max_concurrency,
            "Weight": f"{agent.weight:g}",
            "Runs now": agent.running,
            "Configuration": output.pretty(agent.config),
            "Created": agent.created_at,
            "Updated": agent.updated_at,
        }
    )
