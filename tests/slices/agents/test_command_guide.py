"""The guide to command agents says what is so: its examples run, its tables are complete."""

import json
import re
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from contract.context import RecordingContext
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes import built_in, environment, protocol
from podium.agents.runtimes.command import CommandConfig, CommandRuntime
from podium.agents.runtimes.options import Limits
from podium.agents.runtimes.outcome import DEFAULT_EXIT_CODES
from podium.kernel.errors import AttemptFailed, ErrorClass

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "command-agents.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def runtime(tmp_path: Path) -> CommandRuntime:
    found = built_in(data_dir=tmp_path / "data", confinement="auto")["command"]
    assert isinstance(found, CommandRuntime)
    return found


def context(
    runtime: CommandRuntime, folder: Path, value: str, **config: object
) -> RecordingContext:
    workspace = folder / "data" / uuid4().hex
    workspace.mkdir(parents=True)
    spec = AgentSpec("agent", 1, "command", runtime.validate(config))
    return RecordingContext(workspace, spec, value)


async def test_configurations_are_valid_and_the_first_ones_run(
    runtime: CommandRuntime, tmp_path: Path
) -> None:
    first, second, third = (json.loads(block) for block in blocks("json"))
    counted = context(runtime, tmp_path, "count these words", **first)
    expected = {"text": "3", "exit_code": 0, "truncated": False}
    assert await runtime.run(counted) == expected
    assert json.dumps(expected) in GUIDE
    sorted_lines = context(runtime, tmp_path, "b\na\nb", **second)
    output = await runtime.run(sorted_lines)
    assert isinstance(output, dict)
    assert str(output["text"]).split() == ["1", "a", "2", "b"]
    runtime.validate(third)


async def test_the_agent_in_python_runs(runtime: CommandRuntime, tmp_path: Path) -> None:
    (script,) = blocks("python")
    agent = context(
        runtime, tmp_path, "one two", command=[sys.executable, "-c", script], output="events"
    )
    assert await runtime.run(agent) == {"words": 2}
    assert agent.artifacts == {"words": (b"one\ntwo", "text/plain")}
    assert agent.reports[:3] == [
        ("progress", 0.5, "word 1"),
        ("progress", 1.0, "word 2"),
        ("usage", {"words": 2}),
    ]
    assert agent.lines() == []


async def test_the_agent_in_a_shell_runs(runtime: CommandRuntime, tmp_path: Path) -> None:
    (script,) = blocks("sh")
    config = {"command": ["sh", "-c", script], "prompt": "stdin", "output": "events"}
    agent = context(runtime, tmp_path, " one two", **config)
    assert await runtime.run(agent) == {"words": 2}
    assert agent.artifacts == {"words": (b"one\ntwo\n", "text/plain")}
    assert ("progress", 1.0, "all words") in agent.reports
    assert ("usage", {"words": 2}) in agent.reports
    assert agent.lines() == ["this line is only logged"]
    with pytest.raises(AttemptFailed) as caught:
        await runtime.run(context(runtime, tmp_path, " ", **config))
    assert (caught.value.error_class, caught.value.code) == (ErrorClass.INVALID_INPUT, "no_words")


def test_tables_are_complete() -> None:
    def rows(heading: str) -> set[str]:
        section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        return set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))

    assert rows("Configuration") == set(CommandConfig.model_fields)
    assert rows("Limits") == set(Limits.model_fields)
    kinds = [each.model_fields for each in protocol.Message.__args__]
    names = {fields["podium"].annotation.__args__[0] for fields in kinds}  # type: ignore[union-attr]
    assert rows("Messages") - {"podium"} == names
    for status, error_class in DEFAULT_EXIT_CODES.items():
        assert re.search(rf"^\| status .*\b{status}\b.*`{error_class}`", GUIDE, re.MULTILINE)
    for name in environment.DEFAULT_ALLOWED:
        assert f"`{name}`" in GUIDE
