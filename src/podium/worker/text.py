"""Text and names as PostgreSQL and JSON can keep them."""

import re

_NOT_KEPT = re.compile("[\x00\ud800-\udfff]")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
MAX_NAME = 255


def clean(text: str) -> str:
    """``text`` with a mark in place of each NUL character and lone surrogate."""
    return _NOT_KEPT.sub("\ufffd", text)


def is_name(text: object) -> bool:
    """Whether it is text that may name something: not too long, and no control character in it."""
    return isinstance(text, str) and len(text) <= MAX_NAME and not _NOT_IN_NAMES.search(text)
