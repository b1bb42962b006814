"""``podium top``: queues, workers and tasks, live."""

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import completion, output
from podium.cli.options import Json, Project, application, connect, wrong

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from podium.cli.top.frame import Look
    from podium.cli.top.watching import Watch
    from podium.client import Podium
    from podium.client.models import Overview

OfQueue = Annotated[
    str | None,
    typer.Option(
        "--queue", metavar="NAME", help="Only this queue's.", autocompletion=completion.queues
    ),
]

_MOST = 100
_TICK = 1.0
"""Seconds after which it is drawn anew though nothing came: how old it is changes."""
_USUAL_WIDTH = 120

app = application()


@app.command()
def top(
    queue: OfQueue = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as text.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Watch queues, workers and tasks live: of all projects, or of the one that is named.

    Keys: q ends it, Tab and arrows go from panel to panel, p holds the view, ? tells of them.
    With --json the same is printed once, as JSON.
    """
    if json or once:
        with connect(project) as client:
            found = client.overview(queue=queue, most=_MOST)
        if json:
            output.emit(found)
        else:
            _print(found)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise wrong("There is no terminal to show it on.", "Give --once or --json.")
    from podium.client import Podium

    with Podium(project=project, timeout=10.0, retries=1) as client:
        _live(client, queue)


def _print(found: "Overview") -> None:
    from rich.console import Console

    from podium.cli.top.frame import whole

    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else _USUAL_WIDTH
    on = output.console() if output.console().is_terminal else Console(width=width, markup=False)
    on.print(whole(found, on.width))


def _live(client: "Podium", queue: str | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from podium.cli.top.frame import Look
    from podium.cli.top.terminal import keyboard
    from podium.cli.top.watching import Watch

    watch = Watch(client, queue, _MOST)
    on = Console(markup=False, highlight=False, emoji=False)
    watch.start()
    try:
        with (
            keyboard(watch.tell),
            Live(console=on, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
        ):
            _loop(watch, Look(), live, on)
    except KeyboardInterrupt:
        pass
    finally:
        watch.stop()
    if watch.failed is not None:
        raise watch.failed


def _loop(watch: "Watch", look: "Look", live: "Live", on: "Console") -> None:
    from podium.cli.top.frame import frame
    from podium.cli.top.terminal import next_keys

    shown = watch.overview
    while watch.failed is None:
        shown = shown if look.held and shown is not None else watch.overview
        now = replace(look, state=watch.state, detail=_detail(watch), per_minute=watch.per_minute)
        live.update(frame(shown, now, on.width, on.height), refresh=True)
        for key in next_keys(watch.woken, _TICK):
            if key in ("q", "Q"):
                return
            look = _turned(look, key)


def _turned(look: "Look", key: str) -> "Look":
    from podium.cli.top.frame import PANELS

    match key:
        case "right" | "down":
            return replace(look, focus=(look.focus + 1) % len(PANELS))
        case "left" | "up":
            return replace(look, focus=(look.focus - 1) % len(PANELS))
        case "p" | " ":
            return replace(look, held=not look.held)
        case "?" | "h":
            return replace(look, help=not look.help)
        case _:
            return look


def _detail(watch: "Watch") -> str:
    if watch.trouble:
        return watch.trouble
    if watch.state == "timed":
        return "This token may not see events: looked at every few seconds."
    return f"told {watch.age:.0f} s ago" if watch.state in ("stale", "reconnecting") else ""
