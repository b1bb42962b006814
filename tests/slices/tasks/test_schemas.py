"""JSON Schemas of tasks that would cost too much to check."""

import resource
import time
from typing import Any

from slices.kernel.test_json_schema import TREE
from slices.tasks.conftest import Desk

TREBLING: dict[str, Any] = {
    "a": {"type": "string"},
    **{
        chr(97 + level): {"anyOf": [{"$ref": f"#/{chr(96 + level)}"}] * 3} for level in range(1, 14)
    },
    "$ref": "#/n",
}
"""In less than 1 KB, the most that this installation takes."""
MORE_THAN_IT_TAKES_MB = 200


def largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def test_an_input_schema_that_doubles_is_refused(desk: Desk) -> None:
    await desk.agent()
    before, began = largest(), time.monotonic()
    body = {"agent": "echo", "input": 1, "input_schema": TREBLING}
    refused = await desk.call("POST", "tasks", 422, json=body)
    assert refused["code"] == "schema_too_costly"
    assert "definition" in refused["hint"]
    assert time.monotonic() - began < 15
    assert largest() - before < MORE_THAN_IT_TAKES_MB


async def test_an_edit_that_costs_too_much_is_refused(desk: Desk) -> None:
    task = await desk.create(input="text", input_schema=TREBLING, delay=60)
    refused = await desk.call("PUT", f"tasks/{task['id']}", 422, json={"input": 1})
    assert refused["code"] == "schema_too_costly"


async def test_recursive_schemas_of_a_call_are_checked(desk: Desk) -> None:
    await desk.agent()
    tasks: list[dict[str, Any]] = [
        {"agent": "echo", "input": {"children": []}, "input_schema": TREE} for _ in range(20)
    ]
    tasks[7] = tasks[7] | {"input": {"children": [{}]}}
    refused = await desk.call("POST", "tasks/bulk", 422, json={"tasks": tasks})
    assert refused["code"] == "schema_mismatch"
    assert refused["errors"][0]["field"] == "tasks.7.input.children.0"
    tasks[7] = tasks[8]
    assert len((await desk.bulk(tasks))["ids"]) == 20


async def test_an_output_schema_that_doubles_ends_the_attempt(desk: Desk) -> None:
    task = await desk.create(input=1, output_schema=TREBLING, retry={"max_retries": 3})
    async with desk.worker():
        ended = await desk.until(task, seconds=30)
    assert (ended["state"], ended["attempt"]) == ("failed", 1)
    assert (ended["error"]["class"], ended["error"]["code"]) == (
        "invalid_input",
        "schema_too_costly",
    )
