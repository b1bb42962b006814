"""``podium session``: talk to agents while they work."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import completion, output
from podium.cli.commands.session_talk import attach_to, print_entry
from podium.cli.failures import Failure
from podium.cli.options import (
    Json,
    Labels,
    Project,
    Yes,
    application,
    confirm,
    connect,
    json_object,
    json_value,
    labels,
    may_be_id,
    seconds,
    whole_id,
    wrong,
)
from podium.cli.task_options import Capability, Key, NamedLimits, Priority, Queue, Title, given

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import SessionNew
    from podium.client.models import Session


class State(StrEnum):
    """What a session can do."""

    INITIALISING = "initialising"
    IDLE = "idle"
    WORKING = "working"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"


SessionId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Id of the session, or as much of its beginning as no other task's has.",
        show_default=False,
        autocompletion=completion.tasks,
    ),
]
Detach = Annotated[
    bool, typer.Option("--detach", "-d", help="Come back at once instead of talking to it.")
]

app = application("session", "Talk to agents while they work.")


@app.command()
def start(
    agent: Annotated[
        str | None,
        typer.Argument(
            metavar="[AGENT]",
            help="Agent by name; unset, one that has the capabilities.",
            show_default=False,
            autocompletion=completion.agents,
        ),
    ] = None,
    message: Annotated[
        str | None, typer.Argument(metavar="[MESSAGE]", help="What to say to it first.")
    ] = None,
    capability: Capability = None,
    title: Title = None,
    input: Annotated[  # noqa: A002 - the name of the option
        str | None,
        typer.Option(
            "--input",
            "-i",
            metavar="JSON",
            help="Input of its task as JSON; @FILE reads a file, - standard input.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="JSON",
            help="Fields of the agent's configuration for this session alone.",
        ),
    ] = None,
    idle: Annotated[
        str | None,
        typer.Option(
            "--idle", metavar="TIME", help="Close it when nobody talks to it for so long."
        ),
    ] = None,
    queue: Queue = None,
    priority: Priority = None,
    label: Labels = None,
    limit: NamedLimits = None,
    key: Key = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Begin a session, and on a terminal talk to it.

    The session goes on when you leave: 'podium session attach ID' takes it up again.
    """
    new = given(
        agent=agent,
        message=message,
        capabilities=capability,
        title=title,
        config=None if config is None else json_object(config, "--config"),
        idle_timeout=seconds(idle, "--idle"),
        queue=queue,
        priority=priority,
        labels=labels(label) or None,
        limits=limit,
    )
    if input is not None:
        new["input"] = json_value(input, "--input")
    with connect(project) as client:
        session = client.sessions.spawn(idempotency_key=key, **cast("SessionNew", new))
        if json:
            output.emit(session)
        elif detach or not attach_to(client, session.id):
            output.say(session.id)


@app.command("list")
def list_sessions(
    state: Annotated[
        list[State] | None,
        typer.Option(
            "--state",
            "-s",
            metavar="STATE",
            help=f"Only sessions in this state: {', '.join(State)}; may be repeated.",
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            "-a",
            metavar="NAME",
            help="Only sessions with this agent.",
            autocompletion=completion.agents,
        ),
    ] = None,
    label: Labels = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most sessions to list.")] = 20,
    project: Project = None,
    json: Json = False,
) -> None:
    """List sessions, newest first."""
    wanted = [f"{name}:{value}" for name, value in labels(label).items()]
    with connect(project) as client:
        listed = client.sessions.list(
            state=[each.value for each in state or ()], agent=agent, label=wanted, limit=limit + 1
        )
        found = list(listed)
    if json:
        output.emit(found[:limit])
        return
    headers = ("Id", "State", "Agent", "Title", "Unanswered", "Since")
    rows = [
        (each.id, _state(each), each.agent, each.title, each.unanswered or None, each.changed_at)
        for each in found[:limit]
    ]
    empty = "There are no such sessions. 'podium session start --help' says how to begin one."
    output.show_table(headers, rows, empty, cut=("Title",), shorten=("Id",))
    if len(found) > limit:
        output.note(f"These are the newest {limit}; --limit NUMBER shows more.")


@app.command()
def show(session_id: SessionId, project: Project = None, json: Json = False) -> None:
    """Show one session."""
    with connect(project) as client:
        _tell(client.sessions.get(_whole(client, session_id)), json=json)


