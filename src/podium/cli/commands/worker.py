"""``podium worker``."""

from typing import Annotated

import typer

from podium.cli import local
from podium.cli.options import Json, application

app = application()


@app.command()
def worker(
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name in the logs and the status.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a worker alone: on the servers of PODIUM_DATABASE_URL and PODIUM_VALKEY_URL, or where
    they are not set beside the 'podium up' of this data directory."""
    local.become("worker", *(() if name is None else ("--name", name)), as_json=json)
