"""Fires schedules when their times have come."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from podium.kernel.errors import PodiumError, Unavailable
from podium.scheduler.model import NewTask
from podium.scheduler.service import Scheduler
from podium.schedules import deciding, starting, store
from podium.schedules.model import Schedule
from podium.schedules.starting import Step
from podium.storage.database import Database, refuses_values
from podium.tasks.service import TaskService

_log = structlog.get_logger(__name__)

CHANNEL = "podium:schedules"
"""Who changes when a schedule fires next tells it here."""
_BATCH = 50
_MOST_BYTES = 5_000_000
_TASK_BYTES = 10_000
"""A transaction starts 500 small tasks at most, or as many large ones as fit."""
_POSTPONED_SECONDS = 15.0
_HELD_SECONDS = 0.25
"""When what is due is locked by somebody, who will be done with it in a moment."""


class ScheduleClock:
    """Fires what is due. Several may do so at once: a schedule is moved on and its tasks are
    submitted in one transaction, for which one of them locks it."""

    def __init__(self, database: Database, scheduler: Scheduler, tasks: TaskService) -> None:
        self._database = database
        self._scheduler = scheduler
        self._tasks = tasks

    async def ring(self) -> float | None:
        """Fire what is due; gives the seconds until something else may be, None without any."""
        due = await store.next_due(self._database)
        if due is None or due > 0:
            return due
        seen = await store.due(self._database, _BATCH)
        # To cancel takes locks for which all workers wait: none of these in a long transaction.
        cancelling = [each for each in seen if each.rules.overlap == "cancel_other"]
        others = [each for each in seen if each.rules.overlap != "cancel_other"]
        parts = [*([others] if others else []), *([each] for each in cancelling)]
        fired = [await self._fire_each(part) for part in parts]
        return 0.0 if any(fired) else _HELD_SECONDS

    async def _fire_each(self, seen: Sequence[Schedule]) -> bool:
        """Fire all of them together, or one by one when one of them makes that fail."""
        try:
            return await self._fire([(each, await self._template(each)) for each in seen])
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one bad schedule must not hold up the others
            if len(seen) > 1:
                return any([await self._fire_each([each]) for each in seen])
            return await self._give_up(seen[0], error)

    async def _give_up(self, schedule: Schedule, error: Exception) -> bool:
        """Record that a task cannot be, or look again soon at what may be mended by itself."""
        if isinstance(error, PodiumError) or refuses_values(error):
            try:
                return await self._fire([(schedule, starting.why_not(error))])
            except Unavailable:
                raise
            except Exception as again:  # noqa: BLE001
                error = again
        _log.error("schedule.postponed", schedule=schedule.name, exc_info=error)
        await store.postpone(self._database, schedule.id, _POSTPONED_SECONDS)
        return True

    async def _template(self, schedule: Schedule) -> NewTask | str:
        try:
            return await starting.template(self._tasks, schedule)
        except Unavailable:
            raise
        except PodiumError as error:
            return starting.why_not(error)

    async def _fire(self, seen: Sequence[tuple[Schedule, NewTask | str]]) -> bool:
        """Fire what is still due, as far as one transaction should; gives whether anything was."""
        templates = {each.id: template for each, template in seen}
        steps: list[Step] = []
        room = _MOST_BYTES
        async with self._database.transaction() as conn:
            for schedule, now in await store.lock_due(conn, [each for each, _ in seen]):
                template = templates[schedule.id]
                size = _TASK_BYTES + (len(template.input) if isinstance(template, NewTask) else 0)
                if steps and room < size:
                    break
                steps.append(_step(schedule, now, template, max(1, room // size)))
                room -= size * len(steps[-1].firings)
            if steps:
                await starting.carry_out(conn, self._scheduler, steps)
        return bool(steps)


def _step(schedule: Schedule, now: datetime, template: NewTask | str, most: int) -> Step:
    """What is to be done for a schedule that is due, for that many of its times at most."""
    come = deciding.due(schedule, now, min(most, deciding.MOST_AT_ONCE))
    decided = deciding.decide(schedule.rules.overlap, come.to_start, schedule.earlier, "time")
    missed = [come.missed] if come.missed else []
    moved = deciding.moved(schedule, come.next_at)
    return Step(moved, template, [*missed, *decided.firings], decided.cancelled)
