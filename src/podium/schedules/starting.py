"""What firings do: tasks are cancelled and submitted, and it is kept and told what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel.errors import Forbidden, PodiumError
from podium.scheduler.model import NewTask
from podium.scheduler.service import Scheduler
from podium.schedules import store
from podium.schedules.model import Earlier, Firing, Schedule
from podium.tasks import drafting
from podium.tasks.model import TaskNew
from podium.tasks.service import TaskService

_MOST_OPEN = 1000
"""Open tasks of a schedule that are remembered; of more than that only ``allow_all`` has use."""


@dataclass(frozen=True, slots=True)
class Step:
    """Firings of one schedule, which ``schedule`` shows as it is to be kept; ``template`` is its
    task, or why there can be none."""

    schedule: Schedule
    template: NewTask | str
    firings: Sequence[Firing]
    cancelled: Sequence[UUID] = ()
    actor: str = "system"


async def template(tasks: TaskService, schedule: Schedule) -> NewTask:
    """The task of a schedule, ready to be submitted; raises when it would not be accepted now."""
    request = TaskNew.model_validate(schedule.task)
    if not schedule.may_run_code and await tasks.run_code(schedule.project_id, [request]):
        raise Forbidden(
            "Its agent runs code, and who wrote this schedule may not submit tasks to such agents.",
            hint="Somebody with the scope tasks:execute must write the task of the schedule again.",
        )
    return await tasks.prepare(schedule.project_id, f"schedule:{schedule.name}", request)


def why_not(error: Exception) -> str:
    """Why a task cannot be started, for the record."""
    if isinstance(error, PodiumError):
        return f"{error.message} {error.hint or ''}".rstrip()
    return f"{type(error).__name__}: {error}"


async def carry_out(conn: AsyncConnection, scheduler: Scheduler, steps: Sequence[Step]) -> None:
    """Do it all in the caller's transaction, in which the schedules are locked."""
    steps = [_refused(step) if isinstance(step.template, str) else step for step in steps]
    # The lock on projects comes before those that cancelling takes.
    await scheduler.require_projects(conn, {step.schedule.project_id for step in steps})
    for step in steps:
        if step.cancelled:
            reason = f"The next time of the schedule {step.schedule.name} has come."
            await scheduler.cancel(conn, step.cancelled, _actor(step), reason)
    tasks = [
        _task(step.schedule, step.template, firing)
        for step in steps
        for firing in step.firings
        if firing.task_id and isinstance(step.template, NewTask)
    ]
    if tasks:
        await scheduler.submit_in(conn, tasks)
    await store.record(conn, [(step.schedule.id, each) for step in steps for each in step.firings])
    await store.advance(conn, [_kept(step) for step in steps])
    await events.append(conn, [_event(step, each) for step in steps for each in step.firings])
    scheduler.feed_after(conn)


def _refused(step: Step) -> Step:
    """The step of a schedule whose task cannot be: what was to start has failed."""
    failed = [
        replace(each, outcome="failed", task_id=None, detail=step.template)
        if each.outcome == "started"
        else each
        for each in step.firings
    ]
    return replace(step, firings=failed, cancelled=())


def _task(schedule: Schedule, made: NewTask, firing: Firing) -> NewTask:
    labels = {
        **orjson.loads(made.labels),
        "schedule": schedule.name,
        "scheduled_at": _text(firing.at),
    }
    task = made._replace(id=firing.task_id or made.id, labels=orjson.dumps(labels).decode())
    return drafting.behind(task, firing.after) if firing.after else task


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _kept(step: Step) -> Schedule:
    started = [each.task_id for each in step.firings if each.task_id]
    still_open = [*step.schedule.earlier.open, *started][-_MOST_OPEN:]
    return replace(step.schedule, earlier=Earlier(still_open))


def _actor(step: Step) -> str:
    return f"schedule:{step.schedule.name}"


_EVENTS = {
    "started": "schedule.fired",
    "skipped": "schedule.skipped",
    "missed": "schedule.missed",
    "failed": "schedule.failed",
}


def _event(step: Step, firing: Firing) -> NewEvent:
    data = {"name": step.schedule.name, "at": _text(firing.at)}
    if firing.task_id:
        data |= {"task": str(firing.task_id), "cause": firing.cause}
    if firing.detail:
        data["detail"] = firing.detail
    subject, project_id = step.schedule.id, step.schedule.project_id
    return NewEvent(_EVENTS[firing.outcome], subject, project_id, step.actor, data)
