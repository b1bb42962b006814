"""Configurations of command agents: which are refused, and what a probe says of the others."""

from pathlib import Path
from typing import Any

import pytest

from podium.agents.runtimes.command import CommandRuntime
from podium.agents.runtimes.options import Limits
from podium.kernel.errors import InvalidInput
from slices.agents.commands import command_runtime


@pytest.fixture
def runtime(tmp_path: Path) -> CommandRuntime:
    return command_runtime(tmp_path)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "command"),
        ({"command": []}, r"config\.command: Must be a list of strings"),
        ({"command": ["ls", 1]}, r"config\.command: Must be a list of strings"),
        (
            {"command": ["ls"], "promt": "none"},
            r"config\.promt: There is no such field; the closest is 'prompt'",
        ),
        ({"command": "ls"}, "list of arguments"),
        ({"command": ["ls"], "shell": True}, "single string"),
        ({"command": "do {prompt}", "shell": True}, '"\\$1"'),
        ({"command": ["ls"], "cwd": "relative"}, "cwd"),
        ({"command": ["ls"], "exit_codes": {"0": "agent"}}, "exit_codes"),
        ({"command": ["ls"], "exit_codes": {"-1": "agent"}}, "exit_codes"),
        ({"command": ["ls"], "exit_codes": {"3": "nonsense"}}, "exit_codes"),
        ({"command": ["ls"], "env": {"PODIUM_TOKEN": "x"}}, "reserved"),
        ({"command": ["ls"], "env": {"A=B": "x"}}, "env"),
        ({"command": ["ls"], "env": {"A": "a\0b"}}, "NUL"),
        ({"command": ["ls"], "env": {"A": "b", "KEY": "***"}}, r"value of KEY is \*\*\*"),
        ({"command": ["ls"], "env_allow": ["PODIUM_*"]}, "env_allow"),
        *(
            ({"command": ["ls"], "limits": {name: 2**63 - 1}}, f"limits.{name}")
            for name in Limits.model_fields
        ),
        ({"command": ["ls"], "grace_seconds": -1}, "grace_seconds"),
        ({"command": ["ls"], "limits": {"memory_bytes": 5}}, "limits.memory_bytes"),
        ({"command": ["ls"], "output": "xml"}, "output"),
    ],
)
def test_wrong_configurations_are_named(
    runtime: CommandRuntime, config: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        runtime.validate(config)


@pytest.mark.parametrize(
    ("command", "folder"), [("true", "long" * 100), ("./tool", "."), ("./" + "long" * 100, ".")]
)
async def test_a_probe_says_where_it_cannot_look(
    runtime: CommandRuntime, tmp_path: Path, command: str, folder: str
) -> None:
    cwd = str(tmp_path / folder)
    health = await runtime.probe(runtime.validate({"command": [command], "cwd": cwd}))
    assert not health.ok
    assert (command if folder == "." else cwd).removeprefix("./") in health.detail


async def test_a_working_directory_has_a_longest_name(runtime: CommandRuntime) -> None:
    with pytest.raises(InvalidInput, match="cwd"):
        runtime.validate({"command": ["true"], "cwd": "/" + "x/" * 2048})


async def test_probes(runtime: CommandRuntime, tmp_path: Path) -> None:
    async def probe(**config: Any) -> tuple[bool, str]:
        health = await runtime.probe(runtime.validate(config))
        return health.ok, health.detail

    ok, detail = await probe(command=["sh", "-c", "true"])
    assert ok
    assert "confinement" in detail
    assert (await probe(command="true", shell=True))[0]
    assert not (await probe(command=["sh"], env={"PATH": str(tmp_path)}))[0]
    ok, detail = await probe(command=["sh"], cwd=str(tmp_path / "nowhere"))
    assert not ok
    assert "does not exist" in detail
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    assert (await probe(command=["./tool"], cwd=str(tmp_path)))[0]
