"""Options that many commands share, and how their values are read."""

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from podium.cli import completion
from podium.cli.failures import Failure, Status
from podium.cli.groups import Group
from podium.cli.text import line

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import Rate
    from podium.client.models import TaskSummary

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        "-p",
        metavar="NAME",
        help="Project; unset, that of PODIUM_PROJECT, else the token's, else default.",
    ),
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE", help="May be repeated.")
]
ID_HELP = (
    "Id of the task, or as much of its beginning as no other task's has, 8 characters at least; "
    "tasks of the same minute share their first 8."
)
TaskId = Annotated[
    str,
    typer.Argument(metavar="ID", help=ID_HELP, show_default=False, autocompletion=completion.tasks),
]
TaskIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...", help=ID_HELP, show_default=False, autocompletion=completion.tasks
    ),
]

RateOption = Annotated[
    str | None,
    typer.Option(
        "--rate", metavar="COUNT/TIME", help="So many tasks may start in a time: 5/s, 100/1h."
    ),
]
Burst = Annotated[
    int | None,
    typer.Option(
        "--burst", min=1, metavar="NUMBER", help="So many of them at once; unset, the count."
    ),
]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_ALIKE = 5
"""So many tasks are listed when the beginning of an id is not enough."""

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def application(name: str | None = None, about: str | None = None) -> typer.Typer:
    """A command, or with a name a group of commands.

    Help is plain text: Typer's coloured help takes longer to load than a command may take.
    """
    app = typer.Typer(
        cls=Group,
        name=name,
        help=about,
        no_args_is_help=name is not None,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if name is not None:
        app.callback()(_group)  # with one command it would be no group otherwise
    return app


def _group(ctx: typer.Context, json: Json = False) -> None:
    hand_on(ctx, json=json)


def hand_on(ctx: typer.Context, *, json: bool) -> None:
    """Let ``--json`` before a command's name mean the same as behind it."""
    if json and isinstance(ctx.command, TyperGroup):
        ctx.default_map = {name: {"json": True} for name in ctx.command.commands}


def connect(project: str | None = None) -> "Podium":
    """The client for this command."""
    from podium.client import Podium

    return Podium(project=project, retries=2)


def may_be_id(given: str) -> bool:
    """Whether an id, or the beginning of one, can be written like this."""
    return bool(re.fullmatch(r"[0-9a-fA-F]{8,32}", given.replace("-", "")))


def whole_id(client: "Podium", given: str, kind: str = "task") -> str:
    """The id of the task, or of what else ``kind`` says, that ``given`` is the id of, or the
    beginning of its id.

    It may end as tables end what they cut off.
    """
    given = given.removesuffix("…").removesuffix("...")
    digits = given.replace("-", "")
    if not may_be_id(given):
        raise wrong(
            f"{given!r} is no id of a {kind}.",
            f"Give a whole id, or its beginning, 8 characters at least; 'podium {kind} list' shows "
            "them.",
        )
    if len(digits) == 32:
        return given
    found = client.tasks.find(given, limit=_ALIKE + 1)
    if not found:
        where = f" in project {client.project}" if client.project else ""
        raise Failure(
            Status.REFUSED,
            "not_found",
            f"There is no {kind} whose id begins with {given}{where}.",
            f"'podium {kind} list' shows the {kind}s.",
        )
    if len(found) > 1:
        raise wrong(
            f"The ids of several tasks begin with {given}:{_alike(found)}", "Give more of it."
        )
    return found[0].id


def _alike(tasks: "Sequence[TaskSummary]") -> str:
    """The newest tasks among which somebody has to choose, each on a line."""
    lines = [f"{task.id} {task.state:<9} {line(task.title, 60)}" for task in tasks[:_ALIKE]]
    if len(tasks) > _ALIKE:
        lines.append("and others")
    return "".join(f"\n  {text}" for text in lines)


def wrong(message: str, hint: str | None = None) -> Failure:
    """A value on the command line that cannot be used."""
    return Failure(Status.USAGE, "usage", message, hint)


def labels(given: Sequence[str] | None) -> dict[str, str]:
    """Labels from ``key=value``."""
    pairs = [item.partition("=") for item in given or ()]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise wrong(f"{key!r} is no label.", "Write labels as key=value.")
    made = {key: value for key, _, value in pairs}
    for key, _, value in pairs:
        if made[key] != value:
            raise wrong(f"The label {key!r} is given two values.", "Give each label once.")
    return made


def json_value(given: str, option: str) -> object:
    """JSON from the command line, from a file (``@path``) or from standard input (``-``)."""
    import msgspec

    text = text_value(given, option, "JSON")
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise wrong(f"{option} is nested too deeply.", "Give its deep parts as text.") from None
    except (ValueError, msgspec.DecodeError) as error:
        if given.startswith("@"):
            told = _place(text) or f"is no JSON: {error}"
            raise wrong(f"{option}: {given[1:]} {told}.", "Correct it there.") from None
        raise wrong(f"{option} is no JSON: {error}.", _how_to_write(given)) from None


def text_value(given: str, option: str, kind: str = "text") -> str:
    """Text from the command line, from a file (``@path``) or from standard input (``-``); ``kind``
    says what it must be."""
    if given == "-":
        return _standard_input(option)
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text("utf-8")
    except OSError as error:
        raise wrong(
            f"{option}: {given[1:]} cannot be read: {error.strerror}.",
            "Give a file's path, from the current directory or from /; shells expand no ~ after @.",
        ) from None
    except ValueError as error:
        raise wrong(
            f"{option}: {given[1:]} is no {kind}: {error}.", f"Give a file of {kind}."
        ) from None


def _place(text: str) -> str | None:
    """Where a text is no JSON, as editors count; None when the place is not known."""
    import json

    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"is no JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    return None  # such as a number that is too large for us


def _how_to_write(given: str) -> str:
    try:
        is_file = given.endswith(".json") or Path(given).is_file()
    except OSError:  # it is too long for a name
        is_file = False
    if is_file:
        return f"To read that file write @{given}."
    return "Quote text inside the shell's quotes: '\"text\"'; @FILE reads a file, - standard input."


def _standard_input(option: str) -> str:
    why: str | None = "it is closed"
    if sys.stdin is not None:  # pyright: ignore[reportUnnecessaryComparison] - it may be closed
        try:
            return sys.stdin.read()
        except OSError as error:
            why = error.strerror
    raise wrong(
        f"{option}: standard input cannot be read: {why}.",
        "Pipe it into the command, or name a file as @FILE.",
    )


def json_object(given: str, option: str) -> Mapping[str, object]:
    """``json_value`` that must be an object."""
    value = json_value(given, option)
    if not isinstance(value, dict):
        raise wrong(f"{option} must be a JSON object.", 'Write it as \'{"name": "value"}\'.')
    return value  # pyright: ignore[reportUnknownVariableType]


def seconds(given: str | None, option: str) -> float | None:
    """A duration such as 30, 30s, 5m, 2h or 7d."""
    if given is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", given.strip())
    if not match or match[2] not in _UNITS:
        raise wrong(f"{option}: {given!r} is no duration.", "Write it as 30s, 5m, 2h or 7d.")
    return float(match[1]) * _UNITS[match[2]]


def rate(given: str | None, burst: int | None) -> "Rate | None":
    """A rate such as 5/s, 100/1h or 10/30s; a time without a number is one of its unit."""
    if given is None:
        if burst is not None:
            raise wrong("--burst is part of a rate.", "Give --rate with it.")
        return None
    match = re.fullmatch(r"([0-9]+)\s*/\s*(.+)", given.strip())
    if not match:
        raise wrong(f"--rate: {given!r} is no rate.", "Write it as 5/s, 100/1h or 10/30s.")
    time = match[2] if match[2][0].isdigit() else f"1{match[2]}"
    made: Rate = {"count": int(match[1]), "seconds": seconds(time, "--rate") or 0.0}
    if burst is not None:
        made["burst"] = burst
    return made


def moment(given: str | None, option: str) -> datetime | None:
    """A moment in ISO 8601; without an offset it is in this machine's time zone."""
    if given is None:
        return None
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong(
            f"{option}: {given!r} is no moment.", "Write it as 2026-03-01T09:30 or with an offset."
        ) from None


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; where nobody can answer, ``--yes`` must."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong(f"{question}? There is no terminal to ask on.", "Give --yes to do it.")
    answer = agreed(f"{question}?")
    if answer is None:
        raise Failure(Status.INTERRUPTED, "interrupted", "Nothing was done.")
    if not answer:
        raise Failure(Status.CANCELLED, "declined", "Nothing was done.")


def agreed(question: str, *, default: bool = False) -> bool | None:
    """The answer to a question on the terminal; None when Ctrl-C or Ctrl-D came instead."""
    try:
        return typer.confirm(question, default=default, err=True)
    except typer.Abort:
        sys.stderr.write("\n")
        return None
