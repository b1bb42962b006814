"""The same key with the same request gives the same tasks; with another one an error."""

import asyncio
from typing import Any

from slices.tasks.conftest import Desk


def key(name: str) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": name}}


async def test_the_same_request_gives_the_same_task(desk: Desk) -> None:
    await desk.agent()
    body = {"agent": "echo", "input": {"a": 1, "b": 2}, "labels": {}}
    first = await desk.call("POST", "tasks", 201, json=body, **key("k"))
    reordered = {"labels": {}, "input": {"b": 2, "a": 1}, "agent": "echo"}
    assert await desk.call("POST", "tasks", 201, json=reordered, **key("k")) == first
    await desk.call("POST", f"tasks/{first['id']}/cancel")
    again = await desk.call("POST", "tasks", 201, json=body, **key("k"))
    assert (again["id"], again["state"]) == (first["id"], "cancelled")
    assert await desk.count() == 1


async def test_another_request_under_the_key_is_refused(desk: Desk) -> None:
    await desk.agent()
    await desk.call("POST", "tasks", 201, json={"agent": "echo", "input": 1}, **key("k"))
    problem = await desk.call("POST", "tasks", 409, json={"agent": "echo", "input": 2}, **key("k"))
    assert (problem["code"], problem["key"]) == ("idempotency_mismatch", "k")
    assert await desk.count() == 1


async def test_keys_belong_to_projects(desk: Desk) -> None:
    await desk.agent()
    body = {"agent": "echo"}
    first = await desk.call("POST", "tasks", 201, json=body, **key("k"))
    other = f"{desk.project}-o"
    await desk.call("POST", "projects", 201, json={"name": other})
    agent = {"name": "echo", "runtime": "function", "config": {"function": "worker_agents:echo"}}
    await desk.call("POST", "agents", 201, json=agent, params={"project": other})
    theirs = await desk.call("POST", "tasks", 201, json=body, params={"project": other}, **key("k"))
    assert theirs["id"] != first["id"]


async def test_requests_at_the_same_time_give_one_task(desk: Desk) -> None:
    await desk.agent()
    body = {"agent": "echo"}
    calls = (desk.call("POST", "tasks", 201, json=body, **key("k")) for _ in range(30))
    made = await asyncio.gather(*calls)
    assert len({task["id"] for task in made}) == 1
    assert await desk.count() == 1


async def test_different_requests_at_the_same_time_leave_one_winner(desk: Desk) -> None:
    await desk.agent()
    answers = await asyncio.gather(
        *(desk.api.post("tasks", json={"agent": "echo", "input": n}, **key("k")) for n in range(10))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [409] * 9
    assert await desk.count() == 1


async def test_keys_must_be_short(desk: Desk) -> None:
    await desk.agent()
    await desk.call("POST", "tasks", 422, json={"agent": "echo"}, **key("k" * 201))
    await desk.call("POST", "tasks", 422, json={"agent": "echo"}, **key(""))


async def test_a_bulk_call_under_a_key_is_made_once(desk: Desk) -> None:
    await desk.agent()
    tasks = [{"agent": "echo", "ref": f"r{n}", "input": n} for n in range(3)]
    first = await desk.bulk(tasks, **key("k"))
    assert await desk.bulk(tasks, **key("k")) == first
    for changed in (tasks[:2], [*tasks[:2], {**tasks[2], "input": 7}], tasks[::-1]):
        await desk.call("POST", "tasks/bulk", 409, json={"tasks": changed}, **key("k"))
    renamed = [{**task, "ref": f"s{n}"} for n, task in enumerate(tasks)]
    await desk.call("POST", "tasks/bulk", 409, json={"tasks": renamed}, **key("k"))
    assert await desk.count() == 3
    single = await desk.call("POST", "tasks", 201, json={"agent": "echo"}, **key("k"))
    assert single["id"] not in first["ids"]


async def test_a_bulk_call_that_broke_off_goes_on_with_its_key(desk: Desk) -> None:
    """The 600th task cannot be stored until the disk has room again."""
    await desk.agent()
    await desk.run(
        "create or replace function poison() returns trigger language plpgsql as"
        " 'begin raise exception ''no space left'' using errcode = ''53100''; end'"
    )
    await desk.run(
        "create or replace trigger poison before insert on task for each row"
        " when (new.title = 'poison') execute function poison()"
    )
    tasks: list[dict[str, Any]] = [
        {"agent": "echo", "ref": f"r{n}", "depends_on": [f"r{n - 500}"] if n >= 500 else []}
        for n in range(1200)
    ]
    tasks[600]["title"] = "poison"
    problem = await desk.call("POST", "tasks/bulk", 503, json={"tasks": tasks}, **key("k"))
    assert "no space left" in problem["detail"]
    assert await desk.count() == 500
    await desk.run("drop trigger poison on task")
    made = await desk.bulk(tasks, **key("k"))
    assert await desk.count() == 1200
    assert made == await desk.bulk(tasks, **key("k"))
    assert len(set(made["ids"])) == 1200
    for n in (500, 777, 1199):
        task = await desk.get(made["ids"][n])
        assert [one["id"] for one in task["depends_on"]] == [made["refs"][f"r{n - 500}"]]
        assert made["refs"][f"r{n}"] == task["id"]


async def test_a_repeat_gives_its_tasks_when_their_agent_is_gone(desk: Desk) -> None:
    await desk.agent()
    body = {"agent": "echo", "input": 1}
    first = await desk.call("POST", "tasks", 201, json=body, **key("k"))
    tasks: list[dict[str, Any]] = [
        {"agent": "echo", "ref": f"r{n}", "depends_on": [f"r{n + 1}"] if n < 700 else []}
        for n in range(701)
    ]
    many = await desk.bulk(tasks, **key("k"))
    for task_id in (first["id"], many["refs"]["r700"]):
        await desk.call("POST", f"tasks/{task_id}/cancel")
    await desk.call("DELETE", "agents/echo", 204)
    again = await desk.call("POST", "tasks", 201, json=body, **key("k"))
    assert (again["id"], again["state"]) == (first["id"], "cancelled")
    assert await desk.bulk(tasks, **key("k")) == many
    for changed in (key("other"), {"json": {**body, "input": 2}, **key("k")}):
        problem = await desk.call("POST", "tasks", 404, **({"json": body} | changed))
        assert problem["errors"][0]["field"] == "agent"
    await desk.call("POST", "tasks/bulk", 404, json={"tasks": tasks[:2]}, **key("other"))
    assert await desk.count() == 702
