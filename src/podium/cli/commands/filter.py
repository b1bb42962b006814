"""``podium filter``: filters of tasks, kept under a name."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import completion, output
from podium.cli.options import Json, Labels, Project, Yes, application, confirm, connect, wrong
from podium.cli.task_filters import After, Before, OfAgent, OfQueue, Search, SortOption, query
from podium.cli.task_options import States, given

if TYPE_CHECKING:
    from podium.client.inputs import FilterPut
    from podium.client.models import SavedFilter

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the filter.",
        show_default=False,
        autocompletion=completion.filters,
    ),
]

app = application("filter", "Keep filters of tasks under a name.")


@app.command("list")
def list_filters(project: Project = None, json: Json = False) -> None:
    """List the saved filters."""
    with connect(project) as client:
        filters = list(client.filters.list())
    if json:
        output.emit(filters)
        return
    rows = [(each.name, _meant(each), each.sort, each.description) for each in filters]
    headers = ("Name", "Tasks", "Sorted by", "Description")
    output.show_table(
        headers,
        rows,
        "There are no filters. 'podium filter save --help' says how.",
        fold=("Tasks",),
    )


@app.command()
def show(name: Name, project: Project = None, json: Json = False) -> None:
    """Show one saved filter."""
    with connect(project) as client:
        _tell(client.filters.get(name), json=json)


@app.command()
def save(
    name: Name,
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    sort: SortOption = None,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Save a filter for all who see the project. It replaces the one that had the name.

    'podium task list --filter NAME' uses it, and so do count, export and bulk.
    """
    wanted = query(state, agent, queue, label, search, created_after, created_before)
    if not wanted and sort is None:
        raise wrong("Nothing says which tasks it means.", "See 'podium filter save --help'.")
    put = given(filter=wanted, sort=sort and sort.value, description=description)
    with connect(project) as client:
        _tell(client.filters.save(name, **cast("FilterPut", put)), json=json)


@app.command()
def delete(name: Name, yes: Yes = False, project: Project = None, json: Json = False) -> None:
    """Delete a saved filter."""
    with connect(project) as client:
        client.filters.get(name)
        confirm(f"Delete the filter {name}", yes=yes)
        client.filters.delete(name)
    if json:
        output.emit({"name": name, "deleted": True})
    else:
        output.say(f"{name} is deleted")


def _tell(saved: "SavedFilter", *, json: bool) -> None:
    if json:
        output.emit(saved)
        return
    output.show_fields(
        {
            "Name": saved.name,
            "Description": saved.description or None,
            "Tasks": _meant(saved),
            "Sorted by": saved.sort,
            "Saved by": saved.created_by,
            "Saved": saved.updated_at,
        }
    )


def _meant(saved: "SavedFilter") -> str:
    """What the filter asks for, in a line."""
    import msgspec

    asked: dict[str, object] = msgspec.to_builtins(saved.filter)
    parts = [f"{name}: {_text(value)}" for name, value in asked.items() if value]
    return "; ".join(parts) or "all"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return output.data(cast("dict[str, object]", value))
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value)))
    return str(value)
