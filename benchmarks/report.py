"""The table that is printed."""

from collections.abc import Iterable

from rich.table import Table

from benchmarks.figures import Figure

MARKS = {True: "[green]met", False: "[red]missed", None: ""}


def table(figures: Iterable[Figure], *, judged: bool) -> Table:
    """Medians with their spread, the target, each peer and how many times better Podium was.

    Only when ``judged`` does it say whether the target was reached.
    """
    made = Table(title="Medians over the rounds (least to most)")
    for heading in ("figure", "podium", "target", "", "peers: median, times better"):
        made.add_column(heading, no_wrap=heading != "peers: median, times better")
    for figure in figures:
        mark = MARKS[figure.met() if judged else None]
        made.add_row(figure.name, _own(figure), _target(figure), mark, _peers(figure))
    return made


def _own(figure: Figure) -> str:
    values = figure.values("podium")
    if not values:
        return "-"
    middle = figure.median("podium")
    spread = f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
    return f"{_number(middle)} {figure.unit}{spread}"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign = "≥" if figure.better == "higher" else "≤"
    ratio = "" if figure.target.ratio is None else f", ≥ {figure.target.ratio:g} times"
    return f"{sign} {figure.target.value:g}{ratio}"


def _peers(figure: Figure) -> str:
    lines: list[str] = []
    for peer in figure.contenders():
        middle, ratio = figure.median(peer), figure.ratio(peer)
        if middle is None:
            lines.append(f"{peer}: {figure.notes[peer].splitlines()[0][:60]}")
        else:
            times = "" if ratio is None else f", {_number(ratio)} times"
            lines.append(f"{peer}: {_number(middle)}{times}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
