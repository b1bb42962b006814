"""Claims of a worker that may run only so many attempts in processes of their own."""

from slices.scheduler.engine import Engine


async def find_inline(engine: Engine, name: str) -> None:
    await engine.run("update agent set isolated = false where id = :id", id=engine.agents[name])


async def test_no_more_processes_are_claimed_than_there_is_room_for(engine: Engine) -> None:
    worker = await engine.worker()
    tasks = await engine.submit_many(5)
    assert await engine.claim(worker, 10, 0) == []
    claimed = await engine.claim(worker, 10, 3)
    assert [one.task_id for one in claimed] == tasks[:3]
    assert all(one.isolated for one in claimed)
    assert len(await engine.claim(worker, 10, 10)) == 2


async def test_what_runs_inside_the_worker_passes_by(engine: Engine) -> None:
    worker = await engine.worker()
    await engine.add_agent("inside")
    await find_inline(engine, "inside")
    processes = await engine.submit_many(4)
    inside = await engine.submit_many(4, agent="inside")
    claimed = await engine.claim(worker, 10, 1)
    assert [one.task_id for one in claimed if one.isolated] == processes[:1]
    assert [one.task_id for one in claimed if not one.isolated] == inside
    assert [one.task_id for one in await engine.claim(worker, 10, 1)] == processes[1:2]


async def test_the_limit_is_of_all_agents_together(engine: Engine) -> None:
    worker = await engine.worker()
    for name in ("a", "b", "c"):
        await engine.add_agent(name)
        await engine.submit_many(2, agent=name)
    assert len(await engine.claim(worker, 10, 4)) == 4
    assert len(await engine.claim(worker, 10, 4)) == 2


async def test_a_choice_may_fall_on_one_inside_the_worker(engine: Engine) -> None:
    worker = await engine.worker()
    for name in ("process", "inside"):
        await engine.add_agent(name, capabilities=("x",))
    await find_inline(engine, "inside")
    await engine.submit_many(6, agent=None, capabilities=("x",))
    claimed = await engine.claim(worker, 10, 0)
    assert {one.agent_id for one in claimed} == {engine.agents["inside"]}
    left = 6 - len(claimed)
    while left:
        more = await engine.claim(worker, 10, 1)
        assert more
        assert sum(one.isolated for one in more) <= 1
        left -= len(more)
