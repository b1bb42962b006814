"""What PostgreSQL cannot keep of JSON."""

import re

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def holds_nul(text: bytes) -> bool:
    """Whether JSON as orjson writes it holds a NUL character. A text that only speaks of one,
    such as source code with ``\\u0000`` in it, has its backslash doubled."""
    return b"\\u0000" in text and _NUL.search(text) is not None
