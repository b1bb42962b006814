"""How hard a file is to change: by its indentation for any language, by lizard for many."""

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

_TAB = 4
_MAX_TEXT = 400_000
_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Shape:
    """``lines`` that are not blank, ``depth`` (levels of indentation, summed over them)."""

    lines: int
    depth: int


@dataclass(frozen=True, slots=True)
class Function:
    """A function with its cyclomatic complexity (paths through it) and its length in lines."""

    name: str
    line: int
    complexity: int
    lines: int


class _LizardFunction(Protocol):
    name: str
    start_line: int
    cyclomatic_complexity: int
    nloc: int


class _LizardFile(Protocol):
    function_list: list[_LizardFunction]


_Processor = Callable[[Iterator[str], object], Iterator[str]]


class _Analyzer(Protocol):
    def analyze_source_code(self, filename: str, code: str) -> _LizardFile: ...


class _Lizard(Protocol):
    """What is used of the module, which has no types."""

    def get_reader_for(self, filename: str) -> object: ...

    def get_extensions(self, names: list[str]) -> list[_Processor]: ...

    def FileAnalyzer(self, extensions: list[_Processor]) -> _Analyzer: ...  # noqa: N802 - its name


def shape(text: str) -> Shape:
    """Measure a file by its indentation.

    The sum of levels grows with length and with nesting, in every language that is indented,
    and follows the usual measures of complexity closely.
    """
    widths = [_indent(line) for line in text.splitlines() if line.strip()]
    odd = sum(1 for width in widths if width % 4 == 2)
    unit = 2 if odd * 10 > len(widths) else 4
    return Shape(len(widths), sum(width // unit for width in widths))


def _indent(line: str) -> int:
    width = 0
    for character in line:
        if character == " ":
            width += 1
        elif character == "\t":
            width += _TAB
        else:
            break
    return width


def hardest_function(path: str, text: str) -> Function | None:
    """The function with the most paths through it; None where lizard cannot tell.

    Its tokenizers take time that grows with the square of odd input, so it gets a few seconds.
    """
    lizard = _lizard()
    if len(text) > _MAX_TEXT or lizard.get_reader_for(path) is None:
        return None
    watched = [_until(time.monotonic() + _SECONDS), *lizard.get_extensions([])]
    try:
        functions = lizard.FileAnalyzer(watched).analyze_source_code(path, text).function_list
    except Exception:  # noqa: BLE001 - lizard raises anything on code that it cannot read
        return None
    worst = max(functions, key=lambda found: found.cyclomatic_complexity, default=None)
    if worst is None:
        return None
    return Function(worst.name, worst.start_line, worst.cyclomatic_complexity, worst.nloc)


def _lizard() -> _Lizard:
    """Importing it puts the directory of the running script on the path; take that back."""
    path = list(sys.path)
    try:
        return cast("_Lizard", importlib.import_module("lizard"))
    finally:
        sys.path[:] = path


def _until(end: float) -> _Processor:
    """A processor of lizard's that lets tokens through until ``end``."""

    def process(tokens: Iterator[str], _reader: object) -> Iterator[str]:
        for token in tokens:
            if time.monotonic() > end:
                raise TimeoutError
            yield token

    return process
