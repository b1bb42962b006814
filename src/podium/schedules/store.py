"""The tables of schedules and of what came of their times."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.schedules.model import Earlier, Firing, Rules, Schedule, Timing
from podium.storage.database import Database, call_in, metadata

_Time = sa.DateTime(timezone=True)

schedule = sa.Table(
    "schedule",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("project_id", sa.Uuid, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("cron", sa.Text),
    sa.Column("every", sa.Double),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("anchor", _Time, nullable=False),
    sa.Column("starts_at", _Time),
    sa.Column("ends_at", _Time),
    sa.Column("jitter", sa.Double, nullable=False),
    sa.Column("catch_up", sa.Text, nullable=False),
    sa.Column("catch_up_window", sa.Double),
    sa.Column("overlap", sa.Text, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("task", JSONB, nullable=False),
    sa.Column("may_run_code", sa.Boolean, nullable=False),
    sa.Column("next_at", _Time),
    sa.Column("fires_at", _Time),
    sa.Column("open_tasks", ARRAY(sa.Uuid), nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", _Time, nullable=False),
    sa.Column("updated_at", _Time, nullable=False),
)
firing = sa.Table(
    "firing",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("schedule_id", sa.Uuid, nullable=False),
    sa.Column("at", _Time, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("task_id", sa.Uuid),
    sa.Column("detail", sa.Text),
    sa.Column("fired_at", _Time, nullable=False),
)
_SELECT = """
select s.id, s.project_id, s.name, s.cron, s.every, s.timezone, s.anchor, s.starts_at, s.ends_at,
       s.jitter, s.catch_up, s.catch_up_window, s.overlap, s.paused, s.note, s.task,
       s.may_run_code, s.next_at, s.fires_at, s.created_by, s.created_at, s.updated_at,
       clock_timestamp() as now,
       array(select o.id from unnest(s.open_tasks) with ordinality as o (id, place)
               join task t on t.id = o.id where t.outcome is null order by o.place) as open_tasks,
       array(select o.id from unnest(s.open_tasks) with ordinality as o (id, place)
               join task t on t.id = o.id
              where t.outcome is null
                and not exists (select from dependency d
                                  join task w on w.id = d.task_id and w.outcome is null
                                 where d.depends_on = o.id and w.id = any (s.open_tasks))
              order by o.place) as last_tasks
  from schedule s {where}
