"""Private files that no reader sees half written, and errors that tell what a machine lacks."""

import errno
import os
from pathlib import Path

_SHORT = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step, mode 0600.

    A crash leaves the old file or the new one. Several writers at once each write the whole
    file; the last one stays.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def private_directory(path: Path) -> Path:
    """``path`` as a directory, made with mode 0700 (missing parents too) when it is missing."""
    for directory in reversed([path, *path.parents]):
        if not directory.is_dir():
            directory.mkdir(mode=0o700, exist_ok=True)
    return path


def is_short(error: OSError) -> bool:
    """Whether the machine lacks something now: room on the disk, descriptors, processes, memory."""
    return error.errno in _SHORT
