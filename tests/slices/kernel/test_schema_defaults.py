"""Defaults of JSON Schemas, filled in wherever something was left out."""

from typing import Any

import pytest

from podium.kernel.errors import SchemaTooCostly
from podium.kernel.schema_defaults import filled

SCHEMA: dict[str, Any] = {
    "properties": {
        "plain": {"default": 1},
        "inner": {"properties": {"x": {"default": [2]}, "y": {}}},
        "needy": {"required": ["y"], "properties": {"x": {"default": 2}, "y": {}}},
        "rows": {"items": {"$ref": "#/$defs/row"}},
        "row": {"$ref": "#/$defs/row"},
        "whole": {"default": {"a": 1}, "properties": {"b": {"default": 2}}},
        "pair": {"prefixItems": [{"properties": {"p": {"default": 0}}}], "items": True},
    },
    "allOf": [{"properties": {"late": {"default": "l"}}}],
    "$defs": {"row": {"properties": {"r": {"default": "R"}}}},
}


def test_all_that_was_left_out_is_filled_in() -> None:
    assert filled(SCHEMA, {}) == {
        "plain": 1,
        "inner": {"x": [2]},
        "row": {"r": "R"},
        "whole": {"a": 1, "b": 2},
        "late": "l",
    }


def test_what_was_given_stays() -> None:
    given = {"plain": None, "inner": {"x": 0}, "needy": {}, "rows": [{}, {"r": 1}], "pair": [{}, 5]}
    assert filled(SCHEMA, given) == {
        "plain": None,
        "inner": {"x": 0},
        "needy": {"x": 2},
        "rows": [{"r": "R"}, {"r": 1}],
        "row": {"r": "R"},
        "whole": {"a": 1, "b": 2},
        "pair": [{"p": 0}, 5],
        "late": "l",
    }
    assert given["needy"] == {}  # a copy is filled
    assert filled(SCHEMA, 5) == 5


def test_each_gets_a_default_of_its_own() -> None:
    first = filled(SCHEMA, {})
    first["inner"]["x"].append(3)
    assert filled(SCHEMA, {})["inner"]["x"] == [2]


def test_a_schema_inside_itself_ends() -> None:
    tree = {"properties": {"name": {"default": "n"}, "child": {"$ref": "#"}}}
    assert filled(tree, {}) == {"name": "n"}
    assert filled(tree, {"child": {}}) == {"name": "n", "child": {"name": "n"}}


def test_a_schema_that_doubles_with_each_definition_is_refused() -> None:
    def twice(level: int) -> dict[str, Any]:
        part = {"$ref": f"#/$defs/a{level + 1}"}
        return {"properties": {"x": part, "y": dict(part)}}

    parts = {f"a{level}": twice(level) for level in range(40)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**parts, "a40": {"default": 1}}}
    with pytest.raises(SchemaTooCostly):
        filled(schema, {})
