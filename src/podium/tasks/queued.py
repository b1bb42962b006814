"""What keeps a queued task from being taken: its agents, the workers, those who come first."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.store import agent
from podium.kernel.fields import closest
from podium.queues import store as queues
from podium.scheduler import store as scheduling
from podium.scheduler.model import TALKS, rate_text, shown_capabilities
from podium.scheduler.tables import running, worker
from podium.tasks.held import time_text
from podium.tasks.model import Blocker

_AHEAD_MOST = 1000


async def blockers(conn: AsyncConnection, row: Any) -> list[Blocker]:
    """In the order in which they must go away; none when a worker may take it at any moment."""
    agents = await _agents(conn, row)
    usable = [each for each in agents if each.enabled and each.healthy]
    free = [each for each in usable if not each.cap or each.busy < each.cap]
    found = _agent_blockers(agents, usable, free) if agents else [await _no_agent(conn, row)]
    found += await _queue_blockers(conn, row)
    if not found:
        found = await _worker_blockers(conn, row, free)
    if ahead := await scheduling.count_ahead(conn, row.id, _AHEAD_MOST):
        count = f"At least {ahead}" if ahead == _AHEAD_MOST else str(ahead)
        come = "task comes" if ahead == 1 else "tasks come"
        detail = f"{count} {come} before it, for the same queue and agents, by priority, then age."
        found.append(Blocker(kind="behind", detail=detail))
    return found


async def closures(conn: AsyncConnection, row: Any) -> list[Blocker]:
    """Why a task holds nothing of its limits: it could not run if it did."""
    agents = await _agents(conn, row)
    usable = [each for each in agents if each.enabled and each.healthy]
    found = _agent_blockers(agents, usable, usable) if agents else [await _no_agent(conn, row)]
    found += [each for each in await _queue_blockers(conn, row) if each.kind == "queue_paused"]
    return [
        Blocker(kind=each.kind, detail=f"{each.detail} Until then it holds nothing of its limits.")
        for each in found
    ]


async def _agents(conn: AsyncConnection, row: Any) -> Sequence[Any]:
    """The agents that match the task's lane, as the claim sees them."""
    busy = sa.select(sa.func.count()).where(running.c.agent_id == agent.c.id).scalar_subquery()
    query = sa.select(
        agent.c.id,
        agent.c.name,
        agent.c.runtime,
        agent.c.enabled,
        agent.c.healthy,
        agent.c.health_detail,
        agent.c.isolated,
        agent.c.max_concurrency.label("cap"),
        busy.label("busy"),
    ).where(agent.c.deleted_at.is_(None))
    if row.agent_id is not None:
        query = query.where(agent.c.id == row.agent_id)
    else:
        query = query.where(
            agent.c.project_id == row.project_id, agent.c.capabilities.contains(row.capabilities)
        )
    found = (await conn.execute(query.order_by(agent.c.name))).all()
    usable = (each for each in found if each.enabled and each.healthy)
    preferred = next((each for each in usable if each.id == row.prefers), None)
    return [preferred] if preferred else found


async def _no_agent(conn: AsyncConnection, row: Any) -> Blocker:
    if row.agent_id is not None:
        return _deleted(row)
    every = sa.select(sa.func.unnest(agent.c.capabilities)).where(
        agent.c.project_id == row.project_id, agent.c.deleted_at.is_(None)
    )
    offered = set((await conn.execute(every.distinct())).scalars())
    lacking = [name for name in row.capabilities if name not in offered] or row.capabilities
    if TALKS in lacking:
        wanted = capabilities_text(row.capabilities)
        detail = f"No agent of this project that has {wanted} can be talked to."
        return Blocker(kind="no_agent", detail=f"{detail} Tell in its configuration how: session.")
    detail = f"No agent of this project has {capabilities_text(lacking)}"
    if len(lacking) == 1:
        close = closest(lacking[0], shown_capabilities(offered))
        detail += f"{close}. Register one that has it, or add it to an agent."
    else:
        detail += " together. Register one that has them, or add what is missing to an agent."
    return Blocker(kind="no_agent", detail=detail)


async def deleted_agent(conn: AsyncConnection, row: Any) -> list[Blocker]:
    """That the agent which the task names was deleted, for a task that is not queued yet."""
    query = sa.select(agent.c.id).where(agent.c.id == row.agent_id, agent.c.deleted_at.is_not(None))
    return [_deleted(row)] if (await conn.execute(query)).first() else []


