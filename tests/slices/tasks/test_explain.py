"""Explain: for each thing that keeps a task from running, a sentence that is true and useful."""

import asyncio
from typing import Any
from uuid import UUID

from podium.kernel.ids import uuid7
from podium.scheduler import store
from slices.tasks.conftest import NOBODY, Desk, blockers


async def add_worker(desk: Desk, **values: Any) -> UUID:
    """A worker that never takes anything."""
    worker = uuid7()
    fields = {"queues": [], "runtimes": ["function"], "concurrency": 1, "state": "active"} | values
    await desk.run(
        "insert into worker (id, name, host, pid, version, state, concurrency, queues, runtimes,"
        " lease_until) values (:id, 'w', 'h', 1, '0', :state, :concurrency, :queues, :runtimes,"
        " now() + interval '1 minute')",
        id=worker,
        **fields,
    )
    return worker


async def occupy(desk: Desk, worker: UUID, agent: str = "echo") -> str:
    """The worker runs a task of the agent, with a lower priority than any other."""
    task = await desk.create(agent, priority=-100)
    await desk.run("delete from ready where task_id = :id", id=task["id"])
    await desk.run(
        "insert into running (task_id, lane_id, priority, attempt, failures, losses, gated,"
        " worker_id, agent_id, agent_version, queued_at)"
        " select task.id, lane_id, priority, 1, 0, 0, false, :worker, agent_id, 1, now()"
        " from task join lane on lane.id = lane_id where task.id = :id",
        id=task["id"],
        worker=worker,
    )
    return task["id"]


# -- queued ------------------------------------------------------------------------------------


async def test_nothing_is_in_the_way(own_desk: Desk) -> None:
    await add_worker(own_desk)
    found = await own_desk.explain(await own_desk.create())
    assert (found["blockers"], found["agent"]) == ([], None)
    assert found["why"] == "Nothing keeps it from starting: a worker takes it next."


async def test_its_queue_lets_nothing_start(own_desk: Desk) -> None:
    desk = own_desk
    worker = await add_worker(desk, concurrency=5)
    rules = {"concurrency": 1, "state": "paused", "rate": {"count": 1, "seconds": 30}}
    await desk.call("PUT", "queues/default", json=rules)
    await occupy(desk, worker)
    await desk.run("update queue set tokens = 0.5, filled_at = now()")
    paused, full, slow = await blockers(desk, await desk.create())
    assert paused == (
        "queue_paused",
        "Queue default is paused. Open it: podium queue open default.",
    )
    assert full == ("queue_full", "Queue default runs 1 of at most 1 tasks.")
    assert slow[0] == "queue_rate"
    assert slow[1].startswith("Queue default starts 1 task in 30 s; the next one at 20")
    await desk.call("DELETE", "queues/default", 204)
    assert await blockers(desk, await desk.create()) == [
        ("behind", "1 task comes before it, for the same queue and agents, by priority, then age.")
    ]


async def test_no_agent_has_the_capabilities(own_desk: Desk) -> None:
    desk = own_desk
    await add_worker(desk)
    task = await desk.create(None, capabilities=["python", "gpu"])
    await desk.agent("echo", capabilities=["python"])
    [(kind, detail)] = await blockers(desk, task)
    lacking = "No agent of this project has the capability gpu"
    assert (kind, detail) == (
        "no_agent",
        f"{lacking}. Register one that has it, or add it to an agent.",
    )
    await desk.agent("talk", capabilities=["gpus"])
    assert (await desk.explain(task))["why"].startswith(f"{lacking}; the closest is 'gpus'. Reg")
    await desk.agent("park", capabilities=["gpu"])
    assert (await desk.explain(task))["why"] == (
        "No agent of this project has the capabilities gpu and python together. Register one that "
        "has them, or add what is missing to an agent."
    )
    await desk.agent("sleep", capabilities=["python", "gpu"])
    assert (await desk.explain(task))["blockers"] == []


async def test_the_agent_was_deleted(own_desk: Desk) -> None:
    desk = own_desk
    await add_worker(desk)
    task = await desk.create()
    later = await desk.create(start_at="2040-01-01T00:00:00Z")
    await desk.call("DELETE", "agents/echo", 204)
    await desk.agent()
    deleted = ("no_agent", "Agent echo was deleted. Cancel this task and submit it to another.")
    assert await blockers(desk, task) == [deleted]
    assert await blockers(desk, later) == [
        deleted,
        ("delay", "It is not to start before 2040-01-01T00:00:00Z."),
    ]


