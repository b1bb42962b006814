"""``schedules``."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query

from podium.events.http import Change
from podium.kernel.fields import Moment, Word
from podium.kernel.web import Limit, PageCursor, api_router, page_cursor, page_key, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import CurrentProject
from podium.schedules import times
from podium.schedules.service import ScheduleService
from podium.schedules.views import (
    Backfill,
    FiringList,
    FiringPage,
    FiringView,
    Schedule,
    ScheduleEdit,
    ScheduleNew,
    SchedulePage,
    ScheduleTiming,
    Times,
    firing_view,
    schedule_view,
)
from podium.storage.database import Database

router = api_router("/schedules", "schedules")

_Schedules = Annotated[ScheduleService, Depends(provided(ScheduleService))]
_Database = Annotated[Database, Depends(provided(Database))]
_Reader = Annotated[Principal, Depends(require("schedules:read"))]
_Writer = Annotated[Principal, Depends(require("schedules:write"))]
_Name = Annotated[Word, Path(alias="schedule", description="Name of the schedule.")]
_Count = Annotated[int, Query(ge=1, le=100, description="So many times.")]
_After = Annotated[Moment | None, Query(description="Times after this one; unset, after now.")]


@router.get("", summary="List schedules by name")
async def list_schedules(
    reader: _Reader,
    project: CurrentProject,
    schedules: _Schedules,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> SchedulePage:
    reader.demand_all()
    key = page_key(cursor, str)
    async with database.connect() as conn:
        found = await schedules.list(conn, project.id, key[0] if key else None, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].name) if len(found) > limit else None
    return SchedulePage(items=[schedule_view(each, project.name) for each in page], next=more)


@router.post("", status_code=201, summary="Create a schedule")
async def create_schedule(
    new: ScheduleNew,
    writer: _Writer,
    project: CurrentProject,
    schedules: _Schedules,
    change: Change,
) -> Schedule:
    """Its task is checked now, and again each time that it is started."""
    writer.demand("tasks:write")
    work = await schedules.work(writer, project.id, new.task)
    given = {field: getattr(new, field) for field in new.model_fields_set - {"name", "task"}}
    async with change() as conn:
        made = await schedules.create(conn, writer, project.id, new.name, given, work)
        return schedule_view(made, project.name)


@router.post("/preview", summary="See the times of a schedule that is not made yet")
async def preview_times(
    timing: ScheduleTiming,
    reader: _Reader,
    schedules: _Schedules,
    database: _Database,
    count: _Count = 10,
    after: _After = None,
) -> Times:
    reader.demand_all()
    given = {field: getattr(timing, field) for field in timing.model_fields_set}
    async with database.connect() as conn:
        made = await schedules.timing(conn, given)
        items = await schedules.upcoming(conn, made, after, count)
    return Times(description=times.described(made), items=list(items))


@router.get("/{schedule}", summary="Read a schedule")
async def get_schedule(
    name: _Name,
    reader: _Reader,
    project: CurrentProject,
    schedules: _Schedules,
    database: _Database,
) -> Schedule:
    reader.demand_all()
    async with database.connect() as conn:
        return schedule_view(await schedules.get(conn, project.id, name), project.name)


@router.put("/{schedule}", summary="Change, pause or resume a schedule")
async def edit_schedule(
    name: _Name,
    edit: ScheduleEdit,
    writer: _Writer,
    project: CurrentProject,
    schedules: _Schedules,
    database: _Database,
    change: Change,
) -> Schedule:
    """Once its times have changed, or when it is resumed, it goes on with the first one after now;
    what passed while it was paused is not made up for."""
    given: dict[str, Any] = {
        field: getattr(edit, field) for field in edit.model_fields_set - {"task", "updated_at"}
    }
    work = None
    if not given.keys() <= {"paused", "note"} or given.get("paused") is False:
        async with database.connect() as conn:
            schedule = await schedules.get(conn, project.id, name)
        await schedules.demand_power(writer, schedule)
    if edit.task is not None:
        writer.demand("tasks:write")
        work = await schedules.work(writer, project.id, edit.task)
    async with change() as conn:
        changed = await schedules.change(
            conn, writer, project.id, name, given, work, edit.updated_at
        )
        return schedule_view(changed, project.name)


@router.delete("/{schedule}", status_code=204, summary="Delete a schedule")
async def delete_schedule(
    name: _Name, writer: _Writer, project: CurrentProject, schedules: _Schedules, change: Change
) -> None:
    """Its tasks stay."""
    async with change() as conn:
        await schedules.delete(conn, writer, project.id, name)


@router.get("/{schedule}/times", summary="See the next times of a schedule")
async def list_times(
    name: _Name,
    reader: _Reader,
    project: CurrentProject,
    schedules: _Schedules,
    database: _Database,
    count: _Count = 10,
    after: _After = None,
) -> Times:
    """Also of a schedule that is paused."""
    reader.demand_all()
    async with database.connect() as conn:
        timing = (await schedules.get(conn, project.id, name)).timing
        items = await schedules.upcoming(conn, timing, after, count)
    return Times(description=times.described(timing), items=list(items))


@router.get("/{schedule}/firings", summary="See what came of the times of a schedule")
async def list_firings(
    name: _Name,
    reader: _Reader,
    project: CurrentProject,
    schedules: _Schedules,
    database: _Database,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> FiringPage:
    reader.demand_all()
    key = page_key(cursor, datetime.fromisoformat, UUID)
    async with database.connect() as conn:
        schedule = await schedules.get(conn, project.id, name)
        before = (key[0], key[1]) if key else None
        found = await schedules.firings(conn, schedule.id, before, limit + 1)
    page = found[:limit]
    more = page_cursor(page[-1].at, page[-1].id) if len(found) > limit else None
    return FiringPage(items=[firing_view(each) for each in page], next=more)


@router.post("/{schedule}/trigger", status_code=201, summary="Start a task of a schedule now")
async def trigger_schedule(
    name: _Name, writer: _Writer, project: CurrentProject, schedules: _Schedules
) -> FiringView:
    """Beside whatever it has started; also while it is paused. Its times stay as they are. Who asks
    needs the scopes that submitting its task would need, and so for what follows."""
    return firing_view(await schedules.trigger(writer, project.id, name))


@router.post(
    "/{schedule}/backfill", status_code=201, summary="Start tasks for times that have passed"
)
async def backfill_schedule(
    name: _Name,
    body: Backfill,
    writer: _Writer,
    project: CurrentProject,
    schedules: _Schedules,
) -> FiringList:
    """For each time in the range, up to 500, that has passed and for which it started no task;
    also times while it was paused, and, of a cron expression, before it was made. What is sent
    again starts nothing twice, as long as it is known what came of these times."""
    fired = await schedules.backfill(writer, project.id, name, body.begin, body.end, body.overlap)
    return FiringList(items=[firing_view(each) for each in fired])


@router.post("/{schedule}/backfill/preview", summary="See which times a backfill would fill")
async def preview_backfill(
    name: _Name,
    body: Backfill,
    reader: _Reader,
    project: CurrentProject,
    schedules: _Schedules,
    database: _Database,
) -> Times:
    reader.demand_all()
    async with database.connect() as conn:
        schedule = await schedules.get(conn, project.id, name)
        items = await schedules.to_backfill(conn, project.id, name, body.begin, body.end)
    return Times(description=times.described(schedule.timing), items=list(items))
