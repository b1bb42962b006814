"""``podium status``."""

from typing import TYPE_CHECKING

from podium.cli import local, output
from podium.cli.options import Json, application, connect
from podium.cli.text import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podium.client.models import Status, Worker

app = application()

_OPEN = ("running", "queued", "waiting", "pending")


@app.command()
def status(json: Json = False) -> None:
    """Show servers, workers and how many tasks are in which state."""
    with connect() as client:
        found = client.status()
        url = client.connection.url
    if json:
        import msgspec

        output.emit({"url": url} | msgspec.to_builtins(found))
        return
    _show(found, url)


def _show(found: "Status", url: str) -> None:
    idle = local.ends_when_idle()
    output.show_fields(
        {
            "Podium": f"{found.version} at {url}, up for {duration(found.uptime_seconds)}",
            "PostgreSQL": _server(found.database.ok, found.database.embedded),
            "Valkey": _server(found.valkey.ok, found.valkey.embedded),
            "Artifacts": found.artifacts.problem or found.artifacts.place,
            "Confinement": found.confinement,
            "Feed lag": duration(found.feed_lag_seconds),
            "Stops": None if idle is None else _stops(idle, found),
            "Tasks": ", ".join(f"{count} {name}" for name, count in found.counts.items()) or "none",
            "Schedules": found.schedules or None,
        }
    )
    output.say("")
    _show_workers(found.workers)
    for worker in found.workers:
        if by := worker.blocked_by:
            output.note(f"{worker.name} is blocked by task {by['task_id']}, at {by['at']}")


def _show_workers(workers: "Sequence[Worker]") -> None:
    rows = [
        (
            worker.name,
            worker.host,
            worker.pid,
            output.state("blocked" if worker.blocked_by else worker.state),
            f"{worker.running}/{worker.concurrency}",
            f"{worker.running_processes}/{worker.processes}",
            ", ".join(worker.queues) or "all",
            worker.confinement,
            worker.started_at,
        )
        for worker in workers
    ]
    headers = (
        *("Worker", "Host", "PID", "State", "Runs", "Processes"),
        *("Queues", "Confinement", "Started"),
    )
    nothing = "No worker runs: tasks wait. Start one with 'podium worker'."
    if local.keeps_workers():
        nothing = "No worker runs now; it is being started again. 'podium logs' says why it ended."
    output.show_table(
        headers,
        rows,
        nothing,
        cut=("Worker", "Host"),
        fold=("Queues",),
        drop=("Confinement", "PID", "Started", "Processes", "Host"),  # the first is told above
    )


def _stops(idle: float, found: "Status") -> str:
    """When a server ends by itself. Tasks that only wait keep it up, which nobody would guess."""
    left = [f"{found.counts[name]} {name}" for name in _OPEN if found.counts.get(name)]
    kept = f"; kept up by tasks that have not ended: {', '.join(left)}" if left else ""
    if found.schedules:
        kept += "; kept up by schedules that are to start tasks"
    return f"after {duration(idle)} without work{kept}"


def _server(ok: bool, embedded: bool) -> object:
    place = "embedded" if embedded else "external"
    return output.styled(f"{'ok' if ok else 'out of reach'} ({place})", "green" if ok else "red")
