"""``podium queue``: how much of each queue runs, how fast it starts, and whether it does."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from podium.cli import completion, output
from podium.cli.options import Burst, Json, Project, RateOption, application, connect, rate, wrong
from podium.cli.text import rate_text

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import QueueEdit
    from podium.client.models import Queue


class Clearable(StrEnum):
    """What a queue can do without."""

    CONCURRENCY = "concurrency"
    RATE = "rate"


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the queue.",
        show_default=False,
        autocompletion=completion.queues,
    ),
]
Most = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, metavar="NUMBER", help="Tasks of it that run at once."),
]
Clear = Annotated[
    list[Clearable] | None,
    typer.Option(
        "--clear", metavar="LIMIT", help="No such limit: concurrency or rate; may be repeated."
    ),
]
Distribution = Annotated[
    Literal["least_loaded", "round_robin", "weighted"] | None,
    typer.Option(
        help="Which of the agents with the capabilities of a task is given it: who is least busy, "
        "one after the other, or by their weights."
    ),
]

app = application("queue", "Limit, pause and drain queues.")


@app.command("list")
def list_queues(project: Project = None, json: Json = False) -> None:
    """List the queues that tasks came to or that something was set for."""
    with connect(project) as client:
        queues = list(client.queues.list())
    if json:
        output.emit(queues)
        return
    rows = [
        (
            queue.name,
            output.state(queue.state),
            queue.queued,
            f"{queue.running}/{queue.concurrency or '∞'}",
            rate_text(queue.rate),
        )
        for queue in queues
    ]
    headers = ("Name", "State", "Queued", "Runs", "Starts")
    output.show_table(headers, rows, "No task came to any queue yet.")


@app.command()
def show(name: Name, project: Project = None, json: Json = False) -> None:
    """Show one queue."""
    with connect(project) as client:
        _tell(client.queues.get(name), json=json)


@app.command("set")
def set_limits(
    name: Name,
    concurrency: Most = None,
    rate_option: RateOption = None,
    burst: Burst = None,
    distribution: Distribution = None,
    clear: Clear = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Limit a queue. What is not given stays as it is."""
    changes: dict[str, object] = {}
    if concurrency is not None:
        changes["concurrency"] = concurrency
    if given := rate(rate_option, burst):
        changes["rate"] = given
    if distribution is not None:
        changes["distribution"] = distribution
    for limit in clear or ():
        if limit.value in changes:
            raise wrong(
                f"{limit} cannot be both given and cleared.", "Leave one of the two options out."
            )
        changes[limit.value] = None
    if not changes:
        raise wrong("Nothing to set was given.", "See 'podium queue set --help'.")
    _change(name, project, cast("QueueEdit", changes), json=json)


@app.command()
def pause(name: Name, project: Project = None, json: Json = False) -> None:
    """Start no more of its tasks. New ones are accepted, and what runs goes on."""
    _change(name, project, {"state": "paused"}, json=json)


@app.command()
def drain(name: Name, project: Project = None, json: Json = False) -> None:
    """Accept no new tasks for it; those that it has are run."""
    _change(name, project, {"state": "draining"}, json=json)


@app.command("open")
def open_queue(name: Name, project: Project = None, json: Json = False) -> None:
    """Let a queue that was paused or drained go on."""
    _change(name, project, {"state": "open"}, json=json)


@app.command()
def reset(name: Name, project: Project = None, json: Json = False) -> None:
    """Open a queue and take all its limits away; its tasks stay."""
    with connect(project) as client:
        before = _known(client, name)
        client.queues.reset(name)
    had_rules = before is not None and before.updated_at is not None
    if json:
        output.emit({"name": name, "reset": had_rules})
    else:
        output.say(f"{name} is open and has no limits" if had_rules else f"{name} had no rule")


def _change(name: str, project: str | None, changes: "QueueEdit", *, json: bool) -> None:
    with connect(project) as client:
        is_new = _known(client, name) is None
        queue = client.queues.set(name, **changes)
    if is_new:
        output.note(f"{name} is new: no task and no rule named it before.")
    _tell(queue, json=json)


def _known(client: "Podium", name: str) -> "Queue | None":
    """The queue as it is; None where no task came to it and nothing was set."""
    from podium.client.errors import NotFound

    try:
        return client.queues.get(name)
    except NotFound:
        return None


def _tell(queue: "Queue", *, json: bool) -> None:
    if json:
        output.emit(queue)
        return
    output.show_fields(
        {
            "Name": queue.name,
            "Project": queue.project,
            "State": output.state(queue.state),
            "Queued": queue.queued,
            "Runs": f"{queue.running} of {queue.concurrency or 'any number'}",
            "Starts": rate_text(queue.rate),
            "Shared out": queue.distribution.replace("_", " "),
            "Changed": queue.updated_at,
        }
    )
