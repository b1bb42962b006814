"""Explain: for each thing that keeps a task from running, a sentence that is true and useful."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.ids import uuid7
from podium.scheduler.gates import GateWait
from podium.scheduler.model import Need, NewTask
from podium.scheduler.service import Scheduler
from podium.tasks import held
from slices.tasks.conftest import NOBODY, Desk


async def blockers(desk: Desk, task: dict[str, Any]) -> list[tuple[str, str]]:
    """Kind and sentence of each blocker; the first one's sentence leads the explanation."""
    found = await desk.explain(task)
    assert found["state"] == (await desk.get(task))["state"]
    assert found["why"].startswith(found["blockers"][0]["detail"])
    return [(each["kind"], each["detail"]) for each in found["blockers"]]


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


async def occupy(desk: Desk, worker: UUID, agent: str = "echo") -> None:
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


# -- queued ------------------------------------------------------------------------------------


async def test_nothing_is_in_the_way(own_desk: Desk) -> None:
    await add_worker(own_desk)
    found = await own_desk.explain(await own_desk.create())
    assert (found["blockers"], found["agent"]) == ([], None)
    assert found["why"] == "Nothing keeps it from starting: a worker takes it next."


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
    await desk.call("DELETE", "agents/echo", 204)
    await desk.agent()
    assert await blockers(desk, task) == [
        ("no_agent", "Agent echo was deleted. Cancel this task and submit it to another.")
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


async def test_the_agent_is_busy_and_others_come_first(own_desk: Desk) -> None:
    desk = own_desk
    await desk.agent("echo", max_concurrency=2)
    worker = await add_worker(desk, concurrency=10)
    await occupy(desk, worker)
    await desk.create(priority=1)
    task = await desk.create()
    one = ("behind", "1 task comes before it in its queue, by priority, then age.")
    assert await blockers(desk, task) == [one]
    await occupy(desk, worker)
    await desk.create(priority=-1)
    await desk.create(queue="other", priority=9)
    await desk.create(priority=2)
    assert await blockers(desk, task) == [
        ("agent_busy", "Agent echo runs 2 of at most 2 tasks."),
        ("behind", "2 tasks come before it in its queue, by priority, then age."),
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


# -- held --------------------------------------------------------------------------------------


async def test_it_is_not_its_time(desk: Desk) -> None:
    task = await desk.create(start_at="2040-01-02T03:04:05+01:00")
    assert await blockers(desk, task) == [
        ("delay", "It is not to start before 2040-01-02T02:04:05Z.")
    ]


async def test_it_waits_for_others(desk: Desk) -> None:
    first = await desk.create(title="First")
    failed = await desk.create(title="Second")
    task = await desk.create(
        depends_on=[first["id"], failed["id"]],
        on_dependency_failure="hold",
        start_at="2040-01-01T00:00:00Z",
    )
    later = ("delay", "It is not to start before 2040-01-01T00:00:00Z.")
    waits = "It waits for task {} ({}) to end."
    assert await blockers(desk, task) == [
        ("dependency", waits.format(first["id"], "First")),
        ("dependency", waits.format(failed["id"], "Second")),
        later,
    ]
    await desk.call("POST", f"tasks/{failed['id']}/cancel")
    held = f"It is held until task {failed['id']} (Second), which is cancelled, is retried and"
    assert await blockers(desk, task) == [
        ("dependency", f"{held} succeeds. Retry that one, or cancel this."),
        ("dependency", waits.format(first["id"], "First")),
        later,
    ]
    subjects = [each.get("subject") for each in (await desk.explain(task))["blockers"]]
    assert subjects == [failed["id"], first["id"], None]


async def test_it_will_be_tried_again(own_desk: Desk) -> None:
    desk = own_desk
    retry = {"max_retries": 1, "initial": 60, "jitter": 0}
    async with desk.worker():
        task = await desk.create("fail", input={}, retry=retry)
        await desk.until(task, "pending")
    [(kind, detail)] = await blockers(desk, task)
    assert kind == "retry"
    assert detail.startswith("Attempt 1 failed: I was told to. The next one starts at 20")
    assert (await desk.explain(task))["agent"]["name"] == "fail"


class Keys:
    """A gate for tests: a task whose title is a key and a number takes so many units of it. It
    explains only its own keys."""

    prefix = "key:"

    async def reserve(
        self, conn: AsyncConnection, tasks: Sequence[NewTask]
    ) -> Mapping[UUID, Sequence[Need]]:
        return {
            task.id: [Need(f"{task.title.split()[0]}", int(task.title.split()[1]))]
            for task in tasks
            if ":" in task.title
        }

    async def explain(self, conn: AsyncConnection, waits: Sequence[GateWait]) -> Mapping[UUID, str]:
        return {
            each.task_id: f"{each.key} has {each.capacity - each.used} of {each.units} units free."
            for each in waits
        }


async def test_a_gate_tells_its_own_reason_or_the_counter_does(
    own_desk: Desk, app: FastAPI
) -> None:
    desk = own_desk
    scheduler: Scheduler = app.state.services[Scheduler]
    scheduler.gates = (Keys(),)
    async with desk.database.transaction() as conn:
        await scheduler.set_capacity(conn, {"key:a": 3, "pool:b": 2})
    holder = await desk.create(title="key:a 2")
    task = await desk.create(title="key:a 2")
    assert (holder["state"], task["state"]) == ("queued", "pending")
    assert await blockers(desk, task) == [("gate", "key:a has 1 of 2 units free.")]

    await desk.create(title="pool:b 2")
    first, second = await desk.create(title="pool:b 1"), await desk.create(title="pool:b 2")
    counter = "of pool:b: 2 of 2 are taken"
    assert await blockers(desk, first) == [("gate", f"It waits for 1 unit {counter}.")]
    assert await blockers(desk, second) == [
        ("gate", f"It waits for 2 units {counter}, and 1 other task comes first.")
    ]
    signalled = await desk.create(title="signal:c 1")
    [(_, detail)] = await blockers(desk, signalled)
    assert "signal" in detail.split("signal:c")[1]
    async with desk.database.transaction() as conn:
        await scheduler.signal(conn, ["signal:c"])
    assert (await desk.get(signalled))["state"] == "queued"


async def test_a_long_queue_at_a_gate_is_not_counted_to_its_end(
    own_desk: Desk, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = own_desk
    app.state.services[Scheduler].gates = (Keys(),)
    monkeypatch.setattr(held, "_AHEAD_MOST", 3)
    tasks = [await desk.create(title="pool:b 1") for _ in range(5)]
    async with desk.database.transaction() as conn:
        await app.state.services[Scheduler].set_capacity(conn, {"pool:b": 1})
    for task, ahead in zip(
        tasks[1:],
        ("", ", and 1 other task comes first", ", and 2 other tasks come first",
         ", and at least 3 other tasks come first"),
        strict=True,
    ):  # fmt: skip
        [(_, detail)] = await blockers(desk, task)
        assert detail == f"It waits for 1 unit of pool:b: 1 of 1 are taken{ahead}."


async def test_it_gave_up_its_slot(own_desk: Desk) -> None:
    desk = own_desk
    async with desk.worker():
        task = await desk.create("park", input="answer-7")
        await desk.until(task, "waiting")
    [(kind, detail)] = await blockers(desk, task)
    assert kind == "parked"
    assert detail.startswith("Attempt 1 gave up its slot at 20")
    assert detail.endswith(" and goes on when answer-7 is signalled.")


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
