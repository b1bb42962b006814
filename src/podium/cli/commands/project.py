"""``podium project``: namespaces, and their share of the workers' time."""

from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import output
from podium.cli.options import Json, Yes, application, confirm, connect, seconds, wrong
from podium.cli.text import duration

if TYPE_CHECKING:
    from podium.client.inputs import ProjectEdit, ProjectNew
    from podium.client.models import Project

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Weight = Annotated[float, typer.Option(min=0.001, help="Share relative to other projects.")]
Ageing = Annotated[
    str | None,
    typer.Option(
        "--priority-ageing",
        metavar="TIME",
        help="Waiting for so long counts as one step of priority: 30s, 5m.",
    ),
]

KeepDays = Annotated[
    float | None,
    typer.Option(
        "--keep-days", metavar="DAYS", min=0.001, help="Delete tasks so many days after their end."
    ),
]
KeepTasks = Annotated[
    int | None,
    typer.Option(
        "--keep-tasks", metavar="NUMBER", min=0, help="Delete ended tasks but the newest so many."
    ),
]

app = application("project", "Manage projects.")


@app.command("list")
def list_projects(json: Json = False) -> None:
    """List the projects."""
    with connect() as client:
        projects = list(client.projects.list())
    if json:
        output.emit(projects)
        return
    rows = [
        (project.name, project.weight, _ageing(project), project.created_at) for project in projects
    ]
    headers = ("Name", "Weight", "Priorities age", "Created")
    output.show_table(headers, rows, "There are no projects.")


@app.command()
def create(
    name: Name,
    weight: Weight = 1.0,
    priority_ageing: Ageing = None,
    keep_days: KeepDays = None,
    keep_tasks: KeepTasks = None,
    json: Json = False,
) -> None:
    """Make a project."""
    new: ProjectNew = {
        "name": name,
        "weight": weight,
        "priority_ageing": seconds(priority_ageing, "--priority-ageing"),
        "keep_days": keep_days,
        "keep_tasks": keep_tasks,
    }
    with connect() as client:
        _tell(client.projects.create(**new), json=json)


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Show one project."""
    with connect() as client:
        _tell(client.projects.get(name), json=json)


@app.command()
def edit(
    name: Name,
    weight: Annotated[
        float | None, typer.Option(min=0.001, help="Share relative to other projects.")
    ] = None,
    priority_ageing: Ageing = None,
    no_priority_ageing: Annotated[
        bool, typer.Option("--no-priority-ageing", help="Priorities do not age.")
    ] = False,
    keep_days: KeepDays = None,
    keep_tasks: KeepTasks = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Delete ended tasks no more by themselves.")
    ] = False,
    json: Json = False,
) -> None:
    """Change a project. What is not given stays as it is."""
    if priority_ageing is not None and no_priority_ageing:
        raise wrong("Priorities cannot both age and not.", "Leave one of the two options out.")
    if keep_all and not (keep_days is None and keep_tasks is None):
        raise wrong("All tasks cannot be kept and some not.", "Leave --keep-all or the others out.")
    changes: ProjectEdit = {}
    if keep_all:
        changes = {"keep_days": None, "keep_tasks": None}
    if keep_days is not None:
        changes["keep_days"] = keep_days
    if keep_tasks is not None:
        changes["keep_tasks"] = keep_tasks
    if weight is not None:
        changes["weight"] = weight
    if priority_ageing is not None or no_priority_ageing:
        changes["priority_ageing"] = seconds(priority_ageing, "--priority-ageing")
    if not changes:
        raise wrong("Nothing to change was given.", "See 'podium project edit --help'.")
    with connect() as client:
        _tell(client.projects.update(name, **changes), json=json)


@app.command()
def delete(
    name: Name,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete a project that has no agents, tasks or tokens in force."""
    with connect() as client:
        if not yes:
            client.projects.get(name)  # nobody need agree to what cannot be done
        confirm(f"Delete the project {name}", yes=yes)
        client.projects.delete(name)
    if json:
        output.emit({"name": name, "deleted": True})
    else:
        output.say(f"{name} is deleted")


def _tell(project: "Project", *, json: bool) -> None:
    if json:
        output.emit(project)
    else:
        output.show_fields(
            {
                "Name": project.name,
                "Weight": project.weight,
                "Priorities age": _ageing(project),
                "Ended tasks are kept": _kept(project),
                "Created": project.created_at,
            }
        )


def _ageing(project: "Project") -> str:
    if project.priority_ageing is None:
        return "no"
    return f"a step each {duration(project.priority_ageing)}"


def _kept(project: "Project") -> str:
    limits: list[str] = []
    if project.keep_days is not None:
        limits.append(f"for {project.keep_days:g} days")
    if project.keep_tasks is not None:
        limits.append(f"the newest {project.keep_tasks:,}")
    return ", ".join(limits) or "all"
