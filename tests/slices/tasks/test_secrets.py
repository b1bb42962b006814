"""Secrets that clients send by mistake stay out of events, errors and messages."""

from typing import Any

import pytest

from slices.tasks.conftest import Desk

TOKEN = f"podium_{'0a' * 16}_CANARYabcdefghijklmnopqrstuvwxyz012345678901"
"""As clients write tokens."""


async def stored(desk: Desk, table: str) -> str:
    return str(await desk.run(f"select t::text from {table} t"))


async def test_titles_and_reasons_are_kept_without_secrets(desk: Desk) -> None:
    from_prompt = await desk.create(input={"prompt": f"use {TOKEN} for it"}, delay=60)
    assert from_prompt["title"] == "use podium_*** for it"
    cut = await desk.create(input=f"{'x' * 30} {TOKEN}", delay=60)
    given = await desk.create(title=f"call http://me:CANARY@host with {TOKEN}", delay=60)
    assert given["title"] == "call http://me:***@host with podium_***"
    edited = await desk.call("PUT", f"tasks/{cut['id']}", json={"title": f"now {TOKEN}"})
    assert edited["title"] == "now podium_***"
    await desk.bulk([{"agent": "echo", "title": TOKEN, "delay": 60}])
    await desk.call("POST", f"tasks/{given['id']}/cancel", json={"reason": f"leaked {TOKEN}"})
    assert "CANARY" not in await stored(desk, "event")
    for task in (cut, given):
        shown = await desk.get(task) | {"input": None}
        assert "CANARY" not in str(shown)
        assert "CANARY" not in str(await desk.get(task, "explain"))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "tasks", {"agent": TOKEN}),
        ("POST", "tasks", {"agent": "echo", "depends_on": [TOKEN]}),
        ("POST", "tasks", {"agent": "echo", "labels": {TOKEN: "x" * 3000}}),
        ("POST", "tasks", {"agent": "echo", TOKEN: 1}),
        ("POST", "tasks", {"agent": "echo", "input_schema": {"type": TOKEN}}),
        ("POST", "tasks", {"agent": "echo", "input": TOKEN, "input_schema": {"type": "null"}}),
        ("POST", "tasks/bulk", {"tasks": [{"agent": "echo", "depends_on": [TOKEN]}]}),
        ("POST", "agents", {"name": "x", "runtime": TOKEN[:50], "config": {}}),
        ("POST", "tokens", {"name": "x", "scopes": ["tasks:read"], "project": TOKEN}),
        ("GET", "tasks", {"agent": TOKEN}),
        ("GET", "tasks", {"project": TOKEN}),
        ("GET", f"agents/{TOKEN}", None),
        ("GET", f"tasks/{TOKEN}", None),
        ("GET", f"projects/{TOKEN}", None),
    ],
)
async def test_problems_do_not_repeat_secrets(
    desk: Desk, method: str, path: str, body: Any
) -> None:
    if "echo" not in desk.registered:
        await desk.agent()
    sent = {"params" if method == "GET" else "json": body}
    answer = await desk.api.request(method, path, **sent)
    assert 400 <= answer.status_code < 500, answer.text
    assert "CANARY" not in answer.text
