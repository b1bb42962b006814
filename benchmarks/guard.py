"""Run a command that cannot outlive the harness: ``python -m benchmarks.guard LOG COMMAND …``.

The harness holds the write end of this process's standard input. When that closes, because the
harness is done or was killed, the command and everything it started are ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import psutil

GRACE_SECONDS = 8.0


def end_tree(pid: int, grace: float = GRACE_SECONDS) -> None:
    """Ask the process to end; after ``grace`` seconds kill what is left of its tree."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        tree = [*root.children(recursive=True), root]
        root.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(tree, timeout=grace)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=grace)


def wait_for_harness() -> None:
    """Return when standard input closes."""
    while os.read(sys.stdin.fileno(), 4096):
        pass


def ignore_signals() -> None:
    """Leave it to the harness to decide when this process ends: Ctrl-C may reach both.

    Unlike ``SIG_IGN``, a handler that does nothing is not inherited by what is started later.
    """

    def nothing(_number: int, _frame: FrameType | None) -> None: ...

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, nothing)


def main(log: Path, command: list[str]) -> int:
    """Run ``command`` until it ends or standard input closes; its exit status."""
    ignore_signals()
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def watch() -> None:
        wait_for_harness()
        end_tree(child.pid)

    threading.Thread(target=watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
