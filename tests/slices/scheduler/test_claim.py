"""Who is next, and on which agent: priority, age, fair shares, queues, capabilities, limits."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest

from podium.kernel.ids import uuid7
from podium.scheduler import service
from podium.scheduler.model import Claimed, Demand, SubmitCall
from podium.storage.database import Database
from slices.scheduler.engine import Engine


def _projects(claimed: Sequence[Claimed]) -> Counter[UUID]:
    return Counter(one.project_id for one in claimed)


def _agents(claimed: Sequence[Claimed]) -> Counter[UUID]:
    return Counter(one.agent_id for one in claimed)


async def test_a_claim_brings_all_that_the_attempt_needs(engine: Engine, worker: UUID) -> None:
    task = await engine.submit(given={"x": [1, "ü"]})
    [claimed] = await engine.claim(worker)
    assert (claimed.task_id, claimed.attempt, claimed.failures, claimed.losses) == (task, 1, 0, 0)
    assert claimed.project_id == engine.project
    assert claimed.input == {"x": [1, "ü"]}
    assert (claimed.agent_id, claimed.agent_version) == (engine.agents["echo"], 1)
    assert await engine.events(task) == ["task.created", "task.started"]


async def test_nothing_ready_is_nothing_claimed(engine: Engine, worker: UUID) -> None:
    assert await engine.claim(worker) == []
    await engine.submit()
    assert await engine.claim(worker, 0) == []


async def test_higher_priority_goes_first_then_age(engine: Engine, worker: UUID) -> None:
    low = await engine.submit(priority=-5)
    old, young = await engine.submit(), await engine.submit()
    high = await engine.submit(priority=100)
    order = [(await engine.claim_ids(worker, 1))[0] for _ in range(4)]
    assert order == [high, old, young, low]


async def test_priority_and_age_count_across_the_lanes_of_a_project(
    engine: Engine, worker: UUID
) -> None:
    await engine.add_agent("other")
    tasks = [
        await engine.submit(agent=agent, queue=queue, priority=priority)
        for priority in (0, 1)
        for agent, queue in (("echo", "a"), ("other", "a"), ("echo", "b"), ("other", "b"))
    ]
    first, second = await engine.claim_ids(worker, 3), await engine.claim_ids(worker, 5)
    assert set(first) == set(tasks[4:7])
    assert set(second) == {tasks[7], *tasks[:4]}


async def test_priority_counts_where_lanes_share_a_limited_agent(
    engine: Engine, worker: UUID
) -> None:
    await engine.add_agent("busy", limit=1, capabilities=["x"])
    many = await engine.submit_many(5, agent="busy", queue="a")
    urgent = await engine.submit(agent="busy", queue="b", priority=10)
    able = await engine.submit(capabilities=("x",), priority=20)
    order: list[UUID] = []
    for _ in range(4):
        [claimed] = await engine.claim(worker)
        order.append(claimed.task_id)
        await engine.succeed(worker, claimed)
    assert order == [able, urgent, *many[:2]]


async def test_age_counts_where_lanes_share_many_limited_agents(
    engine: Engine, worker: UUID
) -> None:
    for n in range(4):
        await engine.add_agent(f"a{n}", limit=1, capabilities=["x"])
    tasks = [
        await engine.submit(capabilities=("x",), queue=queue)
        for _ in range(8)
        for queue in ("one", "two")
    ]
    done = 0
    while done < len(tasks):
        claimed: list[Claimed] = []
        while more := await engine.claim(worker):
            claimed += more
        assert {one.task_id for one in claimed} == set(tasks[done : done + 4])
        await engine.succeed(worker, *claimed)
        done += 4


async def test_a_project_with_ten_tasks_is_served_behind_another_ones_hundred_thousand(
    database: Database,
) -> None:
    engine = await Engine.create(database)
    worker = await engine.worker()
    lane = (await engine.task()).lane_id
    await engine.run(
        "insert into ready (lane_id, priority, task_id)"
        " select :lane, 0, gen_random_uuid() from generate_series(1, 100000)",
        lane=lane,
    )
    await engine.run(
        "insert into task (id, project_id, lane_id, title, input, created_by)"
        " select task_id, :project, lane_id, 't', 'null', 't' from ready",
        project=engine.project,
    )
    others = await engine.worker()
    await engine.claim(others, 100)
    small = await engine.add_project(uuid7(), "small")
    await engine.add_agent("theirs", project=small)
    await engine.submit_many(10, agent="theirs", project=small)
    claimed = [*await engine.claim(worker, 10), *await engine.claim(worker, 10)]
    assert _projects(claimed)[small] == 10


@pytest.mark.parametrize("size", [1, 5, 40])
async def test_weights_of_one_to_three_give_shares_of_one_to_three(
    engine: Engine, worker: UUID, size: int
) -> None:
    """Also where one slot at a time becomes free and nothing else runs."""
    heavy = await engine.add_project(uuid7(), "heavy", weight=3)
    await engine.add_agent("theirs", project=heavy)
    await engine.submit_many(250)
    await engine.submit_many(250, agent="theirs", project=heavy)
    got: Counter[UUID] = Counter()
    while got.total() < 200:
        claimed = await engine.claim(worker, size)
        got += _projects(claimed)
        await engine.succeed(worker, *claimed)
    assert 25 <= got[engine.project] <= 75, got


async def test_shares_are_of_slots_where_tasks_are_long(engine: Engine, worker: UUID) -> None:
    """What a project runs already counts against it."""
    heavy = await engine.add_project(uuid7(), "heavy", weight=3)
    await engine.add_agent("theirs", project=heavy)
    await engine.submit_many(50)
    await engine.claim(worker, 30)
    await engine.submit_many(100, agent="theirs", project=heavy)
    claimed = await engine.claim(worker, 60)
    assert _projects(claimed)[heavy] >= 55


async def test_many_lanes_get_no_more_than_the_share_of_their_project(
    engine: Engine, worker: UUID
) -> None:
    wide = await engine.add_project(uuid7(), "wide")
    await engine.add_agent("theirs", project=wide)
    for n in range(20):
        await engine.submit_many(5, agent="theirs", project=wide, queue=f"q{n}")
    await engine.submit_many(60)
    claimed = await engine.claim(worker, 80)
    assert 32 <= _projects(claimed)[wide] <= 48


async def test_a_worker_of_some_queues_takes_no_others(engine: Engine) -> None:
    red = await engine.submit(queue="red", priority=-1)
    blue, green = await engine.submit(queue="blue"), await engine.submit(queue="green")
    assert await engine.claim_ids(await engine.worker(queues=["red"])) == [red]
    assert await engine.claim_ids(await engine.worker(queues=["red", "green"])) == [green]
    assert await engine.claim_ids(await engine.worker()) == [blue]


async def test_the_least_loaded_agent_is_chosen_within_its_limit(
    engine: Engine, worker: UUID
) -> None:
    small = await engine.add_agent("small", capabilities=["x", "y"], limit=2)
    large = await engine.add_agent("large", capabilities=["x"], limit=8)
    await engine.submit_many(20, capabilities=("x",))
    first = await engine.claim(worker, 5)
    assert _agents(first) == {large: 4, small: 1}
    second = await engine.claim(worker, 20)
    assert _agents(second) == {large: 4, small: 1}
    assert await engine.claim(worker) == []
    await engine.succeed(worker, first[0])
    [third] = await engine.claim(worker)
    assert third.agent_id == first[0].agent_id
    rows = await engine.run("select choice from running where task_id = :id", id=second[0].task_id)
    assert sorted(rows[0].choice["candidates"], key=lambda each: each["agent"]) == [
        {"agent": "large", "running": 4, "limit": 8},
        {"agent": "small", "running": 1, "limit": 2},
    ]


async def test_equal_agents_without_limit_share_evenly(engine: Engine, worker: UUID) -> None:
    for n in range(4):
        await engine.add_agent(f"a{n}", capabilities=["x"])
    await engine.submit_many(40, capabilities=("x",))
    assert sorted(_agents(await engine.claim(worker, 40)).values()) == [10] * 4


async def test_an_idle_agent_gets_all_while_the_others_are_full(
    engine: Engine, worker: UUID
) -> None:
    for n in range(9):
        await engine.add_agent(f"a{n}", capabilities=["x"], limit=1)
    await engine.submit_many(9, capabilities=("x",))
    assert len(await engine.claim(worker, 20)) == 9
    idle = await engine.add_agent("idle", capabilities=["x"], limit=50)
    await engine.submit_many(60, capabilities=("x",))
    assert _agents(await engine.claim(worker, 60)) == {idle: 50}


async def test_agents_that_lanes_share_serve_both_up_to_their_limit(
    engine: Engine, worker: UUID
) -> None:
    """x may run on both agents, y on one: whatever is free is used in the end."""
    await engine.add_agent("both", capabilities=["x", "y"], limit=3)
    await engine.add_agent("only", capabilities=["x"], limit=3)
    await engine.submit_many(10, capabilities=("x",))
    await engine.submit_many(10, capabilities=("y",))
    await engine.submit_many(10, agent="both")
    claimed: list[Claimed] = []
    while more := await engine.claim(worker, 30):
        claimed += more
    assert _agents(claimed) == {engine.agents["both"]: 3, engine.agents["only"]: 3}


async def test_every_capability_that_is_asked_for_is_needed(engine: Engine, worker: UUID) -> None:
    await engine.add_agent("one", capabilities=["x"])
    both = await engine.add_agent("both", capabilities=["y", "z", "x"])
    await engine.submit(capabilities=("x", "z"))
    assert [one.agent_id for one in await engine.claim(worker)] == [both]


@pytest.mark.parametrize(
    "change",
    ["enabled = false", "healthy = false", "deleted_at = now()", "runtime = 'unknown'"],
)
async def test_agents_that_cannot_run_are_passed_over(
    engine: Engine, worker: UUID, change: str
) -> None:
    await engine.add_agent("bad", capabilities=["x"])
    await engine.run(f"update agent set {change} where name = 'bad'")
    named = await engine.submit(agent="bad", priority=5)
    able = await engine.submit(capabilities=("x",), priority=5)
    other = await engine.submit()
    assert await engine.claim_ids(worker) == [other]
    good = await engine.add_agent("good", capabilities=["x"])
    [claimed] = await engine.claim(worker)
    assert (claimed.task_id, claimed.agent_id) == (able, good)
    assert await engine.state(named) == "ready"


async def test_an_agent_of_another_project_is_never_chosen(engine: Engine, worker: UUID) -> None:
    other = await engine.add_project(uuid7(), "other")
    await engine.add_agent("theirs", project=other, capabilities=["x"])
    await engine.submit(capabilities=("x",))
    assert await engine.claim(worker) == []


async def test_a_changed_limit_counts_at_once(engine: Engine, worker: UUID) -> None:
    await engine.add_agent("busy", limit=2)
    await engine.submit_many(9, agent="busy")
    assert len(await engine.claim(worker)) == 2
    await engine.run("update agent set max_concurrency = 5 where name = 'busy'")
    assert len(await engine.claim(worker)) == 3
    await engine.run("update agent set max_concurrency = 1 where name = 'busy'")
    assert await engine.claim(worker) == []


async def test_concurrent_claims_never_exceed_a_limit_nor_share_a_task(engine: Engine) -> None:
    limits = {"a": 1, "b": 3, "c": 7}
    for name, limit in limits.items():
        await engine.add_agent(name, limit=limit, capabilities=["x", name])
    for n in range(90):
        demand = ("x",) if n % 3 else (sorted(limits)[n // 3 % 3],)
        await engine.submit(capabilities=demand, queue=f"q{n % 2}")
    seen: Counter[UUID] = Counter()
    most: Counter[UUID] = Counter()

    async def work() -> None:
        worker = await engine.worker()
        for empty in range(200):
            claimed = await engine.claim(worker, 3)
            seen.update(one.task_id for one in claimed)
            if claimed:
                await engine.succeed(worker, *claimed)
            elif seen.total() == 90 or empty > 190:
                return

    async def audit() -> None:
        while seen.total() < 90:
            rows = await engine.database.call(
                "select agent_id, count(*) as n from running group by agent_id"
            )
            for row in rows:
                most[row["agent_id"]] = max(most[row["agent_id"]], row["n"])

    await asyncio.gather(*(work() for _ in range(6)), audit())
    assert len(seen) == 90
    assert set(seen.values()) == {1}
    found = {name: most[engine.agents[name]] for name in limits}
    assert all(0 < found[name] <= limit for name, limit in limits.items()), found


async def test_concurrent_claims_drain_all_once(engine: Engine) -> None:
    tasks = [await engine.task(queue=f"q{n % 5}") for n in range(300)]
    await engine.scheduler.submit(SubmitCall(tasks))
    workers = [await engine.worker() for _ in range(5)]
    counts = await asyncio.gather(*(engine.run_all(worker) for worker in workers))
    assert sum(counts) == 300


async def test_a_named_agent_may_be_chosen_too(engine: Engine, worker: UUID) -> None:
    """A lane of a name and a lane of a capability share one agent's slots, first come."""
    await engine.add_agent("busy", limit=2, capabilities=["x"])
    first = await engine.submit(capabilities=("x",))
    second = await engine.submit(agent="busy")
    third = await engine.submit(capabilities=("x",))
    assert set(await engine.claim_ids(worker)) == {first, second}
    assert await engine.state(third) == "ready"


async def test_only_so_many_lanes_are_remembered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_LANES_KNOWN", 3)
    demands = [Demand(engine.project, f"q{n}", engine.agents["echo"]) for n in range(10)]
    first = [await engine.scheduler.lane(each) for each in demands]
    assert len(engine.scheduler._lanes) <= 3
    assert [await engine.scheduler.lane(each) for each in demands] == first
