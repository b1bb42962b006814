"""The scheduler's use cases.

Batches commit by themselves; everything else happens in the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events.live import Wakeups
from podium.kernel.errors import IdempotencyMismatch
from podium.scheduler import store
from podium.scheduler.batcher import Batcher
from podium.scheduler.gates import Gate
from podium.scheduler.model import (
    CallKey,
    Claimed,
    Demand,
    Need,
    NewTask,
    Progress,
    Settlement,
    SubmitCall,
    Submitted,
)
from podium.scheduler.waking import Waker
from podium.storage.database import Database, after_commit

TIMER_CHANNEL = "podium:timer"
_LANES_KNOWN = 10_000


def worker_channel(worker_id: UUID) -> str:
    """Where a worker listens for requests to stop attempts."""
    return f"podium:worker:{worker_id}"


class Scheduler:
    """Accepts, holds, hands out and settles tasks; coordinates only through PostgreSQL."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        *,
        gates: Sequence[Gate] = (),
        idempotency_hours: float = 24,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._waker = Waker(database, wakeups)
        self._idempotency_hours = idempotency_hours
        self.gates = gates
        self._lanes: dict[Demand, int] = {}
        self._submits = Batcher(self._submit_batch, size=lambda call: len(call.tasks))

    async def lane(self, demand: Demand) -> int:
        """The lane of this demand. Lanes never change, so each is looked up once a process."""
        if (known := self._lanes.get(demand)) is not None:
            return known
        async with self._database.transaction() as conn:
            made = await store.ensure_lane(conn, demand)
        if len(self._lanes) >= _LANES_KNOWN:
            self._lanes.clear()
        self._lanes[demand] = made
        return made

    async def submit(self, call: SubmitCall) -> Submitted:
        """Accept a call's tasks; gives their ids, or those of the first time the key came.

        Raises ``NotFound`` for a dependency that does not exist and ``IdempotencyMismatch`` for
        a key that came with another request; nothing is accepted then.
        """
        if self.gates:
            call = replace(call, tasks=await self._with_needs(call.tasks))
        return await self._submits.put(call)

    async def made_before(self, keys: Sequence[CallKey]) -> list[list[UUID]] | None:
        """The task ids of calls of one project that were all made before; None unless all were."""
        made = await store.made_before(self._database, keys)
        return made if len(made) == len(keys) else None

    async def _with_needs(self, tasks: Sequence[NewTask]) -> list[NewTask]:
        needs: dict[UUID, list[Need]] = {}
        async with self._database.connect() as conn:
            for gate in self.gates:
                for task_id, own in (await gate.reserve(conn, tasks)).items():
                    needs.setdefault(task_id, []).extend(own)
        return [task._replace(needs=(*task.needs, *needs.get(task.id, ()))) for task in tasks]

    async def _submit_batch(self, calls: Sequence[SubmitCall]) -> list[Submitted]:
        if any(call.key for call in calls):
            made = await self._submit_keyed(calls)
        else:
            tasks = list(chain.from_iterable(call.tasks for call in calls))
            at = await store.submit(self._database, tasks)
            made = [Submitted([task.id for task in call.tasks], at) for call in calls]
        self._tell(chain.from_iterable(call.tasks for call in calls))
        return made

    async def _submit_keyed(self, calls: Sequence[SubmitCall]) -> list[Submitted]:
        first: dict[tuple[UUID, str], SubmitCall] = {}
        for call in calls:
            if call.key:
                first.setdefault((call.key.project_id, call.key.key), call)
        async with self._database.transaction() as conn:
            known = dict(
                await store.remember_calls(conn, list(first.values()), self._idempotency_hours)
            )
            for name, call in first.items():
                if name not in known and call.key:
                    ids = [task.id for task in call.tasks]
                    known[name] = (call.key.request_hash, ids)
            made = [_made_before(call, known) for call in calls]
            new = [
                task
                for call, ids in zip(calls, made, strict=True)
                for task in call.tasks
                if call.tasks[0].id == ids[0]
            ]
            at = await store.submit_in(conn, new)
        return [Submitted(ids, at) for ids in made]

    def _tell(self, tasks: "chain[NewTask]") -> None:
        queues: set[str] = set()
        for task in tasks:
            if task.start_at or task.queue_timeout:
                self._wakeups.tell(TIMER_CHANNEL)
            if not task.start_at:
                queues.add(task.queue)
        self._wakeups.work(queues)
        self._wakeups.feed()

    async def claim(
        self, worker_id: UUID, most: int, processes: int, queues: Sequence[str] = ()
    ) -> list[Claimed]:
        """Take up to ``most`` tasks for a worker, up to ``processes`` of those that may run in
        processes of their own; raises ``LeaseLost`` when it holds no lease.

        ``queues`` are those that the worker is bound to: others that are may be woken for what it
        leaves.
        """
        claimed = await store.claim(self._database, worker_id, most, processes)
        if claimed:
            self._wakeups.feed()
            if len(claimed) == most or sum(one.isolated for one in claimed) == processes:
                self._wakeups.work(queues)  # there may be more than this worker can take
        return claimed

    async def settle(self, worker_id: UUID, ends: Sequence[Settlement]) -> dict[UUID, str]:
        """End attempts; gives the outcome of each whose report counted, not of stale ones."""
        outcomes, readied = await store.settle(self._database, worker_id, ends)
        if any(end.how == "retry" for end in ends):
            self._wakeups.tell(TIMER_CHANNEL)
        if readied or any(end.how == "released" for end in ends):
            self.wake()
        self._wakeups.feed()
        return outcomes

    async def progress(self, worker_id: UUID, said: Sequence[Progress]) -> None:
        await store.progress(self._database, worker_id, said)
        self._wakeups.feed()

    async def cancel(
        self, conn: AsyncConnection, ids: Sequence[UUID], who: str, reason: str
    ) -> dict[UUID, str]:
        """Cancel tasks in the caller's transaction: cancelled, cancelling or ended, for each."""
        results = await store.cancel(conn, ids, who, reason)
        for worker_id in {worker_id for _, _, worker_id in results if worker_id}:
            after_commit(conn, partial(self._wakeups.tell, worker_channel(worker_id)))
        self._wake_after(conn)
        return {task_id: result for task_id, result, _ in results}

    async def retry(self, conn: AsyncConnection, ids: Sequence[UUID], who: str) -> list[UUID]:
        """Give failed, dead or cancelled tasks another life; gives those that got one."""
        again = await store.retry(conn, ids, who)
        self._wake_after(conn)
        return again

    async def set_capacity(self, conn: AsyncConnection, capacities: Mapping[str, int]) -> None:
        """Set how many units gates may hand out; who fits then is ready in this transaction."""
        await store.set_capacity(conn, capacities)
        self._wake_after(conn)

    async def reprioritise(self, conn: AsyncConnection, task_id: UUID, priority: int) -> None:
        """Change the place of a waiting task, which the caller has locked, among others."""
        await store.reprioritise(conn, task_id, priority)
        self._wake_after(conn)

    async def expire_in(self, conn: AsyncConnection, task_id: UUID, seconds: float | None) -> None:
        """Set how long from now a task may still wait to start; None takes the limit away."""
        await store.expire_in(conn, task_id, seconds)
        after_commit(conn, partial(self._wakeups.tell, TIMER_CHANNEL))

    async def signal(self, conn: AsyncConnection, keys: Sequence[str]) -> None:
        """Open one-shot gates: whoever waits for a key, or will, may go on."""
        await store.signal(conn, keys)
        self._wake_after(conn)

    def wake(self) -> None:
        """Wake workers: something was committed that may let tasks start."""
        self._waker.wake()

    def feed_after(self, conn: AsyncConnection) -> None:
        """Tell readers of events, once the transaction is committed, that there are new ones; and
        workers, as claims passed over the tasks that the transaction held."""
        self._wake_after(conn)

    def _wake_after(self, conn: AsyncConnection) -> None:
        after_commit(conn, self._waker.wake)
        after_commit(conn, self._wakeups.feed)

    async def close(self) -> None:
        """Finish what was accepted."""
        await self._submits.drain()
        await self._waker.close()


def _made_before(
    call: SubmitCall, known: Mapping[tuple[UUID, str], tuple[bytes, list[UUID]]]
) -> list[UUID]:
    if call.key is None:
        return [task.id for task in call.tasks]
    request_hash, ids = known[call.key.project_id, call.key.key]
    if request_hash != call.key.request_hash:
        raise IdempotencyMismatch(
            f"Idempotency key {call.key.key!r} was used before with a different request.",
            hint="Send the same request again, or choose a new key.",
            key=call.key.key,
        )
    return ids
