"""Looks for coding agents on this machine, and says what is to be registered."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, cast

from podium.cli.coding_agents import CodingAgent

if TYPE_CHECKING:
    from podium.client.models import Agent

_SECONDS = 30.0
"""Some load for seconds before they say their version, the more so several at once."""

USUALLY_PASSED = (
    *("PATH", "HOME", "LANG", "LC_*", "TERM", "TZ", "TMPDIR", "USER", "SHELL"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""The default of ``config.env_allow``; a test compares the two."""

State = Literal["new", "registered", "changed", "name taken", "not recognized", "not found"]


@dataclass(frozen=True, slots=True)
class Found:
    """What this machine has of a known agent. ``path`` None: no program of its name."""

    known: CodingAgent
    path: str | None = None
    version: str | None = None
    is_it: bool = True
    """Whether its version looks like the agent's, and not like that of a namesake; of one that is
    too slow to say it nothing else is known, and its name is believed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about it; ``config`` and ``before`` for what is new or changed."""

    found: Found
    state: State
    config: Mapping[str, object] | None = None
    before: "Agent | None" = None


def look(known: Sequence[CodingAgent]) -> list[Found]:
    """Look for each on PATH, and ask those that are there for their versions."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(_look, known))


def _look(known: CodingAgent) -> Found:
    path = shutil.which(known.program)
    if path is None:
        return Found(known)
    path = os.path.abspath(path)  # noqa: PTH100 - links stay: they survive updates
    told = _said([path, *known.version])
    if told is None:
        return Found(known, path)
    number = re.search(r"\d+(?:\.\d+)+[\w.+-]*", told)
    is_it = re.search(known.mark, told) is not None
    return Found(known, path, number[0].rstrip(".") if number else None, is_it)


def _said(command: Sequence[str]) -> str | None:
    """What it writes: nothing when it cannot be run or fails, None when it takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def planned(found: Found, registered: Mapping[str, "Agent"], *, keys: bool) -> Plan:
    """What to do about it, given the agents by name. ``keys``: it is to have its credentials from
    the worker's environment. What somebody set up otherwise for a registered one stays."""
    if found.path is None:
        return Plan(found, "not found")
    if not found.is_it:
        return Plan(found, "not recognized")
    known, agent = found.known, registered.get(found.known.name)
    if agent is None:
        return Plan(found, "new", configuration(found, keys=keys))
    command = _program(agent.config)
    if not command or PurePath(command[0]).name != known.program:
        return Plan(found, "name taken")
    config = {**agent.config, "command": [found.path, *command[1:]]}
    if keys:
        passed = cast("list[str]", config.get("env_allow") or [])
        config["env_allow"] = [*passed, *(each for each in known.keys if each not in passed)]
    state: State = "registered" if config == agent.config else "changed"
    return Plan(found, state, config, agent)


def _program(config: Mapping[str, object]) -> list[str]:
    """The program and its arguments; none where it is no list of them but a line for a shell."""
    command = config.get("command")
    return cast("list[str]", command) if isinstance(command, list) else []


def configuration(found: Found, *, keys: bool) -> Mapping[str, object]:
    """The configuration of a new command agent."""
    known = found.known
    config: dict[str, object] = {
        "command": [found.path, *known.arguments],
        "prompt": known.prompt,
        "output": "lines" if known.lines else "text",
    }
    if known.lines:
        config["lines"] = list(known.lines)
    if known.exit_codes:
        config["exit_codes"] = dict(known.exit_codes)
    if keys:
        config["env_allow"] = [*USUALLY_PASSED, *known.keys]
    return config
