"""Asks for what a command line lacks, on a terminal, and runs the line that the answers make.

There is one way for every command: its required arguments are asked for, and what ``_NEEDS`` tells
of those whose options are only required in some combination. The answers become arguments, so a
command sees nothing but a complete command line, which is shown at the end.
"""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.exceptions import TyperException

from podium.cli.failures import Failure, Status
from podium.cli.quick import Parameter

NO_INPUT = "--no-input"
_OFF = ("PODIUM_NO_INPUT", "CI")
_HELP = frozenset({"-h", "--help", "--json"})

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a command needs besides its required arguments: of each tuple one; ``also`` is asked
    for once something is missing anyway, and may be left empty."""

    one_of: Sequence[tuple[str, ...]] = ()
    also: Sequence[str] = ()


_AGENT = ("agent", "capability")
_NEEDS: Mapping[Path, _Needs] = {
    ("task", "create"): _Needs([_AGENT], ["input", "title"]),
    ("schedule", "create"): _Needs([("cron", "every"), _AGENT], ["input"]),
    ("template", "create"): _Needs([("prompt",), _AGENT], ["description"]),
    ("agent", "add"): _Needs([("command", "function", "config")], ["description"]),
    ("limit", "set"): _Needs([("concurrency", "rate_option")]),
    ("queue", "set"): _Needs([("concurrency", "rate_option", "distribution", "clear")]),
    ("token", "create"): _Needs([("preset", "scope")], ["project"]),
}


@dataclass(slots=True)
class Line:
    """A command line that grows by answers."""

    path: Path
    command: TyperCommand
    context: Any
    given: dict[str, Any]
    options: list[str] = field(default_factory=list[str])
    arguments: list[str] = field(default_factory=list[str])
    asked: set[str] = field(default_factory=set[str])

    def parameter(self, name: str) -> Parameter:
        """One of the command's parameters."""
        found = next(each for each in self.command.params if each.name == name)
        return cast("Parameter", found)

    def add(self, parameter: Parameter, values: Sequence[str]) -> None:
        """Take in the answer for a parameter."""
        self.asked.add(str(parameter.name))
        self.given[str(parameter.name)] = values if parameter.multiple else values[0]
        self.context.params[parameter.name] = values[0]
        if isinstance(parameter, TyperArgument):
            program = parameter.nargs == -1 and not parameter.required
            self.arguments += ["--", *values] if program else values
            return
        option = next((each for each in parameter.opts if each.startswith("--")), parameter.opts[0])
        for value in values:
            self.options += [option, value]


def possible(arguments: Sequence[str]) -> bool:
    """Whether somebody is there to answer, and wants to be asked."""
    if any(os.environ.get(name) for name in _OFF) or NO_INPUT in _ours(arguments):
        return False
    if _HELP & set(_ours(arguments)) or arguments[:1] == ["--version"]:
        return False
    return os.isatty(0) and os.isatty(1)


def without_switch(arguments: Sequence[str]) -> list[str]:
    """The command line without ``--no-input``, which may stand wherever an option may."""
    ours = _ours(arguments)
    return [*(each for each in ours if each != NO_INPUT), *arguments[len(ours) :]]


def completed(
    arguments: Sequence[str], root: TyperGroup, load: Callable[[str], TyperCommand | TyperGroup]
) -> list[str] | None:
    """The command line with what was answered; None where nothing was missing, or what is wrong
    with it is for the command to tell."""
    line = _line(arguments, root, load)
    if line is None:
        return None
    missing = [each for each in line.command.params if _is_missing(line, cast("Parameter", each))]
    needs = _NEEDS.get(line.path, _Needs())
    lacking = [some for some in needs.one_of if not any(line.given.get(name) for name in some)]
    try:
        for each in missing:
            _ask(line, cast("Parameter", each))
        for some in lacking:
            _ask_one(line, some)
        if line.asked:
            for name in needs.also:
                _ask_perhaps(line, name)
        if line.path[:1] == ("template",) and line.path[1:] in (("start",), ("preview",)):
            _ask_parameters(line)
    except (KeyboardInterrupt, EOFError):
        raise Failure(Status.INTERRUPTED, "interrupted", "Nothing was done.") from None
    if not line.options and not line.arguments:
        return None
    return _joined(arguments, line)


def tell(arguments: Sequence[str]) -> None:
    """Show the command line that needs no questions."""
    from podium.cli import output

    output.note(f"The same without questions: {shlex.join(['podium', *arguments])}")


def _ours(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _joined(arguments: Sequence[str], line: Line) -> list[str]:
    ours = _ours(arguments)
    end = list(arguments[len(ours) :])
    dashes = any(each.startswith("-") for each in line.arguments)
    guard = ["--"] if dashes and not end and "--" not in line.arguments else []
    return [*ours, *line.options, *guard, *line.arguments, *end]


def _line(
    arguments: Sequence[str], root: TyperGroup, load: Callable[[str], TyperCommand | TyperGroup]
) -> Line | None:
    """The command that is meant, and what is given of it."""
    group: TyperGroup = root
    path: list[str] = []
    for at, name in enumerate(arguments):
        if name.startswith("-") or name not in group.commands:
            return None
        command: Any = load(name) if group is root else group.commands[name]
        path.append(name)
        if isinstance(command, TyperGroup):
            group = command
            continue
        rest = list(arguments[at + 1 :])
        context = command.context_class(command, info_name=name)
        try:
            given, _, _ = command.make_parser(context).parse_args(args=rest)
        except TyperException:
            return None
        context.params.update(given)
        return Line(tuple(path), command, context, dict(given))
    return None


def _is_missing(line: Line, parameter: Parameter) -> bool:
    return bool(parameter.required) and not line.given.get(str(parameter.name))


def _ask(line: Line, parameter: Parameter) -> None:
    from podium.cli import questions

    line.add(parameter, questions.of(parameter, line.context))


def _ask_one(line: Line, names: Sequence[str]) -> None:
    from podium.cli import questions

    chosen = names[0]
    if len(names) > 1:
        chosen = questions.which([line.parameter(name) for name in names])
    _ask(line, line.parameter(chosen))


def _ask_perhaps(line: Line, name: str) -> None:
    from podium.cli import questions

    if line.given.get(name):
        return
    parameter = line.parameter(name)
    if values := questions.of(parameter, line.context, optional=True):
        line.add(parameter, values)


def _ask_parameters(line: Line) -> None:
    """The parameters of a template: those that it needs, and all of them where its name was asked
    for."""
    from podium.cli import questions
    from podium.client import Podium

    if line.given.get("whole"):
        return
    try:
        version = int(line.given["version"]) if line.given.get("version") else None
    except ValueError:
        return  # the command tells what is wrong with it
    with Podium(project=line.given.get("project"), retries=1) as client:
        template = client.templates.get(str(line.given["name"]), version)
    set_ = {str(each).partition("=")[0] for each in line.given.get("values") or ()}
    found = questions.fields(
        template.parameters, template.defaults, set_, everything="name" in line.asked
    )
    for name, value in found:
        line.options += ["--set", f"{name}={value}"]
