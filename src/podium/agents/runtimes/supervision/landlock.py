"""Landlock by system call: the calling process and its children lose sight of some paths.

Landlock only grants. To hide a path, everything beside the way to it is granted instead, which
has a price: nothing new can be made directly inside a folder that holds a hidden path, and such
a folder cannot be listed. Reading another process through ``/proc`` is refused by the kernel to
whoever is inside, and signals do not leave (ABI 6 and later). Connecting to a Unix socket is
*not* refused: such a socket needs a password of its own.
"""

import ctypes
import os
import stat
import sys

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38

_FILE = 0b111  # execute, write, read
_READ_ONLY = 0b1101  # execute, read, list
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_ABI = (1 << 13) - 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2

# Capabilities that open other ways to a hidden file: raw memory and devices, other processes,
# files by handle, new mounts, kernel modules, tracing. What a build needs as root stays.
DANGEROUS = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
    "CAP_CHECKPOINT_RESTORE": 40,
}


def abi() -> int:
    """The kernel's Landlock version, or 0 when it has none or has it switched off."""
    if sys.platform != "linux":
        return 0
    return max(0, ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def _rights(version: int) -> tuple[int, int]:
    """The rights that this kernel can govern: on folders, and those that fit a file."""
    folder, file = _FIRST_ABI, _FILE
    if version >= 2:
        folder |= _REFER
    if version >= 3:
        folder, file = folder | _TRUNCATE, file | _TRUNCATE
    if version >= 5:
        folder, file = folder | _IOCTL_DEV, file | _IOCTL_DEV
    return folder, file


def _system_call(libc: ctypes.CDLL, *arguments: object) -> int:
    result = libc.syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class _Ruleset:
    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        version = abi()
        self._folder, self._file = _rights(version)
        scopes = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if version >= 6 else 0
        fields = [self._folder, 0, scopes][: 3 if version >= 6 else 1]
        attributes = b"".join(field.to_bytes(8, sys.byteorder) for field in fields)
        self._descriptor = _system_call(self._libc, _CREATE_RULESET, attributes, len(attributes), 0)

    def grant(self, path: bytes) -> None:
        """All rights at and below ``path``; a path that went away needs none.

        Of the kernel's own files root only gets to read: by some, such as core_pattern, it
        could have a program run outside.
        """
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
            rights = self._folder if is_folder else self._file
            if path in (b"/proc", b"/sys") and os.geteuid() == 0:
                rights = _READ_ONLY
            rule = rights.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
            _system_call(self._libc, _ADD_RULE, self._descriptor, _PATH_BENEATH, rule, 0)
        finally:
            os.close(opened)

    def enforce(self) -> None:
        for capability in DANGEROUS.values():
            self._libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _system_call(self._libc, _RESTRICT_SELF, self._descriptor, 0)
        os.close(self._descriptor)


def _grant_around(ruleset: _Ruleset, folder: bytes, hidden: set[bytes], way: set[bytes]) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.path in hidden or entry.is_symlink():
            continue
        if entry.path in way:
            _grant_around(ruleset, entry.path, hidden, way)
        elif not _is_disk(entry):
            ruleset.grant(entry.path)


def _is_disk(entry: os.DirEntry[bytes]) -> bool:
    """Raw disks under /dev hold every file, hidden ones too."""
    if not entry.path.startswith(b"/dev/"):
        return False
    try:
        return stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        return True


def restrict(hide: list[bytes], allow: list[bytes]) -> None:
    """Hide ``hide`` from this process for ever, except ``allow`` inside them.

    Paths are absolute and free of symbolic links. Raises ``OSError`` when the kernel refuses.
    """
    ruleset = _Ruleset()
    hidden = set(hide)
    way = {b"/", b"/dev"}
    for path in hidden:
        parent = os.path.dirname(path)  # noqa: PTH120
        while parent not in way:
            way.add(parent)
            parent = os.path.dirname(parent)  # noqa: PTH120
    _grant_around(ruleset, b"/", hidden, way)
    for path in allow:
        ruleset.grant(path)
    ruleset.enforce()
