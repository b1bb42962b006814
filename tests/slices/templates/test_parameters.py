"""Parameters of templates: what is filled in, and what is told when some are wrong."""

from collections.abc import Mapping
from typing import Any

import pytest

from podium.kernel.errors import InvalidInput, SchemaMismatch
from podium.templates import parameters

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["branch", "owner"],
    "properties": {
        "branch": {"type": "string", "minLength": 1},
        "owner": {"type": "string"},
        "severity": {"enum": ["low", "high"], "default": "low"},
        "options": {
            "type": "object",
            "properties": {
                "depth": {"type": "integer", "default": 3},
                "paths": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}


async def checked(
    given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, **schema: Any
) -> Mapping[str, Any]:
    return await parameters.checked({**SCHEMA, **schema}, defaults or {}, given)


async def test_what_is_left_out_has_defaults_inner_ones_too() -> None:
    given = {"branch": "b", "owner": "o"}
    assert await checked(given) == {**given, "severity": "low", "options": {"depth": 3}}
    assert (await checked({**given, "options": {"paths": ["a"]}}))["options"] == {
        "paths": ["a"],
        "depth": 3,
    }


async def test_defaults_of_a_template_come_before_those_of_its_schema() -> None:
    found = await checked({"branch": "b"}, {"owner": "us", "severity": "high"})
    assert (found["owner"], found["severity"]) == ("us", "high")
    assert (await checked({"branch": "b", "owner": "me"}, {"owner": "us"}))["owner"] == "me"


async def test_all_that_is_wrong_is_told_with_its_place() -> None:
    given = {"branch": "", "severity": "odd", "options": {"paths": ["a", 5]}}
    with pytest.raises(SchemaMismatch) as caught:
        await checked(given)
    told = {each["field"]: each["message"] for each in caught.value.context["errors"]}
    assert told.keys() == {
        "parameters.owner",
        "parameters.branch",
        "parameters.severity",
        "parameters.options.paths.1",
    }
    assert told["parameters.owner"] == "Must be given"
    assert "3 more fields are wrong" in caught.value.message
    with pytest.raises(SchemaMismatch) as caught:
        await checked({**given, "foo": 1, "bar": 2})
    told = [each["field"] for each in caught.value.context["errors"]]
    assert told[:3] == ["parameters.foo", "parameters.bar", "parameters.owner"]
    assert len(told) == 6


async def test_what_the_whole_breaks_is_told_too() -> None:
    together = {"not": {"required": ["branch", "owner"]}}
    with pytest.raises(SchemaMismatch) as caught:
        await checked({"branch": "b", "owner": "o"}, **together)
    assert caught.value.context["errors"][0]["field"] == "parameters"


async def test_a_name_that_there_is_not_is_refused_unless_the_schema_says_otherwise() -> None:
    given = {"branch": "b", "owner": "o", "severty": "low"}
    with pytest.raises(InvalidInput, match="no parameter 'severty'; the closest is 'severity'"):
        await checked(given)
    found = await checked(given, additionalProperties={"type": "string"})
    assert found["severty"] == "low"
    with pytest.raises(SchemaMismatch):
        await checked({**given, "severty": 5}, additionalProperties={"type": "string"})


@pytest.mark.parametrize(
    ("schema", "defaults", "field", "told"),
    [
        ({"type": "array"}, {}, "parameters.type", '"type": "object"'),
        ({"properties": {}}, {}, "parameters.type", '"type": "object"'),
        ({"type": "object", "properties": {"a": {"type": "x"}}}, {}, None, "no JSON Schema"),
        ({"type": "object", "properties": {"prompt": {}}}, {}, None, "cannot be called 'prompt'"),
        ({"type": "object", "$ref": "https://example.org/s"}, {}, "parameters", "no JSON Schema"),
        (SCHEMA, {"severity": "odd"}, "defaults.severity", "odd"),
        (SCHEMA, {"nope": 1}, "defaults.nope", "no parameter 'nope'"),
        (
            {"type": "object", "properties": {"n": {"type": "integer", "default": "x"}}},
            {},
            "defaults.n",
            "Must be a whole number",
        ),
        ({"type": "object", "description": "x" * 70_000}, {}, "parameters", "at most 65536"),
        (SCHEMA, {"owner": "a\x00"}, "defaults", "NUL"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_refused(
    schema: dict[str, Any], defaults: dict[str, Any], field: str | None, told: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await parameters.check_schema(schema, defaults)
    assert told in caught.value.message
    found = caught.value.context
    named = found.get("field") or found["errors"][0]["field"]
    assert field is None or named == field


async def test_defaults_need_not_be_all_that_is_required() -> None:
    await parameters.check_schema(SCHEMA, {"owner": "us"})
