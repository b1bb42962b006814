"""Write measured figures into documents, or with ``--check`` say whether they are current.

A page marks places by ``<!-- figures: NAME NAME -->`` and ``<!-- /figures -->``; between them
stands a table of those figures from ``benchmarks/results.json``: one row for Podium and for each
peer, or without peers one row a figure with its target.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGES = ("docs/decisions/0001-postgresql-is-the-engine.md", "benchmarks/README.md")
_PLACE = re.compile(r"(<!-- figures: ([\w ]+) -->\n).*?(<!-- /figures -->)", re.DOTALL)

Figures = Mapping[str, Mapping[str, Any]]


def main() -> int:
    """0 when the pages are current or were written, 1 when ``--check`` found a difference."""
    found: Figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    stale: list[str] = []
    for name in PAGES:
        page = ROOT / name
        text = page.read_text()
        filled = _PLACE.sub(lambda place: _filled(place, found), text)
        if filled != text:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                page.write_text(filled)
    if stale and "--check" in sys.argv[1:]:
        sys.stderr.write(f"{', '.join(stale)}: out of date, run 'make docs'.\n")
        return 1
    return 0


def _filled(place: re.Match[str], found: Figures) -> str:
    names = [name for name in place[2].split() if name in found]
    rows = _beside_peers(found, names) if names and found[names[0]]["peers"] else []
    return f"{place[1]}{_table(rows or _alone(found, names))}{place[3]}"


def _beside_peers(found: Figures, names: Sequence[str]) -> list[list[str]]:
    peers = dict.fromkeys(peer for name in names for peer in found[name]["peers"])
    titles = [f"{name.replace('_', ' ')}, {found[name]['unit']}" for name in names]
    rows = [["engine", *titles], ["Podium", *(_number(found[name]["podium"]) for name in names)]]
    return rows + [[peer, *(_peer(found[name], peer) for name in names)] for peer in peers]


def _peer(figure: Mapping[str, Any], peer: str) -> str:
    value, ratio = figure["peers"].get(peer), figure["ratios"].get(peer)
    return "" if value is None else f"{_number(value)} ({_number(ratio)} times)"


def _alone(found: Figures, names: Sequence[str]) -> list[list[str]]:
    rows = [["figure", "measured", "target"]]
    for name in names:
        figure = found[name]
        measured = f"{_number(figure['podium'])} {figure['unit']}"
        rows.append([name.replace("_", " "), measured, _target(figure["target"])])
    return rows


def _target(target: Mapping[str, float] | None) -> str:
    if target is None:
        return ""
    words = {"at_least": "at least", "at_most": "at most", "ratio_at_least": "ratio at least"}
    return ", ".join(f"{words[bound]} {_number(value)}" for bound, value in target.items())


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
