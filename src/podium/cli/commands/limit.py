"""``podium limit``: limits that tasks name, such as one for each customer or repository."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import completion, output
from podium.cli.options import (
    Burst,
    Json,
    Project,
    RateOption,
    Yes,
    application,
    confirm,
    connect,
    rate,
    wrong,
)
from podium.cli.text import rate_text

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import LimitPut
    from podium.client.models import Limit

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the limit; with * at its end, of each limit whose name begins like it.",
        show_default=False,
        autocompletion=completion.limits,
    ),
]
Most = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, metavar="NUMBER", help="Tasks that run at once."),
]

app = application("limit", "Limit tasks that share a name.")


@app.command("list")
def list_limits(project: Project = None, json: Json = False) -> None:
    """List the limits."""
    with connect(project) as client:
        limits = list(client.limits.list())
    if json:
        output.emit(limits)
        return
    rows = [
        (
            limit.name,
            limit.concurrency or "any number",
            rate_text(limit.rate),
            limit.used,
            limit.waiting,
        )
        for limit in limits
    ]
    headers = ("Name", "Runs at once", "Starts", "Used", "Waiting")
    output.show_table(headers, rows, "There are no limits. 'podium limit set --help' says how.")


@app.command()
def show(name: Name, project: Project = None, json: Json = False) -> None:
    """Show one limit."""
    with connect(project) as client:
        _tell(client.limits.get(name), json=json)


@app.command("set")
def set_limit(
    name: Name,
    concurrency: Most = None,
    rate_option: RateOption = None,
    burst: Burst = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Set a limit; what is given replaces all that was set.

    Tasks name it: podium task create --limit customer:42. One that ends in *, such as 'customer:*',
    holds for each name that begins like it.
    """
    rule: dict[str, object] = {"concurrency": concurrency, "rate": rate(rate_option, burst)}
    if concurrency is None and rate_option is None:
        raise wrong("Nothing to set was given.", "Give --concurrency, --rate or both.")
    with connect(project) as client:
        _tell(client.limits.set(name, **cast("LimitPut", rule)), json=json)


@app.command()
def delete(name: Name, yes: Yes = False, project: Project = None, json: Json = False) -> None:
    """Delete a limit; tasks that wait for it may go on."""
    with connect(project) as client:
        known = _is_set(client, name)
        if known:
            confirm(f"Delete the limit {name}", yes=yes)
            client.limits.delete(name)
    if json:
        output.emit({"name": name, "deleted": known})
    else:
        output.say(f"{name} is deleted" if known else f"{name} had no rule")


def _is_set(client: "Podium", name: str) -> bool:
    from podium.client.errors import NotFound

    try:
        client.limits.get(name)
    except NotFound:
        return False
    return True


def _tell(limit: "Limit", *, json: bool) -> None:
    if json:
        output.emit(limit)
        return
    output.show_fields(
        {
            "Name": limit.name,
            "Project": limit.project,
            "Runs at once": limit.concurrency or "any number",
            "Starts": rate_text(limit.rate),
            "Used": limit.used,
            "Waiting": limit.waiting,
            "Changed": limit.updated_at,
        }
    )
