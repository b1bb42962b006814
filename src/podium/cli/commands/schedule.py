"""``podium schedule``: tasks that start by themselves, again and again."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import output
from podium.cli.commands import schedule_look
from podium.cli.options import (
    Json,
    Labels,
    Project,
    Yes,
    application,
    confirm,
    connect,
    json_value,
    labels,
    moment,
    wrong,
)
from podium.cli.schedule_options import (
    CatchUp,
    Clear,
    Cron,
    EndsAt,
    Every,
    Jitter,
    Name,
    NewName,
    Note,
    Overlap,
    StartsAt,
    Window,
    Zone,
    rules,
    timing,
)
from podium.cli.task_options import (
    BackoffOption,
    Capability,
    ForAgent,
    Input,
    NamedLimits,
    Priority,
    Queue,
    Retries,
    RunTimeout,
    Sticky,
    Title,
    given,
    retry_policy,
    timeouts,
)

if TYPE_CHECKING:
    from podium.client.inputs import Backfill, ScheduledTask, ScheduleEdit, ScheduleNew

app = application("schedule", "Start tasks at set times.")


@app.command()
def create(
    name: NewName,
    cron: Cron = None,
    every: Every = None,
    timezone: Zone = None,
    jitter: Jitter = None,
    starts_at: StartsAt = None,
    ends_at: EndsAt = None,
    catch_up: CatchUp = None,
    catch_up_window: Window = None,
    overlap: Overlap = None,
    paused: Annotated[bool, typer.Option("--paused", help="Do not start it yet.")] = False,
    note: Note = None,
    agent: ForAgent = None,
    capability: Capability = None,
    input: Input = None,  # noqa: A002 - named as the option is
    title: Title = None,
    priority: Priority = None,
    label: Labels = None,
    queue: Queue = None,
    limit: NamedLimits = None,
    sticky: Sticky = None,
    run_timeout: RunTimeout = None,
    retries: Retries = None,
    backoff: BackoffOption = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Start a task at each time of a cron expression, or regularly."""
    if (cron is None) == (every is None):
        raise wrong("Give either --cron or --every.", "--cron '0 9 * * 1-5', or --every 15m.")
    if (agent is None) == (not capability):
        raise wrong("Give either --agent or --capability.", "'podium agent list' shows the agents.")
    new = {
        "name": name,
        **timing(cron, every, timezone, jitter, starts_at, ends_at),
        **rules(catch_up, catch_up_window, overlap, note),
        **({"paused": True} if paused else {}),
        "task": given(
            agent=agent,
            capabilities=capability or None,
            **_work(input, title, priority, label, queue, limit, sticky),
            timeouts=timeouts(run_timeout, None, None) or None,
            retry=retry_policy(retries, backoff) or None,
        ),
    }
    with connect(project) as client:
        schedule = client.schedules.create(**cast("ScheduleNew", new))
    schedule_look.tell(schedule, json=json)


