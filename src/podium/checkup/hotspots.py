"""Files that change often and are hard to change: the first places to look for trouble."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass

from podium.checkup import languages
from podium.checkup.churn import Changes, FileChanges
from podium.checkup.complexity import Function, Shape, hardest_function, shape
from podium.checkup.context import Context, Json
from podium.checkup.output import Output
from podium.checkup.part import Deadline, Progress
from podium.checkup.repository import Entry, Repository
from podium.checkup.survey import moment
from podium.checkup.text import clean, display

_CANDIDATES = 300
_SHOWN = 25
_MAX_BYTES = 1_000_000
_AREAS = 15


@dataclass(slots=True)
class _Spot:
    entry: Entry
    language: str
    changes: FileChanges
    touched: int
    shape: Shape
    function: Function | None = None
    score: float = 0.0


def describe(
    repository: Repository, changes: Changes, deadline: Deadline, ctx: Context, output: Output
) -> None:
    """Fill in ``hot_spots``, ``most_changed`` and ``areas``, and the findings that follow."""
    tree = repository.tree()
    code = repository.code(tree)
    tracked = {os.fsencode(entry.path) for entry in tree.files}
    present = {os.fsdecode(path): found for path, found in changes.files.items() if path in tracked}
    recent = any(found.recent for found in present.values())
    spots = _spots(repository, code, present, ctx, recent=recent)
    _measure(repository, spots, deadline)
    output.details["window"] = "12 months" if recent else "whole history"
    output.details["hot_spots"] = [_row(spot, changes) for spot in spots]
    output.details["most_changed"] = _most_changed(present, changes, recent=recent)
    output.details["areas"] = _areas(present, changes, recent=recent)
    _judge(spots, output)
    output.notes.append(
        "Score of a hot spot: its commits times its complexity (indentation summed over its "
        "lines), each as a share of the highest, out of 100. Of equal scores, more commits come "
        "first."
    )


def _touched(found: FileChanges, *, recent: bool) -> int:
    return found.recent if recent else found.commits


def _spots(
    repository: Repository,
    code: dict[str, tuple[Entry, str]],
    present: dict[str, FileChanges],
    ctx: Context,
    *,
    recent: bool,
) -> list[_Spot]:
    ranked = sorted(
        (path for path in present if path in code and code[path][0].size <= _MAX_BYTES),
        key=lambda path: (-_touched(present[path], recent=recent), path),
    )[:_CANDIDATES]
    progress = Progress(ctx, 0.75, 0.95)
    spots: list[_Spot] = []
    with repository.reader() as reader:
        for place, path in enumerate(ranked):
            entry, language = code[path]
            progress.at(place, len(ranked), f"measuring {display(path)}")
            touched = _touched(present[path], recent=recent)
            measured = shape(reader.text(entry))
            spots.append(_Spot(entry, language, present[path], touched, measured))
    most = max((spot.touched for spot in spots), default=0) or 1
    deepest = max((spot.shape.depth for spot in spots), default=0) or 1
    for spot in spots:
        spot.score = 100 * (spot.touched / most) * (spot.shape.depth / deepest)
    spots.sort(key=lambda spot: (-round(spot.score, 1), -spot.touched, spot.entry.path))
    return [spot for spot in spots[:_SHOWN] if spot.touched]


def _measure(repository: Repository, spots: list[_Spot], deadline: Deadline) -> None:
    with repository.reader() as reader:
        for spot in spots:
            if deadline.passed:
                return
            spot.function = hardest_function(spot.entry.path, reader.text(spot.entry))


def _main_author(found: Counter[bytes], changes: Changes) -> tuple[str, float]:
    author, count = found.most_common(1)[0]
    name = changes.names.get(author, author).decode("utf-8", "replace")
    return clean(name), count / found.total()


def _row(spot: _Spot, changes: Changes) -> Json:
    name, share = _main_author(spot.changes.authors, changes)
    function = spot.function
    return {
        "path": display(spot.entry.path),
        "language": spot.language,
        "score": round(spot.score, 1),
        "commits": spot.changes.commits,
        "commits_12_months": spot.changes.recent,
        "lines_added_12_months": spot.changes.added if changes.counted else None,
        "lines_deleted_12_months": spot.changes.deleted if changes.counted else None,
        "lines": spot.shape.lines,
        "depth": spot.shape.depth,
        "authors": len(spot.changes.authors),
        "main_author": name,
        "main_author_share": round(share, 3),
        "hardest_function": function
        and {
            "name": clean(function.name),
            "line": function.line,
            "complexity": function.complexity,
            "lines": function.lines,
        },
    }


def _most_changed(present: dict[str, FileChanges], changes: Changes, *, recent: bool) -> list[Json]:
    ranked = sorted(present, key=lambda path: (-_touched(present[path], recent=recent), path))
    return [
        {
            "path": display(path),
            "commits": present[path].commits,
            "commits_12_months": present[path].recent,
            "authors": len(present[path].authors),
            "main_author": _main_author(present[path].authors, changes)[0],
            "last_commit": moment(present[path].last),
        }
        for path in ranked[:15]
    ]


def _areas(present: dict[str, FileChanges], changes: Changes, *, recent: bool) -> list[Json]:
    """Directories (two levels deep) by how much they change, and who knows them."""
    authors: defaultdict[str, Counter[bytes]] = defaultdict(Counter)
    touched: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for path, found in present.items():
        if not languages.is_own(path):
            continue
        area = "/".join(path.split("/")[:-1][:2]) or "(top)"
        authors[area].update(found.authors)
        touched[area] += _touched(found, recent=recent)
        files[area] += 1
    rows: list[Json] = []
    for area, count in touched.most_common(_AREAS):
        name, share = _main_author(authors[area], changes)
        rows.append(
            {
                "area": display(area),
                "files": files[area],
                "changes": count,
                "authors": len(authors[area]),
                "main_author": name,
                "main_author_share": round(share, 3),
            }
        )
    return rows


def _judge(spots: list[_Spot], output: Output) -> None:
    """Hot spots worth a finding: changed often, and with a function that is hard to follow."""
    for spot in spots[:5]:
        function = spot.function
        if spot.touched < 10 or function is None or function.complexity < 15:
            continue
        output.findings.append(
            {
                "severity": "medium",
                "kind": "hot_spot",
                "title": "Changed often and hard to change",
                "path": display(spot.entry.path),
                "line": function.line,
                "detail": (
                    f"{spot.touched} commits, {spot.shape.lines:,} lines; "
                    f"{clean(function.name)} has {function.complexity} paths through it"
                ),
                "count": spot.touched,
            }
        )
