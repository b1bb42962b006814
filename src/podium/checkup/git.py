"""Running git on a repository that nobody has vouched for.

A repository's configuration can name programs (file system monitor, hooks, filters, text
conversion, signature check, transports of a partial clone) and change what commands answer. So
almost everything runs in a bare repository of our own that borrows the other's objects and has
nothing else of it. The few questions that only the repository itself can answer (where it is,
its refs, its remotes) go by ``ask``, which runs nothing that could start a program.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from podium.checkup.context import CheckupError
from podium.checkup.text import clean, shorten

_ANSWER_SECONDS = 60.0
_LEAST_SECONDS = 0.002
_CHUNK = 1 << 18
_RECORD_LIMIT = 1 << 20
_SAID_LIMIT = 1 << 16
_LIMITS = (
    "core.packedGitLimit=64m",
    "core.packedGitWindowSize=8m",
    "core.deltaBaseCacheLimit=48m",
    "i18n.logOutputEncoding=UTF-8",
)
_CAUTIONS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.sshCommand=false",
    "core.askPass=false",
    "credential.helper=",
    "protocol.allow=never",
    "color.ui=false",
    "safe.directory=*",
)


_LOST = re.compile(
    r"(?:unable to (?:read|unpack|read tree)|missing \w+ object|loose object) "
    r"[('\"]?([0-9a-f]{40,64})\b"
)
"""How git says which object it cannot read."""


class GitFailed(CheckupError):
    """git ended with an error; ``status`` is its exit status.

    ``lost`` is the object that it could not read, None where it failed for another reason.
    """

    def __init__(self, command: str, status: int, said: str) -> None:
        reason = shorten(clean(said.strip().replace("\n", " ")), 300) or "it gave no reason"
        message = f"git {command} ended with status {status}: {reason}"
        names = ""
        self.lost: str | None = None
        if lost := _LOST.search(said):
            self.lost = lost[1]
            message = f"git cannot read the object {lost[1]}, which is missing or damaged"
            if "tree" not in lost[0]:
                # To find a rename git would open the object.
                asks = f"git log --all --no-renames --name-only --find-object={lost[1]}"
                names = f"; '{asks}' names its file"
        super().__init__(
            "agent",
            "git_failed",
            message,
            hint="run 'git fsck' in the repository, which may be damaged; of a partial clone make "
            f"one without --filter{names}",
        )
        self.status = status


class Answer(NamedTuple):
    """What git said: its exit status, output and errors."""

    status: int
    output: str
    errors: str


def environment() -> dict[str, str]:
    """The environment of every program that a part starts: nothing is inherited but PATH."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "TMPDIR": tempfile.gettempdir(),
    }


def git_environment() -> dict[str, str]:
    """``environment`` with what keeps git from configuration, prompts, locks and transports."""
    return environment() | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        # A missing object of a partial clone makes older versions of git start a transport,
        # which may be any program; this list overrides what the repository allows.
        "GIT_ALLOW_PROTOCOL": "none",
    }


def ask(directory: Path, *arguments: str) -> Answer:
    """Ask the repository itself, from ``directory``: for its place, refs and configuration."""
    argv = _argv(_CAUTIONS, arguments)
    with tempfile.TemporaryFile() as errors:
        process = _start(argv, directory, git_environment(), subprocess.DEVNULL, errors)
        try:
            output, _ = process.communicate(timeout=_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise GitFailed(arguments[0], -1, f"no answer in {_ANSWER_SECONDS:g} s") from None
        return Answer(process.returncode, os.fsdecode(output).rstrip("\n"), _read(errors))


class Git:
    """git on the objects of one repository, and on nothing else of it.

    ``objects`` is the directory of objects, ``shallow`` the file that lists where a shallow
    clone ends, ``index`` the index, ``sha256`` whether the repository uses that format.
    """

    def __init__(self, objects: Path, shallow: Path, index: Path, *, sha256: bool) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="checkup-git-"))
        weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        (self._directory / "refs").mkdir()
        (self._directory / "HEAD").write_text("ref: refs/heads/none\n")
        extension = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
        core = f"[core]\n\trepositoryFormatVersion = {int(sha256)}\n\tbare = true\n"
        (self._directory / "config").write_text(core + extension)
        if shallow.is_file():
            shutil.copyfile(shallow, self._directory / "shallow")
        self._settings = _LIMITS
        self._environment = git_environment() | {
            "GIT_DIR": str(self._directory),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_INDEX_FILE": str(index),
        }

    def look_at(self, commit: str) -> None:
        """Let the ``.mailmap`` of ``commit`` say who is who, and leave the index unread: it has no
        part in a commit, and may be damaged."""
        self._environment["GIT_INDEX_FILE"] = str(self._directory / "index")
        self._settings = (*_LIMITS, f"mailmap.blob={commit}:.mailmap")

    def run(self, *arguments: str, feed: bytes = b"", seconds: float = 120) -> bytes:
        """The standard output of a command whose output is small.

        Raises ``GitFailed`` when it ends with an error or takes longer than ``seconds``.
        """
        with self._started(arguments, feed) as (process, errors):
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                raise GitFailed(arguments[0], -1, f"it took longer than {seconds:g} s") from None
            if process.returncode:
                raise GitFailed(arguments[0], process.returncode, _read(errors))
        return output

    def text(self, *arguments: str) -> str:
        """``run`` as text without the last line's end."""
        return os.fsdecode(self.run(*arguments)).rstrip("\n")

    def stream(
        self,
        *arguments: str,
        separator: bytes = b"\0",
        feed: "bytes | IO[bytes]" = b"",
        seconds: float = 120,
        accept: tuple[int, ...] = (0,),
    ) -> Generator[bytes, None, bool]:
        """Yield the output's records as they come; return whether all of them came.

        The command is ended after ``seconds``, and when the generator is closed. One chunk is
        held at a time, and a record is cut at 1 MiB. A status that is not in ``accept`` raises
        ``GitFailed``. With no time left nothing is started.
        """
        if seconds < _LEAST_SECONDS:
            return False
        with self._started(arguments, feed) as (process, errors):
            expired = threading.Event()
            timer = threading.Timer(seconds, lambda: (expired.set(), process.kill()))
            timer.start()
            try:
                yield from _records(_pipe(process.stdout), separator)
                status = process.wait()
            finally:
                timer.cancel()
            if status not in accept and not expired.is_set():
                raise GitFailed(arguments[0], status, _read(errors))
        return not expired.is_set()

    @contextmanager
    def piped(self, *arguments: str) -> Generator[IO[bytes]]:
        """The output of a command as a file, to feed to another one."""
        with self._started(arguments, b"") as (process, _):
            yield _pipe(process.stdout)

    @contextmanager
    def conversation(self, *arguments: str) -> Generator[tuple[IO[bytes], IO[bytes]]]:
        """A command that answers line by line: what it reads from, and what it says."""
        with self._started(arguments, None) as (process, _):
            yield _pipe(process.stdin), _pipe(process.stdout)

    @contextmanager
    def _started(
        self, arguments: tuple[str, ...], feed: "bytes | IO[bytes] | None"
    ) -> Generator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
        argv = _argv(self._settings, arguments)
        with tempfile.TemporaryFile() as errors, _source(feed) as stdin:
            process = _start(argv, self._directory, self._environment, stdin, errors)
            try:
                yield process, errors
            finally:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        _close(pipe)


def _argv(settings: tuple[str, ...], arguments: tuple[str, ...]) -> list[str]:
    flags = [part for setting in settings for part in ("-c", setting)]
    return ["git", "--no-pager", *flags, *arguments]


def _start(
    argv: list[str],
    directory: Path,
    env: dict[str, str],
    stdin: "int | IO[bytes]",
    errors: IO[bytes],
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            argv, cwd=directory, env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=errors
        )
    except FileNotFoundError as error:
        if error.filename != "git":
            raise CheckupError(
                "resource", "directory_gone", f"the directory {clean(str(directory))} is gone"
            ) from None
        raise CheckupError(
            "resource",
            "git_missing",
            "git is not installed on the machine that runs the checkup, or not on its PATH",
            hint="install git (for example 'apt install git' or 'brew install git')",
        ) from None


@contextmanager
def _source(feed: "bytes | IO[bytes] | None") -> Generator["int | IO[bytes]"]:
    """What a command reads: a pipe to talk through, nothing, the given bytes or a file."""
    if feed is None:
        yield subprocess.PIPE
    elif not isinstance(feed, bytes):
        yield feed
    elif not feed:
        yield subprocess.DEVNULL
    else:
        with tempfile.TemporaryFile() as file:
            file.write(feed)
            file.seek(0)
            yield file


def _records(pipe: IO[bytes], separator: bytes) -> Iterator[bytes]:
    rest = b""
    while chunk := os.read(pipe.fileno(), _CHUNK):
        records = chunk.split(separator)
        if len(rest) < _RECORD_LIMIT:
            records[0] = rest + records[0]
        elif len(records) > 1:
            records[0] = rest
        else:
            continue  # still inside a record that is already cut
        rest = records.pop()
        yield from records
    if rest:
        yield rest


def _pipe(pipe: "IO[bytes] | None") -> IO[bytes]:
    assert pipe is not None, "the command was started with pipes"  # noqa: S101 - for the type
    return pipe


def _close(pipe: IO[bytes]) -> None:
    with suppress(BrokenPipeError):  # the command may have ended before it read everything
        pipe.close()


def _read(errors: IO[bytes]) -> str:
    """The end of it, where git says what it ended for."""
    errors.seek(max(errors.seek(0, os.SEEK_END) - _SAID_LIMIT, 0))
    return errors.read(_SAID_LIMIT).decode("utf-8", "replace")
