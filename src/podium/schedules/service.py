"""Use cases of schedules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.live import Wakeups
from podium.events.model import NewEvent
from podium.kernel.errors import Conflict, InvalidInput, NotFound, within
from podium.kernel.ids import uuid7
from podium.principals.model import Principal
from podium.projects import service as projects
from podium.scheduler.model import NewTask
from podium.scheduler.service import Scheduler
from podium.schedules import clock, deciding, starting, store, times
from podium.schedules.model import Earlier, Firing, Overlap, Rules, Schedule, Timing
from podium.schedules.starting import Step
from podium.storage.database import Database, after_commit, call_in
from podium.tasks.model import TaskBase, TaskNew
from podium.tasks.service import TaskService

MOST_BACKFILLED = 500
_TIMES = frozenset({"cron", "every", "timezone", "starts_at", "ends_at", "jitter"})
_RULES = frozenset(each.name for each in fields(Rules))


@dataclass(frozen=True, slots=True)
class Work:
    """The task of a schedule that was checked, and what its author may do with it."""

    given: Mapping[str, Any]
    may_run_code: bool


class ScheduleService:
    """Makes, changes and fires schedules of one project at a time. Methods that take a connection
    leave the commit to their caller; ``trigger`` and ``backfill`` commit by themselves."""

    def __init__(
        self, database: Database, scheduler: Scheduler, tasks: TaskService, wakeups: Wakeups
    ) -> None:
        self._database = database
        self._scheduler = scheduler
        self._tasks = tasks
        self._wakeups = wakeups

    # -- reading -----------------------------------------------------------------------------

    async def list(
        self, conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
    ) -> Sequence[Schedule]:
        """Schedules of a project, by name."""
        return await store.read_page(conn, project_id, after, limit)

    async def get(
        self, conn: AsyncConnection, project_id: UUID, name: str, *, for_update: bool = False
    ) -> Schedule:
        found = await store.read(conn, project_id, name, for_update=for_update)
        if found is None:
            raise NotFound(
                f"There is no schedule {name[:100]!r}.",
                hint="`podium schedule list` shows those that there are.",
                schedule=name[:100],
            )
        return found

    async def firings(
        self,
        conn: AsyncConnection,
        schedule_id: UUID,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Sequence[Firing]:
        """What came of the times of a schedule, the latest first."""
        return await store.firings(conn, schedule_id, before, limit)

    async def upcoming(
        self, conn: AsyncConnection, timing: Timing, after: datetime | None, count: int
    ) -> Sequence[datetime]:
        """The next times of a timing, without jitter."""
        return list(islice(times.after(timing, after or await _now(conn)), count))

    async def timing(self, conn: AsyncConnection, given: Mapping[str, Any]) -> Timing:
        """The timing of these fields, checked, as if it began now."""
        return _begun(given, await _now(conn))

    async def count_active(self) -> int:
        """How many schedules of the installation are to fire again."""
        return await store.count_active(self._database)

    # -- changing ----------------------------------------------------------------------------

    async def work(self, asker: Principal, project_id: UUID, task: TaskBase) -> Work:
        """Check the task of a schedule. Apart from ``create`` and ``change``, because it can take
        seconds, and a transaction would hold up others for so long."""
        given = task.model_dump(exclude_unset=True, mode="json")
        request = TaskNew.model_validate(given)
        may_run_code = asker.has("tasks:execute")
        with within("task"):
            if not may_run_code and await self._tasks.run_code(project_id, [request]):
                asker.demand("tasks:execute")
            await self._tasks.prepare(project_id, asker.name, request)
        return Work(given, may_run_code)

    async def create(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        name: str,
        given: Mapping[str, Any],
        work: Work,
    ) -> Schedule:
        """Make a schedule of the given fields of ``Timing`` and ``Rules``."""
        await projects.hold(conn, project_id)
        now = await _now(conn)
        made = Schedule(
            id=uuid7(),
            project_id=project_id,
            name=name,
            timing=_begun(given, now),
            rules=Rules(**{field: given[field] for field in _RULES & set(given)}),
            task=work.given,
            may_run_code=work.may_run_code,
            next_at=None,
            fires_at=None,
            earlier=Earlier(),
            created_by=asker.name,
            created_at=now,
            updated_at=now,
        )
        made = _planned(made, now)
        if not await store.insert(conn, made):
            raise Conflict(
                f"There is a schedule {name!r} already.",
                hint="Change it with `podium schedule edit`, or choose another name.",
                schedule=name,
            )
        await self._tell(conn, asker, "schedule.created", made, {"next_at": _told(made.next_at)})
        return made

    async def change(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        name: str,
        given: Mapping[str, Any],
        work: Work | None,
        seen: datetime | None = None,
    ) -> Schedule:
        """Change the given fields of ``Timing`` and ``Rules``, and the task if there is one.

        Raises ``Conflict`` when it was changed after the moment of its change that was ``seen``.
        """
        before = await self.get(conn, project_id, name, for_update=True)
        if seen not in (None, before.updated_at):
            raise Conflict(
                f"The schedule {name} was changed at {before.updated_at.isoformat()}.",
                hint="Somebody changed it meanwhile: read it again.",
                updated_at=before.updated_at.isoformat(),
            )
        now = await _now(conn)
        timing = _timing(before.timing, given, now)
        rules = replace(before.rules, **{field: given[field] for field in _RULES & set(given)})
        changed = replace(before, timing=timing, rules=rules)
        if work is not None:
            changed = replace(changed, task=work.given, may_run_code=work.may_run_code)
        if changed == before:
            return before
        if timing != before.timing:
            times.check(timing, now)
        changed = _replanned(before, replace(changed, updated_at=now), now)
        await store.update(conn, changed)
        if before.next_at and before.next_at <= now and changed.next_at != before.next_at:
            why = "It had come, and had started nothing yet, when the schedule was changed."
            passed = Firing(uuid7(), before.next_at, "time", "missed", detail=why)
            await store.record(conn, [(changed.id, passed)])
        data = {"fields": _differences(before, changed), "next_at": _told(changed.next_at)}
        await self._tell(conn, asker, "schedule.updated", changed, data)
        return changed

    async def delete(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, name: str
    ) -> None:
        """Remove a schedule with its firings. Its tasks stay."""
        gone = await self.get(conn, project_id, name, for_update=True)
        await store.delete(conn, gone.id)
        await self._tell(conn, asker, "schedule.deleted", gone, {})

    async def _tell(
        self,
        conn: AsyncConnection,
        asker: Principal,
        kind: str,
        schedule: Schedule,
        data: Mapping[str, Any],
    ) -> None:
        told = {"name": schedule.name, **data}
        event = NewEvent(kind, schedule.id, schedule.project_id, asker.name, told)
        await events.append(conn, [event])
        after_commit(conn, partial(self._wakeups.tell, clock.CHANNEL))

    # -- firing by hand ----------------------------------------------------------------------

    async def trigger(self, asker: Principal, project_id: UUID, name: str) -> Firing:
        """Start a task of the schedule now, beside whatever it has started; also while it is
        paused. Its times stay as they are."""
        seen, template = await self._template(asker, project_id, name)
        async with self._database.transaction() as conn:
            schedule = await self._unchanged(conn, seen)
            now = await _now(conn)
            decided = deciding.decide("allow_all", [now], schedule.earlier, "trigger")
            step = Step(schedule, template, decided.firings, actor=asker.name)
            await starting.carry_out(conn, self._scheduler, [step])
        return replace(decided.firings[0], fired_at=now)

    async def backfill(
        self,
        asker: Principal,
        project_id: UUID,
        name: str,
        begin: datetime,
        end: datetime,
        overlap: Overlap,
    ) -> Sequence[Firing]:
        """Start a task for each time from ``begin`` to ``end`` that has passed and had none."""
        seen, template = await self._template(asker, project_id, name)
        async with self._database.transaction() as conn:
            schedule = await self._unchanged(conn, seen)
            now = await _now(conn)
            moments = await self._passed(conn, schedule, begin, min(end, now))
            decided = deciding.decide(overlap, moments, schedule.earlier, "backfill")
            step = Step(schedule, template, decided.firings, actor=asker.name)
            await starting.carry_out(conn, self._scheduler, [step])
        return [replace(each, fired_at=now) for each in decided.firings]

    async def to_backfill(
        self, conn: AsyncConnection, project_id: UUID, name: str, begin: datetime, end: datetime
    ) -> Sequence[datetime]:
        """The times for which ``backfill`` would start tasks."""
        schedule = await self.get(conn, project_id, name)
        return await self._passed(conn, schedule, begin, min(end, await _now(conn)))

    async def _passed(
        self, conn: AsyncConnection, schedule: Schedule, begin: datetime, end: datetime
    ) -> Sequence[datetime]:
        """Times without a task; what has come and was not gone through yet is left to the clock."""
        unbounded = replace(schedule.timing, starts_at=None)
        found: list[datetime] = []
        for at in times.after(unbounded, begin - timedelta(microseconds=1)):
            if at > end or (schedule.next_at and at >= schedule.next_at):
                break
            if len(found) == MOST_BACKFILLED:
                raise InvalidInput(
                    f"More than {MOST_BACKFILLED} times of {schedule.name} lie in this range.",
                    hint="Backfill it in smaller parts.",
                    field="end",
                )
            found.append(at)
        done = await store.started(conn, schedule.id, found)
        return [at for at in found if at not in done]

    async def _template(
        self, asker: Principal, project_id: UUID, name: str
    ) -> tuple[Schedule, NewTask]:
        """The schedule as it is, and its task."""
        async with self._database.connect() as conn:
            schedule = await self.get(conn, project_id, name)
        await self.demand_power(asker, schedule)
        return schedule, await starting.template(self._tasks, schedule)

    async def _unchanged(self, conn: AsyncConnection, seen: Schedule) -> Schedule:
        """The schedule as it is now, locked, unless it was changed since it was seen."""
        found = await self.get(conn, seen.project_id, seen.name, for_update=True)
        if (found.id, found.updated_at) != (seen.id, seen.updated_at):
            raise Conflict(
                f"The schedule {seen.name} was changed at this moment.", hint="Try again."
            )
        return found

    async def demand_power(self, asker: Principal, schedule: Schedule) -> None:
        """Raise ``Forbidden`` unless the asker may have the schedule's tasks started."""
        asker.demand("tasks:write")
        request = TaskNew.model_validate(schedule.task)
        if not asker.has("tasks:execute") and await self._tasks.run_code(
            schedule.project_id, [request]
        ):
            asker.demand("tasks:execute")


