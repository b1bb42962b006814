"""Judges how a command ended: which failure, if any, its end means."""

import errno
import os
import re
import signal
from collections.abc import Mapping
from types import MappingProxyType

from podium.agents.runtimes.launch import Report
from podium.kernel.errors import AttemptFailed, ErrorClass, LeaseRanOut, Unavailable
from podium.kernel.files import is_short
from podium.kernel.redaction import beginning

DEFAULT_EXIT_CODES: Mapping[int, ErrorClass] = MappingProxyType(
    {
        os.EX_USAGE: ErrorClass.INVALID_INPUT,
        os.EX_UNAVAILABLE: ErrorClass.TRANSIENT,
        os.EX_TEMPFAIL: ErrorClass.TRANSIENT,
        os.EX_NOPERM: ErrorClass.PERMISSION,
        124: ErrorClass.TIMEOUT,  # of timeout(1)
    }
)
_SIGNAL_STATUS = 128
_NEAR_MEMORY_LIMIT = 0.8
_SAYS_OUT_OF_MEMORY = re.compile(
    r"^(MemoryError\b|memory allocation of \d+ bytes failed|fatal error: runtime: out of memory)"
    r"|std::bad_alloc|OutOfMemoryError|heap out of memory|[Cc]annot allocate memory"
    r"|virtual memory exhausted",
    re.MULTILINE,
)
"""As Python, Rust, Go, C++, Java, Node, the C library and older tools say that they got none."""


def failure_of(
    report: Report,
    command: str,
    exit_codes: Mapping[int, ErrorClass],
    memory_limit: int | None,
    stderr: str,
) -> AttemptFailed | None:
    """Why the attempt failed, or None when the command ended with status 0.

    ``exit_codes`` are the configuration's own and go before the defaults.
    """
    if report.reason == "start_failed":
        return _not_started(report, command)
    if report.reason != "exited":
        return _ended(report)
    code = report.code or 0
    if code == 0:
        return None
    if code in exit_codes:
        return _exit_status(code, exit_codes[code], stderr)
    if code in (126, 127):
        return _not_found(code, command, stderr)
    number = -code if code < 0 else code - _SIGNAL_STATUS
    starved = memory_limit is not None and _starved(report, memory_limit, stderr)
    if code < 0 or number in signal.valid_signals():
        return _signalled(number, memory_limit, stderr, starved=starved)
    if memory_limit is not None and starved:
        return _out_of_memory(memory_limit, stderr)
    return _exit_status(code, DEFAULT_EXIT_CODES.get(code, ErrorClass.AGENT), stderr)


def not_begun(what: str, error: OSError) -> Exception:
    """Trouble in this process before anything ran: what the machine lacks is no fault of the task,
    which is handed back."""
    message = f"{what}: {error}."
    if is_short(error):
        return Unavailable(message)
    return AttemptFailed(ErrorClass.RESOURCE, "start_failed", message)


def wall_limit(seconds: float) -> AttemptFailed:
    """The failure of an attempt that ran longer than its configuration allows."""
    return AttemptFailed(
        ErrorClass.TIMEOUT,
        "wall_limit",
        f"The agent ran longer than its limit of {seconds:g} seconds.",
        hint="Raise limits.wall_seconds, or give the agent less to do at once.",
        detail={"limit_seconds": seconds},
    )


def _exit_status(code: int, error_class: ErrorClass, stderr: str) -> AttemptFailed:
    return AttemptFailed(
        error_class,
        "exit_status",
        f"The agent ended with exit status {code}{_last_line(stderr)}",
        detail={"exit_code": code, "stderr": stderr},
    )


def _last_line(stderr: str) -> str:
    last = stderr.strip().rpartition("\n")[2].strip()
    return f": {beginning(last, 300)}" if last else "."


def _not_found(code: int, command: str, stderr: str) -> AttemptFailed:
    """By a shell's convention: what the command itself tried to run was not there."""
    missing = code == 127
    return AttemptFailed(
        ErrorClass.AGENT,
        "command_not_found" if missing else "not_executable",
        f"Something that {command} runs "
        f"{'was not found' if missing else 'is not executable'}{_last_line(stderr)}",
        hint="Install it on this worker, or correct PATH in the agent's env.",
        detail={"exit_code": code, "stderr": stderr},
    )


