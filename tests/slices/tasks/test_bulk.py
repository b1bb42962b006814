"""POST tasks/bulk: whole graphs in one call."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event

from podium.storage.database import Database
from podium.tasks import drafting
from podium.tasks.model import BulkNew
from slices.tasks.conftest import NOBODY, Desk, Office


async def test_accepts_a_graph_in_any_order(desk: Desk) -> None:
    await desk.agent()
    outside = await desk.create()
    made = await desk.bulk(
        [
            {"agent": "echo", "ref": "report", "depends_on": ["left", "right"]},
            {"agent": "echo", "ref": "left", "depends_on": ["survey", outside["id"]]},
            {"agent": "echo", "ref": "right", "depends_on": ["survey"], "priority": 3},
            {"agent": "echo", "ref": "survey"},
            {"agent": "echo"},
        ]
    )
    assert list(made["refs"]) == ["report", "left", "right", "survey"]
    assert [made["refs"][name] for name in made["refs"]] == made["ids"][:4]
    left = await desk.get(made["ids"][1])
    assert {one["name"]: one["id"] for one in left["depends_on"]} == {
        "survey": made["ids"][3],
        outside["id"]: outside["id"],
    }
    states = [(await desk.get(task))["state"] for task in made["ids"]]
    assert states == ["pending", "pending", "pending", "queued", "queued"]


async def test_names_those_that_depend_on_each_other(desk: Desk) -> None:
    await desk.agent()
    tasks = [
        {"agent": "echo", "ref": "a", "depends_on": ["b"]},
        {"agent": "echo", "ref": "b", "depends_on": ["c"]},
        {"agent": "echo", "ref": "c", "depends_on": ["a"]},
        {"agent": "echo", "ref": "free"},
    ]
    problem = await desk.call("POST", "tasks/bulk", 422, json={"tasks": tasks})
    assert (problem["code"], problem["refs"]) == ("dependency_cycle", ["a", "b", "c"])
    itself = {"tasks": [{"agent": "echo", "ref": "a", "depends_on": ["a"]}]}
    assert (await desk.call("POST", "tasks/bulk", 422, json=itself))["refs"] == ["a"]
    assert await desk.count() == 0


@pytest.mark.parametrize(
    ("wrong", "status", "field", "advice"),
    [
        ({"agent": "nobody"}, 404, "tasks.1.agent", "podium agent list"),
        ({"ref": "first"}, 422, "tasks.1.ref", "a ref of its own"),
        ({"depends_on": ["first", "none"]}, 422, "tasks.1.depends_on.1", "Use the id"),
        ({"depends_on": ["first", NOBODY]}, 404, "tasks.1.depends_on.1", "podium task list"),
        ({"input": "x" * 1030}, 413, "tasks.1.input", "pass their paths"),
        ({"input_schema": {"type": "string"}}, 422, "tasks.1.input", ""),
        ({"output_schema": {"type": "x"}}, 422, "tasks.1.output_schema.type", ""),
        ({"priority": 1000}, 422, "tasks.1.priority", ""),
    ],
)
async def test_names_the_task_that_is_wrong(
    desk: Desk, wrong: dict[str, Any], status: int, field: str, advice: str
) -> None:
    await desk.agent()
    tasks = [{"agent": "echo", "ref": "first"}, {"agent": "echo"} | wrong]
    problem = await desk.call("POST", "tasks/bulk", status, json={"tasks": tasks})
    named = problem["errors"][0]["field"]
    assert named == field
    assert advice in problem.get("hint", "")
    assert await desk.count() == 0


async def test_names_an_unknown_dependency_also_under_a_key(desk: Desk) -> None:
    await desk.agent()
    tasks = [{"agent": "echo"}, {"agent": "echo", "depends_on": [NOBODY]}]
    options = {"headers": {"Idempotency-Key": "k"}}
    problem = await desk.call("POST", "tasks/bulk", 404, json={"tasks": tasks}, **options)
    assert (problem["errors"][0]["field"], problem["missing"]) == ("tasks.1.depends_on.0", NOBODY)
    assert "podium task list" in problem["hint"]
    assert await desk.count() == 0


async def test_nothing_is_accepted_when_the_last_task_is_wrong(desk: Desk) -> None:
    await desk.agent()
    tasks: list[dict[str, Any]] = [{"agent": "echo"}] * 600
    wrong = {"agent": "echo", "input_schema": {"type": "string"}}
    problem = await desk.call("POST", "tasks/bulk", 422, json={"tasks": [*tasks, wrong]})
    assert problem["errors"][0]["field"] == "tasks.600.input"
    wrong = {"agent": "echo", "depends_on": [NOBODY]}
    for headers in ({}, {"Idempotency-Key": "k"}):
        call = {"json": {"tasks": [*tasks, wrong]}, "headers": headers}
        problem = await desk.call("POST", "tasks/bulk", 404, **call)
        assert problem["errors"][0]["field"] == "tasks.600.depends_on.0"
        assert await desk.count() == 0


async def test_accepts_ten_thousand_and_not_one_more(desk: Desk) -> None:
    await desk.agent()
    tasks = [{"agent": "echo", "input": n} for n in range(10_000)]
    made = await desk.bulk(tasks)
    assert len(set(made["ids"])) == 10_000
    assert await desk.count() == 10_000
    assert (await desk.get(made["ids"][9_999]))["input"] == 9_999
    problem = await desk.call("POST", "tasks/bulk", 422, json={"tasks": [*tasks, tasks[0]]})
    assert problem["errors"][0]["field"] == "tasks"
    await desk.call("POST", "tasks/bulk", 422, json={"tasks": []})


async def test_dependencies_reach_over_chunks(desk: Desk) -> None:
    """1,500 tasks in a chain that is given backwards, whose end depends on all others."""
    await desk.agent()
    tasks: list[dict[str, Any]] = [
        {"agent": "echo", "ref": f"t{n}", "depends_on": [f"t{n - 1}"] if n else []}
        for n in range(1500)
    ]
    tasks.append({"agent": "echo", "ref": "all", "depends_on": [f"t{n}" for n in range(1500)]})
    made = await desk.bulk(tasks[::-1])
    rows = await desk.run(
        "select d.task_id, d.depends_on from dependency d join task t on t.id = d.task_id"
        " join project p on p.id = t.project_id where p.name = :name",
        name=desk.project,
    )
    edges = {(str(row[0]), str(row[1])) for row in rows}
    refs = made["refs"]
    assert edges == {(refs[f"t{n}"], refs[f"t{n - 1}"]) for n in range(1, 1500)} | {
        (refs["all"], refs[f"t{n}"]) for n in range(1500)
    }
    ready = await desk.run(
        "select r.task_id from ready r join task t on t.id = r.task_id"
        " join project p on p.id = t.project_id where p.name = :name",
        name=desk.project,
    )
    assert [str(row[0]) for row in ready] == [refs["t0"]]


async def test_a_dependency_named_twice_counts_once(desk: Desk) -> None:
    await desk.agent()
    first = await desk.create()
    task = await desk.create(depends_on=[first["id"], first["id"].upper()])
    assert [one["id"] for one in task["depends_on"]] == [first["id"]]


async def test_asks_once_for_what_tasks_have_in_common(desk: Desk, office: Office) -> None:
    """No question for each task: 400 tasks of one agent use as few connections as one."""
    await desk.agent()
    used = 0

    def count_use(*_: object) -> None:
        nonlocal used
        used += 1

    engine = office.app.state.services[Database].engine.sync_engine
    event.listen(engine, "checkout", count_use)
    await desk.bulk([{"agent": "echo", "queue": "other", "input": n} for n in range(400)])
    event.remove(engine, "checkout", count_use)
    assert used < 20


async def test_a_call_has_a_largest_number_of_dependencies(desk: Desk) -> None:
    await desk.agent()
    first = [{"agent": "echo", "ref": f"a{number}"} for number in range(1000)]
    refs = [each["ref"] for each in first]
    after = [{"agent": "echo", "depends_on": refs} for _ in range(101)]
    problem = await desk.call("POST", "tasks/bulk", 422, json={"tasks": [*first, *after]})
    assert "101000 dependencies together; at most 100000" in problem["detail"]
    assert await desk.count() == 0
    await desk.bulk([*first, *after[:10]])


async def test_the_hash_of_a_large_call_leaves_others_their_turn() -> None:
    tasks = [{"agent": "echo", "input": "x" * 200_000} for _ in range(50)]
    call = BulkNew.model_validate({"tasks": tasks})
    hashing = asyncio.create_task(drafting.request_hash(call.tasks))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 8


def test_inputs_are_not_gone_through_again() -> None:
    given = [1, {"a": []}]
    task = {"agent": "echo", "input": given}
    assert BulkNew.model_validate({"tasks": [task]}).tasks[0].input is given
