"""The server of this machine: found by its files, started and stopped as a process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import cast

from podium.cli.failures import Failure, Status
from podium.client.connection import local_server

STOP_SECONDS = 90.0
IDLE_SECONDS = "300"
_LOOK_SECONDS = 0.05


def argv(command: str, *options: str) -> list[str]:
    """How this installation's server processes are started.

    Never with modules of the working directory, which may be a stranger's repository.
    """
    return [sys.executable, "-P", "-m", "podium.server", command, *options]


def become(command: str, *options: str) -> None:
    """Replace this process by a server process: signals and the exit status are its own."""
    sys.stdout.flush()
    arguments = argv(command, *options)
    os.execv(arguments[0], arguments)  # noqa: S606 - there is no shell to want


def log_as_json(wanted: bool) -> None:
    """Have the process that this one becomes write its log to the console as JSON."""
    if wanted:
        os.environ["PODIUM_LOG_FORMAT"] = "json"


def start(*options: str) -> Mapping[str, object]:
    """Start a detached server and wait until it is ready; give what it says of itself.

    Of many commands that do this at once one starts it and all get the same answer; its
    ``status`` is ``started`` or ``running``.
    """
    done = subprocess.run(argv("up", "--detached", *options), capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise Failure(
            Status.NO_SERVER,
            "not_started",
            said or f"The server ended with status {done.returncode} and gave no reason.",
            "'podium logs' and 'podium doctor' may say more.",
        )
    return cast("dict[str, object]", json.loads(done.stdout))


def ensure(starting: Callable[[], None]) -> None:
    """Have a server to talk to: one that is named or runs, else one started until it is idle."""
    if os.environ.get("PODIUM_URL") or local_server():
        return
    starting()
    start("--idle", os.environ.get("PODIUM_IDLE_SHUTDOWN_SECONDS") or IDLE_SECONDS)


def stop(server: Mapping[str, object]) -> None:
    """Ask a server to end in order and wait until it has."""
    process = cast("int", server["pid"])
    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise Failure(
            Status.REFUSED,
            "forbidden",
            f"The server (process {process}) belongs to another user.",
            "Stop it as that user.",
        ) from None
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if local_server() is None:
            return
        time.sleep(_LOOK_SECONDS)
    raise Failure(
        Status.FAILED,
        "not_stopped",
        f"The server (process {process}) has not ended after {STOP_SECONDS:g} s.",
        "'podium logs' may say what it waits for.",
    )


def settings() -> list[dict[str, object]]:
    """The settings as the server's code reads them here, without a server."""
    done = subprocess.run(
        argv("settings", "--json"), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise Failure(
            Status.FAILED,
            "settings_invalid",
            done.stderr.strip() or "The settings cannot be read, for no reason given.",
            "Check the PODIUM_* variables and settings.toml in the data directory.",
        )
    return cast("list[dict[str, object]]", json.loads(done.stdout))