async def _now(conn: AsyncConnection) -> datetime:
    return (await call_in(conn, "select clock_timestamp() as now"))[0]["now"]


def _begun(given: Mapping[str, Any], now: datetime) -> Timing:
    """The timing of these fields, checked, which begins now."""
    made = _timing(Timing(None, None, "UTC", now), given, now)
    times.check(made, now)
    return made


def _timing(before: Timing, given: Mapping[str, Any], now: datetime) -> Timing:
    """The timing with the given fields; of ``cron`` and ``every``, one takes the other's place."""
    wanted = {field: given[field] for field in _TIMES & set(given)}
    if wanted.get("cron") is not None and "every" not in wanted:
        wanted["every"] = None
    if wanted.get("every") is not None and "cron" not in wanted:
        wanted["cron"] = None
    changed = replace(before, **wanted)
    if (changed.every, changed.starts_at) != (before.every, before.starts_at):
        changed = replace(changed, anchor=changed.starts_at or now)
    return changed


def _planned(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule with its next time after now; without one while it is paused."""
    return _fires(schedule, None if schedule.rules.paused else times.first(schedule.timing, now))


def _fires(schedule: Schedule, at: datetime | None) -> Schedule:
    """The schedule with its next time, unless that comes after its end."""
    if at and schedule.timing.ends_at and at > schedule.timing.ends_at:
        at = None
    return deciding.moved(schedule, at)


def _replanned(before: Schedule, changed: Schedule, now: datetime) -> Schedule:
    """The changed schedule with its next time, which stays if it is one of its times still. One
    that was paused or had ended has none, and may have again."""
    spread = replace(before.timing, jitter=changed.timing.jitter, ends_at=changed.timing.ends_at)
    if before.next_at is None or changed.rules.paused or spread != changed.timing:
        return _planned(changed, now)
    return _fires(changed, before.next_at)


def _differences(before: Schedule, after: Schedule) -> list[str]:
    """The names of the fields that differ, as clients know them."""
    parts = ((before.timing, after.timing), (before.rules, after.rules))
    names = [
        each.name
        for old, new in parts
        for each in fields(old)
        if getattr(old, each.name) != getattr(new, each.name) and each.name != "anchor"
    ]
    return sorted([*names, *(["task"] if before.task != after.task else [])])


def _told(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
