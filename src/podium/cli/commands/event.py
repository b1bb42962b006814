"""``podium event``: what happened, and what happens."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import output
from podium.cli.options import Json, application, connect, may_be_id, whole_id, wrong
from podium.cli.text import local_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podium.client import Podium

Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        help="Only this type; task.* means all of tasks. May be repeated.",
    ),
]
Subjects = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        metavar="ID",
        help="Only of the task, agent or other thing with this id; within one project the "
        "beginning of a task's will do. May be repeated.",
    ),
]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        "-p",
        metavar="NAME",
        help="Project; unset, that of PODIUM_PROJECT, else the token's, else default. '*' means "
        "all, and also what belongs to none, such as the events of workers.",
    ),
]
After = Annotated[
    str | None, typer.Option(metavar="CURSOR", help="Cursor of an event; those after it.")
]

_EVERYWHERE = "*"
_NONE_HERE = (
    "There are no such events in this project. Some, such as those of workers, belong to none: "
    "-p '*' shows all."
)

app = application("event", "Look at what happened, or follow it.")


@app.command("list")
def list_events(
    type_: Types = None,
    subject: Subjects = None,
    after: After = None,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=1, max=10_000, metavar="NUMBER", help="At most so many."),
    ] = 100,
    project: Project = None,
    json: Json = False,
) -> None:
    """List the newest events, oldest first. With --after those that came next."""
    with connect(project) as client:
        found = partial(client.events.list, types=type_ or (), subjects=_whole(client, subject))
        events = list(found(last=limit) if after is None else found(after=after, limit=limit))
        everywhere = client.project == _EVERYWHERE
    if json:
        output.emit(events)
        return
    rows = [(e.at, e.type, e.subject, e.actor, output.data(e.data), e.cursor) for e in events]
    headers = ("At", "Type", "Subject", "By", "Data", "Cursor")
    output.show_table(
        headers,
        rows,
        "There are no such events." if everywhere else _NONE_HERE,
        cut=("By", "Data"),
        shorten=("Subject",),
        drop=("By", "Cursor", "Subject"),
    )


@app.command()
def follow(
    type_: Types = None,
    subject: Subjects = None,
    after: After = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print events as they happen, until Ctrl-C. None is lost when the server restarts."""
    with connect(project) as client:
        stream = client.events(types=type_ or (), subjects=_whole(client, subject), after=after)
        if not json:
            output.watching("Waiting for events.")
        for event in stream:
            if json:
                output.emit(event)
            else:
                told = output.data(event.data)
                output.say(f"{local_time(event.at)}  {event.type}  {event.subject}  {told}")


def _whole(client: "Podium", given: "Sequence[str] | None") -> "Sequence[str]":
    """Ids of subjects. Tasks are looked up in one project: for all, ids must be whole."""
    if client.project == _EVERYWHERE:
        return given or ()
    for each in given or ():
        if not may_be_id(each):
            raise wrong(
                f"{each!r} is no id.",
                "Give the whole id of a task, agent or other thing, which --json shows, or the "
                "beginning of a task's, 8 characters at least.",
            )
    return [whole_id(client, each) for each in given or ()]
