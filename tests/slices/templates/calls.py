"""A template, and calls that must be answered as told."""

from typing import Any

import httpx

AGENT = {"name": "a", "runtime": "command", "config": {"command": ["true"]}}
SCHEMA = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string"},
        "words": {"type": "integer", "minimum": 1, "default": 100},
        "style": {"type": "object", "properties": {"tone": {"default": "plain"}}},
    },
}
SUMMARY: dict[str, Any] = {
    "name": "summary",
    "description": "Sums up a file.",
    "parameters": SCHEMA,
    "prompt": "Sum up {{ path }} in {{ words }} words, {{ style.tone }}.",
    "task": {"agent": "a", "title": "Summary of {{ path }}", "labels": {"team": "core"}},
}
GIVEN = {"parameters": {"path": "README.md"}}


async def call(
    api: httpx.AsyncClient, method: str, path: str, expected: int = 200, **options: Any
) -> dict[str, Any]:
    answer = await api.request(method, path, **options)
    assert answer.status_code == expected, answer.text
    return answer.json() if answer.content else {}


async def make(api: httpx.AsyncClient, **options: Any) -> dict[str, Any]:
    return await call(api, "POST", "/templates", 201, json={**SUMMARY, **options})


async def start(
    api: httpx.AsyncClient, name: str = "summary", expected: int = 201, **body: Any
) -> dict[str, Any]:
    body.setdefault("parameters", GIVEN["parameters"])
    return await call(api, "POST", f"/templates/{name}/start", expected, json=body)
