"""The options that describe a schedule on the command line."""

from enum import StrEnum
from typing import Annotated, Literal

import typer

from podium.cli import completion
from podium.cli.options import moment, seconds, wrong
from podium.cli.task_options import given

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the schedule.",
        show_default=False,
        autocompletion=completion.schedules,
    ),
]
NewName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the schedule.", show_default=False)
]
Cron = Annotated[
    str | None,
    typer.Option(metavar="EXPRESSION", help="Cron expression, such as '0 9 * * 1-5'."),
]
Every = Annotated[
    str | None, typer.Option(metavar="TIME", help="Time between two starts, such as 15m.")
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        "--tz",
        metavar="NAME",
        help="Time zone of the cron expression, such as Europe/Berlin; of a new one unset, UTC.",
    ),
]
Jitter = Annotated[
    str | None, typer.Option(metavar="TIME", help="Spread starts over so long a time.")
]
StartsAt = Annotated[
    str | None, typer.Option(metavar="MOMENT", help="No time before this one counts.")
]
EndsAt = Annotated[
    str | None, typer.Option(metavar="MOMENT", help="No time after this one counts.")
]
CatchUp = Annotated[
    Literal["skip", "latest", "all"] | None,
    typer.Option(
        help="What to do about times that passed while no server ran: skip them, start one task "
        "for the latest, or one for each; of a new one unset, latest."
    ),
]
Window = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Skip times that passed longer ago than this, say 2d."),
]
Overlap = Annotated[
    Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"] | None,
    typer.Option(
        help="What to do while the task of an earlier time is open: start none, start one after "
        "it if none waits yet, start one after it, cancel it, or start beside it; of a new one "
        "unset, skip."
    ),
]
Note = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What others should know; kept with it.")
]


class Clearable(StrEnum):
    """What a schedule can do without."""

    STARTS_AT = "starts-at"
    ENDS_AT = "ends-at"
    CATCH_UP_WINDOW = "catch-up-window"
    NOTE = "note"


Clear = Annotated[
    list[Clearable] | None,
    typer.Option(
        "--clear",
        metavar="NAME",
        help=f"None of it: {', '.join(Clearable)}; may be repeated.",
    ),
]


def timing(
    cron: str | None,
    every: str | None,
    timezone: str | None,
    jitter: str | None,
    starts_at: str | None,
    ends_at: str | None,
) -> dict[str, object]:
    """What is to be sent of when a schedule fires."""
    if cron is not None and every is not None:
        raise wrong("--cron and --every exclude each other.", "Leave one of them out.")
    return given(
        cron=cron,
        every=seconds(every, "--every"),
        timezone=timezone,
        jitter=seconds(jitter, "--jitter"),
        starts_at=moment(starts_at, "--starts-at"),
        ends_at=moment(ends_at, "--ends-at"),
    )


def rules(
    catch_up: str | None, window: str | None, overlap: str | None, note: str | None
) -> dict[str, object]:
    """What is to be sent of what it does about times that it missed, and overlaps."""
    return given(
        catch_up=catch_up,
        catch_up_window=seconds(window, "--catch-up-window"),
        overlap=overlap,
        note=note,
    )
