"""Which agents and tasks a checkup needs: pure data, for whoever submits one.

Importing this loads nothing else of the package but ``paths``.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from podium.checkup.paths import path_text


class AgentDraft(TypedDict):
    """An agent to register: ``config`` is that of the runtime."""

    name: str
    runtime: Literal["command", "function"]
    description: str
    config: dict[str, Any]


class TaskDraft(TypedDict):
    """A task to submit; ``depends_on`` holds refs. The keys are those of the tasks' API."""

    ref: str
    title: str
    agent: str
    input: dict[str, Any]
    depends_on: list[str]
    on_dependency_failure: Literal["cancel", "run"]
    timeouts: dict[str, float]
    retry: dict[str, int]
    priority: int
    labels: dict[str, str]


class Options(TypedDict):
    """What the person who asks for a checkup may choose; all but ``out`` has a default.

    ``out``: the directory that the report is written to. Create it first: a confined agent may
    not be allowed to. ``head``: the commit to look at (default: HEAD). ``skip``: refs of parts
    to leave out. ``seconds``: time that each part may take for its work (default: the part's
    own). ``run_project_tools``: also run linters that run code of the repository. ``now``: the
    moment that ages are counted from, in seconds since 1970 (default: when the part runs).
    """

    out: str
    head: NotRequired[str]
    skip: NotRequired[Sequence[str]]
    seconds: NotRequired[float]
    run_project_tools: NotRequired[bool]
    now: NotRequired[int]


class Part(NamedTuple):
    """A part of the checkup. ``limit`` is the most seconds that an attempt may run."""

    ref: str
    title: str
    runtime: Literal["command", "function"]
    limit: float
    priority: int


SURVEY = Part("survey", "Survey of the repository", "function", 180, 5)
PARTS = (
    Part("history", "History and hot spots", "command", 240, 4),
    Part("lint", "Lint", "command", 300, 3),
    Part("secrets", "Secrets", "command", 240, 3),
    Part("dependencies", "Dependencies", "function", 180, 2),
    Part("todos", "Open TODOs", "function", 180, 1),
    Part("large_files", "Large and generated files", "command", 180, 1),
    Part("tests", "Tests", "function", 180, 1),
)
REPORT = Part("report", "Report", "function", 120, 5)

_EVERY = (SURVEY, *PARTS, REPORT)


def agent_name(part: Part) -> str:
    """The name under which the part's agent is registered."""
    return f"checkup-{part.ref.replace('_', '-')}"


def agents(python: str = sys.executable) -> list[AgentDraft]:
    """The agents, for a worker that has this package.

    ``python`` is the interpreter of the command agents. The default is right when the worker
    runs on this machine in this environment; else give one that has this package there.
    ``-I`` keeps modules of the working directory and of the environment out.
    """
    drafts: list[AgentDraft] = []
    for part in _EVERY:
        config: dict[str, Any] = {"function": f"checkup.{part.ref}"}
        if part.runtime == "command":
            argv = [python, "-I", "-X", "utf8", "-m", "podium.checkup", part.ref]
            config = {"command": argv, "output": "events"}
        drafts.append(
            {
                "name": agent_name(part),
                "runtime": part.runtime,
                "description": f"{part.title} (a part of 'podium run checkup')",
                "config": config,
            }
        )
    return drafts


def tasks(repo: Path, options: Options) -> list[TaskDraft]:
    """The tasks of one checkup, in an order in which each comes after what it depends on."""
    common: dict[str, Any] = {
        "repo": path_text(os.path.abspath(repo)),  # noqa: PTH100 - keeps links
        **{name: value for name, value in options.items() if name in {"head", "seconds", "now"}},
    }
    skip = set(options.get("skip", ()))
    parts = [part for part in PARTS if part.ref not in skip]
    drafts = [_draft(SURVEY, common, [])]
    for part in parts:
        given = dict(common)
        if part.ref == "lint":
            given["run_project_tools"] = bool(options.get("run_project_tools", False))
        drafts.append(_draft(part, given, [SURVEY.ref]))
    reported = {
        **common,
        "out": path_text(os.path.abspath(options["out"])),  # noqa: PTH100 - keeps links
        "parts": [part.ref for part in parts],
    }
    drafts.append(_draft(REPORT, reported, [SURVEY.ref, *(part.ref for part in parts)]))
    return drafts


def _draft(part: Part, given: Mapping[str, Any], depends_on: list[str]) -> TaskDraft:
    return {
        "ref": part.ref,
        "title": part.title,
        "agent": agent_name(part),
        "input": dict(given),
        "depends_on": depends_on,
        "on_dependency_failure": "run" if part is REPORT else "cancel",
        "timeouts": {"run": part.limit},
        "retry": {"max_retries": 0 if part is SURVEY else 1},
        "priority": part.priority,
        "labels": {"checkup": part.ref},
    }
