"""Finds and ends processes by descent or by the marks that an attempt's processes carry.

Linux answers from ``/proc``; elsewhere ``ps`` is asked, which knows neither marks nor memory.
"""

import os
import sys
import time

SIGTERM, SIGKILL = 15, 9
SIGCONT, SIGSTOP = (18, 19) if sys.platform == "linux" else (19, 17)

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def read(path: str) -> bytes:
    """The file's bytes, or nothing when the process went away or belongs to somebody else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts: list[bytes] = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:
        return b""
    else:
        return b"".join(parts)
    finally:
        os.close(descriptor)


def descendants(root: int) -> set[int]:
    """Every process below ``root``, by the kernel's lists of children where it keeps them."""
    if sys.platform == "linux" and os.path.exists(f"/proc/{root}/task/{root}/children"):  # noqa: PTH110
        return _below_by_children(root)
    return _below(root, _parents())


def _below_by_children(root: int) -> set[int]:
    found: set[int] = set()
    pending = [root]
    while pending:
        process = pending.pop()
        try:
            threads = os.listdir(f"/proc/{process}/task")  # noqa: PTH208
        except OSError:
            continue
        for thread in threads:
            for child in map(int, read(f"/proc/{process}/task/{thread}/children").split()):
                if child not in found:
                    found.add(child)
                    pending.append(child)
    return found


def _below(root: int, parents: dict[int, int]) -> set[int]:
    found: set[int] = set()
    growing = True
    while growing:
        more = {p for p, parent in parents.items() if parent == root or parent in found}
        growing = not more <= found
        found |= more
    return found


def _parents() -> dict[int, int]:
    if sys.platform != "linux":
        return _parents_from_ps()
    parents: dict[int, int] = {}
    for process in pids():
        fields = _stat(process)
        if fields:
            parents[process] = int(fields[1])
    return parents


def _parents_from_ps() -> dict[int, int]:
    import subprocess

    listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, check=False).stdout
    return {int(pid): int(parent) for pid, parent in map(bytes.split, listing.splitlines())}


def pids() -> list[int]:
    """Every process that ``/proc`` shows; empty where there is none."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []


def _stat(process: int) -> list[bytes]:
    """The fields of ``/proc/PID/stat`` from the state on (the name before it may hold blanks)."""
    return read(f"/proc/{process}/stat").rpartition(b")")[2].split()


def consumed(processes: set[int]) -> tuple[float, int]:
    """CPU seconds (with those of children that they waited for) and resident bytes, summed."""
    ticks = pages = 0
    for process in processes:
        fields = _stat(process)
        if len(fields) > 21:
            ticks += sum(int(fields[place]) for place in (11, 12, 13, 14))
            pages += int(fields[21])
    return ticks / _TICKS, pages * _PAGE


def marked(task: str, *, attempt: str | None = None, besides: str | None = None) -> set[int]:
    """Processes whose environment names ``task``: of one attempt, or of all others ``besides``.

    The environment is inherited through daemonising, new sessions and closed descriptors. Dead
    processes that nobody has waited for are left out: they have no environment any more.
    """
    found: set[int] = set()
    for process in pids():
        environment = read(f"/proc/{process}/environ")
        if f"PODIUM_TASK_ID={task}".encode() not in environment:
            continue
        variables = environment.split(b"\0")
        ours = f"PODIUM_TASK_ID={task}".encode() in variables
        named = {v.partition(b"=")[2] for v in variables if v.startswith(b"PODIUM_ATTEMPT=")}
        wanted = attempt is None or attempt.encode() in named
        spared = besides is not None and besides.encode() in named
        if ours and wanted and not spared and process != os.getpid():
            found.add(process)
    return found


def signal_all(processes: set[int], number: int) -> None:
    """Send a signal to each; who is gone already is passed over."""
    for process in processes:
        try:
            os.kill(process, number)
        except OSError:
            continue


def lives(process: int) -> bool:
    """Whether the process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


def end_marked(
    task: str, *, seconds: float, attempt: str | None = None, besides: str | None = None
) -> bool:
    """Kill what ``marked`` finds until nothing is left; False when that took too long."""
    until = time.monotonic() + seconds
    while left := marked(task, attempt=attempt, besides=besides):
        if time.monotonic() > until:
            return False
        signal_all(left, SIGKILL)
        time.sleep(0.01)
    return True
