"""The commands by name, each loaded when it is used."""

import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup

from podium.cli import asking
from podium.cli.failures import Status, report
from podium.cli.groups import Group
from podium.cli.options import Json, hand_on
from podium.cli.quick import quicken


class _Place(NamedTuple):
    """Where a command is defined, its line in the overview and the part it is listed in."""

    module: str
    line: str
    part: str


_SIZE_DIGITS = 5

_SERVER = "Server"
_WORK = "Work"
_SETUP = "Set up"

_COMMANDS = {
    "up": _Place("up", "Start Podium on this machine.", _SERVER),
    "down": _Place("down", "Stop the Podium of this machine.", _SERVER),
    "status": _Place("status", "Show servers, workers and tasks.", _SERVER),
    "top": _Place("top", "Watch queues, workers and tasks live.", _SERVER),
    "logs": _Place("logs", "Show the server's log.", _SERVER),
    "server": _Place("server", "Run an API server alone.", _SERVER),
    "worker": _Place("worker", "Run a worker alone.", _SERVER),
    "run": _Place("run", "Run a ready-made job.", _WORK),
    "ask": _Place("ask", "Give an agent one prompt and follow it.", _WORK),
    "task": _Place("task", "Submit, look at and steer tasks.", _WORK),
    "session": _Place("session", "Talk to agents while they work.", _WORK),
    "filter": _Place("filter", "Keep filters of tasks under a name.", _WORK),
    "schedule": _Place("schedule", "Start tasks at set times.", _WORK),
    "template": _Place("template", "Start tasks from templates with parameters.", _WORK),
    "event": _Place("event", "Look at what happened, or follow it.", _WORK),
    "apply": _Place("apply", "Make things as files say.", _SETUP),
    "export": _Place("export", "Write things as files for apply.", _SETUP),
    "agent": _Place("agent", "Register and look after agents.", _SETUP),
    "queue": _Place("queue", "Limit, pause and drain queues.", _SETUP),
    "limit": _Place("limit", "Limit tasks that share a name.", _SETUP),
    "project": _Place("project", "Manage projects.", _SETUP),
    "token": _Place("token", "Manage access tokens.", _SETUP),
    "db": _Place("db", "Look after the database.", _SETUP),
    "config": _Place("config", "Show settings.", _SETUP),
    "doctor": _Place("doctor", "Look for what is wrong and say what to do.", _SETUP),
    "version": _Place("version", "Print the version.", _SETUP),
}


class _Commands(Group):
    """Shows all commands without loading them, and loads the one that is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, place in _COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=place.line)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        for part in dict.fromkeys(place.part for place in _COMMANDS.values()):
            with formatter.section(part):
                formatter.write_dl(
                    [(name, place.line) for name, place in _COMMANDS.items() if place.part == part]
                )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in _COMMANDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


@cache
def load(name: str) -> TyperCommand | TyperGroup:
    """A command with everything below it."""
    place = _COMMANDS[name]
    app = cast("typer.Typer", import_module(f"podium.cli.commands.{place.module}").app)
    command = cast("TyperCommand | TyperGroup", typer.main.get_command(app))
    command.name, command.short_help = name, place.line
    return command


app = typer.Typer(
    cls=_Commands,
    name="podium",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(
    invoke_without_command=True,
    epilog="Exit statuses: 0 done, 1 the work failed, 2 wrong usage, 3 no server or too busy, 4 "
    "not found or not allowed, 5 cancelled or declined, 6 not possible in its state, 7 the server "
    "failed, 130 interrupted.",
)
def podium(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version."),
    json: Json = False,
    no_input: bool = typer.Option(  # noqa: ARG001 - ``run`` has seen to it
        False, asking.NO_INPUT, help="Do not ask for what is missing."
    ),
) -> None:
    """A durable control plane for AI agents.

    Set PODIUM_URL and PODIUM_TOKEN to use a server elsewhere; else the one of this machine is
    used. Every command takes --json and then prints nothing but JSON on standard output. On a
    terminal a command asks for what it needs and was not given, unless PODIUM_NO_INPUT or CI is
    set.
    """
    hand_on(ctx, json=json)
    if version:
        from podium.cli.commands.version import version as tell

        tell(json=json)
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")


def root() -> TyperGroup:
    """The whole command line."""
    return cast("TyperGroup", typer.main.get_command(app))


def whole() -> TyperGroup:
    """The command line with every command loaded, for its reference."""
    command = root()
    for name in _COMMANDS:
        command.commands[name] = load(name)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run a command line and give the exit status."""
    quicken()
    _forget_impossible_sizes()
    whole: list[str] | None = None
    try:
        ask = asking.possible(arguments)
        arguments = asking.without_switch(arguments)
        if ask and (whole := asking.completed(arguments, root(), load)):
            arguments = whole
        try:
            outcome = root().main(list(arguments), prog_name="podium", standalone_mode=False)
        finally:
            _flush()
            if whole:
                asking.tell(whole)
    except Exception as error:  # noqa: BLE001 - told to the user, with a status of its own
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return report(error, as_json="--json" in ours)
    return outcome if isinstance(outcome, int) else Status.DONE


def _forget_impossible_sizes() -> None:
    """Rich takes these for the size of the terminal and fails where int() does, such as on
    thousands of digits."""
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")
        if not size.isdecimal() or len(size) > _SIZE_DIGITS:
            os.environ.pop(name, None)


def _flush() -> None:
    """Write what is left. Nobody may be left to read it; that is no error of ours."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise
