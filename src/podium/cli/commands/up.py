"""``podium up``: PostgreSQL, Valkey, API and workers, on this machine."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import local, output
from podium.cli.options import Json, application
from podium.client.connection import admin_token, data_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

app = application()


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Come back when it is ready; it goes on.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="NUMBER", help="Port of the API; 0: a free one."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=64, metavar="NUMBER", help="Worker processes.")
    ] = None,
    json: Json = False,
) -> None:
    """Start Podium on this machine: PostgreSQL, Valkey, the API and workers.

    All of it lives in the data directory (PODIUM_HOME, else ~/.podium). Ctrl-C stops it in order;
    with --detach 'podium down' does. A server that another command started until it is idle stays
    when 'podium up --detach' is called; where one runs, that says which settings of this
    environment it does not have. The exit status is 6 when another one runs with other
    options, or this one is for the foreground, and 1 when it cannot start.
    """
    options = [
        *(() if port is None else ("--port", str(port))),
        *(() if workers is None else ("--workers", str(workers))),
    ]
    if not detach:
        local.become("up", *options, as_json=json)
    server = local.start(*options)
    output.emit(server) if json else _tell(server)


def _tell(server: "Mapping[str, object]") -> None:
    how = "is ready" if server["status"] == "started" else "already runs"
    output.say(f"Podium {how} at {server['url']}")
    if missing := server.get("not_in_force"):
        output.note(f"{local.runs_without(cast('list[str]', missing))} {local.TO_APPLY}")
    if server.get("warning"):
        output.say(f"{server['warning']}")
    output.say(f"Administrator's token: {data_dir() / 'admin-token'}")
    if server["status"] == "running":
        _tell_if_token_is_dead(str(server["url"]))
    output.say("Stop it with 'podium down', watch it with 'podium status' and 'podium logs -f'.")


def _tell_if_token_is_dead(url: str) -> None:
    """Say so where the administrator's token opens nothing; a server that just started made it."""
    from podium.client import Podium
    from podium.client.errors import PodiumError, Unauthenticated

    try:
        with Podium(url, admin_token(), retries=0) as client:
            client.whoami()
    except Unauthenticated as error:
        output.note(f"{error.message} {error.hint}")
    except PodiumError:  # the server runs; only this could not be looked at
        return
