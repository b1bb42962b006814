"""Templates over HTTP: made, changed, overridden and deleted."""

import asyncio
from typing import Any

import httpx
import pytest

from podium.storage.database import Database
from slices.templates.calls import AGENT, GIVEN, SCHEMA, SUMMARY, call, make, start


async def test_a_template_is_made_read_changed_and_deleted(
    api: httpx.AsyncClient, agent: str, database: Database
) -> None:
    made = await make(api)
    assert (made["source"], made["version"], made["built_in_version"]) == ("project", 1, None)
    assert made["task"] == SUMMARY["task"]
    assert (made["defaults"], made["requires_approval"], made["changed"]) == ({}, False, [])
    assert made["created_by"] == "admin:local"
    assert await call(api, "GET", "/templates/summary") == made
    edit = {"prompt": "Read {{ path }}.", "defaults": {"words": 5}}
    changed = await call(api, "PUT", "/templates/summary", json=edit)
    assert (changed["version"], changed["prompt"], changed["defaults"]) == (
        2,
        "Read {{ path }}.",
        {"words": 5},
    )
    assert changed["parameters"] == SCHEMA
    same = await call(api, "PUT", "/templates/summary", json={"prompt": "Read {{ path }}."})
    assert same == changed
    await call(api, "DELETE", "/templates/summary", 204)
    await call(api, "GET", "/templates/summary", 404)
    await call(api, "DELETE", "/templates/summary", 404)
    rows = await database.call(
        "select type, actor, data from event where type like 'template.%' order by epoch, xid, id"
    )
    assert [(row["type"], row["data"]) for row in rows] == [
        ("template.created", {"name": "summary", "version": 1}),
        (
            "template.updated",
            {"name": "summary", "version": 2, "fields": ["prompt", "defaults"]},
        ),
        ("template.deleted", {"name": "summary"}),
    ]
    assert {row["actor"] for row in rows} == {"admin:local"}


async def test_a_version_never_becomes_another_one(api: httpx.AsyncClient, agent: str) -> None:
    await make(api)
    await call(api, "PUT", "/templates/summary", json={"prompt": "Read {{ path }}."})
    await call(api, "DELETE", "/templates/summary", 204)
    assert (await make(api, prompt="Once more {{ path }}."))["version"] == 3
    found = await call(api, "GET", "/templates/summary/versions")
    assert [each["version"] for each in found["items"]] == [3, 2, 1]
    page = await call(api, "GET", "/templates/summary/versions", params={"limit": 2})
    rest = await call(
        api, "GET", "/templates/summary/versions", params={"limit": 2, "cursor": page["next"]}
    )
    assert [each["version"] for each in page["items"] + rest["items"]] == [3, 2, 1]
    first = await call(api, "GET", "/templates/summary", params={"version": 1})
    assert first["prompt"] == SUMMARY["prompt"]
    await call(api, "GET", "/templates/summary", 404, params={"version": 4})


async def test_a_change_of_what_somebody_else_has_changed_is_refused(
    api: httpx.AsyncClient, agent: str
) -> None:
    await make(api)
    await call(api, "PUT", "/templates/summary", json={"prompt": "{{ path }}!", "version": 1})
    refused = await call(api, "PUT", "/templates/summary", 409, json={"prompt": "x", "version": 1})
    assert "is at version 2, not 1" in refused["detail"]
    edits = [
        api.put("/templates/summary", json={"prompt": f"{{{{ path }}}} {number}"})
        for number in range(8)
    ]
    answers = [answer.status_code for answer in await asyncio.gather(*edits)]
    won = answers.count(200)
    assert won >= 1
    assert set(answers) <= {200, 409}
    assert (await call(api, "GET", "/templates/summary"))["version"] == 2 + won


