"""What PostgreSQL cannot keep of JSON, and when two values are the same JSON."""

import re

import orjson

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def holds_nul(text: bytes) -> bool:
    """Whether JSON as orjson writes it holds a NUL character. A text that only speaks of one,
    such as source code with ``\\u0000`` in it, has its backslash doubled."""
    return b"\\u0000" in text and _NUL.search(text) is not None


def same_json(first: object, second: object) -> bool:
    """Whether two values are the same JSON, in which true is not 1 as it is to Python."""
    return first == second and _written(first) == _written(second)


def _written(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
