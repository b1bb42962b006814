"""JSON Schema without its dangers: no schema reaches the network or a file, none recurses without
end, and a pattern that would backtrack for ever is given up.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jsonschema_rs
import orjson

from podium.kernel.errors import InvalidInput

_MESSAGE_CHARS = 500


class Mismatch(NamedTuple):
    """Where a value does not match, as ``steps/0/name`` (empty: its top), and how."""

    place: str
    message: str


def require_schema(schema: Mapping[str, Any], field: str) -> None:
    """Raise ``InvalidInput`` unless ``schema`` is a JSON Schema that can be used.

    Drafts 4 to 2020-12, as its ``$schema`` says; 2020-12 without one. It may refer to its own
    parts and to the drafts' own schemas, to nothing else.
    """
    try:
        _validator(_text(schema))
    except jsonschema_rs.ValidationError as error:
        where = "/".join(str(part) for part in error.instance_path)
        raise InvalidInput(
            f"{field} is no JSON Schema that can be used: {error.message[:_MESSAGE_CHARS]}",
            hint="A schema may refer to its own parts only.",
            field=f"{field}/{where}".rstrip("/"),
        ) from None


def mismatch(value: Any, schema: Mapping[str, Any]) -> Mismatch | None:
    """The first place where the JSON ``value`` does not match a schema that was required."""
    try:
        _validator(_text(schema)).validate(value)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(str(part) for part in error.instance_path)
        return Mismatch(place, error.message[:_MESSAGE_CHARS])
    return None


def _text(schema: Mapping[str, Any]) -> bytes:
    return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)


@lru_cache(maxsize=256)
def _validator(text: bytes) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(orjson.loads(text), offline=True)
