"""Bodies of requests: declared as JSON, of any size, and holding nothing that would be lost."""

import gc
from typing import Any

import httpx
import pytest


@pytest.mark.parametrize(
    "declared", ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", None]
)
async def test_a_body_that_is_not_declared_as_json_is_told(
    api: httpx.AsyncClient, declared: str | None
) -> None:
    """As ``curl -d`` sends it."""
    headers = {"Content-Type": declared} if declared else {}
    answer = await api.post("/projects", content=b'{"name": "CANARY"}', headers=headers)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in told["hint"]
    assert (declared or "not declared") in told["detail"]
    assert "CANARY" not in answer.text


@pytest.mark.parametrize(
    ("input_", "where"),
    [
        ("a\x00b", "input"),
        ({"x": [1, {"y": "\x00"}]}, "input.x.1.y"),
        ({"x": {"a\x00": 1}}, "A name in input.x"),
    ],
)
async def test_nul_characters_are_refused_where_they_are(
    api: httpx.AsyncClient, input_: Any, where: str
) -> None:
    answer = await api.post("/tasks", json={"agent": "a", "input": input_})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(where)
    literal = {"agent": "a", "input": "\\u0000 is written with a backslash"}
    assert (await api.post("/tasks", json=literal)).status_code == 404  # no such agent


@pytest.mark.parametrize(
    ("input_", "where"),
    [
        ("123456789012345678901234567890", "input"),
        ("-9223372036854775809", "input"),
        ('{"x": ["a", {"y": 18446744073709551616}]}', "input.x.1.y"),
        ("[" + "9" * 200 + "]", "input.0"),
    ],
)
async def test_whole_numbers_that_would_change_are_refused(
    api: httpx.AsyncClient, input_: str, where: str
) -> None:
    headers = {"Content-Type": "application/json"}
    body = f'{{"agent": "a", "input": {input_}}}'
    told = (await api.post("/tasks", content=body, headers=headers)).json()
    assert (told["status"], told["code"]) == (422, "invalid_input")
    assert told["detail"].startswith(f"{where} is a whole number of more than 64 bits")
    assert "string" in told["hint"]


@pytest.mark.parametrize(
    "input_",
    [
        "[18446744073709551615, -9223372036854775808, 1234567890123456789]",
        "12345678901234567890123.5",
        '"a, 123456789012345678901234567890, b"',
        "1e25",
    ],
)
async def test_other_long_numbers_are_taken(api: httpx.AsyncClient, input_: str) -> None:
    headers = {"Content-Type": "application/json"}
    body = f'{{"agent": "a", "input": {input_}}}'
    answer = await api.post("/tasks", content=body, headers=headers)
    assert answer.status_code == 404  # no such agent


async def test_a_large_body_is_read_like_a_small_one(api: httpx.AsyncClient) -> None:
    body = {"agent": "a", "input": [[number] for number in range(30_000)]}
    assert (await api.post("/tasks", json=body)).status_code == 404
    assert gc.isenabled()
