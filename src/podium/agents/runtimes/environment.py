"""What an agent's process is told: its environment, its prompt and its input file."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson

from podium.agents.runtime import AttemptContext, Json

DEFAULT_ALLOWED = (
    *("PATH", "HOME", "LANG", "LC_*", "TERM", "TZ", "TMPDIR", "USER", "SHELL"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
RESERVED = "PODIUM_"
"""Variables with this prefix belong to Podium: its settings, secrets among them, and what it
tells an agent. None is passed on from the worker and none can be set by a configuration."""


def environment(
    ctx: AttemptContext, allowed: Iterable[str], extra: Mapping[str, str]
) -> dict[str, str]:
    """The agent's environment: what ``allowed`` lets through, ``extra``, and Podium's own."""
    own = {
        "PODIUM_TASK_ID": str(ctx.task_id),
        "PODIUM_ATTEMPT": str(ctx.attempt),
        "PODIUM_TOKEN": ctx.token,
        "PODIUM_URL": ctx.server_url,
        "PODIUM_INPUT": str(input_file(ctx.workspace)),
        "PODIUM_WORKSPACE": str(ctx.workspace),
    }
    if ctx.traceparent is not None:
        own["TRACEPARENT"] = ctx.traceparent
    return passed_on(allowed) | dict(extra) | own


def passed_on(allowed: Iterable[str]) -> dict[str, str]:
    """What of this process's environment ``allowed`` lets through."""
    patterns = tuple(allowed)
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(RESERVED) and any(fnmatchcase(name, each) for each in patterns)
    }


def private_folder(workspace: Path) -> Path:
    """Podium's own folder in the workspace: the input file, and scratch space."""
    return workspace / ".podium"


def input_file(workspace: Path) -> Path:
    """Where the envelope lies that ``PODIUM_INPUT`` names."""
    return private_folder(workspace) / "input.json"


def envelope(ctx: AttemptContext) -> dict[str, Any]:
    """Everything that the task gives to its agent, as ``PODIUM_INPUT`` holds it."""
    return {
        "task_id": str(ctx.task_id),
        "attempt": ctx.attempt,
        "project": ctx.project,
        "title": ctx.title,
        "labels": dict(ctx.labels),
        "input": ctx.input,
        "dependencies": {
            name: {
                "task_id": str(each.task_id),
                "state": each.state,
                "output": each.output,
                "error": None if each.error is None else dict(each.error),
                "queued_seconds": each.queued_seconds,
                "run_seconds": each.run_seconds,
            }
            for name, each in ctx.dependencies.items()
        },
        "workspace": str(ctx.workspace),
        "session": None
        if ctx.session is None
        else {"earlier": [asdict(each) for each in ctx.session.earlier]},
    }


def write_input(ctx: AttemptContext) -> None:
    """Put the envelope where ``PODIUM_INPUT`` says, readable by the agent's user alone."""
    path = input_file(ctx.workspace)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - the descriptor carries the mode
        file.write(orjson.dumps(envelope(ctx)))


def prompt(value: Json) -> str:
    """The text to give to an agent that takes a prompt: see ``docs/guides/command-agents.md``."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        named = value.get("prompt")
        if isinstance(named, str):
            return named
    return orjson.dumps(value).decode()
