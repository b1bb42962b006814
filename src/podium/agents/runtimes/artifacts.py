"""Opens a file that an agent named, and only if the agent could have read it itself."""

import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_KERNEL_FOLDERS = ("/proc", "/sys")


@dataclass(frozen=True, slots=True)
class Reach:
    """Where an agent's files may lie: its workspace, and its directory without what is hidden."""

    directory: Path
    workspace: Path
    hidden: Sequence[Path] = ()

    def root_of(self, real: Path) -> Path:
        """The folder of the two that holds ``real``; ``ValueError`` if none may."""
        workspace, directory = self.workspace.resolve(), self.directory.resolve()
        if real.is_relative_to(workspace):
            return workspace
        hidden = any(real.is_relative_to(path.resolve()) for path in self.hidden)
        if hidden or not real.is_relative_to(directory):
            raise ValueError("it lies outside the working directory")
        return directory


@contextmanager
def opened(name: str, reach: Reach) -> Generator[Path]:
    """A path to the regular file ``name`` (relative to the directory), pinned while open.

    This process sees what a confined agent does not: Podium's own files, and the environment of
    processes under ``/proc``. The path given names the file that was opened, because the agent
    could change the name to a link after the check. Raises ``ValueError`` or ``OSError``.
    """
    real = (reach.directory / name).resolve(strict=True)
    root = reach.root_of(real)
    descriptor = _open_beneath(root, real.relative_to(root).parts)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a file")
        if found.st_dev in _kernel_devices():
            raise ValueError("it is the kernel's")
        yield Path(f"/dev/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _kernel_devices() -> set[int]:
    return {os.stat(path).st_dev for path in _KERNEL_FOLDERS if os.path.ismount(path)}  # noqa: PTH116


def _open_beneath(root: Path, parts: tuple[str, ...]) -> int:
    """Open step by step without following links; O_NONBLOCK so that a pipe cannot hold us up."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(root, flags)
    for part in parts:
        try:
            inner = os.open(part, flags, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor
