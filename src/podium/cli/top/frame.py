"""One frame of ``podium top``: what an overview looks like on a screen of some size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from podium.cli import output
from podium.cli.text import duration, line, rate_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from podium.client.models import Overview, QueueAtGlance, TaskAtGlance, Worker

PANELS = ("Running", "Newest", "Queues", "Workers")
HELP = (
    ("q, Ctrl-C", "end"),
    ("Tab, arrows", "the next panel, which is given the most room"),
    ("p", "hold the view, or let it go on"),
    ("?", "show or hide this"),
)
_HEAD = 3
_LEAST = 4
"""Lines of a panel: its edges, its headers and a row."""
_BAR = 8
_ID = 18
"""So many characters of an id are what commands take."""
_COUNTED = 10_000
"""More is not counted."""
_WIDE = 130
_STATES = {"live": "green", "timed": "green", "connecting": "dim"}


@dataclass(frozen=True, slots=True)
class Look:
    """How it is looked at: the panel that has the most room, whether it is held, and how it stands
    with the server."""

    focus: int = 0
    held: bool = False
    help: bool = False
    state: str = "live"
    detail: str = ""
    per_minute: float | None = None


class _Column(NamedTuple):
    """A column; ``wide_only`` ones need a wide terminal, those with a ``ratio`` share what is
    left. The others take at most a ``part`` of the width, such as a fourth."""

    header: str
    ratio: int | None = None
    right: bool = False
    wide_only: bool = False
    part: int = 4


_TASK = (
    _Column("Task", ratio=2),
    _Column("Agent", ratio=1),
    _Column("Project", part=6),
    _Column("Queue", wide_only=True),
    _Column("ID", wide_only=True),
)
_COLUMNS: Mapping[str, Sequence[_Column]] = {
    "Running": (
        *_TASK,
        _Column("Worker", wide_only=True),
        _Column("Runs for", right=True),
        _Column("Progress"),
    ),
    "Newest": (*_TASK, _Column("State"), _Column("Age", right=True)),
    "Queues": (
        _Column("Project", part=6),
        _Column("Queue", ratio=2),
        _Column("State"),
        _Column("Ready", right=True),
        _Column("Runs", right=True),
        _Column("Starts"),
    ),
    "Workers": (
        _Column("Worker", ratio=1),
        _Column("State"),
        _Column("Slots", right=True),
        _Column("Lease", right=True),
        _Column("Runs", ratio=2),
    ),
}


def frame(found: "Overview | None", look: Look, width: int, height: int) -> "RenderableType":
    """What fills the screen."""
    from rich.console import Group

    body = height - _HEAD - 1
    parts: list[RenderableType] = [_head(found, look)]
    if look.help:
        parts.append(_help(body))
    elif found is None:
        parts.append(_nothing(look, body))
    else:
        parts += _panels(found, look, width, body)
    parts.append(output.styled(" q quit  p hold  tab next panel  ? help", "dim"))
    return Group(*parts)


def whole(found: "Overview", width: int) -> "RenderableType":
    """All panels one below the other, with all that was told."""
    from rich.console import Group

    parts: list[RenderableType] = [_head(found, Look())]
    parts += [_panel(found, at, width, _needed(found, at)) for at in range(len(PANELS))]
    return Group(*parts)


def _needed(found: "Overview", at: int) -> int:
    """Lines of a panel that shows all."""
    return max(1, _count(found, PANELS[at])) + 3


def _panels(found: "Overview", look: Look, width: int, room: int) -> "list[RenderableType]":
    """The panels; the one that is looked at has what the others leave, or all if that is little."""
    if room < _LEAST * (len(PANELS) + 1):
        return [_panel(found, look.focus, width, room, focused=True)]
    share = room // len(PANELS)
    sizes = [max(_LEAST, min(_needed(found, at), share)) for at in range(len(PANELS))]
    sizes[look.focus] += room - sum(sizes)
    return [
        _panel(found, at, width, size, focused=at == look.focus) for at, size in enumerate(sizes)
    ]


def _head(found: "Overview | None", look: Look) -> "Text":
    """Three lines: how the installation is, how many tasks are where, and how current that is."""
    from rich.text import Text

    told = Text(no_wrap=True, overflow="ellipsis")
    told.append(output.styled("Podium ", "bold"))
    if found is None:
        told.append(output.styled("\n\n"))
        return told.append(_current(look))
    where = "all projects" if found.project is None else f"project {found.project}"
    told.append(output.styled(f"{found.version}  {where}  "))
    told.append(
        output.styled("Valkey ok  ", "green")
        if found.valkey_ok
        else output.styled("Valkey out of reach  ", "red")
    )
    lag = found.feed_lag_seconds
    told.append(output.styled(f"feed lag {duration(lag)}\n", "yellow" if lag > 1 else None))
    for state, count in found.counts.items():
        more = "+" if count >= _COUNTED else ""
        told.append(output.styled(f"{count:,}{more} {state}  ", output.STATE_STYLES.get(state)))
    if look.per_minute is not None:
        told.append(output.styled(f"{look.per_minute:,.0f} ended in a minute"))
    told.append("\n")
    return told.append(_current(look))


def _current(look: Look) -> "Text":
    told = output.styled(look.state, _STATES.get(look.state, "bold yellow"))
    if look.held:
        told.append(output.styled("  HELD", "bold yellow"))
    return told.append(output.styled(f"  {line(look.detail, 120)}" if look.detail else "", "dim"))


def _count(found: "Overview", name: str) -> int:
    """How many rows a panel has."""
    many = {
        "Running": found.running,
        "Newest": found.newest,
        "Queues": found.queues,
        "Workers": found.workers or (),
    }
    return len(many[name])


def _panel(found: "Overview", at: int, width: int, size: int, *, focused: bool = False) -> "Panel":
    from rich.panel import Panel

    name = PANELS[at]
    count = _count(found, name)
    left = count - max(1, size - 3)
    if name == "Workers" and found.workers is None:
        inner: RenderableType = output.styled("This token may not see workers.", "dim")
    elif not count:
        inner = output.styled("none", "dim")
    else:
        inner = _table(found, name, max(1, size - 3), width)
    return Panel(
        inner,
        title=f"{name} {count}" + (f", {left} more below" if left > 0 else ""),
        title_align="left",
        height=size,
        padding=(0, 1),
        border_style="cyan" if focused else "dim",
    )


def _table(found: "Overview", name: str, most: int, width: int) -> "Table":
    from rich.table import Table

    columns = _COLUMNS[name]
    used = [
        at
        for at, each in enumerate(columns)
        if (width >= _WIDE or not each.wide_only)
        and (each.header != "Project" or found.project is None)
    ]
    made = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    for each in (columns[at] for at in used):
        made.add_column(
            each.header,
            no_wrap=True,
            overflow="ellipsis",
            ratio=each.ratio,
            max_width=None if each.ratio else max(len(each.header), width // each.part),
            justify="right" if each.right else "left",
        )
    for row in _rows(found, name)[:most]:
        made.add_row(*[_cell(columns[at], row[at]) for at in used])
    return made


def _cell(column: _Column, value: object) -> "Text":
    return output.state(str(value)) if column.header == "State" else output.styled(value)


def _rows(found: "Overview", name: str) -> Sequence[Sequence[object]]:
    """The cells of a panel, in the order of its columns."""
    match name:
        case "Running":
            workers = {each.id: each.name for each in found.workers or ()}
            return [_running(found, each, workers) for each in found.running]
        case "Newest":
            return [
                (*_task(each), each.state, _since(found, each.created_at)) for each in found.newest
            ]
        case "Queues":
            return [_queue(each) for each in found.queues]
        case _:
            held: dict[str, list[str]] = {}
            for task in found.running:
                held.setdefault(task.worker or "", []).append(task.title)
            return [_worker(found, each, held.get(each.id, ())) for each in found.workers or ()]


def _task(task: "TaskAtGlance") -> Sequence[object]:
    agent = task.agent or "any"
    return (line(task.title, 80), agent, task.project, task.queue, task.id[:_ID])


def _running(
    found: "Overview", task: "TaskAtGlance", workers: Mapping[str, str]
) -> Sequence[object]:
    worker = workers.get(task.worker or "", "-")
    return (*_task(task), worker, _since(found, task.started_at), _progress(task))


def _queue(queue: "QueueAtGlance") -> Sequence[object]:
    ready = f"{queue.queued:,}{'+' if queue.queued >= _COUNTED else ''}"
    runs = f"{queue.running}/{queue.concurrency or '∞'}"
    return (queue.project, queue.name, queue.state, ready, runs, rate_text(queue.rate))


def _worker(found: "Overview", worker: "Worker", held: Sequence[str]) -> Sequence[object]:
    """With how long its last renewal is still good for, and what it runs."""
    lease = max(0.0, (worker.lease_until - found.at).total_seconds())
    state = "blocked" if worker.blocked_by else worker.state
    slots = f"{worker.running}/{worker.concurrency}"
    runs = ", ".join(line(title, 40) for title in held) or "-"
    return (f"{worker.name} @{worker.host}", state, slots, duration(lease), runs)


def _since(found: "Overview", moment: "datetime | None") -> str:
    """By the server's clock, which told both."""
    return "-" if moment is None else duration((found.at - moment).total_seconds())


def _progress(task: "TaskAtGlance") -> str:
    if task.progress is None:
        return ""
    fraction, note = task.progress.fraction, line(task.progress.note or "", 20)
    if fraction is None:
        return note
    done = round(fraction * _BAR)
    return f"{'█' * done}{'░' * (_BAR - done)} {fraction:>4.0%} {note}".rstrip()


def _help(room: int) -> "Panel":
    from rich.panel import Panel

    lines = [f"{keys:<14}{what}" for keys, what in HELP]
    return Panel(output.styled("\n".join(lines)), title="Keys", title_align="left", height=room)


def _nothing(look: Look, room: int) -> "Panel":
    from rich.panel import Panel

    return Panel(
        output.styled(look.detail or "Asking the server."), height=room, border_style="dim"
    )