@app.command()
def send(
    session_id: SessionId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say.")],
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="JSON", help="Any JSON that goes with it; @FILE, or -."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Sending it again with this key says it once."),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Say something to the agent of a session."""
    more = None if data is None else json_value(data, "--data")
    with connect(project) as client:
        entry = client.sessions.send(_whole(client, session_id), text, more, idempotency_key=key)
    if json:
        output.emit(entry)


@app.command()
def transcript(
    session_id: SessionId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print what was said in a session."""
    with connect(project) as client:
        for entry in client.sessions.transcript(_whole(client, session_id), follow=follow):
            if json:
                output.emit(entry)
            else:
                print_entry(entry)


@app.command()
def attach(session_id: SessionId, project: Project = None) -> None:
    """Talk to the agent of a session. Each line that is typed is said to it.

    Ctrl-D or Ctrl-C leaves it, and the session goes on.
    """
    with connect(project) as client:
        if not attach_to(client, _whole(client, session_id)):
            raise wrong(
                "Only somebody at a terminal can talk to an agent so.",
                "Scripts use 'podium session send' and 'podium session transcript --follow'.",
            )


@app.command()
def pause(session_id: SessionId, project: Project = None, json: Json = False) -> None:
    """Have the agent of a session stand still."""
    with connect(project) as client:
        _tell(client.sessions.pause(_whole(client, session_id)), json=json)


@app.command()
def resume(session_id: SessionId, project: Project = None, json: Json = False) -> None:
    """Have the agent of a session go on."""
    with connect(project) as client:
        _tell(client.sessions.resume(_whole(client, session_id)), json=json)


@app.command()
def close(session_id: SessionId, project: Project = None, json: Json = False) -> None:
    """Say nothing more: the agent answers what was said, and ends."""
    with connect(project) as client:
        _tell(client.sessions.close(_whole(client, session_id)), json=json)


@app.command()
def terminate(
    which: Annotated[
        str,
        typer.Argument(
            metavar="ID|AGENT",
            help="A session by its id, or as much of its beginning as no other task's has; or all "
            "of an agent.",
        ),
    ],
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the record.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """End a session, or all of an agent, with their process trees."""
    with connect(project) as client:
        ended = client.sessions.terminate(_meant(client, which), reason)
    if json:
        output.emit(ended)
        return
    for each in ended:
        output.say(each)
    if not ended:
        output.note("No session was left to be ended.")


@app.command()
def delete(
    session_id: SessionId, yes: Yes = False, project: Project = None, json: Json = False
) -> None:
    """Remove a session that has ended. All that belongs to its task goes with it."""
    with connect(project) as client:
        whole = _whole(client, session_id)
        confirm(f"Delete the session {whole} and all that was said in it", yes=yes)
        client.sessions.delete(whole)
    if json:
        output.emit({"id": whole, "deleted": True})
    else:
        output.say(f"{whole} is deleted")


def _whole(client: "Podium", given: str) -> str:
    return whole_id(client, given, "session")


def _meant(client: "Podium", which: str) -> str:
    """The whole id of a session, or else the name of an agent as it was given."""
    if not may_be_id(which.removesuffix("…")):
        return which
    try:
        return whole_id(client, which)
    except Failure as error:
        if error.code != "not_found":
            raise
        return which


def _state(session: "Session") -> object:
    return output.state("paused" if session.paused else session.state)


def _tell(session: "Session", *, json: bool) -> None:
    if json:
        output.emit(session)
        return
    on = session.running_on
    output.show_fields(
        {
            "Id": session.id,
            "Title": session.title,
            "State": session.state,
            "Paused": session.paused or None,
            "Closed": session.closed or None,
            "Agent": session.agent,
            "Worker": on and f"{on.worker_name} on {on.worker_host}",
            "Entries": session.entries,
            "Unanswered": session.unanswered or None,
            "Idle timeout": session.idle_timeout and f"{session.idle_timeout:g} s",
            "Labels": session.labels or None,
            "Error": session.error and session.error.get("message"),
            "Created": session.created_at,
            "Started": session.started_at,
            "Changed": session.changed_at,
            "Ended": session.finished_at,
        }
    )
