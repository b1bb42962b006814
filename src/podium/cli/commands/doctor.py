"""``podium doctor``: look for what is wrong and say what to do."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from podium import __version__
from podium.cli import local, output
from podium.cli.failures import Failure, Status
from podium.cli.options import Json, application, connect
from podium.cli.text import duration, local_time, size
from podium.client.connection import data_dir, local_server
from podium.client.errors import Forbidden, PodiumError

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.models import Status as ServerStatus
    from podium.client.models import Worker

app = application()

_PREFIX = "PODIUM_"
_NO_SETTINGS = {
    *("PODIUM_URL", "PODIUM_TOKEN", "PODIUM_PROJECT", "PODIUM_EMBEDDED"),
    *("PODIUM_TASK_ID", "PODIUM_ATTEMPT", "PODIUM_WORKSPACE", "PODIUM_INPUT"),
}
"""Variables that clients read, a server gives to its children, or a worker to its agents."""

_LITTLE_BYTES = 2 * 2**30
_LEAST_BYTES = 2**28
_MOST_SKEW = 5.0
_MOST_LAG = 5.0
_MOST_DEATHS = 3
_WHY_THEY_DIED = (
    "'podium logs' on the worker's machine tells why. What they ran was given to others, or waits "
    "for a worker."
)

Outcome = Literal["ok", "warning", "failed"]


class Finding(NamedTuple):
    """What one check found. ``advice`` says what to do about it."""

    check: str
    outcome: Outcome
    detail: str
    advice: str = ""


@app.command()
def doctor(json: Json = False) -> None:
    """Check this installation and its server; the exit status is 1 when something is wrong.

    Where no server runs, what can be known without one is checked.
    """
    findings: list[Finding] = []
    for finding in _findings():
        findings.append(finding)
        if not json:
            _show(finding)
    wrong = sum(finding.outcome == "failed" for finding in findings)
    if json:
        output.emit({"ok": not wrong, "checks": [finding._asdict() for finding in findings]})
    else:
        output.say(f"\n{_summary(findings)}")
    if wrong:
        raise typer.Exit(Status.FAILED)


def _summary(findings: Sequence[Finding]) -> str:
    found = Counter(finding.outcome for finding in findings)
    if found["failed"]:
        return f"{found['failed']} of {len(findings)} checks failed."
    return f"Nothing failed; warnings: {found['warning']}." if found["warning"] else "All is well."


def _findings() -> Iterator[Finding]:
    here: tuple[Callable[[], Finding], ...] = (
        _python,
        _git,
        _home,
        _disk,
        _admin_token,
        _settings,
    )
    for check in here:
        yield check()
    yield from _server()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("versions", "ok", f"Podium {__version__} on Python {version}")


def _git() -> Finding:
    found = shutil.which("git")
    if found:
        return Finding("git", "ok", found)
    advice = "Install git: checkups and workspaces need it."
    return Finding("git", "warning", "git was not found on PATH.", advice)


def _home() -> Finding:
    home = data_dir()
    if not home.exists():
        return Finding("data directory", "ok", f"{home} will be made by the first 'podium up'.")
    if not home.is_dir():
        advice = "Set PODIUM_HOME to a directory."
        return Finding("data directory", "failed", f"{home} is no directory.", advice)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        advice = "Run Podium as the user it belongs to, or set PODIUM_HOME."
        return Finding("data directory", "failed", f"{home} cannot be written.", advice)
    if home.stat().st_mode & 0o022:
        advice = f"chmod go-w {home}"
        return Finding("data directory", "warning", f"{home} can be changed by others.", advice)
    return Finding("data directory", "ok", str(home))


def _disk() -> Finding:
    place = data_dir()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    advice = "Free some space, or set PODIUM_HOME to another disk."
    if free < _LEAST_BYTES:
        return Finding("disk", "failed", f"Only {size(free)} are free.", advice)
    if free < _LITTLE_BYTES:
        return Finding("disk", "warning", f"Only {size(free)} are free.", advice)
    return Finding("disk", "ok", f"{size(free)} free")


def _admin_token() -> Finding:
    path = data_dir() / "admin-token"
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding("admin token", "ok", "It will be made by the first 'podium up'.")
    except OSError as error:
        advice = "Run Podium as the user it belongs to."
        return Finding("admin token", "failed", f"{path}: {error.strerror}", advice)
    if mode & 0o077:
        advice = f"chmod 600 {path}; then make a new one, since others may have read this one."
        return Finding("admin token", "failed", f"{path} can be read by others.", advice)
    return Finding("admin token", "ok", f"{path}, only for its owner")


def _settings() -> Finding:
    try:
        known = [str(setting["env"]) for setting in local.settings()]
        own = not os.environ.get("PODIUM_URL") and local_server()
        missing = local.not_in_force() if own else []
    except Failure as failure:
        return Finding("settings", "failed", failure.message, failure.hint or "")
    unknown = [
        name
        for name in sorted(os.environ)
        if name.upper().startswith(_PREFIX) and name.upper() not in {*known, *_NO_SETTINGS}
    ]
    if unknown:
        detail = f"Nothing reads {', '.join(unknown)}."
        return Finding("settings", "warning", detail, _meant(unknown, known))
    if missing:
        return Finding("settings", "warning", local.runs_without(missing), local.TO_APPLY)
    return Finding("settings", "ok", f"{len(known)} settings are valid")


def _meant(unknown: Sequence[str], known: Sequence[str]) -> str:
    from difflib import get_close_matches

    # What all names begin with would make any two of them alike.
    endings = [name.removeprefix(_PREFIX) for name in known]
    close = [
        f"{_PREFIX}{match}"
        for name in unknown
        for match in get_close_matches(name.upper().removeprefix(_PREFIX), endings, n=1)
    ]
    return f"Did you mean {', '.join(close)}?" if close else "'podium config docs' has them all."


def _server() -> Iterator[Finding]:
    if not os.environ.get("PODIUM_URL") and local_server() is None:
        detail = f"No server runs on {data_dir()}."
        yield Finding("server", "warning", detail, "Start one with 'podium up --detach'.")
        return
    try:
        with connect() as client:
            status, skew = client.status(), client.clock_skew()
            died = [worker for worker in client.workers.list() if worker.state == "dead"]
            yield _reached(status, client)
    except Forbidden as error:
        detail = f"It answers, but does not tell this token how it is. {error.message}"
        advice = (
            "Use one that holds the preset viewer for all projects. Ask whoever administers this "
            "installation; 'podium token create NAME --preset viewer' makes it for them."
        )
        yield Finding("server", "warning", detail, advice)
        return
    except PodiumError as error:
        yield Finding("server", "failed", error.message, error.hint or "See 'podium logs'.")
        return
    yield from _of_server(status, skew, died)


def _reached(status: "ServerStatus", client: "Podium") -> Finding:
    detail = f"Podium {status.version} at {client.connection.url}"
    if status.version != __version__:
        advice = f"Restart it, or install podium {status.version} here."
        return Finding("server", "warning", f"{detail}; this is {__version__}.", advice)
    return Finding("server", "ok", detail)


def _of_server(
    status: "ServerStatus", skew: float, died: "Sequence[Worker]" = ()
) -> Iterator[Finding]:
    for name, server in (("PostgreSQL", status.database), ("Valkey", status.valkey)):
        place = "embedded" if server.embedded else "external"
        if server.ok:
            yield Finding(name, "ok", f"reachable, {place}")
        elif name == "Valkey":
            advice = "Work goes on, only slower. See 'podium logs'."
            yield Finding(name, "warning", f"out of reach, {place}", advice)
        else:
            yield Finding(name, "failed", f"out of reach, {place}", "See 'podium logs'.")
    alive = status.workers
    if alive:
        running = sum(worker.running for worker in alive)
        yield Finding("workers", "ok", f"{len(alive)} alive, {running} tasks running")
    else:
        yield Finding("workers", "failed", "No worker is alive.", "Start one: 'podium worker'.")
    if died:
        yield _deaths(died)
    if alive:  # else nobody knows
        yield _confinement(status.confinement)
    lag = status.feed_lag_seconds or 0.0
    if lag > _MOST_LAG:
        advice = "Look for a long transaction on the database."
        yield Finding("events", "warning", f"They are {duration(lag)} late.", advice)
    else:
        yield Finding("events", "ok", f"{duration(lag)} late")
    if abs(skew) > _MOST_SKEW:
        advice = "Synchronise both clocks (NTP); ages shown here are wrong meanwhile."
        yield Finding("clock", "warning", f"{abs(skew):.0f} s apart from the server's.", advice)
    else:
        yield Finding("clock", "ok", "agrees with the server's")


def _deaths(died: "Sequence[Worker]") -> Finding:
    """What to say of workers whose leases ended, which those that stop in order give back."""
    named = "; ".join(_death(worker) for worker in died[:_MOST_DEATHS])
    more = f"; and {len(died) - _MOST_DEATHS} more" if len(died) > _MOST_DEATHS else ""
    count = "1 worker" if len(died) == 1 else f"{len(died)} workers"
    detail = f"{count} died within the hour: {named}{more}."
    return Finding("dead workers", "warning", detail, _WHY_THEY_DIED)


def _death(worker: "Worker") -> str:
    at = local_time(worker.lease_until)
    return f"{worker.name} at {worker.host} (process {worker.pid}), lost at {at}"


def _confinement(kind: str | None) -> Finding:
    if kind in {None, "none"}:
        advice = "Install bubblewrap, or a Linux with Landlock; see PODIUM_CONFINEMENT."
        return Finding("confinement", "warning", "Agents run unconfined.", advice)
    return Finding("confinement", "ok", f"agents run under {kind}")


def _show(finding: Finding) -> None:
    styles = {"ok": "green", "warning": "yellow", "failed": "bold red"}
    text = output.styled(f"{finding.outcome:<8} ", styles[finding.outcome])
    text.append_text(output.styled(f"{finding.check}: {finding.detail}", "default"))
    if finding.advice:
        text.append_text(output.styled(f"\n         {finding.advice}", "dim"))
    output.console().print(text, soft_wrap=True)
