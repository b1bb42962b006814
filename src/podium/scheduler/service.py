"""The scheduler's use cases.

Batches commit by themselves; everything else happens in the caller's transaction.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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

        Raises ``NotFound`` for a dependency or a limit that does not exist, ``QueueDraining``, and
        ``IdempotencyMismatch`` for a key that came with another request; nothing is accepted then.
        """
        if any(self.may_be_held(task) for task in call.tasks):
            async with self._database.connect() as conn:
                call = replace(call, tasks=await self._with_needs(conn, call.tasks))
        return await self._submits.put(call)

    async def require_projects(self, conn: AsyncConnection, ids: Collection[UUID]) -> None:
        """Keep the projects until the transaction ends; raises ``NotFound`` for a deleted one."""
        await store.require_projects(conn, list(ids))

    async def submit_in(
        self, conn: AsyncConnection, tasks: Sequence[NewTask], key: CallKey | None = None
    ) -> Sequence[UUID]:
        """Accept tasks in the caller's transaction; gives and raises what ``submit`` does."""
        tasks = await self._with_needs(conn, tasks)
        if key is not None:
            call = SubmitCall(tasks, key)
            known = await store.remember_calls(conn, [call], self._idempotency_hours)
            if known:
                return _made_before(call, known)
        await store.submit_in(conn, tasks)
        after_commit(conn, partial(self._tell, tasks))
        return [task.id for task in tasks]

    def may_be_held(self, task: NewTask) -> bool:
        """Whether the task may have to wait at a gate."""
        return any(gate.concerns(task) for gate in self.gates)

    async def require_accepting(self, conn: AsyncConnection, tasks: Sequence[NewTask]) -> None:
        """Raise what ``submit`` would for the queues and gates of these tasks."""
        needs = [
            need.gate
            for gate in self.gates
            if (gated := _concerned(gate, tasks))
            for needs in (await gate.reserve(conn, gated)).values()
            for need in needs
        ]
        await store.require_accepting(conn, list({task.lane_id for task in tasks}), needs)

    async def made_before(self, keys: Sequence[CallKey]) -> list[list[UUID]] | None:
        """The task ids of calls of one project that were all made before; None unless all were."""
        made = await store.made_before(self._database, keys)
        return made if len(made) == len(keys) else None

    async def _with_needs(
        self, conn: AsyncConnection, tasks: Sequence[NewTask]
    ) -> Sequence[NewTask]:
        needs: dict[UUID, list[Need]] = {}
        for gate in self.gates:
            if gated := _concerned(gate, tasks):
                for task_id, own in (await gate.reserve(conn, gated)).items():
                    needs.setdefault(task_id, []).extend(own)
        if not needs:
            return tasks
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

    def _tell(self, tasks: Iterable[NewTask]) -> None:
        queues: set[str] = set()
        for task in tasks:
            if task.start_at or task.queue_timeout or task.deadline or task.needs:
                self._wakeups.tell(TIMER_CHANNEL)
            if not task.start_at:
                queues.add(task.queue)
        self._wakeups.work(queues)
        self._wakeups.feed()

    async def claim(
        self, worker_id: UUID, most: int, processes: int, queues: Sequence[str] = ()
    ) -> tuple[list[Claimed], bool]:
        """Take up to ``most`` tasks for a worker, up to ``processes`` of those that may run in
        processes of their own; raises ``LeaseLost`` when it holds no lease. Says beside them
        whether it may have left tasks that are ready, some of which it may yet be able to take.

        ``queues`` are those that the worker is bound to: others that are may be woken for what it
        leaves.
        """
        claims = await store.claim(self._database, worker_id, most, processes)
        if claims.tasks:
            self._wakeups.feed()
        if claims.rated:
            self._wakeups.tell(TIMER_CHANNEL)
        if claims.leaves and _takes_no_more(claims.tasks, most, processes):
            self._wakeups.work(queues)
        return claims.tasks, claims.leaves

    async def settle(
        self,
        worker_id: UUID,
        ends: Sequence[Settlement],
        readied: Callable[[], None] | None = None,
    ) -> dict[UUID, str]:
        """End attempts; gives the outcome of each whose report counted, not of stale ones.

        Where others became ready by it, ``readied`` is called, which sees to it that workers are
        woken; without it they are woken at once.
        """
        outcomes, successors = await store.settle(self._database, worker_id, ends)
        if successors:
            (readied or self.wake)()
        self._tell_of_ends(ends)
        return outcomes

    async def settle_and_claim(
        self, worker_id: UUID, ends: Sequence[Settlement], most: int, processes: int
    ) -> tuple[dict[UUID, str], list[Claimed], bool]:
        """``settle`` and ``claim`` in one transaction, for a worker that has room: it takes what
        became ready, and others are woken for what it leaves. Without a lease it gets nothing."""
        outcomes, successors, claims = await store.settle_and_claim(
            self._database, worker_id, ends, most, processes
        )
        if claims.leaves and (successors or _takes_no_more(claims.tasks, most, processes)):
            self.wake()
        if claims.rated:
            self._wakeups.tell(TIMER_CHANNEL)
        self._tell_of_ends(ends)
        return outcomes, claims.tasks, claims.leaves

    def _tell_of_ends(self, ends: Sequence[Settlement]) -> None:
        if any(end.how == "retry" for end in ends):
            self._wakeups.tell(TIMER_CHANNEL)
        if any(end.how == "released" for end in ends):
            self.wake()
        self._wakeups.feed()

    async def progress(self, worker_id: UUID, said: Sequence[Progress]) -> None:
        await store.progress(self._database, worker_id, said)
        self._wakeups.feed()

    async def hold(self, conn: AsyncConnection, ids: Sequence[UUID]) -> None:
        """Hold tasks where they are until the transaction ends: what is judged of them then is so
        when they are changed. Must come before anything else that the transaction locks."""
        await store.hold_still(conn, ids)

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

    async def reprioritise(
        self, conn: AsyncConnection, ids: Sequence[UUID], priority: int
    ) -> list[UUID]:
        """Change the places of tasks among others; gives those that have not ended."""
        changed = await store.reprioritise(conn, ids, priority)
        self._wake_after(conn)
        return changed

    async def renew_expiry(self, conn: AsyncConnection, task_id: UUID) -> None:
        """Have the queue timeout of a task, as it is on record, count from now, and its deadline
        hold."""
        await store.renew_expiry(conn, task_id)
        after_commit(conn, partial(self._wakeups.tell, TIMER_CHANNEL))

    async def signal(self, conn: AsyncConnection, keys: Sequence[str]) -> None:
        """Open one-shot gates: whoever waits for a key, or will, may go on."""
        await store.signal(conn, keys)
        self._wake_after(conn)

    def wake(self) -> None:
        """Wake workers: something was committed that may let tasks start."""
        self._waker.wake()

    def feed_after(self, conn: AsyncConnection) -> None:
        """Tell readers of events, once the transaction is committed, that there are new ones;
        workers, as claims passed over the tasks that the transaction held; and the clock, which
        goes on where the transaction readied only the first of many."""
        self._wake_after(conn)

    def _wake_after(self, conn: AsyncConnection) -> None:
        after_commit(conn, self._waker.wake)
        after_commit(conn, partial(self._wakeups.tell, TIMER_CHANNEL))
        after_commit(conn, self._wakeups.feed)

    async def close(self) -> None:
        """Finish what was accepted."""
        await self._submits.drain()
        await self._waker.close()


def _concerned(gate: Gate, tasks: Sequence[NewTask]) -> list[NewTask]:
    return [task for task in tasks if gate.concerns(task)]


def _takes_no_more(claimed: Sequence[Claimed], most: int, processes: int) -> bool:
    """Whether a worker that claimed so much of so much room may have to leave the rest."""
    if not claimed:
        return False
    return len(claimed) == most or sum(one.isolated for one in claimed) == processes


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
