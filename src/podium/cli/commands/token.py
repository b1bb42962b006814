"""``podium token``: who may use the API, and for what."""

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from podium.cli import output
from podium.cli.options import Json, application, confirm, connect, seconds, wrong

if TYPE_CHECKING:
    from podium.client.inputs import TokenNew

Preset = Literal["viewer", "member", "operator", "admin"]

_READ = ("tasks:read", "agents:read", "events:read", "projects:read")
WIDE = {"admin", "projects:write", "workers:read", "metrics:read", "settings:read"}
"""Scopes that reach beyond one project; a preset for one project leaves them out."""
PRESETS: dict[Preset, tuple[str, ...]] = {
    "viewer": _READ,
    "member": (*_READ, "tasks:write", "agents:write"),
    "operator": (
        *(*_READ, "tasks:write", "tasks:execute", "agents:write", "agents:execute"),
        *("workers:read", "metrics:read", "settings:read"),
    ),
    "admin": ("admin",),
}

app = application("token", "Manage access tokens.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    preset: Annotated[Preset | None, typer.Option(help="A usual set of scopes: see above.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", "-s", metavar="SCOPE", help="One scope; may be repeated."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project", "-p", metavar="NAME", help="Only for this project; unset, for all."
        ),
    ] = None,
    expires_in: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Lifetime, such as 8h or 30d; unset, the server's default."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a token and print it once.

    viewer may look; member may also submit tasks and register agents, but none that run programs
    on the workers; operator may do that too; admin may do everything.
    """
    usual = PRESETS[preset] if preset else ()
    scopes = [name for name in usual if not (project and name in WIDE)] + (scope or [])
    if not scopes:
        raise wrong("Give --preset or at least one --scope.")
    lifetime = seconds(expires_in, "--expires-in")
    new = {"name": name, "scopes": scopes, "project": project, "expires_in": lifetime}
    with connect() as client:
        token = client.tokens.create(**cast("TokenNew", new))
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
