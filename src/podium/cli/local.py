"""The server of this machine: found by its files, started and stopped as a process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, cast

from podium.cli.failures import Failure, Status
from podium.client.connection import data_dir, local_server

START_SECONDS = 90.0
STOP_SECONDS = 90.0
IDLE_SECONDS = 300
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


def start(*options: str) -> Mapping[str, object]:
    """Start a detached server and wait until it is ready; give what its server.json says.

    When another command starts one at the same time, that one is waited for.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            argv("up", "--detached", *options),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ended = process.poll()
            if server := local_server():
                return server
            if ended:
                raise _not_started(f"It ended with status {ended}.", said)
            time.sleep(_LOOK_SECONDS)
        raise _not_started(f"It was not ready after {START_SECONDS:g} s.", said)


def ensure(starting: Callable[[], None]) -> None:
    """Have a server to talk to: one that is named or runs, else one started until it is idle."""
    if os.environ.get("PODIUM_URL") or local_server():
        return
    starting()
    start("--idle", str(IDLE_SECONDS))


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
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "It gave no reason.",
            "Check the PODIUM_* variables and settings.toml in the data directory.",
        )
    return cast("list[dict[str, object]]", json.loads(done.stdout))


def _not_started(what: str, said: IO[bytes]) -> Failure:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return Failure(
        Status.NO_SERVER,
        "not_started",
        "\n".join([f"The server did not start. {what}", *_last(lines)]),
        f"See {data_dir() / 'logs'}, or start it in the foreground with 'podium up'.",
    )


def _last(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines[-5:]]
