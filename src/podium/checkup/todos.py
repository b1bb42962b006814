"""todos: what the authors left for later, with its age and author."""

import os
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

from podium.checkup import languages
from podium.checkup.churn import seconds
from podium.checkup.comments import begins, python_comments
from podium.checkup.context import Context, Json, number, whole
from podium.checkup.detectors import redact
from podium.checkup.git import GitFailed
from podium.checkup.output import Output
from podium.checkup.part import Deadline, Progress, begin
from podium.checkup.repository import Reader, Repository
from podium.checkup.survey import moment
from podium.checkup.text import clean, display, plural, shorten

_PATTERN = r"(^|[^A-Za-z0-9_])(TODO|FIXME|HACK|XXX)([^A-Za-z0-9_]|$)"
_MARK = re.compile(r"(?<!\w)(TODO|FIXME|HACK|XXX)(?!\w)")
# The marks are words of other languages, stand for digits in templates and occur in strings, so
# one counts only in a comment: at its beginning, or followed by what follows such marks.
_BEGINS = re.compile(r"(?:^\W+|^\s*rem\s+|\s(?:\#|//|/\*|--|<!--)\W*)$", re.IGNORECASE)
_FOLLOWED = re.compile(r"\s*(:|\([^)]{1,60}\)|-\s)")
_PROSE = frozenset({"md", "markdown", "mdx", "rst", "adoc", "txt", "tex", "org", "html", "htm"})
_DATA = frozenset({"svg", "csv", "po", "json", "patch", "diff"})
_TEXT = 200
_MAX = 20_000
_MAX_LINE = 2_000
_MAX_PYTHON = 1_000_000
_LISTED = 300
_DATED_PER_FILE = 200
_DAY = 86_400


@dataclass(slots=True)
class _Todo:
    path: str
    line: int
    mark: str
    text: str
    when: int | None = None
    author: str | None = None


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """List TODO, FIXME, HACK and XXX marks in comments, and in prose where a colon follows.

    ``input``: ``repo``, ``head``, ``now``, ``seconds`` (default 45), ``max_blamed`` (files whose
    authors are looked up, default 200). ``details``: ``todos`` (``path``, ``line``, ``mark``,
    ``text``, ``since``, ``age_days``, ``author``), ``by_author``, ``by_area``.
    """
    repository, options = begin(input, ctx)
    deadline = Deadline(number(options.get("seconds"), 45))
    output = Output()
    ctx.progress(0.05, "searching for marks")
    todos = _find(repository, deadline, output)
    if repository.head:
        limit = whole(options.get("max_blamed"), 200)
        _date(repository, todos, limit, deadline, Progress(ctx, 0.3, 1.0), output)
    _describe(todos, whole(options.get("now")) or int(time.time()), output)
    ctx.progress(1.0, f"{plural(len(todos), 'mark')} found")
    return output.as_json()


def _find(repository: Repository, deadline: Deadline, output: Output) -> list[_Todo]:
    todos: list[_Todo] = []
    with repository.reader() as reader:
        comments = _Comments(repository, reader)
        for raw_path, number, raw in repository.grep(
            "-n", "-E", "-e", _PATTERN, fields=3, seconds=deadline.left()
        ):
            path = os.fsdecode(raw_path)
            if not languages.is_own(path) or languages.extension(path) in _DATA:
                continue
            line = raw[:_MAX_LINE].decode("utf-8", "replace")
            if languages.extension(path) in _PROSE:
                found = _in_prose(line)
            else:
                found = _in_comment(comments.of(path, int(number), line))
            if found:
                todos.append(_Todo(path, int(number), *found))
            if len(todos) >= _MAX:
                output.cut("marks", f"the first {_MAX:,}")
                break
    return todos


class _Comments:
    """The comments of lines. Python's are told from its strings by reading the whole file."""

    def __init__(self, repository: Repository, reader: Reader) -> None:
        self._entries = {entry.path: entry for entry in repository.tree().files}
        self._reader = reader
        self._path = ""
        self._known: dict[int, str] | None = None

    def of(self, path: str, number: int, line: str) -> str:
        """The comment of a line, from where it begins; empty when there is none."""
        if path != self._path:
            self._path = path
            self._known = self._read(path)
        if self._known is not None:
            return self._known.get(number, "")[:_MAX_LINE]
        start = begins(path, line)
        return "" if start is None else line[start:]

    def _read(self, path: str) -> dict[int, str] | None:
        entry = self._entries.get(path)
        if entry is None or entry.size > _MAX_PYTHON or languages.language(path) != "Python":
            return None
        return python_comments(self._reader.text(entry))


def _in_comment(comment: str) -> tuple[str, str] | None:
    match = _MARK.search(comment)
    if match is None:
        return None
    after = comment[match.end() :]
    if not _FOLLOWED.match(after) and not _BEGINS.search(comment[: match.start()]):
        return None
    return match[1], _said(after)


