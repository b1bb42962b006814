"""``podium project``: namespaces, and their share of the workers' time."""

from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import output
from podium.cli.options import Json, application, confirm, connect

if TYPE_CHECKING:
    from podium.client.models import Project

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Weight = Annotated[float, typer.Option(min=0.001, help="Share relative to other projects.")]

app = application("project", "Manage projects.")


@app.command("list")
def list_projects(json: Json = False) -> None:
    """List the projects."""
    with connect() as client:
        projects = list(client.projects.list())
    if json:
        output.emit(projects)
        return
    rows = [(project.name, project.weight, project.created_at) for project in projects]
    output.show_table(("Name", "Weight", "Created"), rows, "There are no projects.")


@app.command()
def create(name: Name, weight: Weight = 1.0, json: Json = False) -> None:
    """Make a project."""
    with connect() as client:
        _tell(client.projects.create(name=name, weight=weight), json=json)


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Show one project."""
    with connect() as client:
        _tell(client.projects.get(name), json=json)


@app.command()
def edit(
    name: Name,
    weight: Annotated[float, typer.Option(min=0.001, help="Share relative to other projects.")],
    json: Json = False,
) -> None:
    """Change a project."""
    with connect() as client:
        _tell(client.projects.update(name, weight=weight), json=json)


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
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
            {"Name": project.name, "Weight": project.weight, "Created": project.created_at}
        )
