"""POST tasks: what is accepted, with which defaults, and what is refused and why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slices.tasks.conftest import NOBODY, Desk

WANTED: dict[str, Any] = {
    "title": "Größe",
    "input": {"prompt": "x", "n": [1, 2.5, None, "ü"]},
    "priority": -7,
    "labels": {"team": "core", "a/b.c-d": ""},
    "queue": "big",
    "on_dependency_failure": "run",
    "timeouts": {"queue": 60, "run": 1.5},
    "retry": {"max_retries": 2, "backoff": "linear", "initial": 0},
    "input_schema": {"type": "object", "required": ["prompt"]},
    "output_schema": {"type": "string"},
}


async def test_fills_in_defaults(desk: Desk) -> None:
    task = await desk.create()
    assert {name: task[name] for name in task if name not in ("id", "created_at")} == {
        "project": desk.project,
        "title": "echo",
        "state": "queued",
        "priority": 0,
        "labels": {},
        "queue": "default",
        "limits": [],
        "template": None,
        "interactive": False,
        "agent": "echo",
        "capabilities": [],
        "sticky": None,
        "input": None,
        "output": None,
        "error": None,
        "attempt": 0,
        "progress": None,
        "depends_on": [],
        "on_dependency_failure": "cancel",
        "deadline": None,
        "timeouts": {"queue": None, "run": None, "heartbeat": None},
        "retry": {
            "max_retries": 0,
            "backoff": "exponential",
            "initial": 1.0,
            "factor": 2.0,
            "max_delay": 300.0,
            "jitter": 0.2,
        },
        "input_schema": None,
        "output_schema": None,
        "created_by": "admin:local",
        "started_at": None,
        "finished_at": None,
        "queued_seconds": None,
        "run_seconds": None,
        "running_on": None,
    }
    created = datetime.fromisoformat(task["created_at"])
    assert abs(created - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    "wanted", [{}, WANTED, {"delay": 60}, {"start_at": "2020-01-01T00:00:00Z"}]
)
async def test_the_answer_is_what_reading_it_shows(desk: Desk, wanted: dict[str, Any]) -> None:
    task = await desk.create(**wanted)
    assert task == await desk.get(task)
    for name in wanted.keys() - {"timeouts", "retry", "delay", "start_at"}:
        assert task[name] == wanted[name]


async def test_capabilities_are_a_set(desk: Desk) -> None:
    task = await desk.create(None, capabilities=["b", "a", "b"])
    assert (task["agent"], task["capabilities"]) == (None, ["a", "b"])
    assert task == await desk.get(task)


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("Fix it.\nAll of it.", "Fix it."),
        ({"prompt": "  Fix it.  "}, "Fix it."),
        ("x" * 81, "x" * 79 + "…"),
        ({"prompt": "   "}, "echo"),
        ({"prompt": 5}, "echo"),
        ([1], "echo"),
    ],
)
async def test_titles_come_from_what_is_asked(desk: Desk, given: Any, title: str) -> None:
    assert (await desk.create(input=given))["title"] == title


async def test_a_task_by_capabilities_is_named_for_them(desk: Desk) -> None:
    assert (await desk.create(None, capabilities=["tests", "python"]))["title"] == "tests, python"


async def test_delays(desk: Desk) -> None:
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await desk.create(delay=3600))["state"] == "pending"
    assert (await desk.create(start_at=at))["state"] == "pending"
    assert (await desk.create(delay=0))["state"] == "queued"
    assert (await desk.create(start_at="2001-01-01T00:00:00+14:00"))["state"] == "queued"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"agent": None}, "body"),
        ({"capabilities": ["x"]}, "body"),
        ({"agent": "no spaces"}, "agent"),
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"priority": 101}, "priority"),
        ({"labels": {"bad key": "x"}}, "labels"),
        ({"labels": {"k": "v" * 201}}, "labels.k"),
        ({"labels": {f"k{n}": "" for n in range(65)}}, "labels"),
        ({"queue": "a\n"}, "queue"),
        ({"delay": -1}, "delay"),
        ({"delay": 1, "start_at": "2030-01-01T00:00:00Z"}, "body"),
        ({"start_at": "2030-01-01T00:00:00"}, "start_at"),
        ({"start_at": "0001-01-01T00:00:00+14:00"}, "start_at"),
        ({"start_at": "9999-12-31T23:59:59-12:00"}, "start_at"),
        ({"timeouts": {"run": 0}}, "timeouts.run"),
        ({"retry": {"max_retries": 1001}}, "retry.max_retries"),
        ({"on_dependency_failure": "ignore"}, "on_dependency_failure"),
        ({"depends_on": ["not-a-task"]}, "depends_on.0"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_says_which_field_is_wrong(desk: Desk, wrong: dict[str, Any], field: str) -> None:
    await desk.agent()
    body = {"agent": "echo"} | wrong
    problem = await desk.call("POST", "tasks", 422, json=body)
    assert problem["code"] == "invalid_input"
    named = problem["errors"][0]["field"]
    assert named.startswith(field), problem


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"title": "\x1b[31mred"}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"labels": {"team": "\x9b31m"}}, "labels.team"),
        ({"depends_on": ["\u202e"]}, "depends_on.0"),
    ],
)
async def test_short_texts_hold_no_control_characters(
    desk: Desk, wrong: dict[str, Any], field: str
) -> None:
    await desk.agent()
    problem = await desk.call("POST", "tasks", 422, json={"agent": "echo"} | wrong)
    message = "Must be one line of text without control characters"
    assert problem["errors"] == [{"field": field, "message": message}]
    assert problem["detail"] == f"{field}: {message}."
    task = await desk.create(delay=60)
    if field != "depends_on.0":
        edited = await desk.call("PUT", f"tasks/{task['id']}", 422, json=wrong)
        assert edited["errors"][0]["field"] == field
    else:
        reason = {"reason": "\x1b[2J"}
        await desk.call("POST", f"tasks/{task['id']}/cancel", 422, json=reason)
    assert (await desk.create(title="Größe 日本語 🚀"))["title"] == "Größe 日本語 🚀"


async def test_a_title_made_from_the_input_holds_none_either(desk: Desk) -> None:
    assert (await desk.create(input="\x1b[31mFix\x07 it"))["title"] == "[31mFix it"
    assert (await desk.create(input="\x1b"))["title"] == "echo"


async def test_patterns_are_told_in_words(desk: Desk) -> None:
    problem = await desk.call("POST", "tasks", 422, json={"agent": "no spaces"})
    assert "letters, digits, dots" in problem["detail"]
    assert "^" not in problem["detail"]


async def test_unknown_agents_and_dependencies_are_named(desk: Desk) -> None:
    await desk.agent()
    agent = await desk.call("POST", "tasks", 404, json={"agent": "nobody"})
    assert (agent["errors"][0]["field"], agent["agent"]) == ("agent", "nobody")
    first = await desk.create()
    body = {"agent": "echo", "depends_on": [first["id"], NOBODY]}
    task = await desk.call("POST", "tasks", 404, json=body)
    assert (task["errors"][0]["field"], task["missing"]) == ("depends_on.1", NOBODY)
    assert NOBODY in task["detail"]
    assert "podium task list" in task["hint"]


async def test_other_projects_are_out_of_reach(desk: Desk) -> None:
    other = f"{desk.project}-other"
    await desk.call("POST", "projects", 201, json={"name": other})
    mine = await desk.create()
    await desk.call("POST", "tasks", 404, json={"agent": "echo"}, params={"project": other})
    await desk.call("POST", "tasks", 404, json={"agent": "echo"}, params={"project": "none"})
    echo = {"function": "worker_agents:echo"}
    body = {"name": "theirs", "runtime": "function", "config": echo}
    await desk.call("POST", "agents", 201, json=body, params={"project": other})
    body = {"agent": "theirs", "depends_on": [mine["id"]]}
    await desk.call("POST", "tasks", 404, json=body, params={"project": other})
    theirs = await desk.create("theirs", project=other)
    assert theirs["project"] == other
    assert (await desk.get(theirs))["project"] == other


async def test_inputs_have_a_largest_size(desk: Desk) -> None:
    await desk.create(input="x" * 1022)
    for given in ("x" * 1023, {"a": ["ü" * 600]}):
        problem = await desk.call("POST", "tasks", 413, json={"agent": "echo", "input": given})
        assert (problem["code"], problem["limit"]) == ("too_large", 1024)
        assert problem["errors"] == [{"field": "input", "message": problem["detail"]}]


async def test_schemas_have_a_largest_size_too(desk: Desk) -> None:
    await desk.agent()
    body = {"agent": "echo", "output_schema": {"description": "x" * 1024}}
    problem = await desk.call("POST", "tasks", 413, json=body)
    assert problem["errors"][0]["field"] == "output_schema"


async def test_nul_characters_are_refused_and_talk_of_them_is_not(desk: Desk) -> None:
    await desk.agent()
    for body in ({"input": {"a": ["\0"]}}, {"title": "a\0"}, {"labels": {"a": "\0"}}):
        problem = await desk.call("POST", "tasks", 422, json={"agent": "echo", **body})
        assert "NUL" in problem["detail"]
    source = r'"\u0000" is written "\\u0000"'
    assert (await desk.create(input=source))["input"] == source


@pytest.mark.parametrize(
    ("schema", "given", "field"),
    [
        ({"type": "string"}, 5, "input"),
        ({"properties": {"a": {"items": {"type": "string"}}}}, {"a": ["x", 1]}, "input.a.1"),
        ({"pattern": "^(a+)+$"}, "a" * 40 + "b", "input"),
        ({"$ref": "#/$defs/tree", "$defs": {"tree": {"items": {"$ref": "#"}, "maxItems": 1}}},
         [[[1, 2]]], "input.0.0"),
        ({"$schema": "http://json-schema.org/draft-07/schema#",
          "definitions": {"n": {"type": "integer"}}, "$ref": "#/definitions/n"}, "x", "input"),
    ],
)  # fmt: skip
async def test_inputs_must_match_their_schema(
    desk: Desk, schema: dict[str, Any], given: Any, field: str
) -> None:
    await desk.agent()
    body = {"agent": "echo", "input_schema": schema, "input": given}
    problem = await desk.call("POST", "tasks", 422, json=body)
    assert (problem["code"], problem["errors"][0]["field"]) == ("schema_mismatch", field)
    assert "input_schema" in problem["hint"]


@pytest.mark.parametrize("name", ["input_schema", "output_schema"])
@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "strin"}, ".type"),
        ({"pattern": "("}, ".pattern"),
        ({"$ref": "#/$defs/none"}, ""),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, ""),
        ({"$ref": "file:///etc/hostname"}, ""),
        ({"$schema": "http://example.org/own"}, ""),
    ],
)
async def test_schemas_must_be_schemas_that_stand_alone(
    desk: Desk, name: str, schema: dict[str, Any], where: str
) -> None:
    await desk.agent()
    problem = await desk.call("POST", "tasks", 422, json={"agent": "echo", name: schema})
    assert (problem["code"], problem["errors"][0]["field"]) == ("invalid_input", name + where)


async def test_schemas_that_refer_to_themselves_end(desk: Desk) -> None:
    await desk.create(input=1, input_schema={"$ref": "#"})
    await desk.create(input=1, input_schema={"allOf": [{"$ref": "#"}, {"$ref": "#"}]})