"""
_BY_NAME = _SELECT.format(where="where project_id = $1 and name = $2")
_PAGE = _SELECT.format(where="where project_id = $1 and name > $2 order by name limit $3")
_DUE = _SELECT.format(where="where fires_at <= clock_timestamp() order by fires_at limit $1")
_LOCK_DUE = (
    "select s.id from schedule s"
    " join unnest($1::uuid[], $2::timestamptz[]) as seen (id, updated_at)"
    "   on seen.id = s.id and seen.updated_at = s.updated_at"
    " where fires_at <= clock_timestamp() order by s.id for update of s skip locked"
)
_LOCK = "select from schedule where project_id = $1 and name = $2 for update"
_BY_ID = _SELECT.format(where="where id = any ($1::uuid[]) order by id")
_POSTPONE = (
    "update schedule set fires_at = clock_timestamp() + make_interval(secs => $2) where id = $1"
)
_NEXT_DUE = (
    "select extract(epoch from min(fires_at) - clock_timestamp())::float8 as due from schedule"
    " where fires_at is not null"
)
_ADVANCE = (
    "update schedule s set next_at = n.next_at, fires_at = n.fires_at,"
    "       open_tasks = n.open_tasks::uuid[]"
    "  from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[])"
    "       as n (id, next_at, fires_at, open_tasks)"
    " where s.id = n.id"
)
_RECORD = (
    "insert into firing (id, schedule_id, at, cause, outcome, task_id, detail)"
    " select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[],"
    "                      $6::uuid[], $7::text[])"
)
_STARTED = (
    "select at from firing where schedule_id = $1 and at = any ($2::timestamptz[])"
    " and outcome = 'started' and cause <> 'trigger'"
)
_FIRINGS = (
    "select id, at, cause, outcome, task_id, detail, fired_at from firing"
    " where schedule_id = $1 and ($2::timestamptz is null or (at, id) < ($2, $3::uuid))"
    " order by at desc, id desc limit $4"
)
_FORGET = (
    "with gone as (delete from firing where ctid = any (array("
    "  select ctid from firing where fired_at < now() - make_interval(days => $1)"
    "   order by fired_at limit $2)) returning 1) select count(*) as n from gone"
)
_FORGET_AT_ONCE = 5000


async def insert(conn: AsyncConnection, made: Schedule) -> bool:
    """Whether the name was free and the schedule is kept."""
    values = {**_values(made), "id": made.id, "project_id": made.project_id, "name": made.name}
    new = upsert(schedule).values(
        **values, created_by=made.created_by, created_at=made.created_at, open_tasks=[]
    )
    kept = new.on_conflict_do_nothing(index_elements=["project_id", "name"])
    return (await conn.execute(kept.returning(schedule.c.id))).first() is not None


async def update(conn: AsyncConnection, changed: Schedule) -> None:
    """Keep all of a schedule but who made it, and when, and its open tasks."""
    change = sa.update(schedule).where(schedule.c.id == changed.id)
    await conn.execute(change.values(**_values(changed)))


def _values(kept: Schedule) -> dict[str, Any]:
    return {
        **asdict(kept.timing),
        **asdict(kept.rules),
        "task": dict(kept.task),
        "may_run_code": kept.may_run_code,
        "next_at": kept.next_at,
        "fires_at": kept.fires_at,
        "updated_at": kept.updated_at,
    }


async def read(
    conn: AsyncConnection, project_id: UUID, name: str, *, for_update: bool = False
) -> Schedule | None:
    if for_update:  # what it waited for is seen only by a statement that begins afterwards
        await call_in(conn, _LOCK, project_id, name)
    rows = await call_in(conn, _BY_NAME, project_id, name)
    return _schedule(rows[0]) if rows else None


async def read_page(
    conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
) -> list[Schedule]:
    """Schedules of a project by name."""
    return [_schedule(row) for row in await call_in(conn, _PAGE, project_id, after or "", limit)]


async def delete(conn: AsyncConnection, schedule_id: UUID) -> None:
    """Remove a schedule with its firings."""
    await conn.execute(sa.delete(schedule).where(schedule.c.id == schedule_id))


async def due(database: Database, most: int) -> list[Schedule]:
    """Schedules whose time has come, those that waited longest first."""
    return [_schedule(row) for row in await database.call(_DUE, most)]


async def lock_due(
    conn: AsyncConnection, seen: Sequence[Schedule]
) -> list[tuple[Schedule, datetime]]:
    """Those of the schedules that are still due and were not changed since they were seen, locked,
    and the time; without those that somebody else has locked."""
    ids, changes = [each.id for each in seen], [each.updated_at for each in seen]
    locked = [row["id"] for row in await call_in(conn, _LOCK_DUE, ids, changes)]
    return [(_schedule(row), row["now"]) for row in await call_in(conn, _BY_ID, locked)]


async def postpone(database: Database, schedule_id: UUID, seconds: float) -> None:
    """Look at the schedule again after so long; its next time stays as it is."""
    await database.call(_POSTPONE, schedule_id, seconds)


async def next_due(database: Database) -> float | None:
    """Seconds until the next schedule fires, below 0 when it is late; None without any."""
    return (await database.call(_NEXT_DUE))[0]["due"]


async def count_active(database: Database) -> int:
    """How many schedules of the installation are to fire again."""
    rows = await database.call("select count(*) as n from schedule where fires_at is not null")
    return rows[0]["n"]


async def advance(conn: AsyncConnection, moved: Sequence[Schedule]) -> None:
    """Keep the next times and the open tasks of schedules that are locked."""
    await call_in(
        conn,
        _ADVANCE,
        [each.id for each in moved],
        [each.next_at for each in moved],
        [each.fires_at for each in moved],
        ["{" + ",".join(map(str, each.earlier.open)) + "}" for each in moved],
    )


async def record(conn: AsyncConnection, fired: Sequence[tuple[UUID, Firing]]) -> None:
    """Keep what came of times, each with the id of its schedule."""
    await call_in(
        conn,
        _RECORD,
        [each.id for _, each in fired],
        [schedule_id for schedule_id, _ in fired],
        [each.at for _, each in fired],
        [each.cause for _, each in fired],
        [each.outcome for _, each in fired],
        [each.task_id for _, each in fired],
        [each.detail for _, each in fired],
    )


async def started(
    conn: AsyncConnection, schedule_id: UUID, moments: Sequence[datetime]
) -> set[datetime]:
    """Those of the times for which a task was started before."""
    return {row["at"] for row in await call_in(conn, _STARTED, schedule_id, list(moments))}


async def firings(
    conn: AsyncConnection, schedule_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[Firing]:
    """What came of times, the latest first; ``before`` is time and id of the last one seen."""
    at, last_id = before or (None, None)
    rows = await call_in(conn, _FIRINGS, schedule_id, at, last_id, limit)
    return [Firing(**row) for row in rows]


async def forget_firings(database: Database, days: int) -> None:
    """Drop what came of times so long ago, so many in each transaction."""
    while (await database.call(_FORGET, days, _FORGET_AT_ONCE))[0]["n"] == _FORGET_AT_ONCE:
        continue


def _schedule(row: Mapping[str, Any]) -> Schedule:
    return Schedule(
        id=row["id"],
        project_id=row["project_id"],
        name=row["name"],
        timing=Timing(
            cron=row["cron"],
            every=row["every"],
            timezone=row["timezone"],
            anchor=row["anchor"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            jitter=row["jitter"],
        ),
        rules=Rules(
            catch_up=row["catch_up"],
            catch_up_window=row["catch_up_window"],
            overlap=row["overlap"],
            paused=row["paused"],
            note=row["note"],
        ),
        task=_read(row["task"]),
        may_run_code=row["may_run_code"],
        next_at=row["next_at"],
        fires_at=row["fires_at"],
        earlier=Earlier(row["open_tasks"], row["last_tasks"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _read(task: Any) -> Mapping[str, Any]:
    return orjson.loads(task) if isinstance(task, str | bytes) else task
