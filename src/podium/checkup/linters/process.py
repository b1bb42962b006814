"""Running a linter: bounded time and output, its own process group, a fresh environment."""

import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from podium.checkup.git import environment

_MAX_OUTPUT = 64_000_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tool ended. ``status`` is None when it took too long."""

    status: int | None
    output: str
    errors: str


def run(argv: list[str], directory: Path, seconds: float, *, home: bool = False) -> Ended:
    """Run a tool in ``directory`` for at most ``seconds``.

    ``home`` gives it the user's home directory, which tools that build projects need.
    """
    env = environment()
    if home:
        env["HOME"] = str(Path.home())
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            argv,
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(process)
        output.seek(0)
        errors.seek(0)
        return Ended(
            status,
            output.read(_MAX_OUTPUT).decode("utf-8", "replace"),
            errors.read(4096).decode("utf-8", "replace"),
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the tool and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # the whole group has ended
    finally:
        process.wait()
