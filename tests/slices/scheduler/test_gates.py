"""Gates: one counter for every limit, all or nothing, first come first served, no drift."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.scheduler import store
from podium.scheduler.gates import Gate, GateWait
from podium.scheduler.model import Claimed, Need, NewTask
from podium.storage.database import Database
from slices.scheduler.books import assert_balanced
from slices.scheduler.engine import Engine


async def test_no_more_run_than_fit_and_the_rest_follow_in_order(
    engine: Engine, worker: UUID
) -> None:
    await engine.set_gates(g=2)
    ids = await engine.submit_many(5, needs={"g": 1})
    assert await engine.states(*ids) == ["ready", "ready", "wait", "wait", "wait"]
    assert await engine.gate("g") == (2, 2, 3)
    assert await engine.run_one(worker) == ids[0]
    assert await engine.states(*ids[1:]) == ["ready", "ready", "wait", "wait"]
    assert await engine.run_all(worker) == 4
    assert await engine.gate("g") == (2, 0, 0)
    assert await engine.events(ids[4]) == [
        "task.created",
        "task.queued",
        "task.started",
        "task.completed",
    ]
    [row] = await engine.run(
        "select data from event where type = 'task.queued' and subject = :id", id=ids[4]
    )
    assert row.data == {"gate": "g"}


async def test_a_gate_that_nobody_has_set_is_closed(engine: Engine) -> None:
    task = await engine.submit(needs={"unknown": 1})
    assert await engine.state(task) == "wait"
    await engine.set_gates(unknown=1)
    assert await engine.state(task) == "ready"


async def test_units_are_summed(engine: Engine, worker: UUID) -> None:
    """A budget of ten, an exclusive lock that takes all, a shared one that takes one."""
    await engine.set_gates(lock=10)
    readers = await engine.submit_many(3, needs={"lock": 1})
    writer = await engine.submit(needs={"lock": 10})
    late = await engine.submit(needs={"lock": 1})
    assert await engine.states(*readers, writer, late) == ["ready"] * 3 + ["wait"] * 2
    for _ in readers:
        await engine.run_one(worker)
    assert await engine.states(writer, late) == ["ready", "wait"]
    await engine.run_one(worker)
    assert await engine.state(late) == "ready"


async def test_nobody_overtakes_a_head_that_does_not_fit(engine: Engine, worker: UUID) -> None:
    await engine.set_gates(g=3)
    small = await engine.submit(needs={"g": 1})
    large = await engine.submit(needs={"g": 3})
    later = await engine.submit(needs={"g": 1})
    assert await engine.states(small, large, later) == ["ready", "wait", "wait"]
    await engine.run_one(worker)
    assert await engine.states(large, later) == ["ready", "wait"]


async def test_priority_goes_before_age_in_the_queue(engine: Engine, worker: UUID) -> None:
    await engine.set_gates(g=1)
    await engine.submit(needs={"g": 1})
    low, high = await engine.submit(needs={"g": 1}), await engine.submit(needs={"g": 1}, priority=5)
    await engine.run_one(worker)
    assert await engine.states(low, high) == ["wait", "ready"]


async def test_several_gates_are_taken_all_or_nothing(engine: Engine, worker: UUID) -> None:
    await engine.set_gates(a=1, b=1)
    holder = await engine.submit(needs={"b": 1})
    both = await engine.submit(needs={"a": 1, "b": 1})
    assert await engine.states(holder, both) == ["ready", "wait"]
    assert await engine.gate("a") == (1, 0, 0)
    free = await engine.submit(needs={"a": 1})
    assert await engine.state(free) == "ready"  # nobody waits at a, so nobody is overtaken
    await engine.run_one(worker)
    assert await engine.state(both) == "wait"
    await engine.run_one(worker)
    assert await engine.state(both) == "ready"
    assert await engine.gate("a") == await engine.gate("b") == (1, 1, 0)


async def test_a_task_of_several_gates_overtakes_nobody_at_any(
    engine: Engine, worker: UUID
) -> None:
    await engine.set_gates(a=1, b=3)
    first = await engine.submit(needs={"b": 1})
    large = await engine.submit(needs={"b": 3})
    both = await engine.submit(needs={"a": 1, "b": 1})  # fits at both, but large came before
    assert await engine.states(first, large, both) == ["ready", "wait", "wait"]
    assert await engine.run_all(worker) == 3


async def test_philosophers_all_eat(engine: Engine, worker: UUID) -> None:
    """Tasks that need two neighbouring gates of five, in every order."""
    await engine.set_gates(**{f"f{n}": 1 for n in range(5)})
    for n in range(40):
        await engine.submit(needs={f"f{n % 5}": 1, f"f{(n + 1) % 5}": 1})
    assert await engine.run_all(worker) == 40


async def test_a_raised_capacity_lets_waiters_go_and_a_lowered_one_takes_nothing_back(
    engine: Engine, worker: UUID
) -> None:
    await engine.set_gates(g=1)
    ids = await engine.submit_many(6, needs={"g": 1})
    await engine.set_gates(g=4)
    assert await engine.states(*ids) == ["ready"] * 4 + ["wait"] * 2
    await engine.set_gates(g=2)
    assert await engine.gate("g") == (2, 4, 2)
    for _ in range(2):
        await engine.run_one(worker)
        assert (await engine.gate("g"))[2] == 2
    await engine.run_one(worker)
    assert await engine.gate("g") == (2, 2, 1)
    await engine.set_gates(g=0)
    assert await engine.run_all(worker) == 2
    assert await engine.state(ids[5]) == "wait"
    await engine.set_gates(g=1)
    assert await engine.state(ids[5]) == "ready"


@pytest.mark.parametrize("how", ["failed", "retry", "released", "cancelled"])
async def test_every_end_of_an_attempt_gives_back(engine: Engine, worker: UUID, how: str) -> None:
    await engine.set_gates(g=1)
    first, second = await engine.submit_many(2, needs={"g": 1})
    await engine.run_one(worker, how, delay=60)
    # A task that is handed back keeps its place in line, which is the first.
    assert await engine.state(second) == ("wait" if how == "released" else "ready")
    if how == "retry":
        await engine.fire()
        assert await engine.state(first) == "wait"
    await engine.run_all(worker)
    assert await engine.gate("g") == (1, 0, 0)


async def test_a_dependent_queues_at_its_gate_when_it_is_released(
    engine: Engine, worker: UUID
) -> None:
    await engine.set_gates(g=1)
    root = await engine.submit()
    fan = await engine.submit_many(3, after=[root], needs={"g": 1})
    assert await engine.gate("g") == (1, 0, 0)
    await engine.run_one(worker)
    assert await engine.states(*fan) == ["ready", "wait", "wait"]
    assert await engine.run_all(worker) == 3


async def test_many_keys_of_many_tasks_are_served_at_once(engine: Engine, worker: UUID) -> None:
    await engine.set_gates(**{f"k{n}": 1 for n in range(50)})
    for _ in range(3):
        for n in range(50):
            await engine.submit(needs={f"k{n}": 1})
    for _ in range(3):
        claimed = await engine.claim(worker, 200)
        assert len(claimed) == 50
        await engine.succeed(worker, *claimed)


async def test_gates_are_kept_by_concurrent_workers(engine: Engine) -> None:
    """At every moment what is used fits, whoever submits, settles and changes capacities."""
    capacities = {"a": 2, "b": 3, "c": 5}
    await engine.set_gates(**capacities)
    total, done = 120, 0

    async def produce(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(total // 3):
            needs = {gate: dice.randint(1, 2) for gate in dice.sample("abc", dice.randint(1, 3))}
            await engine.submit(needs=needs, priority=dice.randint(0, 2))

    async def work() -> None:
        nonlocal done
        worker = await engine.worker()
        while done < total:
            claimed = await engine.claim(worker, 2)
            await engine.succeed(worker, *claimed)
            done += len(claimed)
            await asyncio.sleep(0)

    async def audit() -> None:
        while done < total:
            rows = await engine.run("select * from gate where used > capacity or used < 0")
            assert not rows, rows

    async with asyncio.timeout(30):
        await asyncio.gather(*(produce(n) for n in range(3)), *(work() for _ in range(3)), audit())
    for gate, capacity in capacities.items():
        assert await engine.gate(gate) == (capacity, 0, 0)


class Story:
    """A random story of one actor: what it submitted, and what it holds."""

    def __init__(self, engine: Engine, worker: UUID, seed: int) -> None:
        self.engine = engine
        self.worker = worker
        self.dice = random.Random(seed)
        self.ids: list[UUID] = []
        self.held: list[Claimed] = []

    async def go_on(self) -> None:
        engine, dice = self.engine, self.dice
        match dice.randrange(8):
            case 0 | 1 | 2:
                await self._submit()
            case 3:
                self.held += await engine.claim(self.worker, 3)
            case 4 | 5 if self.held:
                one = self.held.pop(dice.randrange(len(self.held)))
                how = dice.choice(["succeeded", "failed", "retry", "released", "parked"])
                await engine.settle(self.worker, one, how, park_key=f"k{dice.randrange(2)}")
            case 6:
                await engine.signal(f"k{dice.randrange(2)}")
                await engine.set_gates(**{dice.choice("abc"): dice.randint(0, 4)})
            case _:
                await engine.fire()
                some = dice.sample(self.ids, min(3, len(self.ids)))
                await engine.cancel(*some[:1])
                await engine.retry(*some)

    async def _submit(self) -> None:
        dice = self.dice
        needs = {gate: dice.randint(1, 2) for gate in "abc" if dice.random() < 0.5}
        after = dice.sample(self.ids, min(len(self.ids), dice.choice([0, 0, 1, 2])))
        on_failure = dice.choice(["cancel", "run", "hold"])
        self.ids.append(await self.engine.submit(needs=needs, after=after, on_failure=on_failure))


@pytest.mark.parametrize("seed", range(3))
async def test_counters_never_drift_whatever_happens(database: Database, seed: int) -> None:
    """A random story of one actor; the books are checked again and again."""
    engine = await Engine.create(database)
    await engine.set_gates(a=2, b=1, c=4)
    worker = await engine.worker()
    story = Story(engine, worker, seed)
    for step in range(120):
        await story.go_on()
        if step % 15 == 0:
            await assert_balanced(database)
    await engine.set_gates(a=4, b=4, c=4)
    await engine.succeed(worker, *story.held)
    while await engine.run_all(worker) or await engine.fire():
        pass
    rows = await engine.run("select id from task where outcome is null")
    await engine.cancel(*(row.id for row in rows))
    await assert_balanced(database)
    gates = await engine.run("select key, used, waiting from gate where not one_shot order by key")
    assert [tuple(row) for row in gates] == [("a", 0, 0), ("b", 0, 0), ("c", 0, 0)]


class TeamGate(Gate):
    """Tasks of one team run one at a time; the team is the first word of the title."""

    prefix = "team:"

    def concerns(self, task: NewTask) -> bool:
        return " " in task.title

    async def reserve(
        self, conn: AsyncConnection, tasks: Sequence[NewTask]
    ) -> Mapping[UUID, Sequence[Need]]:
        teams = {task.id: task.title.split(" ")[0] for task in tasks}
        return {task: [Need(f"team:{team}")] for task, team in teams.items()}

    async def explain(self, conn: AsyncConnection, waits: Sequence[GateWait]) -> Mapping[UUID, str]:
        return {
            each.task_id: f"Team {each.key.removeprefix(self.prefix)} is busy; "
            f"{each.ahead} wait before it."
            for each in waits
        }


async def test_a_gate_of_another_slice_holds_tasks_through_the_port(database: Database) -> None:
    engine = await Engine.create(database, gates=[TeamGate()])
    await engine.set_gates(**{"team:red": 1, "other": 1})
    worker = await engine.worker()
    first = await engine.submit(title="red one", needs={"other": 1})
    second = await engine.submit(title="red two")
    free = await engine.submit(title="free")
    assert await engine.states(first, second, free) == ["ready", "wait", "ready"]
    assert await engine.run_one(worker, "failed") == first
    assert await engine.state(second) == "ready"
    # Another life needs the same again, though the port is not asked anew.
    await engine.retry(first)
    assert await engine.state(first) == "wait"
    assert await engine.run_all(worker) == 3
    await assert_balanced(database)


async def test_counters_can_be_read(engine: Engine) -> None:
    await engine.set_gates(a=3, b=1)
    await engine.submit_many(2, needs={"b": 1})
    async with engine.database.connect() as conn:
        found = await store.gates(conn, ["a", "b", "c"])
    assert found == {"a": (3, 0, 0), "b": (1, 1, 1)}
