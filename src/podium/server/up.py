"""The command ``up``, in the foreground and detached."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from podium.kernel.errors import SettingsInvalid
from podium.server.exits import ExitStatus
from podium.server.runfiles import RunFiles, home
from podium.server.telling import tell, without_secrets

if TYPE_CHECKING:
    from podium.kernel.errors import PodiumError
    from podium.kernel.settings import Settings

START_SECONDS = 180.0
_LOOK_SECONDS = 0.05
_NEXT_START = (
    "The server that runs goes on as it is; the next start from this environment would fail."
)


@dataclass(frozen=True)
class Asked:
    """What the command line said; None is what it left open."""

    idle: float | None = None
    port: int | None = None
    workers: int | None = None
    as_json: bool = False


def run(asked: Asked, *, detached: bool) -> int:
    """Be the supervisor, or start one that goes on alone."""
    try:
        return run_detached(asked) if detached else run_foreground(asked)
    except SettingsInvalid as error:  # before there is a supervisor to tell it
        _tell_failure(error, None, as_json=asked.as_json)
        return ExitStatus.FAILED


def run_foreground(asked: Asked) -> int:
    """Be the supervisor, at a terminal."""
    files = RunFiles(home())
    if files.acquire() is None:
        tell(_already_runs(files), as_json=asked.as_json)
        return ExitStatus.ALREADY_RUNS
    return _supervise(files, asked)


def run_detached(asked: Asked) -> int:
    """Start a supervisor that goes on alone; come back when it is ready or has failed.

    This process takes the lock and hands it on, so of many at once one starts a supervisor and
    the others wait for it. Kept free of heavy imports: 30 of these may start at the same time.
    """
    files = RunFiles(home())
    deadline = time.monotonic() + START_SECONDS
    while (lock := files.acquire()) is None:
        server = files.running()
        if server and (other := _otherwise(server, asked)):
            tell(_already_runs(files, other), as_json=asked.as_json)
            return ExitStatus.ALREADY_RUNS
        if server and (asked.idle is not None or server.get("idle_seconds") is None):
            _print_json({"status": "running", **server, **_compared(files, asked)})
            return ExitStatus.DONE
        if server:
            _ask_to_stay(server)
        if time.monotonic() > deadline:
            tell(_already_runs(files), as_json=asked.as_json)
            return ExitStatus.FAILED
        time.sleep(_LOOK_SECONDS)
    return _detach(lock, asked, deadline - time.monotonic())


def run_handed(asked: Asked, *, lock: int, ready: int) -> int:
    """Be the supervisor that ``run_detached`` started: with its lock, answering to its pipe."""
    files = RunFiles(home())
    files.adopt(lock)
    os.set_inheritable(ready, False)  # noqa: FBT003 - it takes no name
    return _supervise(files, asked, ready=ready)


def _supervise(files: RunFiles, asked: Asked, *, ready: int | None = None) -> int:
    import asyncio

    from podium.kernel.errors import PodiumError
    from podium.kernel.settings import load_settings
    from podium.kernel.telemetry import configure_logging
    from podium.server.supervisor import Order, Supervisor

    files.sign()
    try:
        settings = load_settings()
        configure_logging(settings, "supervisor", brief=True)
        order = Order(
            tell_ready=_teller(settings, ready, as_json=asked.as_json),
            detached=ready is not None,
            idle_seconds=_idle_seconds(asked.idle, settings),
        )

        async def supervise() -> int:
            return await Supervisor(settings, files, order).run()

        return asyncio.run(supervise())
    except PodiumError as error:
        _tell_failure(error, ready, as_json=asked.as_json)
        return ExitStatus.FAILED
    finally:
        files.release()


def _teller(
    settings: "Settings", ready: int | None, *, as_json: bool
) -> Callable[[Mapping[str, object]], None]:
    """How whoever started us is told that Podium can be used."""
    from podium.server.supervisor import say_ready

    def tell(server: Mapping[str, object]) -> None:
        told = {"status": "started", **server}
        if ready is None:
            _print_json(told)
        else:
            _answer(ready, told)

    return tell if as_json or ready is not None else say_ready(settings)


def _idle_seconds(asked: float | None, settings: "Settings") -> float | None:
    """Whoever starts a server for itself knows the default only; a setting that was made wins."""
    made = "idle_shutdown_seconds" in settings.model_fields_set
    return settings.idle_shutdown_seconds if asked is not None and made else asked


def _tell_failure(error: "PodiumError", ready: int | None, *, as_json: bool) -> None:
    cause = without_secrets(error)
    message = f"Podium cannot start. {cause['message']}"
    failure = {**cause, "code": "not_started", "message": message}
    if ready is None:
        tell(failure, as_json=as_json)
    else:
        import structlog

        structlog.stdlib.get_logger(__name__).error(error.message, hint=error.hint)
        _answer(ready, {"status": "failed", "error": failure})


def _detach(lock: int, asked: Asked, seconds: float) -> int:
    import select

    log = home() / "logs" / "podium.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    answer, theirs = os.pipe()
    arguments = ["up", "--lock", str(lock), "--ready", str(theirs)]
    if asked.idle is not None:
        arguments += ["--idle", str(asked.idle)]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "podium.server", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock, theirs],
            cwd=home(),
        )
    os.close(theirs)
    os.close(lock)
    if not select.select([answer], [], [], seconds)[0]:
        message = f"Podium was not ready after {START_SECONDS:g} seconds; it goes on."
        tell({"code": "not_ready", "message": message}, as_json=asked.as_json)
        return ExitStatus.FAILED
    with os.fdopen(answer, "rb") as pipe:
        return _relay(pipe.readline(), process, as_json=asked.as_json)


def _relay(answer: bytes, process: subprocess.Popen[bytes], *, as_json: bool) -> int:
    """Pass on what the supervisor said."""
    if not answer:
        status = process.wait()
        message = f"Podium ended with status {status} while it started."
        hint = f"See {home() / 'logs' / 'podium.log'}."
        tell({"code": "not_started", "message": message, "hint": hint}, as_json=as_json)
        return ExitStatus.FAILED
    told = json.loads(answer)
    if told["status"] == "failed":
        tell(told["error"], as_json=as_json)
        process.wait()
        return ExitStatus.FAILED
    process.returncode = 0  # it goes on, and is nobody's to wait for
    _print_json(told)
    return ExitStatus.DONE


def _answer(ready: int | None, told: Mapping[str, object]) -> None:
    """Answer whoever started us, if that process is still there."""
    if ready is not None:
        with suppress(OSError):
            os.write(ready, json.dumps(told).encode() + b"\n")
            os.close(ready)


def _otherwise(server: Mapping[str, object], asked: Asked) -> str | None:
    """What was asked for and is otherwise in the server that runs."""
    workers, port = server.get("workers", asked.workers), urlsplit(str(server["url"])).port
    if asked.workers is not None and asked.workers != workers:
        return f"with --workers {workers}, not {asked.workers}"
    if asked.port and asked.port != port:
        return f"with --port {port}, not {asked.port}"
    return None


def _compared(files: RunFiles, asked: Asked) -> Mapping[str, object]:
    """Which settings made here the server that runs does not have. Who only needs one until it is
    idle does not ask, and many do so at once."""
    if asked.idle is not None:
        return {}
    from podium.kernel.errors import SettingsInvalid
    from podium.server.in_force import not_in_force

    try:
        return {"not_in_force": not_in_force(files)}
    except SettingsInvalid as error:  # no reason not to use the server that runs
        return {"warning": f"{_NEXT_START} {error.message} {error.hint or ''}"}


def _ask_to_stay(server: Mapping[str, object]) -> None:
    """Have it go on when it is idle. It publishes that it will, unless it is stopping already."""
    with suppress(ProcessLookupError):
        os.kill(cast("int", server["pid"]), signal.SIGUSR1)


def _already_runs(files: RunFiles, otherwise: str | None = None) -> Mapping[str, str]:
    server = files.running()
    where = f"at {server['url']}" if server else "and is starting or stopping"
    hint = "Stop it first with 'podium down'."
    if server and server.get("idle_seconds") is not None and not otherwise:
        hint = "It ends when it is idle; 'podium up --detach' makes it stay."
    return {
        "code": "already_runs",
        "message": f"Podium already runs on {files.data_dir} (process {files.holder()}) {where}"
        f"{f', {otherwise}' if otherwise else ''}.",
        "hint": hint,
    }


def _print_json(told: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def options_as_environment(options: Sequence[tuple[str, str | int | None]]) -> None:
    """Settings given on the command line win over all others, in the children too."""
    for name, value in options:
        if value is not None:
            os.environ[name] = str(value)
    os.environ["PODIUM_HOME"] = str(home())
