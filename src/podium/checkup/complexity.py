"""How hard a file is to change: by its indentation for any language, by lizard for many."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

_TAB = 4


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
    """The function with the most paths through it; None where lizard cannot tell."""
    lizard = importlib.import_module("lizard")
    if cast("Callable[[str], object]", lizard.get_reader_for)(path) is None:
        return None
    analyze = cast("Callable[[str, str], _LizardFile]", lizard.analyze_file.analyze_source_code)
    try:
        functions = analyze(path, text).function_list
    except Exception:  # noqa: BLE001 - lizard's tokenizers raise anything on code they cannot read
        return None
    worst = max(functions, key=lambda found: found.cyclomatic_complexity, default=None)
    if worst is None:
        return None
    return Function(worst.name, worst.start_line, worst.cyclomatic_complexity, worst.nloc)
