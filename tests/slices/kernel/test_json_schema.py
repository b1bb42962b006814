"""Checking against JSON Schemas: what is found, and that no schema costs much to check."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from podium.kernel import json_schema
from podium.kernel.errors import SchemaTooCostly, Unavailable
from podium.kernel.json_schema import Check, Finding, findings
from podium.kernel.schema_cost import cost

EVIL = "^(?:(?=a)a|a|aa)+$"
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["children"],
        }
    },
    "$ref": "#/$defs/node",
}


def doubling(levels: int) -> dict[str, Any]:
    """A schema that refers twice from each definition to the one before."""
    parts: dict[str, Any] = {"a0": {"type": "string"}}
    for level in range(1, levels + 1):
        before = {"$ref": f"#/$defs/a{level - 1}"}
        parts[f"a{level}"] = {"anyOf": [{"allOf": [before, {"minimum": 5}]}, before]}
    return {"$defs": parts, "$ref": f"#/$defs/a{levels}"}


async def check(schema: dict[str, Any], value: Any) -> Finding | None:
    return (await findings([Check(schema, orjson.dumps(value))]))[0]


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "_CHILD", ("/nonexistent",))


class Leaf(BaseModel):
    name: str
    size: int


class Branch(BaseModel):
    left: Leaf
    right: Leaf
    by_name: dict[str, Leaf]


class Root(BaseModel):
    branches: list[Branch]
    first: Branch | None = None


@pytest.mark.usefixtures("no_child")
async def test_what_pydantic_makes_is_checked_in_this_process() -> None:
    schema = Root.model_json_schema()
    leaf = {"name": "x", "size": 1}
    branch: dict[str, Any] = {"left": leaf, "right": leaf, "by_name": {"a": leaf}}
    assert await check(schema, {"branches": [branch] * 20}) is None
    wrong = branch | {"by_name": {"a": {"name": "x", "size": "1"}}}
    found = await check(schema, {"branches": [branch, wrong]})
    assert found == Finding("value", "branches/1/by_name/a/size", '"1" is not of type "integer"')


@pytest.mark.usefixtures("no_child")
async def test_a_schema_that_is_none_is_told_in_this_process() -> None:
    found = await check({"properties": {"a": {"type": "strin"}}}, {})
    assert found is not None
    assert (found.what, found.place) == ("schema", "properties/a/type")


async def test_recursive_schemas_work() -> None:
    good = {"children": [{"children": []}]}
    bad = {"children": [{"children": [{}]}]}
    checks = [Check(TREE, orjson.dumps(each)) for each in (good, bad)]
    first, second, schema = await findings([*checks, Check(TREE, None)])
    assert first is schema is None
    assert second is not None
    assert second.place == "children/0/children/0"


@pytest.mark.usefixtures("no_child")
async def test_patterns_take_time_in_proportion_to_the_text() -> None:
    schema = {"items": {"not": {"pattern": "^(a|a|aa)+$"}}}
    began = time.monotonic()
    assert await check(schema, ["a" * 60 + "b"] * 100) is None
    assert time.monotonic() - began < 1


async def test_patterns_with_look_around_work() -> None:
    schema = {"type": "string", "pattern": "^(?=.*[0-9])[a-z0-9]+$"}
    assert await check(schema, "abc1") is None
    assert await check(schema, "abc") is not None


@pytest.mark.usefixtures("no_child")
async def test_it_is_told_when_no_process_can_be_started() -> None:
    with pytest.raises(Unavailable, match="No process") as caught:
        await check({"pattern": "^(?=a)"}, "a")
    assert "try again" in (caught.value.hint or "")


@pytest.mark.parametrize("reference", ["http://127.0.0.1:1/x", "file:///etc/hostname", "other"])
async def test_no_schema_reaches_out(reference: str) -> None:
    found = await check({"$ref": reference}, {})
    assert found is not None
    assert found.what == "schema"


def unevaluated(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling(29), 1),
        (unevaluated(40), {"a": 1}),
        (
            {"items": {"anyOf": [{"pattern": EVIL}, {"type": "string"}]}},
            ["a" * 60 + str(n) for n in range(3000)],
        ),
        ({"anyOf": [{"type": "string"}] * 1500}, {"a": ["x" * 10] * 10_000}),
        ({"items": {"not": {"enum": [{"x": n} for n in range(4999)]}}}, [{"x": 5000}] * 20_000),
    ],
    ids=["references", "unevaluated", "backtracking", "copies", "enum"],
)
async def test_what_would_take_too_much_is_given_up(schema: dict[str, Any], value: Any) -> None:
    began, longest = time.monotonic(), 0.0
    checking = asyncio.create_task(check(schema, value))
    while not checking.done():
        turn = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - turn)
    with pytest.raises(SchemaTooCostly):
        checking.result()
    assert time.monotonic() - began < json_schema._CHILD_SECONDS + 5
    assert longest < 1, "the event loop was held up"


def test_many_checks_share_one_child(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    run = json_schema._run

    def counted(request: bytes) -> bytes:
        calls.append(request)
        return run(request)

    monkeypatch.setattr(json_schema, "_run", counted)
    texts = [orjson.dumps({"children": [{}] * (n % 2)}) for n in range(40)]
    found = asyncio.run(findings([Check(TREE, text) for text in texts]))
    assert [each is None for each in found] == [True, False] * 20
    assert len(calls) == 1
    assert calls[0].count(b"required") == 1


async def test_many_schemas_do_not_hold_up_others() -> None:
    """Each differs from the others, and takes a while to be made ready."""
    schemas = [{"anyOf": [{"type": "string", "title": str(n)}] * 2500} for n in range(40)]
    checking = asyncio.create_task(findings([Check(schema, b'"x"') for schema in schemas]))
    began, longest = time.monotonic(), 0.0
    while not checking.done():
        turn = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - turn)
    assert checking.result() == [None] * 40
    assert longest < max(0.5, (time.monotonic() - began) / 4)


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"$ref": "#"},
        {"$dynamicRef": "#x"},
        {"$ref": "#name", "$defs": {"a": {"$anchor": "name"}}},
        {"items": {"$id": "http://x.example/y", "$ref": "#/$defs/a"}},
        {"$ref": "#/nowhere"},
        {"$ref": "http://json-schema.org/draft-07/schema#"},
        {"anyOf": [{}] * 10_001},
        doubling(29),
        {
            "$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(1000)},
            "$ref": "#/$defs/a0",
        },
        {"properties": {"$defs": {"anyOf": [{"$ref": "#"}]}}},
    ],
)
def test_what_cannot_be_counted(schema: dict[str, Any]) -> None:
    assert cost(schema) is None


def test_counts_what_references_mean() -> None:
    assert (cost(doubling(3)) or 0) > 2 * (cost(doubling(2)) or 0) > 0
    escaped = {"$defs": {"a/b ~c": {"type": "string"}}, "items": {"$ref": "#/$defs/a~1b%20~0c"}}
    assert cost(escaped) is not None
    assert cost({"anyOf": [{}, {"not": {}}], "prefixItems": [{"$ref": "#/anyOf/1"}]}) is not None
