"""Limits that keep parsers and patterns from taking for ever on content made to do so."""

import re

MAX_DEPTH = 200
"""Brackets within brackets; parsers take time that grows with its square."""

_BRACKETS = re.compile(rb"[\[\]{}]")
_SPACES = re.compile(r"[ \t]{2,}")


def is_too_deep(content: bytes) -> bool:
    """Whether brackets are nested deeper than anybody writes (those in strings count too)."""
    depth = 0
    for match in _BRACKETS.finditer(content):
        depth += 1 if match[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
        depth = max(depth, 0)
    return False


def has_line_over(content: bytes, limit: int) -> bool:
    """Whether a line has more than ``limit`` bytes."""
    return any(len(line) > limit for line in content.split(b"\n"))


def squeezed(line: str) -> str:
    """The line with each run of spaces made one: patterns that expect spaces try each of them."""
    return _SPACES.sub(" ", line)
