"""What the doctor finds out about the server, by asking it."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from podium import __version__
from podium.cli.certificate import trouble
from podium.cli.finding import Finding
from podium.cli.options import connect
from podium.cli.text import duration, local_time
from podium.client.connection import data_dir, local_server
from podium.client.errors import Forbidden, NotFound, PodiumError

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.models import Diagnosis, DiagnosisFinding, Worker
    from podium.client.models import Status as ServerStatus

_MOST_SKEW = 5.0
_MOST_LAG = 5.0
_MOST_DEATHS = 3
_EXPIRES_SECONDS = 7 * 86400.0
_WHY_THEY_DIED = (
    "'podium logs' on the worker's machine tells why. What they ran was given to others, or waits "
    "for a worker."
)
_WELL = {
    "database": "answers quickly, and has room for connections",
    "database clock": "agrees with the server's",
    "transactions": "none holds up events or vacuum",
    "search": "knows what happened",
    "server disk": "has room",
    "waiting tasks": "workers can take all that are queued",
    "schedules": "fire in time",
    "agents": "none fails again and again",
    "dead tasks": "none within a day",
    "tokens": "none expires within a week",
}


def findings() -> Iterator[Finding]:
    """What is well and what is wrong, until the server does not answer."""
    named = os.environ.get("PODIUM_URL")
    if not named and local_server() is None:
        detail, advice = f"No server runs on {data_dir()}.", "Start one with 'podium up --detach'."
        yield Finding("server", "warning", detail, advice, "no_server")
        return
    if named:
        yield from trouble(named)
    try:
        with connect() as client:
            status, skew = client.status(), client.clock_skew()
            died = [worker for worker in client.workers.list() if worker.state == "dead"]
            yield _reached(status, client)
            yield from _own_token(client)
            diagnosis = _diagnosis(client)
    except Forbidden as error:
        detail = f"It answers, but does not tell this token how it is. {error.message}"
        advice = (
            "Use one that holds the preset viewer for all projects. Ask whoever administers this "
            "installation; 'podium token create NAME --preset viewer' makes it for them."
        )
        yield Finding("server", "warning", detail, advice, "token_too_weak")
        return
    except PodiumError as error:
        advice = error.hint or "See 'podium logs'."
        yield Finding("server", "failed", error.message, advice, error.code or "server_away")
        return
    yield from merged(list(of_status(status, skew, died)), diagnosis)


def merged(known: Sequence[Finding], diagnosis: "Diagnosis | None") -> Iterator[Finding]:
    """What the status tells and what the server found, which of one check knows more."""
    if diagnosis is None:
        yield from known
        detail = "The server is older, and cannot look for trouble by itself."
        yield Finding("diagnosis", "warning", detail, "Finish its upgrade.", "server_older")
        return
    found = [_of_server(each) for each in diagnosis.findings]
    wrong = {finding.check for finding in found}
    yield from (finding for finding in known if finding.check not in wrong)
    told = {finding.check for finding in known}
    for check in diagnosis.checks:
        if check in wrong:
            yield from (finding for finding in found if finding.check == check)
        elif check not in told:
            yield Finding(check, "ok", _WELL.get(check, "nothing is wrong"))


def _of_server(found: "DiagnosisFinding") -> Finding:
    outcome = "failed" if found.outcome == "failed" else "warning"
    return Finding(found.check, outcome, found.detail, found.advice, found.code, found.where)


def _diagnosis(client: "Podium") -> "Diagnosis | None":
    try:
        return client.diagnosis()
    except NotFound:
        return None


def _reached(status: "ServerStatus", client: "Podium") -> Finding:
    detail = f"Podium {status.version} at {client.connection.url}"
    if status.version != __version__:
        advice = f"Restart it, or install podium {status.version} here."
        detail = f"{detail}; this is {__version__}."
        return Finding("server", "warning", detail, advice, "server_version")
    return Finding("server", "ok", detail)


def _own_token(client: "Podium") -> Iterator[Finding]:
    expires = client.whoami().expires_at
    if expires is None:
        return
    left = (expires - datetime.now(UTC)).total_seconds()
    if left < _EXPIRES_SECONDS:
        detail = f"The one in use expires in {duration(left)}."
        yield Finding("token", "warning", detail, "Ask for another one.", "own_token_expires")


def of_status(
    status: "ServerStatus", skew: float, died: "Sequence[Worker]" = ()
) -> Iterator[Finding]:
    """What can be told from the status alone."""
    yield from _of_servers(status)
    yield _artifacts(status)
    yield _of_workers(status)
    if died:
        yield _deaths(died)
    if status.workers:  # else nobody knows
        yield _confinement(status.confinement)
    lag = status.feed_lag_seconds or 0.0
    if lag > _MOST_LAG:
        advice = "Look for a long transaction on the database."
        yield Finding("events", "warning", f"They are {duration(lag)} late.", advice, "feed_lag")
    else:
        yield Finding("events", "ok", f"{duration(lag)} late")
    if abs(skew) > _MOST_SKEW:
        detail = f"{abs(skew):.0f} s apart from the server's."
        advice = "Synchronise both clocks (NTP); ages shown here are wrong meanwhile."
        yield Finding("clock", "warning", detail, advice, "clock_apart")
    else:
        yield Finding("clock", "ok", "agrees with the server's")


def _of_servers(status: "ServerStatus") -> Iterator[Finding]:
    for name, server in (("PostgreSQL", status.database), ("Valkey", status.valkey)):
        place = "embedded" if server.embedded else "external"
        detail = f"out of reach, {place}"
        if server.ok:
            yield Finding(name, "ok", f"reachable, {place}")
        elif name == "Valkey":
            advice = "Work goes on, only slower. See 'podium logs'."
            yield Finding(name, "warning", detail, advice, "valkey_away")
        else:
            yield Finding(name, "failed", detail, "See 'podium logs'.", "database_away")


def _artifacts(status: "ServerStatus") -> Finding:
    kept = status.artifacts
    if kept.ok:
        return Finding("artifacts", "ok", f"kept in {kept.place}")
    detail, advice = kept.problem or kept.place, kept.hint or ""
    return Finding("artifacts", "failed", detail, advice, "artifacts_away")


def _of_workers(status: "ServerStatus") -> Finding:
    alive = status.workers
    if not alive:
        advice = "Start one: 'podium worker'."
        return Finding("workers", "failed", "No worker is alive.", advice, "no_worker")
    running = sum(worker.running for worker in alive)
    return Finding("workers", "ok", f"{len(alive)} alive, {running} tasks running")


def _deaths(died: "Sequence[Worker]") -> Finding:
    """What to say of workers whose leases ended, which those that stop in order give back."""
    named = "; ".join(_death(worker) for worker in died[:_MOST_DEATHS])
    more = f"; and {len(died) - _MOST_DEATHS} more" if len(died) > _MOST_DEATHS else ""
    count = "1 worker" if len(died) == 1 else f"{len(died)} workers"
    detail = f"{count} died within the hour: {named}{more}."
    return Finding("dead workers", "warning", detail, _WHY_THEY_DIED, "worker_died")


def _death(worker: "Worker") -> str:
    at = local_time(worker.lease_until)
    return f"{worker.name} at {worker.host} (process {worker.pid}), lost at {at}"


def _confinement(kind: str | None) -> Finding:
    if kind in {None, "none"}:
        advice = "Install bubblewrap, or a Linux with Landlock; see PODIUM_CONFINEMENT."
        return Finding("confinement", "warning", "Agents run unconfined.", advice, "unconfined")
    return Finding("confinement", "ok", f"agents run under {kind}")
