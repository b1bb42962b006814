"""``podium down``."""

from podium.cli import local, output
from podium.cli.options import Json, application
from podium.client.connection import data_dir, local_server

app = application()


@app.command()
def down(json: Json = False) -> None:
    """Stop the Podium of this machine in order. Tasks that run are given time to end."""
    server = local_server()
    if server:
        if not json:
            output.note(f"Stopping process {server['pid']} …")
        local.stop(server)
    if json:
        output.emit({"stopped": server is not None})
    else:
        output.say("Podium is stopped." if server else f"No Podium runs on {data_dir()}.")
