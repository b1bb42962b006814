"""``podium down``."""

from collections.abc import Mapping

from podium.cli import local, output
from podium.cli.options import Json, application
from podium.cli.text import several
from podium.client.connection import data_dir, local_server

app = application()


@app.command()
def down(json: Json = False) -> None:
    """Stop the Podium of this machine in order.

    Tasks that run are given time to end (PODIUM_DRAIN_SECONDS) and are handed back after it, or
    at once after Ctrl-C; they run again with the next start. Sessions that wait for somebody are
    handed back without waiting.
    """
    server = local_server()
    if server:
        if not json:
            output.note(f"Stopping process {server['pid']} …")
        local.stop(server, lambda: json or output.note(_why_it_takes_long(server)))
    count = local.handed_back(server) if server else 0
    if json:
        output.emit({"stopped": server is not None, "handed_back": count})
    elif server:
        output.say(f"Podium is stopped.{_what_is_left(count)}")
    else:
        output.say(f"No Podium runs on {data_dir()}.")


def _what_is_left(count: int | None) -> str:
    if not count:
        return ""
    if count == 1:
        return " 1 running task was handed back; it runs again with the next start."
    return f" {count} running tasks were handed back; they run again with the next start."


def _why_it_takes_long(server: Mapping[str, object]) -> str:
    from podium.client import Podium
    from podium.client.errors import PodiumError

    try:
        with Podium(str(server["url"]), timeout=2, retries=0) as client:
            status = client.status()
    except PodiumError:  # it serves no longer
        return "Waiting for its processes to end."
    tasks = status.counts.get("running", 0) - status.sessions
    parts = ((tasks, "running task"), (status.sessions, "session"))
    what = ", ".join(several(count, each) for count, each in parts if count > 0)
    if not what:
        return "Waiting for its processes to end."
    limit = server.get("drain_seconds")
    within = f" up to {limit:g} s" if isinstance(limit, int | float) else ""
    return f"Waiting{within} for {what}; Ctrl-C stops now."
