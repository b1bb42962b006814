"""Why a task is where it is, from the rows that the scheduler itself reads."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.kernel.errors import NotFound
from podium.scheduler.gates import Gate
from podium.scheduler.model import TaskState
from podium.scheduler.tables import attempt, running, worker
from podium.tasks import held, queued, store
from podium.tasks.model import AgentChoice, Blocker, Explanation

_LOST = {"worker_lost", "worker_blocked"}


async def explain(conn: AsyncConnection, task_id: UUID, gates: Sequence[Gate]) -> Explanation:
    """One sentence, the blockers behind it, and the choice of agent once there is one."""
    row = await store.get(conn, task_id)
    if row is None:
        raise NotFound(f"There is no task {task_id}.")
    state = TaskState(row.state)
    blockers: list[Blocker] = []
    match state:
        case TaskState.RUNNING:
            why = await _running(conn, row)
        case TaskState.QUEUED:
            blockers = await queued.blockers(conn, row)
            why = "Nothing keeps it from starting: a worker takes it next."
        case TaskState.PENDING | TaskState.WAITING:
            if await held.is_out_of_line(conn, task_id):
                blockers = await queued.closures(conn, row)
            else:  # first what no waiting mends
                blockers = await queued.deleted_agent(conn, row)
                blockers += await held.blockers(conn, task_id, gates)
            why = "It is moving from one place to another; look again."
        case _:
            why = _ended(row, state)
    if blockers:
        more = f" ({len(blockers) - 1} more below.)" if len(blockers) > 1 else ""
        why = blockers[0].detail + more
    return Explanation(
        task_id=row.id,
        state=state,
        why=why,
        blockers=blockers,
        agent=await _choice(conn, task_id, row),
    )


async def _running(conn: AsyncConnection, row: Any) -> str:
    query = (
        sa.select(
            worker.c.name,
            worker.c.blocked_by,
            running.c.cancel,
            running.c.started_at,
            running.c.attempt,
        )
        .join(worker, worker.c.id == running.c.worker_id)
        .where(running.c.task_id == row.id)
    )
    found = (await conn.execute(query)).one_or_none()
    if found is None:
        return "It has just stopped running; look again."
    where = f"on agent {row.running_agent} and worker {found.name}"
    why = f"Attempt {found.attempt} runs since {held.time_text(found.started_at)} {where}."
    if found.blocked_by:
        by = found.blocked_by
        mine = by["task_id"] == str(row.id)
        whose = "it blocks its worker" if mine else f"task {by['task_id']} blocks its worker"
        why += f" Now {whose}, at {by['at']}."
    if found.cancel:
        why += f" It was asked to stop: {found.cancel.get('reason') or 'no reason was given'}"
    return why


def _ended(row: Any, state: TaskState) -> str:
    tries = f"after {row.attempt} attempts" if row.attempt > 1 else ""
    verb = {
        TaskState.SUCCEEDED: "It succeeded",
        TaskState.FAILED: "It failed",
        TaskState.CANCELLED: "It was cancelled",
        TaskState.DEAD: "It used up its retries and is dead",
    }[state]
    if state == TaskState.DEAD and row.error and row.error.get("code") in _LOST:
        verb = "It lost its worker as often as max_losses allows and is dead"
    message = str(row.error["message"]) if row.error else ""
    return f"{' '.join(filter(None, (verb, tries)))}: {message}" if message else f"{verb}."


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
    candidates: list[dict[str, Any]] = found.choice["candidates"] if found.choice else []
    which = "only agent"
    if found.choice and found.choice["how"] == "sticky":
        how = f"Tasks with the key {row.spec.get('sticky')} go to it."
        return AgentChoice(name=found.name, how=how, candidates=candidates)
    if len(candidates) > 1:
        which = _CHOSEN[found.choice["how"]].format(f"{len(candidates)} agents")
    wanted = queued.capabilities_text(row.capabilities)
    how = f"The {which} with {wanted} that had room when a worker took it."
    return AgentChoice(name=found.name, how=how, candidates=candidates)


_CHOSEN = {
    "least_loaded": "least busy of {}",
    "round_robin": "next in turn of {}",
    "weighted": "next in turn, by weight, of {}",
}
