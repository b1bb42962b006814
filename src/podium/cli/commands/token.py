"""``podium token``: who may use the API, and for what."""

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from podium.cli import output
from podium.cli.options import Json, application, confirm, connect, seconds, wrong

if TYPE_CHECKING:
    from podium.client.inputs import TokenNew

Preset = Literal["viewer", "member", "operator", "admin"]

_VIEWER = ("tasks:read", "agents:read", "events:read", "projects:read", "workers:read")
_MEMBER = (*_VIEWER, "tasks:write")
PRESETS: dict[Preset, tuple[str, ...]] = {
    "viewer": _VIEWER,
    "member": _MEMBER,
    "operator": (
        *_MEMBER,
        "tasks:execute",
        "agents:write",
        "agents:execute",
        "projects:write",
        "metrics:read",
        "settings:read",
    ),
    "admin": ("admin",),
}

app = application("token", "Manage access tokens.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    preset: Annotated[
        Preset | None, typer.Option(help="A usual set of scopes: see the end of this help.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", "-s", help="One scope; may be repeated.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Only for this project; unset, for all.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(help="Lifetime, such as 8h or 30d; unset, the server's default.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a token and print it once.

    viewer may look; member may also submit tasks to agents that are no programs; operator may
    also register and use command and function agents, which run programs on the workers; admin
    may do everything.
    """
    scopes = [*(PRESETS[preset] if preset else ()), *(scope or ())]
    if not scopes:
        raise wrong("Give --preset or at least one --scope.")
    given: dict[str, object] = {
        "name": name,
        "scopes": list(dict.fromkeys(scopes)),
        "project": project,
        "expires_in": seconds(expires_in, "--expires-in"),
    }
    new = cast("TokenNew", {key: value for key, value in given.items() if value is not None})
    with connect() as client:
        token = client.tokens.create(**new)
    if json:
        output.emit(token)
        return
    output.note("Keep it now: it is not shown again. Use it as PODIUM_TOKEN.")
    output.say(token.token)


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
    output.show_table(headers, rows, "There are no tokens.")


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """End a token now."""
    confirm(f"Revoke the token {token_id}", yes=yes)
    with connect() as client:
        client.tokens.revoke(token_id)
    if json:
        output.emit({"id": token_id, "revoked": True})
    else:
        output.say(f"{token_id} is revoked")
