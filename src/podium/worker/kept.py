"""How much one attempt may keep of files, and what it has kept so far."""

import asyncio
from dataclasses import dataclass

from podium.kernel.errors import AttemptFailed, ErrorClass


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """Of one attempt: how many files, bytes of one, and bytes of all."""

    count: int
    size: int
    total: int


class Kept:
    """The files of one attempt. ``lock`` is held from ``room`` to ``add``."""

    def __init__(self, limits: ArtifactLimits) -> None:
        self._limits = limits
        self._sizes: dict[str, int] = {}
        self.lock = asyncio.Lock()

    def room(self, name: str) -> int:
        """The most bytes that a file of this name may have. Raises ``AttemptFailed`` when it would
        be one file too many."""
        if name not in self._sizes and len(self._sizes) >= self._limits.count:
            raise _passed(f"has kept {self._limits.count:,} files, the most", "max_artifacts")
        return min(self._limits.size, self._limits.total - self._others(name))

    def add(self, name: str, size: int) -> None:
        """A file was kept; one of the same name before it is no more."""
        self._sizes[name] = size

    def too_large(self, name: str) -> AttemptFailed:
        """The failure of an attempt whose file has more bytes than there is room."""
        if self._limits.size <= self._limits.total - self._others(name):
            most, setting = self._limits.size, "max_artifact_bytes"
            return _passed(f"was to keep a file of more than the {most:,} bytes", setting)
        most, setting = self._limits.total, "max_artifacts_total_bytes"
        return _passed(f"was to keep more than the {most:,} bytes in all", setting)

    def _others(self, name: str) -> int:
        return sum(self._sizes.values()) - self._sizes.get(name, 0)


def _passed(what: str, setting: str) -> AttemptFailed:
    return AttemptFailed(
        ErrorClass.RESOURCE,
        "artifact_limit",
        f"The attempt {what} that it may keep.",
        hint=f"Keep less, for example one archive, or raise the worker's setting {setting}.",
    )
