"""``podium export``: what there is, as files for ``podium apply``."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from podium.cli import output
from podium.cli.options import Json, Project, application, connect

if TYPE_CHECKING:
    from podium.client import Podium


class Kind(StrEnum):
    """What can be exported."""

    PROJECT = "Project"
    AGENT = "Agent"
    QUEUE = "Queue"
    LIMIT = "Limit"
    TEMPLATE = "Template"
    SCHEDULE = "Schedule"
    FILTER = "Filter"


Kinds = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind",
        "-k",
        metavar="KIND",
        case_sensitive=False,
        help=f"Only this kind: {', '.join(Kind)}; may be repeated.",
    ),
]

app = application()
_HIDDEN = "***"
"""What the server tells in the place of a value that is not shown."""


@app.command()
def export(
    kind: Kinds = None,
    every: Annotated[bool, typer.Option("--all", help="Of all projects.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Write agents, queues, limits, templates, schedules, filters and their project as YAML.

    What a thing has anyway is left out. Values of agents' environment variables are among what is
    written for tokens that may see them; for others the variables are left out, which is told.
    """
    with connect(project) as client:
        found = _documents(client, [each.value for each in kind or Kind], every=every)
    if json:
        output.emit(found)
        return
    from podium.cli.apply.yaml12 import write

    sys.stdout.write(write(found) if found else "")


def _documents(client: "Podium", wanted: Sequence[str], *, every: bool) -> list[dict[str, Any]]:
    from podium.cli.apply.kinds import KINDS, brief, has

    here = client.project or client.whoami().project or "default"
    projects = [each for each in client.projects.list() if every or each.name == here]
    made: list[dict[str, Any]] = []
    if "Project" in wanted:
        made += [
            _document("Project", each.name, None, has("Project", each).spec) for each in projects
        ]
    for each in projects:
        of = client.in_project(each.name)
        for kind in [name for name in KINDS if name in wanted and name != "Project"]:
            for thing in KINDS[kind].read(of):
                found = has(kind, thing)
                if found.own and not (kind == "Queue" and not brief(kind, _open(found.spec))):
                    spec = (
                        found.spec if kind != "Agent" else _shown(each.name, thing.name, found.spec)
                    )
                    made.append(_document(kind, thing.name, each.name, spec))
    return made


def _shown(project: str, agent: str, spec: Any) -> Any:
    """An agent's spec without those variables that this token is not shown."""
    variables: dict[str, str] = spec["config"].get("env") or {}
    hidden = [name for name, value in variables.items() if value == _HIDDEN]
    if not hidden:
        return spec
    output.note(
        f"Left out of Agent {project}/{agent}, as only tokens with agents:execute are shown their "
        f"values: {', '.join(hidden)}. To apply the file takes them from the agent."
    )
    env = {name: value for name, value in variables.items() if name not in hidden}
    return {**spec, "config": {**spec["config"], "env": env}}


def _open(spec: Any) -> dict[str, Any]:
    """A queue's rules without its state where that is the usual one."""
    return {name: value for name, value in spec.items() if (name, value) != ("state", "open")}


def _document(kind: str, name: str, project: str | None, spec: Any) -> dict[str, Any]:
    from podium.cli.apply.kinds import brief

    told = brief(kind, _open(spec) if kind == "Queue" else spec)
    of = {} if project is None else {"project": project}
    return {"kind": kind, "name": name, **of, "spec": dict(told)}
