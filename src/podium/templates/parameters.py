"""The parameters of a template: their schema, their defaults, and what is wrong with some."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from podium.kernel.errors import InvalidInput, SchemaMismatch
from podium.kernel.expressions import RESERVED
from podium.kernel.fields import MOST_TOLD, and_more, closest
from podium.kernel.json_schema import Check, findings
from podium.kernel.json_text import holds_nul
from podium.kernel.schema_check import Finding
from podium.kernel.schema_defaults import filled

Schema = Mapping[str, Any]

MOST_BYTES = 65_536
"""Of a schema, and of the parameters of one task."""
NAMES = RESERVED | {"parameters", "prompt"}
"""What texts of a template know beside its parameters."""
_KEPT = frozenset({"$schema", "$defs", "definitions", "type", "properties"})
_OPENING = frozenset(
    {
        *("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames"),
        *("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"),
    }
)
"""With one of these a schema says by itself which names there may be."""
_SIMPLE = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}


async def check_schema(schema: Schema, defaults: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` unless this is the schema of an object, and the defaults fit it."""
    _check_size(schema, "parameters", "Keep it small: it describes what people fill in.")
    if schema.get("type") != "object":
        raise InvalidInput(
            'The parameters need a JSON Schema with "type": "object".',
            hint='Write {"type": "object", "properties": {"branch": {"type": "string"}}}.',
            field="parameters.type",
        )
    for name in properties(schema):
        if name in NAMES or not name:
            raise InvalidInput(
                f"A parameter cannot be called {name!r}.",
                hint="That name means something else in a prompt: choose another.",
                field=f"parameters.properties.{name}".rstrip("."),
            )
    await require_schema(schema, "parameters")
    _check_size(defaults, "defaults", "Keep them small.")
    whole = filled(_part(schema, properties(schema)), defaults)
    if told := [*_no_such(schema, _unknown(schema, defaults)), *await _each(schema, whole)]:
        raise _mismatch(told, "defaults", "Correct the default: a task could not be started by it.")


async def require_schema(schema: Schema, field: str) -> None:
    """Raise ``InvalidInput`` unless this is a JSON Schema that can be used."""
    (wrong,) = await findings([Check(schema, None)])
    if wrong is not None:
        raise InvalidInput(
            f"{field} is no JSON Schema that can be used: {wrong.message}",
            hint="A schema may refer to its own parts only.",
            field=_place(field, wrong.place),
        )


async def checked(
    schema: Schema, defaults: Mapping[str, Any], given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The parameters of a task, with what was left out. Raises ``SchemaMismatch`` with all that is
    wrong, each with its place."""
    _check_size(given, "parameters", "Keep large data in files and pass their paths.")
    unknown = _unknown(schema, given)
    meant = {name: given[name] for name in given.keys() - set(unknown)}
    whole = cast("Mapping[str, Any]", filled(schema, {**defaults, **meant}))
    (wrong,) = await findings([Check(schema, orjson.dumps(whole))])
    if wrong is None and not unknown:
        return whole
    found = [*_left_out(schema, whole), *await _each(schema, whole)]
    told = [*_no_such(schema, unknown), *found] or list(filter(None, [wrong]))
    hint = "Correct what was given; `podium template show` tells all."
    if unknown:
        known = ", ".join(properties(schema))
        hint = f"There are: {known}." if known else "It has no parameters."
    raise _mismatch(told, "parameters", hint)


def properties(schema: Schema) -> Mapping[str, Any]:
    """The parameters that the schema names, each with its own."""
    found = schema.get("properties")
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _unknown(schema: Schema, given: Mapping[str, Any]) -> Sequence[str]:
    """Names that the schema does not have, which are typing errors unless it says otherwise."""
    if _OPENING & schema.keys():
        return ()
    return [name for name in given if name not in properties(schema)]


def _no_such(schema: Schema, names: Sequence[str]) -> list[Finding]:
    known = properties(schema)
    return [
        Finding(
            "value",
            name[:100],
            f"There is no parameter {name[:100]!r}{closest(name, known) if at < MOST_TOLD else ''}",
        )
        for at, name in enumerate(names)
    ]


async def _each(schema: Schema, whole: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with each parameter by itself."""
    known = [name for name in properties(schema) if name in whole]
    checks = [Check(_part(schema, [name]), orjson.dumps({name: whole[name]})) for name in known]
    found = [finding for finding in await findings(checks) if finding is not None]
    return [_plain(schema, whole, finding) for finding in found]


def _plain(schema: Schema, whole: Mapping[str, Any], finding: Finding) -> Finding:
    """What is wrong with a text that stands for a number, say, in words for who gave it."""
    part = properties(schema).get(finding.place)
    kind = cast("Mapping[str, Any]", part).get("type") if isinstance(part, dict) else None
    if kind not in _SIMPLE or not isinstance(whole[finding.place], str):
        return finding
    return finding._replace(message=f"Must be {_SIMPLE[kind]}")


def _part(schema: Schema, names: Sequence[str] | Mapping[str, Any]) -> Schema:
    """The schema of these parameters alone, none of which must be given."""
    kept = {name: value for name, value in schema.items() if name in _KEPT}
    return {**kept, "properties": {name: properties(schema)[name] for name in names}}


def _left_out(schema: Schema, whole: Mapping[str, Any]) -> list[Finding]:
    needed = schema.get("required")
    names = cast("list[str]", needed) if isinstance(needed, list) else []
    return [Finding("value", name, "Must be given") for name in names if name not in whole]


def _mismatch(told: Sequence[Finding], field: str, hint: str) -> SchemaMismatch:
    errors = [
        {"field": _place(field, each.place), "message": each.message} for each in told[:MOST_TOLD]
    ]
    first = errors[0]
    return SchemaMismatch(
        f"{first['field']}: {first['message']}{and_more(len(told) - 1)}.", hint=hint, errors=errors
    )


def _place(field: str, place: str) -> str:
    return f"{field}.{place.replace('/', '.')}".rstrip(".")


def _check_size(value: Mapping[str, Any], field: str, hint: str) -> None:
    text = orjson.dumps(value)
    if len(text) > MOST_BYTES:
        raise InvalidInput(
            f"The {field} have {len(text)} bytes; at most {MOST_BYTES} are allowed.",
            hint=hint,
            field=field,
        )
    if holds_nul(text):
        raise InvalidInput(
            f"The {field} hold NUL characters, which cannot be kept.",
            hint="Remove them.",
            field=field,
        )
