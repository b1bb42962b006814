"""The part of ``podium schedule`` that shows schedules, their times and what came of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import completion, output
from podium.cli.options import Json, Project, connect, wrong
from podium.cli.schedule_options import Cron, EndsAt, Every, Name, StartsAt, Zone, timing
from podium.cli.text import clean, duration, time_of_zone

if TYPE_CHECKING:
    from podium.client.inputs import ScheduleTiming
    from podium.client.models import Firing, Schedule, Times

Count = Annotated[
    int, typer.Option("--count", "-n", min=1, max=1000, metavar="NUMBER", help="So many times.")
]
_SHOWN = 5


def add(app: typer.Typer) -> None:
    """Add these commands to the group."""
    app.command("list")(list_schedules)
    for command in (show, times, firings):
        app.command()(command)


def list_schedules(project: Project = None, json: Json = False) -> None:
    """List the schedules by name."""
    with connect(project) as client:
        schedules = list(client.schedules.list())
    if json:
        output.emit(schedules)
        return
    rows = [
        (
            schedule.name,
            output.state(schedule.state),
            schedule.next_at,
            schedule.description,
            _for(schedule),
            len(schedule.open_tasks),
        )
        for schedule in schedules
    ]
    headers = ("Name", "State", "Next", "Times", "For", "Open")
    output.show_table(
        headers, rows, "There is no schedule yet; 'podium schedule create' makes one."
    )


def show(name: Name, project: Project = None, json: Json = False) -> None:
    """Show one schedule, its next times and what the last ones did."""
    with connect(project) as client:
        schedule = client.schedules.get(name)
        if json:
            output.emit(schedule)
            return
        fired = list(client.schedules.firings(name, limit=_SHOWN))
        times = client.schedules.times(name, count=_SHOWN)
    _show(schedule)
    if schedule.state == "active":
        output.divide("Next")
        _show_times(times, schedule.timezone)
    if fired:
        output.divide("Last")
        show_firings(fired)


def times(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Name of the schedule; without one, give --cron or --every.",
            show_default=False,
            autocompletion=completion.schedules,
        ),
    ] = None,
    cron: Cron = None,
    every: Every = None,
    timezone: Zone = None,
    starts_at: StartsAt = None,
    ends_at: EndsAt = None,
    count: Count = 10,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show the next times of a schedule, or of one yet to be made."""
    asked = timing(cron, every, timezone, None, starts_at, ends_at)
    if (name is None) == (not asked):
        raise wrong(
            "Give either the name of a schedule, or its times.", "--cron '0 9 * * 1-5', say."
        )
    with connect(project) as client:
        zone = timezone or "UTC"
        if name is None:
            found = client.schedules.preview(count=count, **cast("ScheduleTiming", asked))
        else:
            found = client.schedules.times(name, count=count)
            zone = client.schedules.get(name).timezone
    if json:
        output.emit(found)
    else:
        output.say(found.description)
        _show_times(found, zone)


def firings(
    name: Name,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="NUMBER", help="At most so many.")
    ] = 50,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show what came of its times, the latest first."""
    with connect(project) as client:
        found = list(client.schedules.firings(name, limit=limit))
    if json:
        output.emit(found)
    else:
        show_firings(found)


def tell(schedule: "Schedule", *, json: bool) -> None:
    """Print a schedule that was changed."""
    if json:
        output.emit(schedule)
    else:
        _show(schedule)


def _show(schedule: "Schedule") -> None:
    window = schedule.catch_up_window
    output.show_fields(
        {
            "Name": schedule.name,
            "Project": schedule.project,
            "State": output.state(schedule.state),
            "Times": schedule.description,
            "Next": schedule.next_at,
            "From": schedule.starts_at,
            "Until": schedule.ends_at,
            "Jitter": duration(schedule.jitter) if schedule.jitter else None,
            "Missed times": schedule.catch_up
            + (f", none older than {duration(window)}" if window is not None else ""),
            "Overlaps": schedule.overlap,
            "For": _for(schedule),
            "Input": output.pretty(schedule.task.get("input")),
            "Open tasks": "\n".join(map(str, schedule.open_tasks)) or None,
            "Note": clean(schedule.note or "") or None,
            "Changed": schedule.updated_at,
        }
    )


def _for(schedule: "Schedule") -> str:
    task = schedule.task
    return str(task.get("agent") or ", ".join(map(str, task.get("capabilities") or ())))


def _show_times(found: "Times", zone: str) -> None:
    for at in found.items:
        output.say(time_of_zone(at, zone))


def show_firings(found: "Sequence[Firing]") -> None:
    """Print what came of times."""
    rows = [
        (each.at, each.cause, output.state(each.outcome), each.task_id or each.detail)
        for each in found
    ]
    output.show_table(("Time", "By", "Outcome", "Task"), rows, "None of its times has come yet.")
