"""Podium's side of ``gates``: tasks that everything which may hold a task back has a say in.

Two projects of weights 2 and 1, in which priorities age, get bulk calls of 500 in turn. Of each
task:

* it names a limit of the family ``customer:*``, one of 500 customers of whom each may have 5 tasks
  at once, so that many tasks wait for it;
* it names the limit ``model``, a bucket of starts that all tasks of its project share, too large to
  be what slows them;
* its queue has a concurrency and a rate, its agent a concurrency, neither of which binds;
* it has labels, a deadline, and one of three priorities.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from itertools import cycle
from uuid import UUID

from benchmarks.driver import serve
from benchmarks.podium_client import WHO, PodiumSubmitter, function, prepared
from podium.app import Core
from podium.limits.service import LimitService
from podium.principals.model import Principal
from podium.projects.model import DEFAULT
from podium.queues.service import QueueService
from podium.scheduler.model import Rate
from podium.tasks.model import TaskInBulk

SECOND = "second"
WEIGHTS = {DEFAULT: 2.0, SECOND: 1.0}
AGEING_SECONDS = 60.0
CUSTOMERS = 500
TASKS_OF_A_CUSTOMER = 5
AT_ONCE = 1000
AMPLE = Rate(count=1_000_000, seconds=1.0, burst=1_000_000)
QUEUE = "gated"
AGENT = "noop"
PRIORITIES = 3
DEADLINE = timedelta(hours=1)


async def set_up() -> None:
    """Create the schema, the agents, the second project and the rules of both."""
    async with prepared() as (core, admin):
        async with core.database.transaction() as conn:
            settings = {"weight": WEIGHTS[SECOND], "priority_ageing": AGEING_SECONDS}
            second = await core.projects.create(conn, admin, SECOND, settings)
            settings = {"weight": WEIGHTS[DEFAULT], "priority_ageing": AGEING_SECONDS}
            first = await core.projects.change(conn, admin, DEFAULT, settings)
        async with core.database.transaction() as conn:
            await core.agents.register(conn, admin, second.id, function(AGENT, AT_ONCE))
            most = {"max_concurrency": AT_ONCE}
            await core.agents.change(conn, admin, first.id, AGENT, most, None)
        for project in (first, second):
            await _lay_down(core, admin, project.id)


async def _lay_down(core: Core, admin: Principal, project_id: UUID) -> None:
    limits, queues = LimitService(core.scheduler), QueueService(core.scheduler)
    async with core.database.transaction() as conn:
        await limits.put(conn, admin, project_id, "customer:*", TASKS_OF_A_CUSTOMER, None)
        await limits.put(conn, admin, project_id, "model", None, AMPLE)
    async with core.database.transaction() as conn:
        rules = {"concurrency": AT_ONCE, "rate": AMPLE}
        await queues.change(conn, admin, project_id, QUEUE, rules)


class GatedSubmitter(PodiumSubmitter):
    """Submits no-ops that all gates have a say in."""

    async def open(self) -> None:
        """Connect."""
        await super().open()
        ids = [(await self._core.projects.resolve(name)).id for name in WEIGHTS]
        self._projects = cycle(ids)

    async def _submit_part(self, places: range) -> None:
        deadline = datetime.now(UTC) + DEADLINE
        tasks = [_task(place, deadline) for place in places]
        await self._tasks.create_many(next(self._projects), WHO, tasks, None)


def _task(place: int, deadline: datetime) -> TaskInBulk:
    return TaskInBulk(
        agent=AGENT,
        input=place,
        queue=QUEUE,
        limits=[f"customer:{place % CUSTOMERS}", "model"],
        labels={"team": f"t{place % 50}"},
        priority=place % PRIORITIES,
        deadline=deadline,
    )


if __name__ == "__main__":
    if sys.argv[1] == "set-up":
        asyncio.run(set_up())
    else:
        serve(GatedSubmitter())
