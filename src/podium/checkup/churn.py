"""Which files changed how often, read from git as a stream."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from podium.checkup.context import Context
from podium.checkup.git import GitFailed
from podium.checkup.part import Deadline, Progress
from podium.checkup.repository import Repository
from podium.checkup.text import plural

SWEEPING = 300
"""A commit that changes more files than this tells nothing about any one of them."""

_MAX_RENAMES = 200_000
_NUMBERS = re.compile(rb"\n?(\d+|-)\t(\d+|-)\t", re.ASCII)
_LETTER = re.compile(rb"\n?([A-Z])\d*", re.ASCII)
_WITH_LINES = ("--numstat", "-M", "-l200")
_WITHOUT_LINES = ("--name-status", "-M100%")
"""What asks git only for names of files and contents, which trees hold: it opens no content."""


@dataclass(slots=True)
class FileChanges:
    """Commits that changed a file, in all and in the last 12 months, and the lines of the latter.

    ``last`` is the time of the latest commit; ``authors`` counts commits by author.
    """

    commits: int = 0
    recent: int = 0
    added: int = 0
    deleted: int = 0
    last: int = 0
    authors: Counter[bytes] = field(default_factory=Counter[bytes])


@dataclass(slots=True)
class Changes:
    """What a stretch of history did to files.

    ``files`` is keyed by the path that a file has in the newest commit that changed it.
    ``oldest`` is the time of the oldest commit that was read, ``added`` and ``deleted`` the lines
    of the last 12 months in all files, ``sweeping`` the commits left out for changing too much.
    ``counted`` is false where contents are missing: then no lines are known, and a file that was
    changed while it was renamed is taken for another one.
    """

    files: defaultdict[bytes, FileChanges]
    names: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    commits: int = 0
    oldest: int = 0
    added: int = 0
    deleted: int = 0
    sweeping: int = 0
    complete: bool = True
    counted: bool = True


@dataclass(slots=True)
class _Commit:
    when: int
    author: bytes
    name: bytes
    changes: list[tuple[int, int, bytes, bytes | None]] = field(
        default_factory=list[tuple[int, int, bytes, bytes | None]]
    )


def read(
    repository: Repository, since: int, limit: int, deadline: Deadline, ctx: Context, total: int
) -> Changes:
    """Read up to ``limit`` commits, newest first, until ``deadline``.

    ``since`` is the time (seconds since 1970) from which a commit is recent; ``total`` is the
    number of commits expected, for the progress.
    """
    progress = Progress(ctx, 0.05, 0.75)

    def told(changes: Changes) -> None:
        progress.at(changes.commits, total, f"{plural(changes.commits, 'commit')} read")

    try:
        return _read(repository, since, limit, deadline, told, _WITH_LINES)
    except GitFailed as failed:
        if failed.lost is None:
            raise
        # Where more than contents of files is lost, this fails as well.
        changes = _read(repository, since, limit, deadline, told, _WITHOUT_LINES)
        changes.counted = False
        return changes


def _read(
    repository: Repository,
    since: int,
    limit: int,
    deadline: Deadline,
    told: Callable[[Changes], None],
    what: tuple[str, ...],
) -> Changes:
    changes = Changes(files=defaultdict(FileChanges))
    renamed: dict[bytes, bytes] = {}
    with repository.git.piped(
        "rev-list", "--no-merges", f"--max-count={limit}", str(repository.head)
    ) as commits:
        tokens = repository.git.stream(
            *("diff-tree", "--stdin", "-r", "--root", "--always", "-z", *what),
            *("--no-ext-diff", "--no-textconv", "--ignore-submodules=none"),
            "--format=%x01%ct%x00%aE%x00%aN",
            feed=commits,
            seconds=deadline.left(),
        )
        stream = _Ended(tokens)
        for commit in _commits(stream):
            _count(commit, since, changes, renamed)
            told(changes)
        changes.complete = stream.complete
    return changes


class _Ended:
    """Iterates a stream and keeps whether it came to its end."""

    def __init__(self, tokens: Generator[bytes, None, bool]) -> None:
        self._tokens = tokens
        self.complete = False

    def __iter__(self) -> Iterator[bytes]:
        self.complete = yield from self._tokens


def _commits(stream: _Ended) -> Iterator[_Commit]:
    tokens = iter(stream)
    commit: _Commit | None = None
    for token in tokens:
        head = token.removeprefix(b"\n")
        if head.startswith(b"\x01"):
            if commit:
                yield commit
            commit = _Commit(seconds(head[1:]), next(tokens, b"").lower(), next(tokens, b""))
        elif commit and (numbers := _NUMBERS.match(token)):
            path = token[numbers.end() :]
            old = None
            if not path:  # a rename: the old and the new path follow
                old, path = next(tokens, b""), next(tokens, b"")
            commit.changes.append((_lines(numbers[1]), _lines(numbers[2]), path, old))
        elif commit and (letter := _LETTER.fullmatch(token)):
            old = next(tokens, b"") if letter[1] == b"R" else None
            commit.changes.append((0, 0, next(tokens, b""), old))
    if commit:
        yield commit


def seconds(text: bytes) -> int:
    """A commit's time in seconds since 1970; 0 where a damaged commit has none."""
    return int(text) if text.lstrip(b"-").isdigit() else 0


def _lines(number: bytes) -> int:
    return 0 if number == b"-" else int(number)


def _count(commit: _Commit, since: int, changes: Changes, renamed: dict[bytes, bytes]) -> None:
    changes.commits += 1
    changes.oldest = min(changes.oldest or commit.when, commit.when)
    recent = commit.when >= since
    author = commit.author or commit.name
    changes.names.setdefault(author, commit.name)
    sweeping = len(commit.changes) > SWEEPING
    changes.sweeping += sweeping
    for added, deleted, path, old in commit.changes:
        # Newest commits come first, so the name that a file ends with is known by now.
        path = renamed.get(path, path)  # noqa: PLW2901 - the same file under its later name
        if old is not None and len(renamed) < _MAX_RENAMES:
            renamed[old] = path
        if recent:
            changes.added += added
            changes.deleted += deleted
        if not sweeping:
            _add(changes.files[path], commit.when, author, (added, deleted) if recent else None)


def _add(file: FileChanges, when: int, author: bytes, lines: tuple[int, int] | None) -> None:
    file.commits += 1
    file.last = max(file.last, when)
    file.authors[author] += 1
    if lines:
        file.recent += 1
        file.added += lines[0]
        file.deleted += lines[1]
