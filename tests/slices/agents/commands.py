"""Makes command agents and their attempts, for the tests of command agents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from contract.context import RecordingContext
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes import built_in
from podium.agents.runtimes.command import CommandRuntime
from podium.agents.runtimes.confinement import Mode

Make = Callable[..., RecordingContext]


def command_runtime(folder: Path, confinement: Mode = "auto") -> CommandRuntime:
    """A runtime whose data directory, with a secret in it, is ``folder / "data"``."""
    (folder / "data").mkdir()
    (folder / "data" / "admin-token").write_text("secret-of-podium")
    found = built_in(data_dir=folder / "data", confinement=confinement)["command"]
    assert isinstance(found, CommandRuntime)
    return found


def maker(runtime: CommandRuntime, folder: Path) -> Make:
    """Makes the context of an attempt from a command, an input and further configuration."""

    def make(command: Any, value: Any = None, **options: Any) -> RecordingContext:
        shell = {"shell": True} if isinstance(command, str) else {}
        config = runtime.validate({"command": command, **shell, **options})
        workspace = folder / "data" / "workspaces" / uuid4().hex / "1"
        workspace.mkdir(parents=True)
        return RecordingContext(workspace, AgentSpec("agent", 1, "command", config), value)

    return make
