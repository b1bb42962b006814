"""The options that describe a task on the command line."""

from enum import StrEnum
from typing import Annotated, Literal

import typer

from podium.cli import completion
from podium.cli.options import moment, seconds, wrong


class State(StrEnum):
    """Where a task can be."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


Backoff = Literal["exponential", "linear", "fixed", "fibonacci"]
Policy = Literal["cancel", "run", "hold"]

Input = Annotated[
    str | None,
    typer.Option(
        "--input", "-i", metavar="JSON", help="Input as JSON; @FILE reads a file, - standard input."
    ),
]
ForAgent = Annotated[
    str | None,
    typer.Option(
        "--agent", "-a", metavar="NAME", help="Agent by name.", autocompletion=completion.agents
    ),
]
Capability = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        "-c",
        metavar="NAME",
        help="Any agent that has this; may be repeated, for one that has all.",
    ),
]
Queue = Annotated[str | None, typer.Option(metavar="NAME", help="Queue; unset, default.")]
DependsOn = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Id of a task that must end first; may be repeated."),
]
NamedLimits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME",
        help="A limit that it counts against; may be repeated.",
        autocompletion=completion.limits,
    ),
]
Sticky = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="With --capability: tasks with the same key go to the same agent, while it can.",
    ),
]
OnFailure = Annotated[
    Policy | None,
    typer.Option(
        help="What to do when one of those does not succeed: be cancelled, run all the same, or "
        "wait until it was retried and succeeded; unset, cancel."
    ),
]
Delay = Annotated[str | None, typer.Option(metavar="TIME", help="Time to wait first, such as 90s.")]
At = Annotated[str | None, typer.Option(metavar="MOMENT", help="Moment to start, in ISO 8601.")]
Deadline = Annotated[
    str | None,
    typer.Option(metavar="MOMENT", help="Moment by which it must have ended, in ISO 8601."),
]
Key = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Submitting again with this key gives the same task."),
]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait until it has ended.")]
Title = Annotated[
    str | None, typer.Option("--title", "-t", metavar="TEXT", help="What it is about.")
]
Priority = Annotated[
    int | None, typer.Option(min=-100, max=100, metavar="NUMBER", help="Higher runs first.")
]
RunTimeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Longest time an attempt may run.")
]
QueueTimeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Longest time until it has started.")
]
HeartbeatTimeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Longest silence of an attempt.")
]
Retries = Annotated[
    int | None,
    typer.Option(
        min=0, max=1000, metavar="NUMBER", help="Attempts after the first; of a new task unset, 0."
    ),
]
BackoffOption = Annotated[
    Backoff | None,
    typer.Option(help="How waits between attempts grow; of a new task unset, exponential."),
]

States = Annotated[
    list[State] | None,
    typer.Option(
        "--state",
        "-s",
        metavar="STATE",
        help=f"Only tasks in this state: {', '.join(State)}; may be repeated.",
    ),
]


def given(**options: object) -> dict[str, object]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def times(delay: str | None, at: str | None, deadline: str | None) -> dict[str, object]:
    """When a task is to start, and by when it must have ended."""
    if delay is not None and at is not None:
        raise wrong("--delay and --at exclude each other.", "Leave one of the two options out.")
    start, end = moment(at, "--at"), moment(deadline, "--deadline")
    if start is not None and end is not None and end <= start:
        raise wrong("--deadline is not after --at.", "Give a later moment, or none.")
    return given(delay=seconds(delay, "--delay"), start_at=start, deadline=end)


def timeouts(run: str | None, queue: str | None, heartbeat: str | None) -> dict[str, object]:
    """What ``timeouts`` of a task is to hold."""
    return given(
        run=seconds(run, "--run-timeout"),
        queue=seconds(queue, "--queue-timeout"),
        heartbeat=seconds(heartbeat, "--heartbeat-timeout"),
    )


def retry_policy(retries: int | None, backoff: Backoff | None) -> dict[str, object]:
    """What ``retry`` of a task is to hold."""
    return given(max_retries=retries, backoff=backoff)