def _starved(report: Report, memory_limit: int, stderr: str) -> bool:
    """Whether an agent that failed had no memory left: it was near its limit, or says so. One that
    asks for much at once never comes near, because the kernel refuses it."""
    near = report.rss >= _NEAR_MEMORY_LIMIT * memory_limit
    return near or _SAYS_OUT_OF_MEMORY.search(stderr) is not None


def _signalled(
    number: int, memory_limit: int | None, stderr: str, *, starved: bool
) -> AttemptFailed:
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    detail = {"signal": name, "stderr": stderr}
    if number == signal.SIGXCPU:
        return _limit("cpu_limit", "CPU time", "limits.cpu_seconds")
    if memory_limit is not None and (starved or number == signal.SIGKILL):
        return _out_of_memory(memory_limit, stderr)
    hint = None
    if number == signal.SIGKILL:
        hint = "The machine may have run out of memory; set limits.memory_bytes to be sure."
    return AttemptFailed(
        ErrorClass.AGENT,
        "killed_by_signal",
        f"The agent was ended by {name}.",
        hint=hint,
        detail=detail,
    )


def _out_of_memory(limit: int, stderr: str) -> AttemptFailed:
    failure = _limit("memory_limit", "memory", "limits.memory_bytes")
    failure.detail |= {"limit_bytes": limit, "stderr": stderr}
    return failure


def _limit(code: str, what: str, setting: str) -> AttemptFailed:
    return AttemptFailed(
        ErrorClass.RESOURCE,
        code,
        f"The agent passed its limit of {what}.",
        hint=f"Raise {setting}, or give the agent less to do at once.",
    )


def _ended(report: Report) -> AttemptFailed:
    """The supervisor ended it, or was ended itself."""
    match report.reason:
        case "memory_limit":
            return _limit("memory_limit", "memory", "limits.memory_bytes")
        case "cpu_limit":
            return _limit("cpu_limit", "CPU time", "limits.cpu_seconds")
        case "process_limit":
            return _limit("process_limit", "processes", "limits.processes")
        case "previous_attempt_running":
            return AttemptFailed(
                ErrorClass.RESOURCE,
                "previous_attempt_running",
                "Processes of this task's previous attempt still run on this machine.",
                hint="They may be stuck in the kernel; PODIUM_TASK_ID is in their environment.",
            )
        case "lease_expired":
            return LeaseRanOut()
        case _:
            message = "The agent's supervisor was ended from outside."
            return AttemptFailed(ErrorClass.TRANSIENT, report.reason, message)


def _not_started(report: Report, command: str) -> AttemptFailed:
    why = os.strerror(report.errno) if report.errno else "see the attempt's log"
    if report.errno == errno.E2BIG:
        return AttemptFailed(
            ErrorClass.INVALID_INPUT,
            "arguments_too_long",
            "The command with its prompt is longer than this machine allows.",
            hint='Give the prompt by standard input: "prompt": "stdin".',
        )
    if report.stage == "directory":
        return AttemptFailed(
            ErrorClass.AGENT,
            "directory_not_found",
            "The agent's working directory does not exist or cannot be entered.",
            hint="Create it on this worker, or correct cwd. Podium's data directory is hidden.",
        )
    if report.stage == "command":
        missing = report.errno == errno.ENOENT
        return AttemptFailed(
            ErrorClass.AGENT,
            "command_not_found" if missing else "not_executable",
            f"{command} {'was not found on this worker' if missing else f'cannot be run: {why}'}.",
            hint="Install it, give its full path, or correct PATH in the agent's env.",
        )
    return AttemptFailed(
        ErrorClass.RESOURCE,
        "start_failed",
        f"The agent cannot be started ({report.stage}: {why}).",
        hint="`podium doctor` tells what confinement works on this machine.",
    )
