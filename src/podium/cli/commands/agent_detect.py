"""``podium agent detect``: register the coding agents of this machine."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import output
from podium.cli.failures import Failure, Status
from podium.cli.options import Json, Project, confirm, connect, wrong
from podium.client.errors import Forbidden

if TYPE_CHECKING:
    from podium.cli.coding_agents import CodingAgent
    from podium.cli.detection import Plan
    from podium.client import Podium
    from podium.client.models import Agent

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="Look for this one alone; may be repeated."),
]
Capabilities = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        "-c",
        metavar="NAME",
        help="What new ones can do, besides code; may be repeated.",
    ),
]
Keys = Annotated[
    bool,
    typer.Option(
        "--keys",
        help="Let them have the variables with their keys that workers have; needs the scope "
        "admin. Unset, each uses its own login.",
    ),
]

_OPEN = ("new", "changed")
_STYLES = {"new": "cyan", "changed": "yellow", "registered": "green", "not found": "dim"}


def add(app: typer.Typer) -> None:
    """Add this command to the group."""
    app.command()(detect)


def detect(
    only: Only = None,
    capability: Capabilities = None,
    keys: Keys = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be registered.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Find the coding agents on PATH and register them. Claude Code and Codex are such.

    What is registered already stays as it is; where its program has moved, that is a new version.
    """
    from podium.cli.detection import look, planned

    found = look(_chosen(only))
    if all(each.path is None for each in found):
        _tell_how_to_get([each.known for each in found], json=json)
        raise Failure(
            Status.FAILED,
            "no_agents",
            "None of these coding agents is on PATH.",
            "Install one and run this again, or add any program with 'podium agent add'.",
        )
    with connect(project) as client:
        registered = {agent.name: agent for agent in client.agents.list()}
        plans = [planned(each, registered, keys=keys) for each in found]
        if not json:
            _show(plans, named=bool(only))
        done: list[Agent] = []
        if not dry_run and _any_to_do(plans, json=json):
            confirm(_question(plans), yes=yes)
            done = [_carry_out(client, plan, capability or ()) for plan in plans if _is_open(plan)]
        healths = {agent.name: _probe(client, agent, json=json) for agent in done}
        if not json:
            _tell_the_rest(client, plans, keys=keys)
    if json:
        output.emit([_record(plan, healths, done) for plan in plans])


def _chosen(only: Sequence[str] | None) -> "Sequence[CodingAgent]":
    from podium.cli.coding_agents import KNOWN

    names = [each.name for each in KNOWN]
    for name in only or ():
        if name not in names:
            raise wrong(f"{name!r} is no known coding agent.", f"Known are: {', '.join(names)}.")
    return [each for each in KNOWN if not only or each.name in only]


def _tell_how_to_get(known: "Sequence[CodingAgent]", *, json: bool) -> None:
    if json:
        output.emit([{"name": each.name, "state": "not found"} for each in known])
        return
    rows = [(each.title, each.program, each.install) for each in known]
    output.show_table(("Agent", "Program", "How to get it"), rows, "", fold=("How to get it",))


def _show(plans: "Sequence[Plan]", *, named: bool) -> None:
    missing = [plan.found.known for plan in plans if plan.found.path is None]
    rows = [
        (
            plan.found.known.title,
            plan.found.version,
            plan.found.path,
            plan.found.known.name,
            output.styled(plan.state, _STYLES.get(plan.state)),
        )
        for plan in plans
        if plan.found.path is not None
    ]
    headers = ("Agent", "Version", "Program", "Name", "State")
    output.show_table(headers, rows, "", fold=("Program",), drop=("Agent", "Version"))
    if missing and named:
        _tell_how_to_get(missing, json=False)
    elif missing:
        output.note(
            f"Not found: {', '.join(each.name for each in missing)}. How to get one says: "
            "podium agent detect --only NAME"
        )


def _is_open(plan: "Plan") -> bool:
    return plan.state in _OPEN


def _any_to_do(plans: "Sequence[Plan]", *, json: bool) -> bool:
    if any(map(_is_open, plans)):
        return True
    if not json:
        output.note("There is nothing to register.")
    return False


def _question(plans: "Sequence[Plan]") -> str:
    told = {
        "Register": [plan.found.known.name for plan in plans if plan.state == "new"],
        "change": [plan.found.known.name for plan in plans if plan.state == "changed"],
    }
    text = " and ".join(f"{what} {', '.join(names)}" for what, names in told.items() if names)
    return text[0].upper() + text[1:]


def _carry_out(client: "Podium", plan: "Plan", capabilities: Sequence[str]) -> "Agent":
    known, config = plan.found.known, plan.config or {}
    if plan.before is None:
        return client.agents.create(
            name=known.name,
            runtime="command",
            config=config,
            description=f"{known.title}, found by podium agent detect.",
            capabilities=[*known.capabilities, *capabilities],
            labels={"vendor": known.vendor},
        )
    return client.agents.update(known.name, config=config, version=plan.before.version)


def _probe(client: "Podium", agent: "Agent", *, json: bool) -> bool:
    """Whether the server's machine could start it: that need not be this one."""
    health = client.agents.probe(agent.name)
    if not json:
        done = "registered" if agent.version == 1 else f"changed, at version {agent.version}"
        ready = "ready" if health.ok else f"not ready: {health.detail}"
        output.say(f"{agent.name} is {done}; it is {ready}")
    return health.ok


def _tell_the_rest(client: "Podium", plans: "Sequence[Plan]", *, keys: bool) -> None:
    for plan in plans:
        name, path = plan.found.known.name, plan.found.path
        unused = [] if keys else [key for key in plan.found.known.keys if key in os.environ]
        if plan.state == "name taken":
            output.note(f"An agent {name} that runs something else is registered; it stays.")
        elif plan.state == "not recognized":
            output.note(f"{path} does not say that it is {plan.found.known.title}; passed over.")
        elif plan.state == "new" and unused:
            output.note(
                f"{name} is not given {', '.join(unused)} and uses its own login; --keys lets "
                "agents have such variables from the worker."
            )
    elsewhere = _other_machines(client)
    if elsewhere:
        output.note(
            f"Agents run where the workers are, also on {', '.join(elsewhere)}: what is "
            "registered here must be there in the same places."
        )


def _other_machines(client: "Podium") -> list[str]:
    """Where else workers are, for whoever may know."""
    from socket import gethostname

    try:
        hosts = {worker.host for worker in client.workers.list() if worker.state == "active"}
    except Forbidden:
        return []
    return sorted(hosts - {gethostname()})


def _record(
    plan: "Plan", healths: Mapping[str, bool], done: "Sequence[Agent]"
) -> dict[str, object]:
    found = plan.found
    versions = {agent.name: agent.version for agent in done}
    before = plan.before.version if plan.before else None
    return {
        "name": found.known.name,
        "title": found.known.title,
        "state": plan.state,
        "program": found.path,
        "program_version": found.version,
        "install": found.known.install,
        "agent_version": versions.get(found.known.name, before),
        "ready": healths.get(found.known.name),
    }
