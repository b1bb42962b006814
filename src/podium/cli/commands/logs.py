"""``podium logs``: the server's log file, readable."""

import json as jsonlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Literal, cast, get_args

import typer

from podium.cli import output
from podium.cli.failures import Failure, Status
from podium.cli.options import Json, application
from podium.cli.text import clean, local_time
from podium.client.connection import data_dir

app = application()

Level = Literal["debug", "info", "warning", "error", "critical"]

_LOOK_SECONDS = 0.2
_LEVELS = get_args(Level)
_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red", "debug": "dim"}
_SHOWN_APART = {"time", "level", "event", "process", "logger", "pid", "exception"}


@app.command()
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[
        int,
        typer.Option("--lines", "-n", min=0, metavar="NUMBER", help="Last lines to begin with."),
    ] = 100,
    level: Annotated[
        Level, typer.Option("--level", help="Only what is of this level or above.")
    ] = "debug",
    json: Json = False,
) -> None:
    """Show the log of this machine's server.

    With --level the lines are counted that are shown; what has no level, such as the end of a
    process that crashed, is always shown.
    """
    path = data_dir() / "logs" / "podium.log"
    if not path.exists() and not follow:
        raise Failure(
            Status.REFUSED,
            "not_found",
            f"There is no log: {path}.",
            "It appears with the first 'podium up'. PODIUM_HOME names another data directory.",
        )
    for line in _lines(path, lines, follow=follow, wanted=lambda line: _is_of(line, level)):
        if json:
            output.say(line)
        else:
            _show(line)


def _lines(
    path: Path, last: int, *, follow: bool, wanted: Callable[[str], bool] = lambda _line: True
) -> Iterator[str]:
    """The last lines that are wanted and, with ``follow``, those to come, also after the file was
    rotated."""
    first = True
    while True:
        try:
            file = path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            time.sleep(_LOOK_SECONDS)
            first = False
            continue
        with file:
            if first:
                yield from (line.rstrip("\n") for line in deque(filter(wanted, file), last))
                first = False
            if not follow:
                return
            yield from filter(wanted, _growing(file, path))


def _growing(file: IO[str], path: Path) -> Iterator[str]:
    rest = ""
    while True:
        if text := file.read():
            *whole, rest = (rest + text).split("\n")
            yield from whole
            continue
        try:
            moved = not os.path.samestat(path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            moved = True
        if moved:
            return
        time.sleep(_LOOK_SECONDS)


def _record(line: str) -> dict[str, object] | None:
    try:
        found: object = jsonlib.loads(line)
    except ValueError:
        return None
    return cast("dict[str, object]", found) if isinstance(found, dict) else None


def _is_of(line: str, least: Level) -> bool:
    """Whether a line is of that level or above, or of none that is known."""
    if least == "debug":
        return True
    found = (_record(line) or {}).get("level")
    return found not in _LEVELS or _LEVELS.index(str(found)) >= _LEVELS.index(least)


def _show(line: str) -> None:
    """One record: time, level, process, event, what belongs to it."""
    record = _record(line)
    if record is None:
        output.say(line)
        return
    rest = " ".join(
        f"{name}={value if isinstance(value, str | int | float) else jsonlib.dumps(value)}"
        for name, value in record.items()
        if name not in _SHOWN_APART
    )
    level = str(record.get("level", ""))
    text = output.styled(f"{_when(record)}  ", "dim")
    text.append(f"{clean(level):<8}", _STYLES.get(level))
    text.append(clean(f"{record.get('process', '')!s:<12} "), "cyan")
    text.append(clean(str(record.get("event", ""))), "bold")
    text.append(clean(f"  {rest}" if rest else ""))
    if record.get("exception"):
        text.append(f"\n{clean(str(record['exception']))}")
    output.console().print(text, soft_wrap=True)


def _when(record: dict[str, object]) -> str:
    from datetime import datetime

    try:
        return local_time(datetime.fromisoformat(str(record.get("time"))))
    except ValueError:
        return clean(str(record.get("time", "")))
