"""Tasks from templates: looked at before they start, and started."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from podium.storage.database import Database
from slices.templates.calls import AGENT, GIVEN, call, make, start


async def test_a_task_is_started_with_its_parameters(api: httpx.AsyncClient, agent: str) -> None:
    await make(api)
    task = await start(api)
    assert task["title"] == "Summary of README.md"
    parameters = {"path": "README.md", "words": 100, "style": {"tone": "plain"}}
    assert task["input"] == {
        "prompt": "Sum up README.md in 100 words, plain.",
        "parameters": parameters,
    }
    assert task["labels"] == {"team": "core", "template": "summary"}
    assert task["template"] == {"name": "summary", "version": 1, "built_in": False}
    assert (task["agent"], task["created_by"], task["state"]) == ("a", "admin:local", "queued")
    await call(api, "PUT", "/templates/summary", json={"prompt": "Other: {{ path }}"})
    await call(api, "DELETE", "/templates/summary", 204)
    assert await call(api, "GET", f"/tasks/{task['id']}") == task
    listed = await call(api, "GET", "/tasks", params={"label": "template:summary"})
    assert [each["id"] for each in listed["items"]] == [task["id"]]


async def test_an_earlier_version_can_be_started(api: httpx.AsyncClient, agent: str) -> None:
    await make(api)
    await call(api, "PUT", "/templates/summary", json={"prompt": "Other: {{ path }}"})
    newest, first = await start(api), await start(api, version=1)
    assert newest["input"]["prompt"] == "Other: README.md"
    assert (first["template"]["version"], first["input"]["prompt"][:6]) == (1, "Sum up")
    await start(api, expected=404, version=9)


async def test_one_call_can_be_different(api: httpx.AsyncClient, agent: str) -> None:
    await call(api, "POST", "/agents", 201, json={**AGENT, "name": "b"})
    own = {"timeouts": {"run": 60, "queue": 30}, "retry": {"max_retries": 2}, "sticky": "k"}
    await make(api, task={"capabilities": ["text"], "priority": 3, **own})
    before = await start(api)
    assert (before["capabilities"], before["sticky"], before["title"]) == (
        ["text"],
        "k",
        "Sum up README.md in 100 words, plain.",
    )
    changes = {
        "agent": "b",
        "title": "{{ as it is }}",
        "labels": {"for": "me"},
        "timeouts": {"run": 5},
        "retry": {"backoff": "fixed"},
        "delay": 3600,
        "depends_on": [before["id"]],
    }
    task = await start(api, task=changes)
    assert (task["agent"], task["capabilities"], task["sticky"]) == ("b", [], None)
    assert (task["title"], task["priority"], task["state"]) == ("{{ as it is }}", 3, "pending")
    assert task["labels"] == {"for": "me", "template": "summary"}
    assert task["timeouts"] == {"run": 5, "queue": 30, "heartbeat": None}
    assert (task["retry"]["max_retries"], task["retry"]["backoff"]) == (2, "fixed")
    assert task["depends_on"][0]["id"] == before["id"]
    both = await start(api, expected=422, task={"agent": "b", "capabilities": ["text"]})
    assert "either an agent or capabilities" in both["detail"]


async def test_the_input_can_have_another_shape(api: httpx.AsyncClient, agent: str) -> None:
    shape = {
        "text": "{{ prompt }}",
        "path": "{{ path }}",
        "words": "{{ words }}",
        "head": "{{ parameters.head }}",
        "list": ["{{ style }}", "{{ parameters.head }}", "at most {{ words }}", 5, None],
    }
    await make(api, task={"agent": "a", "input": shape})
    assert (await start(api))["input"] == {
        "text": "Sum up README.md in 100 words, plain.",
        "path": "README.md",
        "words": 100,
        "list": [{"tone": "plain"}, "at most 100", 5, None],
    }
    await call(
        api, "PUT", "/templates/summary", json={"task": {"agent": "a", "input": "{{ path }}"}}
    )
    assert (await start(api))["input"] == "README.md"


async def counts(database: Database) -> dict[str, int]:
    rows = await database.call(
        "select (select count(*) from task) as tasks, (select count(*) from lane) as lanes,"
        " (select count(*) from sticky) as keys, (select count(*) from event) as events,"
        " (select count(*) from template) as templates"
    )
    return dict(rows[0])


async def test_a_preview_is_what_would_be_submitted_and_writes_nothing(
    api: httpx.AsyncClient, agent: str, database: Database
) -> None:
    await make(api, task={"capabilities": ["text"], "sticky": "k", "title": "About {{ path }}"})
    body: dict[str, Any] = {**GIVEN, "task": {"priority": 7, "deadline": "2090-01-01T00:00:00Z"}}
    before = await counts(database)
    seen = await call(api, "POST", "/templates/summary/preview", json=body)
    builtin = {"parameters": {"repository": "/r", "branch": "b"}}
    await call(api, "POST", "/templates/code-review/preview", json=builtin)
    assert await counts(database) == before
    assert seen["template"] == {"name": "summary", "version": 1, "built_in": False}
    started = await start(api, **body)
    alike = await call(api, "POST", "/tasks", 201, json=seen["task"])
    own = {"id", "created_at", "template"}
    assert {k: v for k, v in alike.items() if k not in own} == {
        k: v for k, v in started.items() if k not in own
    }
    assert alike["template"] is None


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"parameters": {}}, "parameters.path", "Must be given"),
        ({"parameters": {"path": 5}}, "parameters.path", "string"),
        ({"parameters": {"path": "p", "words": 0}}, "parameters.words", "minimum"),
        ({"parameters": {"path": "p", "wrds": 1}}, "parameters.wrds", "the closest is 'words'"),
        ({"parameters": {"path": "p", "style": {"tone": None}}}, None, None),
        ({**GIVEN, "task": {"agent": "nobody"}}, "task.agent", "nobody"),
        ({**GIVEN, "task": {"limits": ["none"]}}, "task.limits.0", "none"),
        ({**GIVEN, "task": {"depends_on": [str(uuid4())]}}, "task.depends_on.0", "does not exist"),
        ({**GIVEN, "task": {"input": 1}}, "task.input", "no such field"),
        ({**GIVEN, "task": {"sticky": "k"}}, "task", "sticky goes with capabilities"),
        ({"parameters": {"path": "x" * 70_000}}, "parameters", "at most 65536"),
    ],
)
async def test_what_cannot_be_started_is_told_the_same_by_a_preview(
    api: httpx.AsyncClient,
    agent: str,
    body: dict[str, Any],
    field: str | None,
    told: str | None,
) -> None:
    await make(api)
    answers = [
        await api.post(f"/templates/summary/{what}", json=body) for what in ("preview", "start")
    ]
    if told is None:
        assert [answer.status_code for answer in answers] == [200, 201]
        return
    assert {answer.status_code for answer in answers} <= {404, 422}
    for answer in answers:
        problem = answer.json()
        assert told in problem["detail"] + str(problem["errors"])
        assert field in [each["field"] for each in problem["errors"]]
    assert (await call(api, "GET", "/tasks"))["items"] == []


async def test_what_has_no_value_is_told_and_not_left_out(
    api: httpx.AsyncClient, agent: str
) -> None:
    schema = {"type": "object", "properties": {"branch": {"type": "string"}}}
    await make(api, parameters=schema, prompt="Look at {{ branch }}.", task={"agent": "a"})
    refused = await start(api, expected=422, parameters={})
    assert refused["errors"][0]["field"] == "prompt"
    assert "'branch', which has no value" in refused["detail"]


async def test_the_same_key_gives_the_same_task(api: httpx.AsyncClient, agent: str) -> None:
    await make(api)
    headers = {"Idempotency-Key": "k"}
    path = "/templates/summary/start"
    first = await call(api, "POST", path, 201, json=GIVEN, headers=headers)
    await call(api, "PUT", "/templates/summary", json={"prompt": "Other: {{ path }}"})
    assert await call(api, "POST", path, 201, json=GIVEN, headers=headers) == first
    await call(api, "DELETE", "/templates/summary", 204)
    assert await call(api, "POST", path, 201, json=GIVEN, headers=headers) == first
    await make(api)
    other = {"parameters": {"path": "other"}}
    refused = await call(api, "POST", path, 409, json=other, headers=headers)
    assert refused["code"] == "idempotency_mismatch"


async def test_a_template_that_needs_an_approval_starts_nothing(
    api: httpx.AsyncClient, agent: str
) -> None:
    await make(api, requires_approval=True)
    refused = await start(api, expected=409)
    assert refused["code"] == "needs_approval"
    assert "no approvals yet" in refused["detail"]
    seen = await call(api, "POST", "/templates/summary/preview", json=GIVEN)
    assert seen["requires_approval"] is True
    assert (await call(api, "GET", "/tasks"))["items"] == []
    await call(api, "PUT", "/templates/summary", json={"requires_approval": False})
    await start(api)