def _deleted(row: Any) -> Blocker:
    detail = f"Agent {row.agent} was deleted. Cancel this task and submit it to another."
    return Blocker(kind="no_agent", detail=detail)


def capabilities_text(names: Sequence[str]) -> str:
    """Capabilities as part of a sentence."""
    *others, last = shown_capabilities(names)
    return (
        f"the capabilities {', '.join(others)} and {last}" if others else f"the capability {last}"
    )


def _agent_blockers(
    agents: Sequence[Any], usable: Sequence[Any], free: Sequence[Any]
) -> list[Blocker]:
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
    again = f"It is probed again each minute, and at once by: podium agent probe {each.name}."
    detail = f"Agent {each.name} is not healthy{found} {again}"
    return Blocker(kind="agent_unhealthy", detail=detail)


async def _queue_blockers(conn: AsyncConnection, row: Any) -> list[Blocker]:
    """What is laid down for the task's queue, where it lets nothing start now."""
    queue = await queues.read(conn, row.project_id, row.queue)
    if queue is None:
        return []
    rules, found = queue.rules, list[Blocker]()
    if rules.state == "paused":
        detail = f"Queue {queue.name} is paused. Open it: podium queue open {queue.name}."
        found.append(Blocker(kind="queue_paused", detail=detail))
    if rules.concurrency is not None and queue.running >= rules.concurrency:
        detail = f"Queue {queue.name} runs {queue.running} of at most {rules.concurrency} tasks."
        found.append(Blocker(kind="queue_full", detail=detail))
    if rules.rate and (moment := await queues.next_start(conn, row.project_id, row.queue)):
        detail = (
            f"Queue {queue.name} starts {rate_text(rules.rate)}; the next one at "
            f"{time_text(moment)}."
        )
        found.append(Blocker(kind="queue_rate", detail=detail))
    return found


async def _worker_blockers(conn: AsyncConnection, row: Any, agents: Sequence[Any]) -> list[Blocker]:
    runtimes = {each.runtime for each in agents}
    alive = await _workers(conn)
    workers = [each for each in alive if each.state == "active"]
    serving = [
        each
        for each in workers
        if (not each.queues or row.queue in each.queues) and runtimes & set(each.runtimes)
    ]
    if not serving:
        what = f"queue {row.queue!r} and runtime {' or '.join(sorted(runtimes))}"
        others = _others(len(workers), len(alive) - len(workers))
        detail = f"No worker serves {what}; {others}. Start one: podium worker."
        return [Blocker(kind="no_worker", detail=detail)]
    which = (
        "The worker that could take it is"
        if len(serving) == 1
        else f"All {len(serving)} workers that could take it are"
    )
    if all(each.blocked_by for each in serving):
        by = serving[0].blocked_by
        detail = f"{which} blocked by task {by['task_id']}, at {by['at']}."
        return [Blocker(kind="worker_blocked", detail=detail, subject=by["task_id"])]
    if all(each.load >= each.concurrency for each in serving):
        slots = sum(each.concurrency for each in serving)
        detail = f"{which} full: {slots} of {slots} slots are taken."
        return [Blocker(kind="worker_busy", detail=detail)]
    if all(each.isolated for each in agents) and all(_full(each) for each in serving):
        live = sum(each.live_processes for each in serving)
        most = sum(each.processes for each in serving)
        detail = f"{which} full: {live} of {most} processes run there."
        return [Blocker(kind="worker_busy", detail=detail)]
    return []


async def _workers(conn: AsyncConnection) -> Sequence[Any]:
    count = sa.select(sa.func.count()).where(running.c.worker_id == worker.c.id)
    query = sa.select(
        worker.c.state,
        worker.c.queues,
        worker.c.runtimes,
        worker.c.concurrency,
        worker.c.processes,
        worker.c.blocked_by,
        count.scalar_subquery().label("load"),
        count.where(running.c.isolated).scalar_subquery().label("live_processes"),
    ).where(
        worker.c.state.in_(("active", "draining")),
        worker.c.lease_until > sa.func.clock_timestamp(),
    )
    return (await conn.execute(query)).all()


def _full(worker: Any) -> bool:
    """Whether no further process may begin there."""
    return worker.load >= worker.concurrency or worker.live_processes >= worker.processes


def _others(active: int, draining: int) -> str:
    """What the workers do that do not serve a task."""
    if active:
        return f"{active} run for others"
    if draining == 1:
        return "the one that runs is draining and takes nothing new"
    if draining:
        return f"the {draining} that run are draining and take nothing new"
    return "no worker runs at all"
