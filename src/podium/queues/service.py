"""Use cases of queues."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel.errors import NotFound
from podium.principals.model import Principal
from podium.projects import service as projects
from podium.queues import store
from podium.queues.model import Queue, Rules
from podium.scheduler import store as scheduling
from podium.scheduler.service import Scheduler


class QueueService:
    """Limits, pauses and drains queues. Workers obey from their next claim on: what one takes at
    the moment of the change may still start."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def list(
        self, conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
    ) -> Sequence[Queue]:
        """Queues that tasks came to or something was laid down for, by name."""
        return await store.read_page(conn, project_id, after, limit)

    async def get(self, conn: AsyncConnection, project_id: UUID, name: str) -> Queue:
        if (found := await store.read(conn, project_id, name)) is None:
            raise NotFound(
                f"There is no queue {name[:100]!r}: no task came to it, and nothing was set.",
                hint="`podium queue list` shows those that there are.",
                queue=name[:100],
            )
        return found

    async def change(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        name: str,
        wanted: Mapping[str, Any],
    ) -> Queue:
        """Lay down these fields of ``Rules`` for a queue, which need not exist before; with none of
        them it must."""
        if not wanted:
            return await self.get(conn, project_id, name)
        await scheduling.lock_gates(conn)
        await projects.hold(conn, project_id)
        queue_id = await store.lay_down(conn, project_id, name)
        before = (await self.get(conn, project_id, name)).rules
        rules = replace(before, **wanted)
        if rules != before:
            await store.set_rules(conn, queue_id, rules, refill=rules.rate != before.rate)
            if rules.distribution != before.distribution:
                await store.forget_turns(conn, project_id, name)
            await scheduling.follow_queue(conn, project_id, name)
            await _tell(conn, "queue.updated", queue_id, project_id, asker, _told(name, rules))
            self._scheduler.feed_after(conn)
        return await self.get(conn, project_id, name)

    async def delete(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, name: str
    ) -> None:
        """Remove all that was laid down for a queue. Also when nothing was: the wish is fulfilled.
        Its tasks stay, and may all start."""
        await scheduling.lock_gates(conn)
        queue_id = await store.delete(conn, project_id, name)
        if queue_id is not None:
            await store.forget_turns(conn, project_id, name)
            await scheduling.follow_queue(conn, project_id, name)
            await _tell(conn, "queue.deleted", queue_id, project_id, asker, {"name": name})
            self._scheduler.feed_after(conn)


def _told(name: str, rules: Rules) -> Mapping[str, Any]:
    rate = rules.rate.model_dump() if rules.rate else None
    return {"name": name, **asdict(rules), "rate": rate}


async def _tell(
    conn: AsyncConnection,
    kind: str,
    queue_id: UUID,
    project_id: UUID,
    asker: Principal,
    data: Mapping[str, Any],
) -> None:
    await events.append(conn, [NewEvent(kind, queue_id, project_id, asker.name, data)])
