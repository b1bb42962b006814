"""Tables and fields as text. Written here because a library for it takes longer to load than a
command may take."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
_GAP = "  "
_NARROWEST = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """Text that is safe to print, in a style: words such as ``bold red``."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """How wide a line may be (None: as wide as it is), and whether there may be colours."""

    width: int | None = None
    coloured: bool = False

    def painted(self, text: str, style: str) -> str:
        if not (self.coloured and style and text):
            return text
        codes = ";".join(_CODES[word] for word in style.split())
        return f"\033[{codes}m{text}\033[0m"


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], look: Look) -> str:
    """Columns under their headers; what does not fit goes on in the lines below. Ids stay whole."""
    columns = [*zip(*rows, strict=True)] or [() for _ in headers]
    natural = [
        max(_widest(cell.text) for cell in (Cell(header), *column))
        for header, column in zip(headers, columns, strict=True)
    ]
    widths = _fitted(natural, [header != "ID" for header in headers], look.width)
    lines = [*_row([Cell(header, "bold") for header in headers], widths, look)]
    whole = sum(widths) + len(_GAP) * (len(widths) - 1)
    lines.append("─" * (whole if look.width is None else min(whole, look.width)))
    for row in rows:
        lines += _row(row, widths, look)
    return "\n".join(lines)


def fields(values: Mapping[str, Cell], look: Look) -> str:
    """Names and values, a line or more each."""
    first = max(map(_widest, values), default=0)
    widest = max((_widest(cell.text) for cell in values.values()), default=0)
    second = widest if look.width is None else min(widest, look.width - first - len(_GAP))
    return "\n".join(
        line
        for name, cell in values.items()
        for line in _row([Cell(name, "bold"), cell], [first, max(second, _NARROWEST)], look)
    )


def _row(cells: Sequence[Cell], widths: Sequence[int], look: Look) -> Iterator[str]:
    folded = [[*_folded(cell.text, width)] for cell, width in zip(cells, widths, strict=True)]
    for pieces in zip_longest(*folded, fillvalue=""):
        line = _GAP.join(
            look.painted(piece, cell.style) + " " * (width - _cells(piece))
            for piece, cell, width in zip(pieces, cells, widths, strict=True)
        )
        yield line.rstrip()


def _fitted(natural: Sequence[int], may_fold: Sequence[bool], width: int | None) -> list[int]:
    """Narrow the widest columns until all of them fit."""
    widths = [*natural]
    room = None if width is None else width - len(_GAP) * (len(widths) - 1)
    while room is not None and sum(widths) > room:
        wide = [place for place, fold in enumerate(may_fold) if fold and widths[place] > _NARROWEST]
        if not wide:
            break
        widths[max(wide, key=lambda place: widths[place])] -= 1
    return widths


def _folded(text: str, width: int) -> Iterator[str]:
    """Lines of at most ``width`` columns, broken between words where that is possible."""
    for line in text.expandtabs().split("\n"):
        rest = line
        while _cells(rest) > width:
            fitting = _fitting(rest, width)
            space = rest.rfind(" ", 1, fitting + 1)
            cut = space if space > 0 else fitting
            yield rest[:cut].rstrip()
            rest = rest[cut:].lstrip()
        yield rest


def _fitting(text: str, width: int) -> int:
    """How many characters fit; at least one."""
    used = 0
    for place, character in enumerate(text):
        used += _cells(character)
        if used > width:
            return max(place, 1)
    return len(text)


def _widest(text: str) -> int:
    return max(_cells(line) for line in text.expandtabs().split("\n"))


def _cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
