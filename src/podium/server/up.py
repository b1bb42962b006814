"""The command ``up``, in the foreground and detached."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from podium.server.exits import ExitStatus
from podium.server.runfiles import RunFiles, home

if TYPE_CHECKING:
    from podium.kernel.errors import PodiumError
    from podium.kernel.settings import Settings

START_SECONDS = 180.0
_LOOK_SECONDS = 0.05


def run_foreground(*, idle: float | None = None) -> int:
    """Be the supervisor, at a terminal."""
    files = RunFiles(home())
    if files.acquire() is None:
        sys.stderr.write(_already_runs(files))
        return ExitStatus.ALREADY_RUNS
    return _supervise(files, idle=idle)


def run_detached(*, idle: float | None = None) -> int:
    """Start a supervisor that goes on alone; come back when it is ready or has failed.

    This process takes the lock and hands it on, so of many at once one starts a supervisor and
    the others wait for it. Kept free of heavy imports: 30 of these may start at the same time.
    """
    files = RunFiles(home())
    deadline = time.monotonic() + START_SECONDS
    while (lock := files.acquire()) is None:
        if server := files.running():
            _print_json({"status": "running", **server})
            return ExitStatus.DONE
        if time.monotonic() > deadline:
            sys.stderr.write(_already_runs(files))
            return ExitStatus.FAILED
        time.sleep(_LOOK_SECONDS)
    return _detach(lock, idle, deadline - time.monotonic())


def run_handed(*, lock: int, ready: int, idle: float | None = None) -> int:
    """Be the supervisor that ``run_detached`` started: with its lock, answering to its pipe."""
    files = RunFiles(home())
    files.adopt(lock)
    os.set_inheritable(ready, False)  # noqa: FBT003 - it takes no name
    return _supervise(files, idle=idle, ready=ready)


def _supervise(files: RunFiles, *, idle: float | None, ready: int | None = None) -> int:
    import asyncio

    from podium.kernel.errors import PodiumError
    from podium.kernel.settings import load_settings
    from podium.kernel.telemetry import configure_logging
    from podium.server.supervisor import Order, Supervisor, say_ready

    files.sign()
    try:
        settings = load_settings()
        configure_logging(settings, "supervisor")

        def tell(server: Mapping[str, object]) -> None:
            _answer(ready, {"status": "started", **server})

        order = Order(
            tell_ready=say_ready(settings) if ready is None else tell,
            detached=ready is not None,
            idle_seconds=_idle_seconds(idle, settings),
        )

        async def supervise() -> int:
            return await Supervisor(settings, files, order).run()

        return asyncio.run(supervise())
    except PodiumError as error:
        _tell_failure(error, ready)
        return ExitStatus.FAILED
    finally:
        files.release()


def _idle_seconds(asked: float | None, settings: "Settings") -> float | None:
    """Whoever starts a server for itself knows the default only; a setting that was made wins."""
    made = "idle_shutdown_seconds" in settings.model_fields_set
    return settings.idle_shutdown_seconds if asked is not None and made else asked


def _tell_failure(error: "PodiumError", ready: int | None) -> None:
    from podium.server.processes import explain

    if ready is None:
        sys.stderr.write(f"Podium cannot start. {explain(error)}\n")
    else:
        import structlog

        structlog.stdlib.get_logger(__name__).error(error.message, hint=error.hint)
        _answer(ready, {"status": "failed", "message": explain(error)})


def _detach(lock: int, idle: float | None, seconds: float) -> int:
    import select

    log = home() / "logs" / "podium.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    answer, theirs = os.pipe()
    arguments = ["up", "--lock", str(lock), "--ready", str(theirs)]
    if idle is not None:
        arguments += ["--idle", str(idle)]
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
        sys.stderr.write(f"Podium was not ready after {START_SECONDS:g} seconds; it goes on.\n")
        return ExitStatus.FAILED
    with os.fdopen(answer, "rb") as pipe:
        return _relay(pipe.readline(), process)


def _relay(answer: bytes, process: subprocess.Popen[bytes]) -> int:
    """Pass on what the supervisor said."""
    if not answer:
        status = process.wait()
        place = home() / "logs" / "podium.log"
        sys.stderr.write(f"Podium ended with status {status} while it started. See {place}.\n")
        return ExitStatus.FAILED
    told = json.loads(answer)
    if told["status"] == "failed":
        sys.stderr.write(f"Podium cannot start. {told['message']}\n")
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


def _already_runs(files: RunFiles) -> str:
    server = files.running()
    process = files.holder()
    where = f"at {server['url']}" if server else "and is starting or stopping"
    return f"Podium already runs on {files.data_dir} (process {process}) {where}\n"


def _print_json(told: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def options_as_environment(options: Sequence[tuple[str, str | int | None]]) -> None:
    """Settings given on the command line win over all others, in the children too."""
    for name, value in options:
        if value is not None:
            os.environ[name] = str(value)
    os.environ["PODIUM_HOME"] = str(home())
