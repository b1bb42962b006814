"""The part of ``podium agent`` that has to do with versions."""

from typing import Annotated

import typer

from podium.cli import output
from podium.cli.agent_config import Name, gist
from podium.cli.options import Json, Project, connect

_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}

Old = Annotated[
    int | None,
    typer.Argument(metavar="[FROM]", min=1, help="A version; unset, the one before the other."),
]
New = Annotated[
    int | None,
    typer.Argument(metavar="[TO]", min=1, help="A version; unset, the one in force."),
]
Version = Annotated[
    int, typer.Argument(metavar="VERSION", min=1, help="The version.", show_default=False)
]
Expected = Annotated[
    int | None,
    typer.Option(
        "--expected", min=1, metavar="NUMBER", help="Refuse when another version is in force."
    ),
]


def add(app: typer.Typer) -> None:
    """Add these commands to the group."""
    for command in (versions, diff, rollback):
        app.command()(command)


def versions(name: Name, project: Project = None, json: Json = False) -> None:
    """Show every version of an agent: what it ran. --json shows all of its configuration."""
    with connect(project) as client:
        found = client.agents.versions(name)
    if json:
        output.emit(found)
        return
    rows = [(v.version, v.created_at, v.created_by, v.runtime, gist(v.config)) for v in found]
    headers = ("Version", "Created", "By", "Runtime", "Runs")
    output.show_table(headers, rows, "There are none.", fold=("Runs",), drop=("By",))


def diff(
    name: Name, old: Old = None, new: New = None, project: Project = None, json: Json = False
) -> None:
    """Show what two versions of an agent differ in. Unless told, the last two."""
    with connect(project) as client:
        found = client.agents.diff(name, old, new)
    if json:
        output.emit(found)
        return
    rows = [
        (
            output.styled(each.change, _STYLES[each.change]),
            each.pointer,
            "" if each.change == "added" else output.pretty(each.before),
            "" if each.change == "removed" else output.pretty(each.after),
        )
        for each in found.differences
    ]
    headers = ("Change", "Where", f"Version {found.old}", f"Version {found.new}")
    nothing = f"Versions {found.old} and {found.new} are the same."
    output.show_table(headers, rows, nothing, fold=headers[2:])


def rollback(
    name: Name,
    version: Version,
    expected: Expected = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Put an earlier version of an agent in force, as a new one."""
    with connect(project) as client:
        before = client.agents.get(name).version
        agent = client.agents.rollback(name, version, expected=expected)
    if json:
        output.emit(agent)
    elif agent.version == before:
        output.say(f"{agent.name} is what it was at version {version} already")
    else:
        output.say(f"{agent.name} is at version {agent.version}, which is version {version} again")
