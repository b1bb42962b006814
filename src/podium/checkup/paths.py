"""Paths in the inputs and outputs of tasks, which are JSON and so can hold nothing but text."""

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

_SCHEME = "file://"


def path_text(path: str) -> str:
    """An absolute path as text: as it is, or where its bytes are no UTF-8 as a ``file:`` URI."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return Path(path).as_uri()
    return path


def path_of(text: str) -> Path:
    """The path that ``path_text`` made the text of."""
    if text.startswith(f"{_SCHEME}/"):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_SCHEME))))
    return Path(text)
