"""A repository and the snapshot of it that a checkup looks at.

Content comes from git's objects, never from the working tree: it works alike on bare
repositories, follows no symbolic link and runs no filter.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from podium.checkup import git, languages
from podium.checkup.git import Git

MAX_FILES = 300_000
"""Files that a part looks at in one snapshot; what lies beyond is said to be left out."""

_SAYS_GENERATED = (
    r"^[[:space:]]*(//|#|/?\*+|--|;|<!--|\"\"\")[[:space:]]*"
    r"(@generated|Code generated .*DO NOT EDIT"
    r"|(This file (is|was) )?(auto[- ]?|automatically )generated)"
)
_HEADER_LINES = 30
_MAX_SCRIPTS = 5_000
_SYMLINK = "120000"
_SUBMODULE = "160000"


class Entry(NamedTuple):
    """A tracked file. ``path`` is as ``os.fsdecode`` gives it; ``size`` is in bytes."""

    mode: str
    oid: str
    size: int
    path: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The tracked files of a snapshot, in git's order.

    ``left_out`` says whether there were more than ``MAX_FILES``.
    """

    files: list[Entry]
    symlinks: list[Entry]
    submodules: list[Entry]
    left_out: bool


@dataclass(frozen=True, slots=True)
class Repository:
    """An open repository.

    ``top`` is the working tree's top (the git directory of a bare repository). ``head`` is the
    commit that is looked at; None when there is none yet, and then the index is looked at.
    """

    top: Path
    git_dir: Path
    common_dir: Path
    bare: bool
    shallow: bool
    head: str | None
    git: Git

    def ask(self, *arguments: str) -> str | None:
        """What the repository itself says to a question of ``git.ask``; None for no answer."""
        answer = git.ask(self.git_dir, *arguments)
        return None if answer.status else answer.output

    def tree(self) -> Tree:
        """List the snapshot."""
        files: list[Entry] = []
        symlinks: list[Entry] = []
        submodules: list[Entry] = []
        entries = self._commit_entries(self.head) if self.head else self._index_entries()
        for entry in entries:
            if entry.mode == _SYMLINK:
                symlinks.append(entry)
            elif entry.mode == _SUBMODULE:
                submodules.append(entry)
            elif len(files) >= MAX_FILES:
                return Tree(files, symlinks, submodules, left_out=True)
            else:
                files.append(entry)
        return Tree(files, symlinks, submodules, left_out=False)

    def _commit_entries(self, head: str) -> Iterator[Entry]:
        for record in self.git.stream("ls-tree", "-r", "-l", "-z", "--full-tree", head):
            facts, _, path = record.partition(b"\t")
            mode, _, oid, size = facts.decode("ascii").split()
            yield Entry(mode, oid, 0 if size == "-" else int(size), os.fsdecode(path))

    def _index_entries(self) -> Iterator[Entry]:
        staged: list[tuple[str, str, str]] = []
        for record in self.git.stream("ls-files", "--stage", "-z"):
            facts, _, path = record.partition(b"\t")
            mode, oid, stage = facts.decode("ascii").split()
            if stage in {"0", "2"}:
                staged.append((mode, oid, os.fsdecode(path)))
        wanted = "\n".join(oid for _, oid, _ in staged).encode()
        sizes: dict[str, int] = {}
        check = "--batch-check=%(objectname) %(objectsize)"
        for line in self.git.stream("cat-file", check, separator=b"\n", feed=wanted):
            oid, _, count = line.decode("ascii").partition(" ")
            sizes[oid] = int(count) if count.isdigit() else 0
        for mode, oid, path in staged:
            yield Entry(mode, oid, sizes.get(oid, 0), path)

    def code(self, tree: Tree) -> dict[str, tuple[Entry, str]]:
        """The code that people of this repository write, by path: the entry and its language.

        An executable without an extension is judged by its first line.
        """
        found: dict[str, tuple[Entry, str]] = {}
        scripts = 0
        generated = self.generated()
        with self.reader() as reader:
            for entry in tree.files:
                if not languages.is_own(entry.path) or entry.path in generated:
                    continue
                name = languages.language(entry.path) if languages.is_code(entry.path) else None
                if name is None and _may_be_script(entry) and scripts < _MAX_SCRIPTS:
                    scripts += 1
                    name = languages.language_of_script(reader.read(entry).split(b"\n", 1)[0])
                if name is not None:
                    found[entry.path] = entry, name
        return found

    def grep(
        self, *arguments: str, fields: int = 2, paths: tuple[str, ...] = (), seconds: float = 60
    ) -> Generator[list[bytes], None, bool]:
        """Search the snapshot's text files with ``git grep``; yield the fields of each match.

        ``fields`` is 2 for path and count (``-c``), 3 for path, line number and text (``-n``).
        ``paths`` are git's pathspecs. Returns whether the search ended within ``seconds``.
        """
        where = (self.head,) if self.head else ("--cached",)
        command = ("grep", "-I", "-z", "--no-color", "--no-column", "--no-textconv", *arguments)
        prefix = f"{self.head}:".encode() if self.head else b""
        results = self.git.stream(
            *command, *where, "--", *paths, separator=b"\n", seconds=seconds, accept=(0, 1)
        )
        pending = b""
        while True:
            try:
                record = pending + next(results)
            except StopIteration as end:
                return bool(end.value)
            found = record.removeprefix(prefix).split(b"\0", fields - 1)
            # A path may hold a line's end: then this was only the first piece of it.
            pending = record + b"\n" if len(found) < fields else b""
            if not pending:
                yield found

    def generated(self, seconds: float = 30) -> set[str]:
        """Files that say at their top, in a comment, that a tool wrote them."""
        results = self.grep("-n", "-E", "-e", _SAYS_GENERATED, fields=3, seconds=seconds)
        return {os.fsdecode(path) for path, line, _ in results if int(line) <= _HEADER_LINES}

    def line_counts(self, seconds: float = 60) -> tuple[dict[str, int], bool]:
        """Lines of every text file (no binary, no empty ones), and whether all were counted."""
        counts: dict[str, int] = {}
        results = self.grep("-c", "-e", "", seconds=seconds)
        while True:
            try:
                path, count = next(results)
            except StopIteration as end:
                return counts, bool(end.value)
            counts[os.fsdecode(path)] = int(count)

    @contextmanager
    def reader(self) -> Generator["Reader"]:
        """Read file contents one after the other."""
        with self.git.conversation("cat-file", "--batch") as (ask, answer):
            yield Reader(ask, answer)


class Reader:
    """Reads objects through one ``git cat-file``."""

    def __init__(self, ask: IO[bytes], answer: IO[bytes]) -> None:
        self._ask = ask
        self._answer = answer

    def read(self, entry: Entry) -> bytes:
        """A file's content as it is stored; empty when the object is missing.

        Callers look at ``entry.size`` first: the content is held as a whole.
        """
        try:
            self._ask.write(entry.oid.encode() + b"\n")
            self._ask.flush()
        except BrokenPipeError:
            return b""
        header = self._answer.readline().split()
        if len(header) != 3 or not header[2].isdigit():
            return b""
        content = self._answer.read(int(header[2]))
        self._answer.read(1)
        return content

    def text(self, entry: Entry) -> str:
        """``read`` as text; what is no UTF-8 is shown as the replacement character."""
        return self.read(entry).decode("utf-8", "replace")


def _may_be_script(entry: Entry) -> bool:
    name = entry.path.rpartition("/")[2]
    return entry.mode == "100755" and "." not in name and 0 < entry.size < 100_000
