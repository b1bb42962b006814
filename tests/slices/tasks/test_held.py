"""Explain: what tasks wait for that are not ready, such as time, other tasks and gates."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.scheduler.gates import GateWait
from podium.scheduler.model import Need, NewTask
from podium.scheduler.service import Scheduler
from slices.tasks.conftest import Desk, blockers


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

    def concerns(self, task: NewTask) -> bool:
        return ":" in task.title

    async def reserve(
        self, conn: AsyncConnection, tasks: Sequence[NewTask]
    ) -> Mapping[UUID, Sequence[Need]]:
        return {
            task.id: [Need(f"{task.title.split()[0]}", int(task.title.split()[1]))]
            for task in tasks
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
    monkeypatch.setattr(GateWait, "most_ahead", 3)
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