@pytest.mark.parametrize(
    ("wrong", "field", "told"),
    [
        ({"prompt": "Read {{ pth }}."}, "prompt", "the closest is 'path'"),
        ({"prompt": "{{ path.upper() }}"}, "prompt", "Call is not possible"),
        ({"prompt": "{% for %}"}, "prompt", "Line 1"),
        ({"prompt": ""}, "prompt", "empty"),
        ({"task": {"agent": "a", "title": "{{ nope }}"}}, "task.title", "no parameter"),
        ({"task": {"agent": "a", "input": {"x": ["{{ no }}"]}}}, "task.input.x.0", "no parameter"),
        ({"task": {"agent": "nobody"}}, "task.agent", "nobody"),
        ({"task": {}}, "task", "name either an agent or capabilities"),
        ({"task": {"agent": "a", "delay": 5}}, "task.delay", "no such field"),
        ({"task": {"agent": "a", "input_schema": {"type": 5}}}, "task.input_schema.type", "schema"),
        ({"parameters": {"type": "string"}}, "parameters.type", "object"),
        ({"defaults": {"words": "x"}}, "defaults.words", "Must be a whole number"),
        ({"name": "no name"}, "name", "letters, digits"),
    ],
)
async def test_a_wrong_template_is_refused_and_nothing_kept(
    api: httpx.AsyncClient, agent: str, wrong: dict[str, Any], field: str, told: str
) -> None:
    answer = await api.post("/templates", json={**SUMMARY, **wrong})
    assert answer.status_code in (404, 422), answer.text
    problem = answer.json()
    assert told in problem["detail"]
    assert problem["errors"][0]["field"] == field
    assert (await api.get("/templates/summary")).status_code == 404
    made = await make(api)
    if "name" not in wrong:
        await call(api, "PUT", "/templates/summary", answer.status_code, json=wrong)
    assert await call(api, "GET", "/templates/summary") == made


async def test_what_is_built_in_is_changed_for_one_project_and_back(
    api: httpx.AsyncClient, agent: str
) -> None:
    await call(api, "POST", "/projects", 201, json={"name": "other"})
    before = await call(api, "GET", "/templates/code-review")
    assert (before["source"], before["version"], before["built_in_version"]) == ("built_in", 1, 1)
    assert (before["created_by"], before["created_at"]) == (None, None)
    edit = {"defaults": {"severity": "high"}, "task": {"agent": "a", "priority": 9}}
    changed = await call(api, "PUT", "/templates/code-review", json=edit)
    assert (changed["source"], changed["version"], changed["based_on"]) == ("project", 2, 1)
    assert changed["changed"] == ["task", "defaults"]
    assert changed["prompt"] == before["prompt"]
    given = {"repository": "/r", "branch": "b"}
    task = await start(api, "code-review", parameters=given)
    assert (task["agent"], task["priority"]) == ("a", 9)
    assert task["template"] == {"name": "code-review", "version": 2, "built_in": False}
    assert "below the severity high" in task["input"]["prompt"]
    original = await call(api, "GET", "/templates/code-review", params={"built_in": True})
    assert {**original, "built_in_version": 1} == before
    elsewhere = await call(api, "GET", "/templates/code-review", params={"project": "other"})
    assert elsewhere == {**before, "project": "other"}
    await call(api, "DELETE", "/templates/code-review", 204)
    assert await call(api, "GET", "/templates/code-review") == before
    refused = await call(api, "DELETE", "/templates/code-review", 409)
    assert "is built in" in refused["detail"]
    again = await call(api, "PUT", "/templates/code-review", json={"description": "Ours."})
    assert (again["version"], again["changed"]) == (3, ["description"])


async def test_what_is_built_in_starts_as_it_is(api: httpx.AsyncClient) -> None:
    task = await start(api, "bug-fix", parameters={"repository": "/r", "report": "It stops."})
    assert task["template"] == {"name": "bug-fix", "version": 1, "built_in": True}
    assert (task["capabilities"], task["state"]) == (["code"], "queued")
    versions = await call(api, "GET", "/templates/bug-fix/versions")
    assert [each["version"] for each in versions["items"]] == [1]
    same = {"name": "bug-fix", "prompt": "Mend it.", "task": {"capabilities": ["code"]}}
    taken = await call(api, "POST", "/templates", 409, json=same)
    assert "is built in" in taken["detail"]


