"""``podium token``: who may use the API, and for what."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from podium.cli import output
from podium.cli.failures import Failure, Status
from podium.cli.options import Json, Yes, application, confirm, connect, seconds, wrong
from podium.cli.text import local_time

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import TokenNew
    from podium.client.models import TokenCreated

Preset = Literal["viewer", "member", "operator", "admin"]
PresetOption = Annotated[
    Preset | None,
    typer.Option(
        help="A usual set of scopes: to look, to submit too, to register agents too, or all."
    ),
]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        "-s",
        metavar="SCOPE",
        help="One scope; may be repeated: admin, tasks:read, tasks:write, tasks:execute, "
        "agents:read, agents:write, agents:execute, queues:read, queues:write, limits:read, "
        "limits:write, schedules:read, schedules:write, templates:read, templates:write, "
        "events:read, projects:read, projects:write, tokens:write, workers:read, metrics:read "
        "or settings:read.",
    ),
]
OnlyProject = Annotated[
    str | None,
    typer.Option("--project", "-p", metavar="NAME", help="Only for this project; unset, for all."),
]
Lifetime = Annotated[
    str, typer.Option(metavar="TIME", help="Lifetime, such as 8h or 30d, or never.")
]

app = application("token", "Manage access tokens.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    preset: PresetOption = None,
    scope: Scopes = None,
    project: OnlyProject = None,
    expires_in: Lifetime = "90d",
    json: Json = False,
) -> None:
    """Make a token and print it once.

    viewer may look; member may also submit tasks, to whichever agents are registered, and change
    and delete them; operator may also register agents, and see metrics and settings; admin may do
    everything. With --project the first three do not see the state of the servers, metrics and
    settings, and admin alone is refused: it holds nothing that is of one project.
    """
    if not (preset or scope):
        raise wrong(
            "Give --preset or at least one --scope.",
            "'podium token create --help' says what each preset may do.",
        )
    lifetime = None if expires_in == "never" else seconds(expires_in, "--expires-in")
    new: TokenNew = {
        "name": name,
        "preset": preset,
        "scopes": cast("list[Any]", scope or []),
        "project": project,
        "expires_in": lifetime,
    }
    with connect() as client:
        token = client.tokens.create(**new)
    if json:
        output.emit(token)
    else:
        _show(token)


@app.command("list")
def list_tokens(json: Json = False) -> None:
    """List the tokens, without their texts."""
    with connect() as client:
        tokens = list(client.tokens.list())
    if json:
        output.emit(tokens)
        return
    rows = [
        (t.id, t.name, t.project or "all", " ".join(t.scopes), t.created_at, t.expires_at)
        for t in tokens
    ]
    headers = ("ID", "Name", "Project", "Scopes", "Created", "Expires")
    output.show_table(
        headers,
        rows,
        "There are no tokens.",
        cut=("Name", "Project", "Scopes"),
        drop=("Created", "Scopes", "Project"),
    )


@app.command()
def revoke(
    token: Annotated[
        str,
        typer.Argument(metavar="ID|NAME", help="Id, or a name of one token.", show_default=False),
    ],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End a token now, and all that were made with it.

    Where the token is the one that this command works with, it says how to come by another.
    """
    with connect() as client:
        token_id = _id(client, token)
        named = "" if token == token_id else f" ({token_id})"
        own = ", which this very command works with," if _is_own(client, token_id) else ""
        confirm(f"Revoke the token {token}{named}{own} and all that were made with it", yes=yes)
        client.tokens.revoke(token_id)
        if json:
            output.emit({"id": token_id, "revoked": True})
        else:
            output.say(f"{token_id} is revoked")
        _tell_if_locked_out(client)


def _is_own(client: "Podium", token_id: str) -> bool:
    """Whether the command works with this token, whose id is in its text."""
    return token_id.replace("-", "").lower() in client.connection.token.split("_")


def _tell_if_locked_out(client: "Podium") -> None:
    """Say how to go on where the command's own token was revoked, or one it was made with."""
    from podium.client.errors import PodiumError, Unauthenticated

    try:
        client.whoami()
    except Unauthenticated:
        way = (
            "The server makes it anew when it starts: 'podium down', then 'podium up --detach'."
            if client.connection.administrator
            else "Set PODIUM_TOKEN to another one. A server makes the administrator's, in "
            "admin-token of its data directory, anew when it starts."
        )
        sys.stdout.flush()
        output.note(f"That was the token that commands work with here, or one it came from. {way}")
    except PodiumError:  # the token is revoked; only this could not be looked at
        return


def _id(client: "Podium", given: str) -> str:
    """The id of the token that ``given`` is the id or the name of."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", given.replace("-", "")):
        return given
    found = [token.id for token in client.tokens.list() if token.name == given]
    if not found:
        raise Failure(
            Status.REFUSED,
            "not_found",
            f"There is no token named {given}.",
            "'podium token list' shows the tokens.",
        )
    if len(found) > 1:
        raise wrong(f"Several tokens are named {given}: {', '.join(found)}.", "Give the id of one.")
    return found[0]


def _show(token: "TokenCreated") -> None:
    until = f"expires at {local_time(token.expires_at)}" if token.expires_at else "never expires"
    output.note(f"Keep it now: it is not shown again. It {until}. Use it as PODIUM_TOKEN.")
    output.say(token.token)
