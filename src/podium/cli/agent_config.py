"""What agents run, as the options of ``podium agent`` say it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from podium.cli import completion
from podium.cli.options import json_object, wrong

Prompt = Literal["stdin", "argument", "none"]
OutputMode = Literal["text", "json", "events", "lines"]
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the agent.",
        show_default=False,
        autocompletion=completion.agents,
    ),
]

_RUNTIMES = ("command", "function")
"""Each is also the name of the field that says what such an agent runs."""


class TakesProgram(TyperCommand):
    """A command whose arguments are a name and a program; tells whose ``--`` was forgotten."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except TyperException as error:
            begun = given[:2]
            if "--" not in given and len(begun) == 2 and not any(a.startswith("-") for a in begun):
                name, program = begun
                error.message = (
                    f"{error.message.removesuffix('.')}. A program that has options of its own "
                    f"comes after --: {name} -- {program} ..."
                )
            raise


@dataclass(frozen=True)
class Asked:
    """The options that say what an agent runs; those that were not given are None."""

    command: list[str] | None
    function: str | None
    prompt: Prompt | None
    output: OutputMode | None
    config: str | None

    def first(self) -> dict[str, object]:
        """The fields ``runtime`` and ``config`` of a new agent."""
        made = self._made()
        runtime = _runtime(made)
        if runtime is None:
            _refuse_misspelt(made)
            raise wrong(
                "Give either a program after --, or --function, or a --config that holds one of"
                " them.",
                "For example: podium agent add reviewer --prompt stdin -- my-agent --review",
            )
        return {"runtime": runtime, "config": made}

    def another(self, name: str) -> dict[str, object]:
        """The same of the agent of that name; none when nothing of it is to be changed."""
        if (self.prompt or self.output) and not (self.command or self.function or self.config):
            raise wrong(
                "Give the program again, after --: all that configures the runtime is replaced.",
                f"'podium agent show {name}' shows what it is now.",
            )
        made = self._made()
        return {"runtime": _runtime(made), "config": made} if made else {}

    def _made(self) -> dict[str, object]:
        """The runtime's configuration: what ``--config`` holds and what the others say besides."""
        made = dict(json_object(self.config, "--config")) if self.config else {}
        options = {
            "command": ("a program after --", self.command),
            "function": ("--function", self.function),
            "prompt": ("--prompt", self.prompt),
            "output": ("--output", self.output),
        }
        for name, (option, value) in options.items():
            if value and name in made:
                raise wrong(
                    f"The field {name} is in --config, and {option} is given too.",
                    "Give one of them.",
                )
            if value:
                made[name] = value
        if self.command:
            made.setdefault("prompt", "stdin")
        return made


def entry_point(config: Mapping[str, Any]) -> str | None:
    """That a function's name is an entry point's, when it is written like one of a module."""
    module, dot, function = str(config.get("function", "")).rpartition(".")
    if not dot or ":" in module:
        return None
    return (
        f"{module}.{function} has no colon, so it is the name of an entry point; a function of a "
        f"module is written {module}:{function}."
    )


def gist(config: Mapping[str, Any]) -> str:
    """What an agent runs and how it gets its prompt, of all that configures it."""
    command: list[str] | None = config.get("command")
    runs = shlex.join(command) if command else str(config.get("function") or "")
    return f"{runs} (prompt: {config['prompt']})" if "prompt" in config else runs


def _refuse_misspelt(config: Mapping[str, object]) -> None:
    """Refuse a field that is nearly one of those which say what the agent runs."""
    from difflib import get_close_matches

    for name in config:
        close = get_close_matches(name, _RUNTIMES, n=1)
        if close and name not in _RUNTIMES:
            raise wrong(
                f"config.{name}: There is no such field; the closest is '{close[0]}'.",
                "Correct it in --config.",
            )


def _runtime(config: Mapping[str, object]) -> str | None:
    """The runtime that a configuration is for, when it says so."""
    named = [name for name in _RUNTIMES if name in config]
    return named[0] if len(named) == 1 else None