async def test_many_first_changes_of_what_is_built_in_make_one(
    api: httpx.AsyncClient, agent: str
) -> None:
    edits = [
        api.put("/templates/checkup", json={"description": f"Ours, {number}."})
        for number in range(8)
    ]
    answers = [answer.status_code for answer in await asyncio.gather(*edits)]
    assert set(answers) <= {200, 409}
    found = await call(api, "GET", "/templates/checkup")
    assert found["version"] - found["based_on"] == answers.count(200) >= 1


async def test_templates_belong_to_a_project(api: httpx.AsyncClient, agent: str) -> None:
    await call(api, "POST", "/projects", 201, json={"name": "other"})
    await call(api, "POST", "/agents", 201, json=AGENT, params={"project": "other"})
    for name in ("z", "a", "c-a"):
        await make(api, name=name)
    built_in = ["bug-fix", "checkup", "code-review"]
    names: list[str] = []
    cursor = None
    while True:
        options = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await call(api, "GET", "/templates", params=options)
        names += [each["name"] for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert names == sorted(["a", "c-a", "z", *built_in])
    await call(api, "POST", "/templates", 409, json={**SUMMARY, "name": "a"})
    body = {**SUMMARY, "name": "a", "prompt": "Elsewhere."}
    await call(api, "POST", "/templates", 201, json=body, params={"project": "other"})
    found = await call(api, "GET", "/templates/a", params={"project": "other"})
    assert (found["project"], found["prompt"]) == ("other", "Elsewhere.")
    await call(api, "DELETE", "/agents/a", 204, params={"project": "other"})
    refused = await call(api, "DELETE", "/projects/other", 409)
    assert "1 template" in refused["detail"]
    await call(api, "DELETE", "/templates/a", 204, params={"project": "other"})
    await call(api, "DELETE", "/projects/other", 204)


async def token(api: httpx.AsyncClient, *scopes: str) -> dict[str, str]:
    made = await call(api, "POST", "/tokens", 201, json={"name": "t", "scopes": scopes})
    return {"Authorization": f"Bearer {made['token']}"}


async def test_templates_need_scopes_of_their_own(api: httpx.AsyncClient, agent: str) -> None:
    for scopes in (("tasks:write",), ("templates:write",), ("templates:write", "tasks:write")):
        headers = await token(api, *scopes)
        refused = await call(api, "POST", "/templates", 403, json=SUMMARY, headers=headers)
    assert "tasks:execute" in refused["detail"]  # its agent runs code
    await make(api)
    reader = await token(api, "templates:read")
    await call(api, "GET", "/templates/summary", headers=reader)
    await call(api, "POST", "/templates/summary/preview", json=GIVEN, headers=reader)
    for method, path, body in (
        ("PUT", "", {"prompt": "x"}),
        ("DELETE", "", None),
        ("POST", "/start", GIVEN),
    ):
        await call(api, method, f"/templates/summary{path}", 403, json=body, headers=reader)
    path = "/templates/summary/start"
    writer = await token(api, "templates:read", "tasks:write")
    refused = await call(api, "POST", path, 403, json=GIVEN, headers=writer)
    assert "tasks:execute" in refused["detail"]
    executor = await token(api, "templates:read", "tasks:write", "tasks:execute")
    await call(api, "POST", path, 201, json=GIVEN, headers=executor)
    editor = await token(api, "templates:write", "tasks:write")
    await call(api, "PUT", "/templates/summary", 403, json={"prompt": "x"}, headers=editor)


async def test_a_version_tells_whose_it_is(api: httpx.AsyncClient) -> None:
    """So that a change of what somebody read is refused when another template is in force."""

    async def edit(version: int, expected: int = 200, **changes: Any) -> dict[str, Any]:
        body = {"version": version, **changes}
        return await call(api, "PUT", "/templates/code-review", expected, json=body)

    built_in = (await call(api, "GET", "/templates/code-review"))["version"]
    own = (await edit(built_in, defaults={"base": "trunk"}))["version"]
    assert own > built_in
    told = await edit(built_in, 409, defaults={"severity": "high"})
    assert told["version"] == own
    second = (await edit(own, defaults={"severity": "high"}))["version"]
    await call(api, "DELETE", "/templates/code-review", 204)
    await edit(second, 409, defaults={"severity": "low"})
    assert (await edit(built_in, defaults={"severity": "low"}))["version"] == second + 1
