"""Writing Markdown of text that nobody has vouched for.

What comes from a repository is shown as code (``code``) or with every mark escaped (``plain``),
so that it can make no table, link, image, HTML or mention.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from podium.checkup.context import Json, number, string
from podium.checkup.text import clean, shorten, size

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&$@:\"'=^/])")
_NOTHING = "-"
_HARMLESS = frozenset("()-./:'\"=+")
_LONGEST = 160


def plain(value: Json, limit: int = _LONGEST) -> str:
    """Text in a line or a cell of a table; every mark loses its meaning."""
    text = shorten(clean(" ".join(_as_text(value).split())), limit)
    return _MARKS.sub(lambda mark: _escaped(mark[1]), text) or _NOTHING


def _escaped(mark: str) -> str:
    if mark in _HARMLESS:
        return mark
    if mark in "<>&@":  # some renderers honour these even after a backslash
        return f"&#{ord(mark)};"
    return f"\\{mark}"


def code(value: Json, limit: int = _LONGEST) -> str:
    """A path or a piece of code, in a line or a cell of a table."""
    text = clean(re.sub(r"\s+", " ", _as_text(value)))
    if len(text) > limit:  # the end of a path, with the line, says more than its middle
        text = shorten(text, limit // 2) + text[-(limit - limit // 2) :]
    if not text.strip():
        return _NOTHING
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    # Renderers take one space off both ends when there is one at each.
    edge = " " if "`" in {text[0], text[-1]} or text[0] == text[-1] == " " else ""
    # A pipe ends the cell even inside code. Renderers differ on a backslash before an escaped
    # pipe, so there a broken bar stands for it.
    shown = re.sub(r"(\\+)\|", r"\1¦", text).replace("|", "\\|")
    return f"{fence}{edge}{shown}{edge}{fence}"


def _as_text(value: Json) -> str:
    return "" if value is None else str(value)


def count(value: Json) -> str:
    """A whole number with its thousands set apart."""
    return f"{number(value, 0):,.0f}" if value is not None else _NOTHING


def decimal(value: Json) -> str:
    """A number with one decimal."""
    return f"{number(value, 0):,.1f}" if value is not None else _NOTHING


def share(value: Json) -> str:
    """A share of 1 as a percentage."""
    return f"{number(value, 0):.0%}" if value is not None else _NOTHING


def weight(value: Json) -> str:
    """Bytes for people."""
    return size(number(value, 0)) if value is not None else _NOTHING


def seconds(value: Json) -> str:
    """A duration in seconds."""
    return f"{number(value, 0):,.1f} s" if value is not None else _NOTHING


def word(value: Json) -> str:
    """One of our own words, such as a kind or a severity."""
    return plain(string(value).replace("_", " "))


def severity(value: Json) -> str:
    """How grave a finding is; the gravest stands out."""
    return "**high**" if value == "high" else word(value)


def yes(value: Json) -> str:
    """A truth."""
    return "yes" if value else "no"


class Column(NamedTuple):
    """A column: its heading, the key of the row that it shows, and how."""

    heading: str
    key: str
    show: Callable[[Json], str]


_NUMBERS = frozenset({count, decimal, share, weight, seconds})


def table(rows: Sequence[dict[str, Json]], columns: Sequence[Column], limit: int = 20) -> list[str]:
    """The lines of a table, with an empty line after it; nothing when there are no rows."""
    if not rows:
        return []
    ends = ["---:" if column.show in _NUMBERS else "---" for column in columns]
    lines = [_row([column.heading for column in columns]), _row(ends)]
    lines += [
        _row([column.show(row.get(column.key)) for column in columns]) for row in rows[:limit]
    ]
    if len(rows) > limit:
        lines += ["", f"… and {len(rows) - limit:,} more in report.json."]
    return [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
