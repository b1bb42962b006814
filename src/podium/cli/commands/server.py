"""``podium server``."""

from typing import Annotated

import typer

from podium.cli import local
from podium.cli.options import Json, application

app = application()


@app.command()
def server(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on; unset, loopback.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="NUMBER", help="Port of the API; 0: a free one."),
    ] = None,
    json: Json = False,
) -> None:
    """Run an API server alone, on the servers of PODIUM_DATABASE_URL and PODIUM_VALKEY_URL."""
    local.become(
        "server",
        *(() if host is None else ("--host", host)),
        *(() if port is None else ("--port", str(port))),
        as_json=json,
    )
