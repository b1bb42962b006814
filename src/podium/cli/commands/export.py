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


@app.command()
def export(
    kind: Kinds = None,
    every: Annotated[bool, typer.Option("--all", help="Of all projects.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Write agents, queues, limits, templates, schedules, filters and their project as YAML.

    What a thing has anyway is left out. Values of agents' environment variables are among what is
    written, for tokens that may see them.
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
                    made.append(_document(kind, thing.name, each.name, found.spec))
    return made


def _open(spec: Any) -> dict[str, Any]:
    """A queue's rules without its state where that is the usual one."""
    return {name: value for name, value in spec.items() if (name, value) != ("state", "open")}


def _document(kind: str, name: str, project: str | None, spec: Any) -> dict[str, Any]:
    from podium.cli.apply.kinds import brief

    told = brief(kind, _open(spec) if kind == "Queue" else spec)
    of = {} if project is None else {"project": project}
    return {"kind": kind, "name": name, **of, "spec": dict(told)}
