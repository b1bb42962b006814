"""What a worker does with what it claims."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

import worker_agents
from podium.agents.runtime import AgentSpec
from slices.worker.conftest import Shop


async def test_runs_a_task_and_keeps_its_output(shop: Shop) -> None:
    async with shop.worker():
        task = await shop.ended(await shop.submit("echo", {"a": [1, "ü"]}))
    assert (task.outcome, task.output, task.attempt) == ("succeeded", {"a": [1, "ü"]}, 1)


async def test_keeps_what_an_agent_says(shop: Shop) -> None:
    first = await shop.submit("echo", 7)
    task = await shop.submit("report", after=[first])
    async with shop.worker():
        done = await shop.ended(task)
    assert done.output == {str(first): 7}
    logs = await shop.rows("log", task)
    assert [(line.stream, line.attempt) for line in logs] == [("agent", 1), ("stderr", 1)]
    assert logs[0].text == "first line"
    assert "hunter2" not in logs[1].text
    assert (await shop.rows("attempt", task))[0].usage == {"input_tokens": 7, "cost_usd": 0.25}
    [kept] = await shop.rows("artifact", task)
    assert (kept.name, kept.content_type, kept.size) == ("note.txt", "text/plain", 4)
    assert await shop.kept(task, "note.txt") == b"kept"
    assert await shop.engine.events(task) == [
        "task.created", "task.queued", "task.started", "task.progress", "task.completed"
    ]  # fmt: skip


async def test_retries_until_it_succeeds(shop: Shop) -> None:
    retry = {"max_retries": 5, "initial": 0.05, "jitter": 0}
    async with shop.worker():
        task = await shop.submit("flaky", 3, spec={"retry": retry})
        done = await shop.ended(task)
    assert (done.outcome, done.output, done.attempt) == ("succeeded", 3, 3)
    outcomes = [each.outcome for each in await shop.rows("attempt", task)]
    assert outcomes == ["failed", "failed", "succeeded"]


@pytest.mark.parametrize(
    ("given", "retries", "outcome", "attempts"),
    [
        ({}, 0, "failed", 1),
        ({}, 2, "dead", 3),
        ({"class": "invalid_input"}, 2, "failed", 1),
        ({"class": "permission"}, 2, "failed", 1),
    ],
)
async def test_ends_a_failing_task(
    shop: Shop, given: Any, retries: int, outcome: str, attempts: int
) -> None:
    retry = {"max_retries": retries, "initial": 0.01}
    async with shop.worker():
        done = await shop.ended(await shop.submit("fail", given, spec={"retry": retry}))
    assert (done.outcome, done.attempt, done.error["code"]) == (outcome, attempts, "told_to")


async def test_stops_an_attempt_at_its_run_timeout(shop: Shop) -> None:
    async with shop.worker():
        done = await shop.ended(await shop.submit("sleep", 30, spec={"timeouts": {"run": 0.2}}))
    assert (done.error["class"], done.error["code"]) == ("timeout", "run_timeout")
    assert "0.2 s" in done.error["message"]
    assert worker_agents.calls[-1] == ("ended", 30)


async def test_stops_an_attempt_at_the_deadline_of_its_task_for_good(shop: Shop) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    spec = {"deadline": deadline.isoformat(), "retry": {"max_retries": 5, "initial": 0.01}}
    async with shop.worker():
        done = await shop.ended(await shop.submit("sleep", 32, spec=spec))
    assert (done.outcome, done.attempt) == ("failed", 1)
    assert (done.error["class"], done.error["code"]) == ("timeout", "deadline_passed")
    assert worker_agents.calls[-1] == ("ended", 32)


async def test_tries_nothing_again_that_could_only_begin_past_its_deadline(shop: Shop) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    retry = {"max_retries": 5, "initial": 60, "jitter": 0}
    spec = {"deadline": deadline.isoformat(), "retry": retry}
    async with shop.worker():
        done = await shop.ended(await shop.submit("fail", {}, spec=spec))
    assert (done.outcome, done.attempt, done.error["code"]) == ("failed", 1, "told_to")


async def test_stops_only_silent_attempts_at_their_heartbeat_timeout(shop: Shop) -> None:
    limits = {"timeouts": {"heartbeat": 0.3}}
    async with shop.worker():
        silent = await shop.submit("sleep", 30, spec=limits)
        alive = await shop.submit("talk", 1, spec=limits)
        assert (await shop.ended(silent)).error["code"] == "heartbeat_timeout"
        assert (await shop.ended(alive)).output == "talked"


async def test_cancels_a_running_task_at_once(shop: Shop) -> None:
    async with shop.worker():
        task = await shop.submit("sleep", 31)
        await shop.until(lambda: shop.rows("running", task))
        assert await shop.engine.cancel(task) == {task: "cancelling"}
        done = await shop.ended(task, 2)
    assert (done.outcome, done.error["message"]) == ("cancelled", "not wanted")
    assert await shop.engine.events(task) == [
        "task.created", "task.started", "task.cancelling", "task.cancelled"
    ]  # fmt: skip


async def test_a_parked_task_frees_its_slot_and_resumes(shop: Shop) -> None:
    async with shop.worker(concurrency=1):
        task = await shop.submit("park", "answer-1")
        await shop.until(lambda: shop.rows("wait", task))
        assert (await shop.ended(await shop.submit("echo", 1))).outcome == "succeeded"
        async with shop.engine.database.transaction() as conn:
            await shop.engine.scheduler.signal(conn, ["answer-1"])
        assert (await shop.ended(task)).output == "resumed as attempt 2"


@pytest.mark.parametrize(
    ("agent", "advice"), [("unprintable", "keys must be strings"), ("nul", "Remove them")]
)
async def test_fails_outputs_that_cannot_be_kept(shop: Shop, agent: str, advice: str) -> None:
    async with shop.worker():
        done = await shop.ended(await shop.submit(agent))
    assert (done.outcome, done.error["code"]) == ("failed", "output_not_json")
    assert advice in done.error["hint"]


async def test_checks_the_output_against_its_schema(shop: Shop) -> None:
    schema = {"output_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    async with shop.worker():
        good = await shop.submit("echo", {"n": 1}, spec=schema)
        bad = await shop.submit("echo", {"n": "one"}, spec=schema)
        assert (await shop.ended(good)).outcome == "succeeded"
        error = (await shop.ended(bad)).error
    assert error["code"] == "output_schema_mismatch"
    assert "at n" in error["message"]


async def test_moves_a_large_output_to_an_artifact(shop: Shop) -> None:
    async with shop.worker():
        task = await shop.submit("large", 2000)
        done = await shop.ended(task)
    assert done.output == {"artifact": "output.json", "size": 2002}
    assert await shop.kept(task, "output.json") == b'"' + b"x" * 2000 + b'"'


async def test_measures_an_output_in_bytes(shop: Shop) -> None:
    async with shop.worker():
        done = await shop.ended(await shop.submit("echo", "ü" * 600))
    assert done.output == {"artifact": "output.json", "size": 1202}


async def test_drains_what_ends_in_time_and_hands_back_the_rest(shop: Shop) -> None:
    async with shop.worker(drain=0.6) as stop:
        short, long = await shop.submit("sleep", 0.3), await shop.submit("sleep", 32)
        await shop.until(lambda: shop.rows("running", long))
        stop.set()
    assert (await shop.ended(short)).outcome == "succeeded"
    await _was_handed_back(shop, long)


async def test_in_a_hurry_hands_back_all_it_runs(shop: Shop) -> None:
    hurry = asyncio.Event()
    async with shop.worker(drain=600, hurry=hurry) as stop:
        tasks = [await shop.submit("sleep", 34), await shop.submit("go_on", 35)]
        for task in tasks:
            await shop.until(partial(shop.rows, "running", task))
        stop.set()
        await shop.until(lambda: _is_draining(shop))
        began = time.monotonic()
        hurry.set()
    assert time.monotonic() - began < 4
    for task in tasks:
        await _was_handed_back(shop, task)


async def test_what_ends_with_its_process_did_not_fail(shop: Shop) -> None:
    task = await shop.submit("sleep", 41)
    before = asyncio.all_tasks()
    with pytest.raises(asyncio.CancelledError):
        await _end_with_the_loop(shop, 41)
    assert ("ended", 41) in worker_agents.calls
    await asyncio.sleep(0.2)
    assert asyncio.all_tasks() <= before
    assert await shop.rows("running", task)
    assert not await shop.rows("attempt", task)


async def _end_with_the_loop(shop: Shop, sleeper: float) -> None:
    """Cancel a worker and what it runs, all at once, as the end of ``asyncio.run`` does."""
    async with shop.worker():
        while ("started", sleeper) not in worker_agents.calls:
            await asyncio.sleep(0.01)
        for each in asyncio.all_tasks():
            if getattr(each.get_coro(), "__qualname__", "") in {"Worker.run", "Executor.run"}:
                each.cancel()


@pytest.mark.parametrize(("hurried", "seconds"), [(True, 4), (False, 8)])
async def test_an_agent_that_does_not_obey_is_ended_before_its_worker_is(
    shop: Shop, *, hurried: bool, seconds: float
) -> None:
    async def deaf(_agent: UUID, _version: int) -> AgentSpec:
        config = {"isolation": "process", "grace_seconds": 300, "confinement": "none"}
        return AgentSpec("deaf", 1, "function", {"function": "worker_agents:deaf", **config})

    shop.around = replace(shop.around, agent_spec=deaf)
    hurry = asyncio.Event()
    task = await shop.submit("deaf", 36)
    async with shop.worker(lease=60, drain=600 if hurried else 0.1, hurry=hurry) as stop:
        await shop.until(lambda: shop.rows("log", task))
        stop.set()
        await shop.until(lambda: _is_draining(shop))
        began = time.monotonic()
        if hurried:
            hurry.set()
    assert time.monotonic() - began < seconds
    await _was_handed_back(shop, task)


async def _was_handed_back(shop: Shop, task: UUID) -> None:
    assert await shop.engine.state(task) == "ready"
    [attempt] = await shop.rows("attempt", task)
    assert attempt.outcome == "released"
    [ready] = await shop.rows("ready", task)
    assert (ready.attempt, ready.failures, ready.losses) == (1, 0, 0)
    assert [row.state for row in await shop.engine.run("select state from worker")] == ["stopped"]


async def _is_draining(shop: Shop) -> bool:
    [row] = await shop.engine.run("select state from worker")
    return row.state == "draining"


async def test_without_its_lease_a_worker_ends_all_it_runs_and_begins_anew(shop: Shop) -> None:
    async with shop.worker():
        task = await shop.submit("sleep", 33)
        await shop.until(lambda: shop.rows("running", task))
        await shop.engine.run("update worker set lease_until = now() - interval '1 second'")
        await shop.engine.database.call("select * from reap_workers(3, 10)")
        await shop.until(lambda: _begun_again(shop), 15)
        assert worker_agents.calls.count(("ended", 33)) == 1
        outcomes = [each.outcome for each in await shop.rows("attempt", task)]
        assert outcomes == ["lost"]
        await shop.engine.cancel(task)


async def _begun_again(shop: Shop) -> bool:
    workers = await shop.engine.run("select state from worker order by started_at")
    began = worker_agents.calls.count(("started", 33))
    return [row.state for row in workers] == ["dead", "active"] and began == 2


async def test_hands_back_a_claim_whose_answer_was_lost(shop: Shop) -> None:
    task = await shop.submit("echo", 5, queue="elsewhere")
    async with shop.worker(queues=("default",)):
        worker = await shop.until(lambda: shop.engine.run("select id from worker"))
        await shop.engine.run("update worker set queues = '{}'")
        claimed = await shop.engine.claim_ids(worker[0].id)  # as if the answer never arrived
        assert claimed == [task]
        done = await shop.ended(task, 15)
    outcomes = [each.outcome for each in await shop.rows("attempt", task)]
    assert (done.outcome, outcomes) == ("succeeded", ["released", "succeeded"])


async def test_serves_only_its_queues(shop: Shop) -> None:
    async with shop.worker(queues=("gpu",)):
        other = await shop.submit("echo", 1)
        assert (await shop.ended(await shop.submit("echo", 2, queue="gpu"))).output == 2
        await asyncio.sleep(0.3)
        assert await shop.engine.state(other) == "ready"


async def test_works_on_while_valkey_is_away(shop: Shop, valkey_process: Any) -> None:
    async with shop.worker():
        await shop.ended(await shop.submit("echo", 1))
        await valkey_process.kill()
        assert (await shop.ended(await shop.submit("echo", 2), 5)).output == 2
        assert (await shop.ended(await shop.submit("echo", 3), 5)).output == 3
        await valkey_process.start()
        await shop.until(lambda: _available(shop), 10)
        assert (await shop.ended(await shop.submit("echo", 4), 5)).output == 4


async def _available(shop: Shop) -> bool:
    return shop.wakeups.valkey.available