async def test_agents_are_disabled_or_unhealthy(own_desk: Desk) -> None:
    desk = own_desk
    await add_worker(desk)
    await desk.agent("echo", capabilities=["x"])
    await desk.agent("sleep", capabilities=["x"])
    task = await desk.create(None, capabilities=["x"])
    await desk.call("PUT", "agents/echo", json={"enabled": False})
    assert (await desk.explain(task))["blockers"] == []
    await desk.run("update agent set healthy = false, health_detail = 'No key.'")
    again = "It is probed again each minute, and at once by: podium agent probe sleep."
    assert await blockers(desk, task) == [
        ("agent_disabled", "Agent echo is disabled. Enable it."),
        ("agent_unhealthy", f"Agent sleep is not healthy: No key. {again}"),
    ]
    assert (await desk.explain(task))["why"].endswith("(1 more below.)")


async def test_a_task_that_could_not_run_holds_nothing_of_its_limits(own_desk: Desk) -> None:
    desk = own_desk
    await add_worker(desk)
    await desk.agent("echo")
    await desk.agent("sleep")
    await desk.call("PUT", "limits/db", json={"concurrency": 1})
    task = await desk.create("sleep", queue="night", limits=["db"])
    other = await desk.create(limits=["db"])
    await desk.call("PUT", "queues/night", json={"state": "paused"})
    await desk.call("PUT", "agents/sleep", json={"enabled": False})
    until = "Until then it holds nothing of its limits."
    assert await blockers(desk, task) == [
        ("agent_disabled", f"Agent sleep is disabled. Enable it. {until}"),
        ("queue_paused", f"Queue night is paused. Open it: podium queue open night. {until}"),
    ]
    assert (await desk.explain(other))["state"] == "queued"
    await desk.call("PUT", "agents/sleep", json={"enabled": True})
    await desk.call("DELETE", "queues/night", 204)
    assert await blockers(desk, task) == [
        ("gate", "It waits for the limit db: 1 of 1 tasks run or are ready.")
    ]