@app.command()
def edit(
    name: Name,
    cron: Cron = None,
    every: Every = None,
    timezone: Zone = None,
    jitter: Jitter = None,
    starts_at: StartsAt = None,
    ends_at: EndsAt = None,
    catch_up: CatchUp = None,
    catch_up_window: Window = None,
    overlap: Overlap = None,
    note: Note = None,
    clear: Clear = None,
    agent: ForAgent = None,
    capability: Capability = None,
    input: Input = None,  # noqa: A002 - named as the option is
    title: Title = None,
    priority: Priority = None,
    label: Labels = None,
    queue: Queue = None,
    limit: NamedLimits = None,
    sticky: Sticky = None,
    run_timeout: RunTimeout = None,
    retries: Retries = None,
    backoff: BackoffOption = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Change a schedule. What is not given stays as it is; labels given replace all labels.

    When its times change it goes on with the first one after now.
    """
    changes = {
        **timing(cron, every, timezone, jitter, starts_at, ends_at),
        **rules(catch_up, catch_up_window, overlap, note),
    }
    for each in clear or ():
        field = each.replace("-", "_")
        if field in changes:
            raise wrong(f"--{each} cannot be both given and cleared.", "Leave one of them out.")
        changes[field] = None
    work = given(
        agent=agent,
        capabilities=capability or None,
        **_work(input, title, priority, label, queue, limit, sticky),
    )
    parts = {
        "timeouts": timeouts(run_timeout, None, None),
        "retry": retry_policy(retries, backoff),
    }
    if not changes and not work and not any(parts.values()):
        raise wrong("Nothing to change was given.", "See 'podium schedule edit --help'.")
    with connect(project) as client:
        if work or any(parts.values()):
            before = client.schedules.get(name)
            changes["task"] = _merged(dict(before.task), work, parts)
            changes["updated_at"] = before.updated_at
        schedule = client.schedules.update(name, **cast("ScheduleEdit", changes))
    schedule_look.tell(schedule, json=json)


@app.command()
def pause(name: Name, note: Note = None, project: Project = None, json: Json = False) -> None:
    """Start no more of its tasks; those that it started go on."""
    _change(name, project, {"paused": True, **given(note=note)}, json=json)


@app.command()
def resume(name: Name, project: Project = None, json: Json = False) -> None:
    """Go on with its next time. Those that passed meanwhile can be filled with backfill."""
    _change(name, project, {"paused": False}, json=json)


@app.command()
def trigger(name: Name, project: Project = None, json: Json = False) -> None:
    """Start a task of it now, beside whatever it has started."""
    with connect(project) as client:
        fired = client.schedules.trigger(name)
    if json:
        output.emit(fired)
    else:
        output.say(str(fired.task_id))


@app.command()
def backfill(
    name: Name,
    begin: Annotated[str, typer.Option("--from", metavar="MOMENT", help="The first time.")],
    end: Annotated[str, typer.Option("--to", metavar="MOMENT", help="The last time.")],
    at_once: Annotated[
        bool, typer.Option("--at-once", help="All at once, not one after the other.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say for which times tasks would be started.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Start tasks for times that have passed and had none."""
    first, last = moment(begin, "--from"), moment(end, "--to")
    if first is not None and last is not None and last < first:
        raise wrong("The range is reversed: --to comes before --from.", "Exchange the two.")
    span = cast("Backfill", {"begin": first, "end": last})
    with connect(project) as client:
        if dry_run:
            at = client.schedules.to_backfill(name, **span)
            if json:
                output.emit(at)
                return
            output.show_table(("Time",), [(each,) for each in at], _NOTHING_TO_FILL)
            return
        if at_once:
            span["overlap"] = "allow_all"
        fired = client.schedules.backfill(name, **span)
    if json:
        output.emit(fired)
    elif fired:
        schedule_look.show_firings(fired)
    else:
        output.note(_NOTHING_TO_FILL)


_NOTHING_TO_FILL = "No time of it in this range has passed without a task."


@app.command()
def delete(
    name: Name,
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Delete a schedule and what is known of its times. Its tasks stay."""
    confirm(f"Delete the schedule {name}", yes=yes)
    with connect(project) as client:
        client.schedules.delete(name)
    if json:
        output.emit({"name": name, "deleted": True})
    else:
        output.say(f"{name} is deleted")


def _work(
    input: str | None,  # noqa: A002 - named as the option is
    title: str | None,
    priority: int | None,
    label: list[str] | None,
    queue: str | None,
    limit: list[str] | None,
    sticky: str | None,
) -> dict[str, object]:
    made = given(
        title=title,
        priority=priority,
        labels=labels(label) or None,
        queue=queue,
        limits=limit or None,
        sticky=sticky,
    )
    if input is not None:
        made["input"] = json_value(input, "--input")
    return made


def _merged(
    task: dict[str, object],
    work: dict[str, object],
    parts: dict[str, dict[str, object]],
) -> "ScheduledTask":
    """The task as it is with what is changed, because the API replaces it whole."""
    if "agent" in work:  # one takes the other's place
        task.pop("capabilities", None)
        task.pop("sticky", None)
    elif "capabilities" in work:
        task.pop("agent", None)
    for field, part in parts.items():
        if part:
            has = cast("dict[str, object]", task.get(field) or {})
            task[field] = {**has, **part}
    return cast("ScheduledTask", {**task, **work})


def _change(name: str, project: str | None, changes: dict[str, object], *, json: bool) -> None:
    with connect(project) as client:
        schedule = client.schedules.update(name, **cast("ScheduleEdit", changes))
    schedule_look.tell(schedule, json=json)


schedule_look.add(app)
