"""``podium event``: what happened, and what happens."""

from functools import partial
from typing import Annotated

import typer

from podium.cli import output
from podium.cli.options import Json, Project, application, connect
from podium.cli.text import local_time

Types = Annotated[
    list[str] | None,
    typer.Option("--type", "-t", metavar="TYPE", help="Only this type; task.* means all of tasks."),
]
Subjects = Annotated[
    list[str] | None,
    typer.Option("--subject", metavar="ID", help="Only of this task, agent or other thing."),
]
After = Annotated[
    str | None, typer.Option(metavar="CURSOR", help="Cursor of an event; those after it.")
]

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
    """List the newest events, or with --after those that came next; oldest first."""
    with connect(project) as client:
        found = partial(client.events.list, types=type_ or (), subjects=subject or ())
        events = list(found(last=limit) if after is None else found(after=after, limit=limit))
    if json:
        output.emit(events)
        return
    rows = [(e.at, e.type, e.subject, e.actor, output.data(e.data), e.cursor) for e in events]
    headers = ("At", "Type", "Subject", "By", "Data", "Cursor")
    output.show_table(
        headers,
        rows,
        "There are no such events.",
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
    """Print events as they happen, until Ctrl-C; none is lost when the server restarts."""
    with connect(project) as client:
        stream = client.events(types=type_ or (), subjects=subject or (), after=after)
        for event in stream:
            if json:
                output.emit(event)
            else:
                told = output.data(event.data)
                output.say(f"{local_time(event.at)}  {event.type}  {event.subject}  {told}")
