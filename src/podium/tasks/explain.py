"""Why a task is where it is, from the rows that the scheduler itself reads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.kernel.errors import NotFound
from podium.scheduler.gates import Gate, GateWait
from podium.scheduler.model import TaskState
from podium.scheduler.tables import (
    attempt,
    blocked,
    dependency,
    gate,
    need,
    ready,
    running,
    task,
    timer,
    wait,
    worker,
)
from podium.tasks import store
from podium.tasks.model import AgentChoice, Blocker, Explanation

_AHEAD_MOST = 1000


async def explain(conn: AsyncConnection, task_id: UUID, gates: Sequence[Gate]) -> Explanation:
    """One sentence, the blockers behind it, and the choice of agent once there is one."""
    row = await store.get(conn, task_id)
    if row is None:
        raise NotFound(f"There is no task {task_id}.")
    state = TaskState(row.state)
    choice = await _choice(conn, task_id, row)
    match state:
        case TaskState.RUNNING:
            since = f" since {_time(row.started_at)}"
            why = f"It is running on agent {choice.name if choice else '?'}{since}."
            return _explanation(row, why, [], choice)
        case TaskState.QUEUED:
            blockers = await _queued(conn, row)
            why = blockers[0].detail if blockers else "It can start now: a worker takes it next."
        case TaskState.PENDING | TaskState.WAITING:
            blockers = await _held(conn, task_id, gates)
            why = blockers[0].detail if blockers else "It is moving between two places; look again."
        case _:
            reason = f": {row.error['message']}" if row.error else "."
            return _explanation(row, f"It ended, {state.value}{reason}", [], choice)
    if len(blockers) > 1:
        why += f" ({len(blockers) - 1} more below.)"
    return _explanation(row, why, blockers, choice)


def _explanation(
    row: Any, why: str, blockers: list[Blocker], choice: AgentChoice | None
) -> Explanation:
    return Explanation(
        task_id=row.id, state=TaskState(row.state), why=why, blockers=blockers, agent=choice
    )


async def _choice(conn: AsyncConnection, task_id: UUID, row: Any) -> AgentChoice | None:
    """The agent of the live or last attempt, and how it came to be chosen."""
    live = sa.select(running.c.agent_id, running.c.choice, running.c.attempt)
    past = sa.select(attempt.c.agent_id, attempt.c.choice, attempt.c.attempt)
    both = sa.union_all(
        live.where(running.c.task_id == task_id), past.where(attempt.c.task_id == task_id)
    ).subquery()
    query = sa.select(agent.c.name, both.c.choice).join(agent, agent.c.id == both.c.agent_id)
    found = (await conn.execute(query.order_by(both.c.attempt.desc()).limit(1))).one_or_none()
    if found is None:
        return None
    if row.agent_id is not None:
        return AgentChoice(name=found.name, how="The task names this agent.", candidates=[])
    wanted = ", ".join(row.capabilities)
    how = f"The least loaded of {len(found.choice or [])} with {wanted}, when it was claimed."
    return AgentChoice(name=found.name, how=how, candidates=found.choice or [])


# -- tasks that are ready ----------------------------------------------------------------------


async def _queued(conn: AsyncConnection, row: Any) -> list[Blocker]:
    agents = await _offers(conn, row)
    usable = [each for each in agents if each.enabled and each.healthy]
    free = [each for each in usable if not each.cap or each.busy < each.cap]
    blockers = _agent_blockers(row, agents, usable, free)
    if not blockers:
        blockers = await _worker_blockers(conn, row, {each.runtime for each in free})
    ahead = await _ahead(conn, row)
    if blockers and ahead:
        count = f"at least {_AHEAD_MOST}" if ahead == _AHEAD_MOST else str(ahead)
        detail = f"{count} tasks for the same agents come before it, by priority, then age."
        blockers.append(Blocker(kind="behind", detail=detail))
    return blockers


async def _offers(conn: AsyncConnection, row: Any) -> Sequence[Any]:
    """The agents that match the task's lane, as the claim sees them."""
    busy = (
        sa.select(sa.func.count())
        .select_from(running)
        .where(running.c.agent_id == agent.c.id)
        .scalar_subquery()
    )
    query = sa.select(
        agent.c.name,
        agent.c.runtime,
        agent.c.enabled,
        agent.c.healthy,
        agent.c.health_detail,
        agent.c.max_concurrency.label("cap"),
        busy.label("busy"),
    ).where(agent.c.deleted_at.is_(None))
    if row.agent_id is not None:
        query = query.where(agent.c.id == row.agent_id)
    else:
        query = query.where(
            agent.c.project_id == row.project_id, agent.c.capabilities.contains(row.capabilities)
        )
    return (await conn.execute(query)).all()


def _agent_blockers(
    row: Any, agents: Sequence[Any], usable: Sequence[Any], free: Sequence[Any]
) -> list[Blocker]:
    wanted = (
        f"agent {row.agent}" if row.agent_id else f"an agent with {', '.join(row.capabilities)}"
    )
    if not agents:
        detail = f"It needs {wanted}, and there is none. Register one."
        return [Blocker(kind="no_agent", detail=detail)]
    if not usable:
        return [_unusable(each) for each in agents]
    if not free:
        return [
            Blocker(
                kind="agent_busy",
                detail=f"Agent {each.name} runs {each.busy} of at most {each.cap} tasks.",
            )
            for each in usable
        ]
    return []


def _unusable(each: Any) -> Blocker:
    if not each.enabled:
        return Blocker(kind="agent_disabled", detail=f"Agent {each.name} is disabled. Enable it.")
    found = f": {each.health_detail}" if each.health_detail else "."
    return Blocker(kind="agent_unhealthy", detail=f"Agent {each.name} is not healthy{found}")