async def test_the_agent_is_busy_and_others_come_first(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("echo", max_concurrency=2)
    worker = await add_worker(desk, concurrency=10)
    await occupy(desk, worker)
    await desk.create(priority=1)
    task = await desk.create()
    one = (
        "behind",
        "1 task comes before it, for the same queue and agents, by priority, then age.",
    )
    assert await blockers(desk, task) == [one]
    await occupy(desk, worker)
    await desk.create(priority=-1)
    await desk.create(queue="other", priority=9)
    await desk.create(priority=2)
    assert await blockers(desk, task) == [
        ("agent_busy", "Agent echo runs 2 of at most 2 tasks."),
        ("behind", "2 tasks come before it, for the same queue and agents, by priority, then age."),
    ]


async def test_very_many_come_first(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent()
    await desk.bulk([{"agent": "echo"}] * 1001)
    task = await desk.create()
    [_, behind] = await blockers(desk, task)
    assert behind[1].startswith("At least 1000 tasks come before it")


async def test_no_worker_serves_it(own_desk: Desk) -> None:
    desk = own_desk
    task = await desk.create(queue="gpu")
    nobody = "No worker serves queue 'gpu' and runtime function; no worker runs at all."
    assert await blockers(desk, task) == [("no_worker", f"{nobody} Start one: podium worker.")]
    for some in (
        "the one that runs is draining and takes nothing new",
        "the 2 that run are draining and take nothing new",
    ):
        await add_worker(desk, state="draining")
        drained = nobody.replace("no worker runs at all", some)
        assert await blockers(desk, task) == [("no_worker", f"{drained} Start one: podium worker.")]
    await add_worker(desk, queues=["default"])
    await add_worker(desk, runtimes=["command"])
    [(kind, detail)] = await blockers(desk, task)
    assert (kind, "2 run for others" in detail) == ("no_worker", True)
    await add_worker(desk, queues=["gpu"])
    assert (await desk.explain(task))["blockers"] == []


async def test_all_workers_are_full(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent()
    task = await desk.create()
    first = await add_worker(desk)
    await occupy(desk, first)
    assert await blockers(desk, task) == [
        ("worker_busy", "The worker that could take it is full: 1 of 1 slots are taken.")
    ]
    second = await add_worker(desk)
    assert (await desk.explain(task))["blockers"] == []
    await occupy(desk, second)
    assert await blockers(desk, task) == [
        ("worker_busy", "All 2 workers that could take it are full: 2 of 2 slots are taken.")
    ]


async def test_all_workers_run_as_many_processes_as_they_may(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent()
    task = await desk.create()
    worker = await add_worker(desk, concurrency=100)
    await desk.run("update worker set processes = 1 where id = :id", id=worker)
    await occupy(desk, worker)
    detail = "The worker that could take it is full: 1 of 1 processes run there."
    assert await blockers(desk, task) == [("worker_busy", detail)]
    await desk.run("update agent set isolated = false")
    assert (await desk.explain(task))["blockers"] == []


# -- running and ended -------------------------------------------------------------------------


async def test_a_running_task_says_where_and_why_there(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("sleep", capabilities=["x"])
    await desk.agent("talk", capabilities=["x"], enabled=False)
    async with desk.worker(worker_name="laptop"):
        task = await desk.create(None, capabilities=["x"], input=30)
        await desk.until(task, "running")
        found = await desk.explain(task)
        assert found["why"].startswith("Attempt 1 runs since 20")
        assert found["why"].endswith(" on agent sleep and worker laptop.")
        assert found["agent"] == {
            "name": "sleep",
            "how": "The only agent with the capability x that had room when a worker took it.",
            "candidates": [{"agent": "sleep", "running": 0, "limit": None}],
        }
        named = await desk.create("sleep", input=30)
        await desk.until(named, "running")
        found = await desk.explain(named)
        assert found["agent"]["how"] == "The task names this agent."
        await desk.call("PUT", "agents/talk", json={"enabled": True})
        second = await desk.create(None, capabilities=["x"], input=1)
        await desk.until(second, "running", "succeeded")
        found = await desk.explain(second)
        assert found["agent"]["name"] == "talk"
        assert found["agent"]["how"].startswith(
            "The least busy of 2 agents with the capability x that"
        )
        for one in (task, named):
            await desk.call("POST", f"tasks/{one['id']}/cancel")


async def test_a_task_that_was_asked_to_stop_says_so(own_desk: Desk) -> None:
    desk = own_desk
    worker = await add_worker(desk)
    await occupy(desk, worker)
    [row] = (await desk.call("GET", "tasks", params={"state": "running"}))["items"]
    await desk.call("POST", f"tasks/{row['id']}/cancel", json={"reason": "Too slow."})
    assert (await desk.explain(row))["why"].endswith("It was asked to stop: Too slow.")


async def test_ended_tasks_say_how(own_desk: Desk) -> None:
    desk = own_desk
    async with desk.worker():
        tasks = {
            "It succeeded.": await desk.create(),
            "It failed: I was told to.": await desk.create("fail", input={}),
            "It used up its retries and is dead after 2 attempts: I was told to.": (
                await desk.create("fail", input={}, retry={"max_retries": 1, "initial": 0})
            ),
        }
        for why, task in tasks.items():
            await desk.until(task)
            found = await desk.explain(task)
            assert (found["why"], found["blockers"]) == (why, [])
    cancelled = await desk.create(delay=60)
    await desk.call("POST", f"tasks/{cancelled['id']}/cancel", json={"reason": "Enough."})
    assert (await desk.explain(cancelled))["why"] == "It was cancelled: Enough."


async def test_a_task_that_lost_its_workers_did_not_use_up_its_retries(own_desk: Desk) -> None:
    desk = own_desk
    await occupy(desk, await add_worker(desk))
    await desk.run("update worker set lease_until = now() - interval '1 minute'")
    await desk.run("select reap_workers(1, 10)")
    [row] = (await desk.call("GET", "tasks", params={"state": "dead"}))["items"]
    why = (await desk.explain(row))["why"]
    assert why.startswith("It lost its worker as often as max_losses allows and is dead: ")


async def test_what_is_said_is_what_happens(own_desk: Desk) -> None:
    """Following the advice lets the task run."""
    desk = own_desk
    await desk.agent("echo", capabilities=["x"], enabled=False)
    task = await desk.create(None, capabilities=["x"])
    async with desk.worker():
        await asyncio.sleep(0.3)
        assert [kind for kind, _ in await blockers(desk, task)] == ["agent_disabled"]
        await desk.call("PUT", "agents/echo", json={"enabled": True})
        await desk.until(task, "succeeded")


async def test_unknown_tasks(desk: Desk) -> None:
    await desk.call("GET", f"tasks/{NOBODY}/explain", 404)


async def test_the_worker_is_blocked_by_a_function(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent()
    worker = await add_worker(desk, concurrency=5)
    culprit, other = await occupy(desk, worker), await occupy(desk, worker)
    task = await desk.create()
    await store.accuse(desk.database, worker, UUID(culprit), 1, "hog (agents.py:7)", 60)
    detail = f"The worker that could take it is blocked by task {culprit}, at hog (agents.py:7)."
    assert await blockers(desk, task) == [("worker_blocked", detail)]
    for each, whose in (
        (culprit, "it blocks its worker"),
        (other, f"task {culprit} blocks its worker"),
    ):
        why = (await desk.explain({"id": each}))["why"]
        assert why.endswith(f"Now {whose}, at hog (agents.py:7).")
