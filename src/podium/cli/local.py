"""The server of this machine: found by its files, started and stopped as a process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from podium.cli.failures import Failure, Status
from podium.client.connection import data_dir, local_server

STOP_SECONDS = 60.0
"""A server may take so long besides the time that it gives to running tasks."""
_SILENT_SECONDS = 1.0
IDLE_SECONDS = "300"
_LOOK_SECONDS = 0.05
TO_APPLY = "To apply them: podium down, then podium up --detach."


def argv(command: str, *options: str) -> list[str]:
    """How this installation's server processes are started.

    Never with modules of the working directory, which may be a stranger's repository.
    """
    return [sys.executable, "-P", "-m", "podium.server", command, *options]


def become(command: str, *options: str, as_json: bool) -> None:
    """Replace this process by a server process: signals and the exit status are its own. As JSON it
    writes its log to the console, and why it ends."""
    if as_json:
        os.environ["PODIUM_LOG_FORMAT"] = "json"
        options = (*options, "--json")
    sys.stdout.flush()
    arguments = argv(command, *options)
    os.execv(arguments[0], arguments)  # noqa: S606 - there is no shell to want


def start(*options: str) -> Mapping[str, object]:
    """Start a detached server and wait until it is ready; give what it says of itself.

    Of many commands that do this at once one starts it and all get the same answer; its
    ``status`` is ``started`` or ``running``. A failure has the exit status of ``podium up``.
    """
    done = subprocess.run(
        argv("up", "--detached", "--json", *options), capture_output=True, check=False
    )
    if done.returncode:
        raise _not_started(done.returncode, done.stderr.decode("utf-8", "replace").strip())
    return cast("dict[str, object]", json.loads(done.stdout))


def _not_started(status: int, said: str) -> Failure:
    gave_no_reason = f"The server ended with status {status} and gave no reason."
    told = _error_in(said) or {"code": "not_started", "message": said or gave_no_reason}
    hint = told.get("hint") or "'podium logs' and 'podium doctor' may say more."
    ours = Status.CONFLICT if status == Status.CONFLICT else Status.FAILED
    return Failure(ours, told["code"], told["message"], hint)


def _error_in(said: str) -> Mapping[str, str] | None:
    """The error that a server process told as JSON; None when it broke before it could."""
    try:
        return cast("dict[str, str]", json.loads(said.rpartition("\n")[2])["error"])
    except (ValueError, KeyError, TypeError):
        return None


def ensure(starting: Callable[[], None]) -> None:
    """Have a server to talk to: one that is named or runs, else one started until it is idle."""
    if os.environ.get("PODIUM_URL") or local_server():
        return
    starting()
    try:
        start("--idle", os.environ.get("PODIUM_IDLE_SHUTDOWN_SECONDS") or IDLE_SECONDS)
    except Failure as failure:
        raise Failure(Status.NO_SERVER, failure.code, failure.message, failure.hint) from None


def ends_when_idle() -> float | None:
    """After how many idle seconds the server of this machine ends; None when it does not, or when
    commands use one elsewhere."""
    server = None if os.environ.get("PODIUM_URL") else local_server()
    idle = server.get("idle_seconds") if server else None
    return float(idle) if isinstance(idle, int | float) else None


def keeps_workers() -> bool:
    """Whether the server that commands use is of this machine and starts workers that ended."""
    server = None if os.environ.get("PODIUM_URL") else local_server()
    return bool(server and server.get("workers"))


def stop(server: Mapping[str, object], takes_long: Callable[[], object]) -> None:
    """Ask a server to end in order and wait until it has.

    After a second ``takes_long`` is called. Ctrl-C asks again, which hurries it; then another one
    ends the waiting.
    """

    def hurry(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        # A server that has not come to heed the first finds two of one kind as one.
        _ask_to_stop(server, signal.SIGINT)

    before = signal.signal(signal.SIGINT, hurry)  # heard wherever it comes, unlike an exception
    try:
        _ask_to_stop(server, signal.SIGTERM)
        if not _has_ended(_SILENT_SECONDS):
            takes_long()
            _wait_for_end(server)
    finally:
        signal.signal(signal.SIGINT, before)


def handed_back(server: Mapping[str, object]) -> int | None:
    """How many running tasks a server that has ended handed back; None when it did not say."""
    try:
        word = json.loads((data_dir() / "run" / "stopped.json").read_bytes())
    except FileNotFoundError:
        return None
    return cast("int | None", word["handed_back"]) if word["pid"] == server["pid"] else None


def _ask_to_stop(server: Mapping[str, object], sig: signal.Signals) -> None:
    process = cast("int", server["pid"])
    try:
        os.kill(process, sig)
    except ProcessLookupError:
        return
    except PermissionError:
        raise Failure(
            Status.REFUSED,
            "forbidden",
            f"The server (process {process}) belongs to another user.",
            "Stop it as that user.",
        ) from None


def _wait_for_end(server: Mapping[str, object]) -> None:
    seconds = STOP_SECONDS + cast("float", server.get("drain_seconds", 0))
    if not _has_ended(seconds):
        raise Failure(
            Status.FAILED,
            "not_stopped",
            f"The server (process {server['pid']}) has not ended after {seconds:g} s.",
            "'podium logs' may say what it waits for.",
        )


def _has_ended(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while local_server() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def settings() -> list[dict[str, object]]:
    """The settings as the server's code reads them here, without a server."""
    return cast("list[dict[str, object]]", _of_settings())


def not_in_force() -> list[str]:
    """The settings made here that the running server of this machine has otherwise."""
    return cast("list[str]", _of_settings("--not-in-force"))


def runs_without(settings: Sequence[str]) -> str:
    """What to say of settings that are ``not_in_force``; then comes ``TO_APPLY``."""
    return f"The server runs without these settings of this environment: {', '.join(settings)}."


_BY_CODE = {
    "conflict": Status.CONFLICT,
    "invalid_input": Status.USAGE,
    "not_found": Status.REFUSED,
    "unavailable": Status.NO_SERVER,
}


def database(
    *options: str, said: str = "", on_progress: Callable[[Mapping[str, Any]], None]
) -> Mapping[str, Any]:
    """Have a process look after the database; what it did. ``said`` is what it is told on its
    standard input, and ``on_progress`` is called with each line by which it tells how far it is.

    Ctrl-C ends it, too, and it then leaves nothing half done.
    """
    with subprocess.Popen(
        argv("db", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin, "it was started with pipes"  # noqa: S101
        assert process.stdout, "it was started with pipes"  # noqa: S101
        assert process.stderr, "it was started with pipes"  # noqa: S101
        with suppress(BrokenPipeError):  # one that has ended says why
            process.stdin.write(f"{said}\n")
            process.stdin.close()
        told: Mapping[str, Any] = {}
        for line in process.stdout:
            told = json.loads(line)
            if "result" not in told:
                on_progress(told)
        complained = process.stderr.read()
    if process.returncode == 0:
        return told["result"]
    error = _error_in(complained.strip()) or {}
    code = error.get("code", "failed")
    message = error.get("message") or complained.strip() or "It ended and gave no reason."
    raise Failure(_BY_CODE.get(code, Status.FAILED), code, message, error.get("hint"))


def _of_settings(*options: str) -> object:
    done = subprocess.run(
        argv("settings", "--json", *options),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip()
        told = _error_in(said) or {}
        raise Failure(
            Status.FAILED,
            "settings_invalid",
            told.get("message") or said or "The settings cannot be read, for no reason given.",
            told.get("hint")
            or "Check the PODIUM_* variables and settings.toml in the data directory.",
        )
    return json.loads(done.stdout)