async def _worker_blockers(conn: AsyncConnection, row: Any, runtimes: set[str]) -> list[Blocker]:
    load = (
        sa.select(sa.func.count())
        .select_from(running)
        .where(running.c.worker_id == worker.c.id)
        .scalar_subquery()
    )
    query = sa.select(
        worker.c.name, worker.c.queues, worker.c.runtimes, worker.c.concurrency, load.label("load")
    ).where(worker.c.state == "active", worker.c.lease_until > sa.func.clock_timestamp())
    workers = (await conn.execute(query)).all()
    serving = [
        each
        for each in workers
        if (not each.queues or row.queue in each.queues) and runtimes & set(each.runtimes)
    ]
    if not serving:
        what = f"queue {row.queue!r} with runtime {' or '.join(sorted(runtimes))}"
        detail = f"No live worker serves {what} ({len(workers)} live). Start one: podium worker."
        return [Blocker(kind="no_worker", detail=detail)]
    if all(each.load >= each.concurrency for each in serving):
        detail = f"All {len(serving)} workers that could take it are full."
        return [Blocker(kind="worker_busy", detail=detail)]
    return []


async def _ahead(conn: AsyncConnection, row: Any) -> int:
    before = sa.or_(
        ready.c.priority > row.priority,
        sa.and_(ready.c.priority == row.priority, ready.c.task_id < row.id),
    )
    own_lane = sa.select(task.c.lane_id).where(task.c.id == row.id).scalar_subquery()
    some = sa.select(ready.c.task_id).where(ready.c.lane_id == own_lane, before)
    counted = sa.select(sa.func.count()).select_from(some.limit(_AHEAD_MOST).subquery())
    return (await conn.execute(counted)).scalar_one()


# -- tasks that are held -----------------------------------------------------------------------


async def _held(conn: AsyncConnection, task_id: UUID, gates: Sequence[Gate]) -> list[Blocker]:
    return [
        *await _dependencies(conn, task_id),
        *await _timers(conn, task_id),
        *await _waits(conn, task_id, gates),
    ]


async def _dependencies(conn: AsyncConnection, task_id: UUID) -> list[Blocker]:
    query = sa.select(blocked.c.on_failure, blocked.c.not_before)
    place = (await conn.execute(query.where(blocked.c.task_id == task_id))).one_or_none()
    if place is None:
        return []
    open_edges = (
        sa.select(task.c.id, task.c.title, task.c.outcome)
        .join(dependency, dependency.c.depends_on == task.c.id)
        .where(dependency.c.task_id == task_id, dependency.c.released.is_(False))
        .order_by(task.c.id)
        .limit(100)
    )
    blockers: list[Blocker] = []
    for each in await conn.execute(open_edges):
        detail = f"It waits for task {each.id} ({each.title}) to end."
        if each.outcome:
            detail = f"Task {each.id} ({each.title}) ended {each.outcome}; retry it or cancel this."
        blockers.append(Blocker(kind="dependency", detail=detail, subject=each.id))
    return blockers


async def _timers(conn: AsyncConnection, task_id: UUID) -> list[Blocker]:
    query = sa.select(timer.c.fires_at, timer.c.reason, timer.c.failures)
    row = (await conn.execute(query.where(timer.c.task_id == task_id))).one_or_none()
    if row is None:
        return []
    if row.reason == "retry":
        detail = f"Attempt {row.failures} failed; the next one starts at {_time(row.fires_at)}."
        return [Blocker(kind="retry", detail=detail)]
    return [Blocker(kind="delay", detail=f"It is not to start before {_time(row.fires_at)}.")]


async def _waits(conn: AsyncConnection, task_id: UUID, gates: Sequence[Gate]) -> list[Blocker]:
    other = wait.alias("other")
    ahead = (
        sa.select(sa.func.count())
        .select_from(other)
        .where(
            other.c.gate == wait.c.gate,
            sa.or_(
                other.c.priority > wait.c.priority,
                sa.and_(other.c.priority == wait.c.priority, other.c.task_id < wait.c.task_id),
            ),
        )
        .scalar_subquery()
    )
    query = (
        sa.select(
            wait.c.gate,
            wait.c.task_id,
            need.c.units,
            sa.func.coalesce(gate.c.used, 0).label("used"),
            sa.func.coalesce(gate.c.capacity, 0).label("capacity"),
            ahead.label("ahead"),
            wait.c.since,
            wait.c.parked,
        )
        .join(need, sa.and_(need.c.task_id == wait.c.task_id, need.c.gate == wait.c.gate))
        .outerjoin(gate, gate.c.key == wait.c.gate)
        .where(wait.c.task_id == task_id)
    )
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        return []
    held = GateWait(
        key=row.gate,
        task_id=row.task_id,
        units=row.units,
        used=row.used,
        capacity=row.capacity,
        ahead=row.ahead,
        since=row.since,
    )
    detail = await _sentence(conn, held, gates)
    return [Blocker(kind="parked" if row.parked else "gate", detail=detail)]


async def _sentence(conn: AsyncConnection, held: GateWait, gates: Sequence[Gate]) -> str:
    for each in gates:
        if held.key.startswith(each.prefix):
            return (await each.explain(conn, [held]))[held.task_id]
    if held.capacity == 0:
        return f"It waits for {held.key} to be signalled."
    before = f", behind {held.ahead} others" if held.ahead else ""
    taken = f"{held.used} of {held.capacity} are taken"
    return f"It waits for {held.units} units of {held.key}: {taken}{before}."


def _time(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else "?"