def _in_prose(line: str) -> tuple[str, str] | None:
    match = _MARK.search(line)
    if match is None or not _FOLLOWED.match(line[match.end() :]):
        return None
    if match[1] == "XXX" and not line[: match.start()].strip():
        return None
    return match[1], _said(line[match.end() :])


def _said(after: str) -> str:
    """What is said after a mark."""
    said = re.sub(r"^[\s:\-]+|[\s*/\-]*(\*/|-->)?\s*$", "", after)
    return shorten(clean(redact(said)), _TEXT)


def _date(
    repository: Repository,
    todos: list[_Todo],
    limit: int,
    deadline: Deadline,
    progress: Progress,
    output: Output,
) -> None:
    """Ask git who wrote the lines and when, for the files with most marks first."""
    by_path: defaultdict[str, list[_Todo]] = defaultdict(list)
    for todo in todos:
        by_path[todo.path].append(todo)
    order = sorted(by_path, key=lambda path: (-len(by_path[path]), path))
    undated = sum(len(found[_DATED_PER_FILE:]) for found in by_path.values())
    if undated:
        output.cut(
            "ages and authors",
            f"known for {_DATED_PER_FILE} marks of a file, not for {undated:,} more",
        )
    for place, path in enumerate(order):
        if place >= limit or deadline.passed:
            output.cut("ages and authors", f"known for {place:,} of {len(order):,} files")
            return
        progress.at(place, min(limit, len(order)), f"dating {display(path)}")
        try:
            _blame(repository, path, by_path[path], deadline)
        except GitFailed:
            output.notes.append(f"The age of the marks in {display(path)} could not be told.")


def _blame(repository: Repository, path: str, todos: list[_Todo], deadline: Deadline) -> None:
    wanted = {todo.line: todo for todo in todos[:_DATED_PER_FILE]}
    lines = [flag for line in wanted for flag in ("-L", f"{line},{line}")]
    records = repository.git.stream(
        *("blame", "--porcelain", "--no-textconv", *lines),
        *(str(repository.head), "--", path),
        separator=b"\n",
        seconds=deadline.left(),
    )
    commits: dict[bytes, list[bytes]] = {}
    facts: list[bytes] = []
    todo: _Todo | None = None
    for record in records:
        if header := re.match(rb"([0-9a-f]{40,64}) \d+ (\d+)", record):
            facts = commits.setdefault(header[1], [b"", b""])
            todo = wanted.get(int(header[2]))
        elif record.startswith(b"author "):
            facts[0] = record[7:]
        elif record.startswith(b"author-time "):
            facts[1] = record[12:]
        elif record.startswith(b"\t") and todo:
            todo.author = clean(facts[0].decode("utf-8", "replace"))
            todo.when = seconds(facts[1])


def _describe(todos: list[_Todo], now: int, output: Output) -> None:
    todos.sort(key=lambda todo: (todo.when is None, todo.when or 0, todo.path, todo.line))
    marks = Counter(todo.mark for todo in todos)
    dated = [todo.when for todo in todos if todo.when is not None]
    old = sum(1 for when in dated if now - when > 365 * _DAY)
    output.summary = {
        "marks": len(todos),
        **{mark: marks[mark] for mark in ("TODO", "FIXME", "HACK", "XXX")},
        "files": len({todo.path for todo in todos}),
        "older_than_a_year": old,
        "oldest": moment(min(dated)) if dated else None,
    }
    output.details["todos"] = [_row(todo, now) for todo in todos[:_LISTED]]
    authors = Counter(todo.author for todo in todos if todo.author)
    areas = Counter(display("/".join(todo.path.split("/")[:-1][:2])) or "(top)" for todo in todos)
    output.details["by_author"] = [
        {"author": name, "marks": count} for name, count in authors.most_common(15)
    ]
    output.details["by_area"] = [
        {"area": name, "marks": count} for name, count in areas.most_common(15)
    ]
    if len(todos) > _LISTED:
        output.cut("marks", f"the {_LISTED} oldest of {len(todos):,} are listed")
    _judge_notes(todos, old, output)


def _row(todo: _Todo, now: int) -> Json:
    return {
        "path": display(todo.path),
        "line": todo.line,
        "mark": todo.mark,
        "text": todo.text,
        "since": moment(todo.when) if todo.when is not None else None,
        "age_days": max((now - todo.when) // _DAY, 0) if todo.when is not None else None,
        "author": todo.author,
    }


def _judge_notes(todos: list[_Todo], old: int, output: Output) -> None:
    grave = [todo for todo in todos if todo.mark != "TODO"]
    if old >= 10 or (old and old * 2 > len(todos)):
        output.findings.append(
            {
                "severity": "low",
                "kind": "old_todos",
                "title": f"{plural(old, 'note')} left for later are more than a year old",
                "count": old,
            }
        )
    if grave:
        first = grave[0]
        output.findings.append(
            {
                "severity": "low",
                "kind": "fixme",
                "title": f"{plural(len(grave), 'FIXME, HACK or XXX', 'FIXME, HACK or XXX marks')}",
                "path": display(first.path),
                "line": first.line,
                "detail": first.text,
                "count": len(grave),
            }
        )
