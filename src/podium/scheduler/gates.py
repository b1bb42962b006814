"""The gate port: how slices above hold tasks back without the scheduler knowing them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.scheduler.model import Need, NewTask

LANES = "lane:"
"""The keys of the gates begin with it at which tasks wait while they could not run, and so hold
nothing (``sql/9_lanes.sql``)."""


@dataclass(frozen=True, slots=True)
class GateWait:
    """A task that queues at a gate: what it takes, and the gate's counter at this moment.

    ``ahead`` is how many come first, counted up to ``most_ahead``.
    """

    most_ahead: ClassVar[int] = 1000

    key: str
    task_id: UUID
    units: int
    used: int
    capacity: int
    ahead: int
    since: datetime

    @property
    def others(self) -> str:
        """Who comes first, as part of a sentence."""
        if self.ahead == 1:
            return "1 other task comes first"
        count = f"at least {self.ahead}" if self.ahead == self.most_ahead else str(self.ahead)
        return f"{count} other tasks come first"


class Gate(Protocol):
    """A kind of limit: locks, budgets, approvals, concurrency keys.

    Every gate is a counter row ``(key, capacity, used)`` of the scheduler. A task takes all its
    units when it becomes ready, all or nothing, and gives them back when its attempt ends; who
    waits is served by priority, then age, in the transaction that frees the units. So a gate
    has only to say what a task needs and what a wait means; to open or widen it, its slice
    calls ``Scheduler.set_capacity`` or ``Scheduler.signal`` in its own transaction.

    Guarantees an adapter gives: ``prefix`` begins all its keys and no other gate's; ``concerns`` is
    quick and reads nothing; ``reserve`` is set-based, may read but not write, and is given only
    tasks that the gate concerns; ``explain`` answers for every wait given.
    """

    prefix: str

    def concerns(self, task: NewTask) -> bool:
        """Whether the task may need something of this kind."""
        ...

    async def reserve(
        self, conn: AsyncConnection, tasks: Sequence[NewTask]
    ) -> Mapping[UUID, Sequence[Need]]:
        """What each of these new tasks needs; tasks without needs may be left out."""
        ...

    async def explain(self, conn: AsyncConnection, waits: Sequence[GateWait]) -> Mapping[UUID, str]:
        """One sentence for each wait: what holds the task and who can change that."""
        ...
