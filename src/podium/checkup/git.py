"""Running git on a repository that nobody has vouched for.

A repository's own configuration can name programs (file system monitor, hooks, text conversion,
signature check, transports of a partial clone). Every call here is plumbing with those switched
off, a fresh environment, and the repository taken as bare, so that no working tree, filter or
index refresh comes into it.
"""

import os
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from podium.checkup.context import CheckupError
from podium.checkup.text import clean, shorten

_CHUNK = 1 << 18
_RECORD_LIMIT = 1 << 20
_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "core.pager=cat",
    "core.sshCommand=false",
    "core.askPass=false",
    "core.alternateRefsCommand=false",
    "core.quotePath=false",
    "credential.helper=",
    "protocol.allow=never",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "log.showSignature=false",
    "blame.ignoreRevsFile=",
    "mailmap.file=",
    "submodule.recurse=false",
    "grep.patternType=default",
    "grep.fallbackToNoIndex=false",
    "diff.renameLimit=200",
    "i18n.logOutputEncoding=UTF-8",
    "color.ui=false",
    "gc.auto=0",
    "core.packedGitLimit=64m",
    "core.packedGitWindowSize=8m",
    "core.deltaBaseCacheLimit=48m",
    "maintenance.auto=false",
    "safe.directory=*",
)


class GitFailed(CheckupError):
    """git ended with an error; ``status`` is its exit status."""

    def __init__(self, command: str, status: int, said: str) -> None:
        said = shorten(clean(said.strip().replace("\n", " ")), 300) or "it gave no reason"
        super().__init__(
            "agent",
            "git_failed",
            f"git {command} ended with status {status}: {said}",
            hint="run 'git fsck' in the repository: it may be damaged or a partial clone",
        )
        self.status = status


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
        "GIT_FLUSH": "0",
    }


class Git:
    """git on one repository, given by its git directory."""

    def __init__(self, git_dir: Path) -> None:
        self.git_dir = git_dir

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
        ``GitFailed``.
        """
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
        argv = ["git", "--no-pager", "--bare"]
        for setting in _SETTINGS:
            argv += ["-c", setting]
        with tempfile.TemporaryFile() as errors, _source(feed) as stdin:
            process = _start(
                [*argv, *arguments],
                self.git_dir,
                git_environment() | {"GIT_DIR": str(self.git_dir)},
                stdin,
                errors,
            )
            try:
                yield process, errors
            finally:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        _close(pipe)


def discover(path: Path, *arguments: str) -> tuple[int, str, str]:
    """``git rev-parse`` at ``path``, before the git directory is known: status, output, errors."""
    argv = ["git", "--no-pager"]
    for setting in _SETTINGS:
        argv += ["-c", setting]
    with tempfile.TemporaryFile() as errors:
        process = _start(
            [*argv, "rev-parse", *arguments], path, git_environment(), subprocess.DEVNULL, errors
        )
        output, _ = process.communicate(timeout=60)
        return process.returncode, os.fsdecode(output).rstrip("\n"), _read(errors)


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
                "invalid_input", "not_a_directory", f"there is no directory {directory}"
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
    errors.seek(0)
    return errors.read(4096).decode("utf-8", "replace")
