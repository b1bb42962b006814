"""The kinds of agent that the runtime suite is run on, and how an attempt of one is made."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from contract.context import RecordingContext
from podium.agents.runtime import AgentSpec, Runtime

TESTS = str(Path(__file__).parents[1])
SOURCE = str(Path(__file__).parents[2] / "src")
MIB = 2**20


@dataclass(frozen=True)
class Kind:
    """A kind of agent: its runtime, and how one of the behaviours is configured for it."""

    name: str
    runtime: str
    configure: Callable[[str], dict[str, Any]]
    is_process: bool = True

    def __str__(self) -> str:
        return self.name


def _command(behaviour: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "contract.behaviours", behaviour]
    return {
        "command": command,
        "output": "events",
        "session": {"input": "events"},
        "env": {"PYTHONPATH": f"{TESTS}:{SOURCE}"},
        "cwd": "/",
    }


KINDS = [
    Kind("command", "command", _command),
    Kind("function-sync", "function", lambda name: {"function": f"contract.behaviours:{name}"}),
    Kind(
        "function-async",
        "function",
        lambda name: {"function": f"contract.behaviours:async_{name}"},
        is_process=False,
    ),
]
PROCESSES = [kind for kind in KINDS if kind.is_process]


class Bench:
    """Runs behaviours on one kind of agent."""

    def __init__(self, runtimes: dict[str, Runtime], tmp_path: Path) -> None:
        self.runtimes = runtimes
        self.tmp = tmp_path

    def context(self, kind: Kind, behaviour: str, value: Any = None, **options: Any) -> Any:
        runtime = self.runtimes[kind.runtime]
        config = runtime.validate(kind.configure(behaviour) | {"env_allow": [*ALLOW], **options})
        workspace = self.tmp / "data" / "workspaces" / uuid4().hex / "1"
        workspace.mkdir(parents=True)
        agent = AgentSpec(f"{kind}-{behaviour}-{uuid4().hex}", 1, kind.runtime, config)
        return RecordingContext(workspace, agent, value)

    async def run(self, kind: Kind, context: RecordingContext) -> Any:
        return await self.runtimes[kind.runtime].run(context)


ALLOW = ("PATH", "HOME", "LANG")


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def marked(context: RecordingContext) -> list[str]:
    """Command lines of processes that carry the attempt's marks."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(context.task_id).encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().decode())
            except OSError:
                continue
    return found
