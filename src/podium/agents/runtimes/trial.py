"""Imports a function in a process of its own to learn whether it can be used.

The code of an agent is never imported for a look: the process runs confined and supervised, as an
attempt would, without Podium's environment, and its time is short.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from podium.agents.runtimes import environment
from podium.agents.runtimes.hosting import Host
from podium.agents.runtimes.launch import Launch
from podium.agents.runtimes.options import ProcessOptions
from podium.agents.runtimes.supervise import supervise
from podium.kernel import open_files
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass

_CHECK_MODULE = "podium.agents.runtimes.function_check"
_KEPT_BYTES = 64 * 1024
_SPARE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Until:
    """A lease that is not renewed."""

    moment: float

    def deadline(self) -> float:
        return self.moment


class _Kept:
    """Keeps the end of what a process writes."""

    def __init__(self) -> None:
        self.content = b""

    async def feed(self, data: bytes) -> None:
        self.content = (self.content + data)[-_KEPT_BYTES:]

    async def close(self) -> None:
        pass


def python_path() -> dict[str, str]:
    """Variables by which a child finds the same modules as this process."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


async def is_async(
    host: Host, options: ProcessOptions, reference: str, prefixes: Sequence[str], seconds: float
) -> bool:
    """Whether the function is async. Raises ``AttemptFailed`` that says why it cannot be used, of
    class timeout when its import takes longer than ``seconds``."""
    argv = (sys.executable, "-P", "-m", _CHECK_MODULE, reference, *prefixes)
    answer, said = _Kept(), _Kept()
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="podium-trial-")
    try:
        launch = _launch(host, options, argv, Path(folder.name))
        lease = _Until(boottime() + seconds + _SPARE_SECONDS)
        report = await supervise(launch, lease, answer, said, seconds)
    finally:
        await asyncio.to_thread(folder.cleanup)
    try:
        found = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        lines = said.content.decode(errors="replace").split("\n")
        shown = next((line for line in reversed(lines) if line.strip()), report.reason)
        raise AttemptFailed(
            ErrorClass.AGENT,
            "function_import_failed",
            f"Importing {reference} ended its process: {shown[:500]}",
        ) from None
    if "message" in found:
        raise AttemptFailed(
            ErrorClass.AGENT, "function_unusable", found["message"], hint=found["hint"]
        )
    return found["is_async"]


def _launch(host: Host, options: ProcessOptions, argv: Sequence[str], folder: Path) -> Launch:
    plan = host.confinement_of(options).plan(host.hidden, [folder], folder)
    passed = environment.passed_on(options.env_allow)
    return Launch(
        argv=argv,
        environment={**passed, **plan.variables, **options.env, **python_path()},
        directory=folder,
        lock=folder / "lock",
        grace=0.0,
        limits={"soft_open_files": open_files.inherited(), **options.limits.of_processes()},
        records=plan.records,
    )
