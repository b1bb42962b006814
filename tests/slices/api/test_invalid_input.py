"""What is wrong with a request is told in plain words: which field, and what to give instead."""

import httpx
import pytest

STATES = "'pending', 'queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled' or 'dead'"
BACKOFFS = "'fixed', 'linear', 'exponential' or 'fibonacci'"
MOMENT = "Must be a moment in ISO 8601 with its time zone, such as 2026-03-01T09:30:00Z"


async def test_wrong_fields_are_named_and_never_repeated(api: httpx.AsyncClient) -> None:
    body = {"name": "CANARY-1", "weight": "CANARY-2", "CANARY3": 1}
    answer = await api.post("/projects", json=body)
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields == {"name", "weight", "CANARY3"}
    assert "CANARY-" not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/tasks", {"agnet": "a"}, "agnet: There is no such field; the closest is 'agent'"),
        ("/tasks", {"retry": {"max_retry": 1}}, "the closest is 'max_retries'"),
        ("/tasks", {"timeouts": {"hertbeat": 1}}, "the closest is 'heartbeat'"),
        ("/tasks", {"zzzzzz": 1}, "zzzzzz: There is no such field."),
        (
            "/tasks/bulk",
            {"tasks": [{"agent": "a"}, {"agent": "a", "lables": {}}]},
            "tasks.1.lables: There is no such field; the closest is 'labels'.",
        ),
    ],
)
async def test_a_misspelt_field_is_told_the_one_that_is_meant(
    api: httpx.AsyncClient, path: str, body: object, told: str
) -> None:
    answer = await api.post(path, json=body)
    assert (answer.status_code, told in answer.json()["detail"]) == (422, True), answer.text


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/tasks", {"timeouts": {"queue": 0}}, "timeouts.queue: Must be greater than 0 seconds."),
        (
            "/tasks",
            {"delay": 1e9},
            "delay: Must be less than or equal to 31536000 seconds (365 days).",
        ),
        (
            "/tasks",
            {"retry": {"initial": -1}},
            "retry.initial: Must be greater than or equal to 0 seconds.",
        ),
        ("/tasks", {"timeouts": {"run": "1"}}, "timeouts.run: Must be a number."),
        ("/tokens", {"name": "a", "expires_in": 0}, "expires_in: Must be greater than 0 seconds."),
        (
            "/tasks",
            {"timeouts": {"queue": 0, "run": 0}, "priority": "x"},
            "priority: Must be a whole number; 2 more fields are wrong.",
        ),
    ],
)
async def test_limits_are_told_with_their_unit(
    api: httpx.AsyncClient, path: str, body: object, told: str
) -> None:
    answer = await api.post(path, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, told)


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        (
            "GET",
            "/tasks?state=runing",
            None,
            f"state.0: Must be {STATES}; the closest is 'running'.",
        ),
        (
            "POST",
            "/tasks",
            {"agent": "a", "retry": {"backoff": "Linear"}},
            f"retry.backoff: Must be {BACKOFFS}; the closest is 'linear'.",
        ),
        ("POST", "/tasks/bulk", {"tasks": []}, "tasks: Must not be empty."),
        (
            "POST",
            "/tasks",
            {"agent": "a", "capabilities": ["x"] * 51},
            "capabilities: Must have at most 50 items.",
        ),
        ("POST", "/tasks", {"agent": "a", "title": ""}, "title: Must not be empty."),
        (
            "POST",
            "/tasks",
            {"agent": "a", "title": "x" * 501},
            "title: Must have at most 500 characters.",
        ),
        ("POST", "/tasks", [], "body: Must be an object."),
        ("POST", "/tasks", {"agent": 5}, "agent: Must be text."),
        (
            "GET",
            "/tasks/0199",
            None,
            "task_id: Must be a whole id, such as 0199d3a8-5b1e-7c42-9f60-2d7e4b8a1c35.",
        ),
        (
            "GET",
            "/tasks?created_after=2026-13-01T00:00:00Z",
            None,
            f"created_after: {MOMENT}.",
        ),
    ],
)
async def test_wrong_values_are_told_in_plain_words(
    api: httpx.AsyncClient, method: str, path: str, body: object, told: str
) -> None:
    answer = await api.request(method, path, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, told)


async def test_query_parameters_that_a_route_does_not_know_are_refused(
    api: httpx.AsyncClient,
) -> None:
    """A dropped filter would have somebody cancel what a list did not mean to give."""
    answer = await api.get("/tasks?states=dead&limit=3&foo=CANARY")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "invalid_input")
    assert told["errors"] == [
        {"field": "states", "message": "There is no such parameter; the closest is 'state'"},
        {"field": "foo", "message": "There is no such parameter"},
    ]
    assert "CANARY" not in answer.text
    assert (await api.get("/tasks?state=dead&limit=3&project=default")).status_code == 200


async def test_a_parameter_that_is_no_list_is_given_once(api: httpx.AsyncClient) -> None:
    answer = await api.get("/agents?runtime=command&runtime=function&capability=a&capability=b")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "runtime", "message": "Must be given once"}]
    answer = await api.get("/agents?runtime=command&runtime=function&foo=1")
    assert [each["field"] for each in answer.json()["errors"]] == ["foo", "runtime"]
    assert (await api.get("/agents?capability=a&capability=b")).status_code == 200
    assert (
        await api.get("/tasks?state=dead&state=failed&label=a%3A1&label=b%3A2")
    ).status_code == 200


@pytest.mark.parametrize(
    "path", ["/events?types=task.dead", "/events/stream?types=task.dead", "/tokens?project=default"]
)
async def test_so_are_those_that_only_others_know(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["message"][:26]) == (
        422,
        "There is no such parameter",
    )
