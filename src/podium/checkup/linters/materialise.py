"""Writing files of the snapshot to a directory, for tools that read files only."""

import os
from collections.abc import Iterable
from pathlib import Path

from podium.checkup.repository import Entry, Reader

MAX_BYTES = 300_000_000
"""The most that is written for one tool."""


def write(root: Path, entries: Iterable[Entry], reader: Reader) -> tuple[list[str], int]:
    """Write the entries below ``root``; return the paths written and how many were left out.

    A hostile tree can hold names such as ``..``; they are left out. No symbolic link is ever
    made here, so nothing can be written outside ``root``.
    """
    written: list[str] = []
    left_out = total = 0
    for entry in entries:
        total += entry.size
        if total > MAX_BYTES or not _is_harmless(entry.path):
            left_out += 1
            continue
        target = root / entry.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(reader.read(entry))
        except OSError:  # a name too long, or a file where another path needs a directory
            left_out += 1
        else:
            written.append(entry.path)
    return written, left_out


def _is_harmless(path: str) -> bool:
    pieces = path.split("/")
    return not any(piece in {"", ".", ".."} or os.sep in piece for piece in pieces)
