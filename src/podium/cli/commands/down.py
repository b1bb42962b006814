"""``podium down``."""

from collections.abc import Mapping

from podium.cli import local, output
from podium.cli.options import Json, application
from podium.client.connection import data_dir, local_server

app = application()


@app.command()
def down(json: Json = False) -> None:
    """Stop the Podium of this machine in order.

    Tasks that run are given time to end (PODIUM_DRAIN_SECONDS) and are handed back after it, or
    at once after Ctrl-C; they run again with the next start.
    """
    server = local_server()
    if server:
        if not json:
            output.note(f"Stopping process {server['pid']} …")
        local.stop(server, lambda: json or output.note(_why_it_takes_long(server)))
    if json:
        output.emit({"stopped": server is not None})
    else:
        output.say("Podium is stopped." if server else f"No Podium runs on {data_dir()}.")


def _why_it_takes_long(server: Mapping[str, object]) -> str:
    from podium.client import Podium
    from podium.client.errors import PodiumError

    try:
        with Podium(str(server["url"]), timeout=2, retries=0) as client:
            count = client.status().counts.get("running", 0)
    except PodiumError:  # it serves no longer
        return "Waiting for its processes to end."
    if not count:
        return "Waiting for its processes to end."
    tasks = "1 running task" if count == 1 else f"{count} running tasks"
    limit = server.get("drain_seconds")
    within = f" up to {limit:g} s" if isinstance(limit, int | float) else ""
    return f"Waiting{within} for {tasks}; Ctrl-C stops now."
