"""What holds a pending or parked task back: dependencies, a time, a gate."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.scheduler import store as scheduling
from podium.scheduler.gates import LANES, Gate, GateWait
from podium.scheduler.tables import attempt, blocked, dependency, gate, need, task, timer, wait
from podium.tasks.model import Blocker

_DEPENDENCIES_MOST = 100


async def blockers(conn: AsyncConnection, task_id: UUID, gates: Sequence[Gate]) -> list[Blocker]:
    """All that holds the task back now; what may hold it back later is not known yet."""
    return [
        *await _dependencies(conn, task_id),
        *await _timers(conn, task_id),
        *await _waits(conn, task_id, gates),
    ]


async def is_out_of_line(conn: AsyncConnection, task_id: UUID) -> bool:
    """Whether the task waits at no limit, as its queue is paused or no agent can run it."""
    query = sa.select(wait.c.task_id).where(
        wait.c.task_id == task_id, wait.c.gate.startswith(LANES, autoescape=True)
    )
    return (await conn.execute(query)).first() is not None


async def _dependencies(conn: AsyncConnection, task_id: UUID) -> list[Blocker]:
    query = sa.select(blocked.c.not_before).where(blocked.c.task_id == task_id)
    place = (await conn.execute(query)).one_or_none()
    if place is None:
        return []
    unreleased = (
        sa.select(task.c.id, task.c.title, task.c.outcome)
        .join(dependency, dependency.c.depends_on == task.c.id)
        .where(dependency.c.task_id == task_id, dependency.c.released.is_(False))
        .order_by(task.c.outcome.is_(None), task.c.id)
        .limit(_DEPENDENCIES_MOST)
    )
    found: list[Blocker] = []
    for each in await conn.execute(unreleased):
        detail = f"It waits for task {each.id} ({each.title}) to end."
        if each.outcome:
            detail = (
                f"It is held until task {each.id} ({each.title}), which is {each.outcome}, is "
                "retried and succeeds. Retry that one, or cancel this."
            )
        found.append(Blocker(kind="dependency", detail=detail, subject=each.id))
    if place.not_before is not None and place.not_before > datetime.now(UTC):
        found.append(_delay(place.not_before))
    return found


async def _timers(conn: AsyncConnection, task_id: UUID) -> list[Blocker]:
    query = (
        sa.select(timer.c.fires_at, timer.c.reason, timer.c.attempt, attempt.c.error)
        .outerjoin(
            attempt,
            sa.and_(attempt.c.task_id == timer.c.task_id, attempt.c.attempt == timer.c.attempt),
        )
        .where(timer.c.task_id == task_id)
    )
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        return []
    if row.reason != "retry":
        return [_delay(row.fires_at)]
    why = f": {row.error['message'].rstrip('.')}" if row.error else ""
    detail = f"Attempt {row.attempt} failed{why}. The next one starts at {time_text(row.fires_at)}."
    return [Blocker(kind="retry", detail=detail)]


def _delay(moment: datetime) -> Blocker:
    return Blocker(kind="delay", detail=f"It is not to start before {time_text(moment)}.")


async def _waits(conn: AsyncConnection, task_id: UUID, gates: Sequence[Gate]) -> list[Blocker]:
    row = await _wait(conn, task_id)
    if row is None:
        return []
    waiting = GateWait(
        key=row.gate,
        task_id=row.task_id,
        units=row.units,
        used=row.used,
        capacity=row.capacity,
        ahead=await scheduling.count_ahead(conn, task_id, GateWait.most_ahead),
        since=row.since,
    )
    kind = "parked" if row.parked else "gate"
    for each in gates:
        if waiting.key.startswith(each.prefix):
            detail = (await each.explain(conn, [waiting]))[waiting.task_id]
            return [Blocker(kind=kind, detail=detail)]
    signal = row.parked or row.one_shot
    return [Blocker(kind=kind, detail=_signal(row) if signal else _counter(waiting))]


async def _wait(conn: AsyncConnection, task_id: UUID) -> Any | None:
    query = (
        sa.select(
            wait.c.gate,
            wait.c.task_id,
            need.c.units,
            sa.func.coalesce(gate.c.used, 0).label("used"),
            sa.func.coalesce(gate.c.capacity, 0).label("capacity"),
            sa.func.coalesce(gate.c.one_shot, sa.true()).label("one_shot"),
            wait.c.since,
            wait.c.parked,
            wait.c.attempt,
        )
        .join(need, sa.and_(need.c.task_id == wait.c.task_id, need.c.gate == wait.c.gate))
        .outerjoin(gate, gate.c.key == wait.c.gate)
        .where(wait.c.task_id == task_id)
    )
    return (await conn.execute(query)).one_or_none()


def _signal(row: Any) -> str:
    if row.parked:
        return (
            f"Attempt {row.attempt} gave up its slot at {time_text(row.since)} and goes on when "
            f"{row.gate} is signalled."
        )
    return f"It waits for {row.gate} to be signalled."


def _counter(waiting: GateWait) -> str:
    if waiting.capacity == 0:
        return f"It waits for {waiting.key}, which lets nobody through: signal it, or widen it."
    units = "1 unit" if waiting.units == 1 else f"{waiting.units} units"
    taken = f"{waiting.used} of {waiting.capacity} are taken"
    first = f", and {waiting.others}" if waiting.ahead else ""
    return f"It waits for {units} of {waiting.key}: {taken}{first}."


def time_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
