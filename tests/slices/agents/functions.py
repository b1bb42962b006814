"""Makes function agents and their attempts, for the tests of function agents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from contract.context import RecordingContext
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes import built_in
from podium.agents.runtimes.function import FunctionRuntime

SAMPLES = "slices.agents.function_samples"
Make = Callable[..., RecordingContext]


def function_runtime(folder: Path) -> FunctionRuntime:
    """A runtime whose data directory is ``folder / "data"``."""
    (folder / "data").mkdir()
    found = built_in(
        data_dir=folder / "data", confinement="auto", allowed_modules=[SAMPLES, "entry_module"]
    )["function"]
    assert isinstance(found, FunctionRuntime)
    return found


def maker(runtime: FunctionRuntime, folder: Path) -> Make:
    """Makes the context of an attempt from a function, an input and further configuration."""

    def make(name: str, value: Any = None, **options: Any) -> RecordingContext:
        reference = name if name.startswith("entry") else f"{SAMPLES}:{name}"
        config = runtime.validate({"function": reference, "env_allow": ["PATH", "HOME"], **options})
        workspace = folder / "data" / "workspaces" / uuid4().hex
        workspace.mkdir(parents=True)
        agent = AgentSpec(f"agent-{uuid4().hex}", 1, "function", config)
        return RecordingContext(workspace, agent, value)

    return make
