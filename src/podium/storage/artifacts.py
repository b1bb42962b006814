"""The artifact store port, and what its adapters share."""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from podium.kernel.errors import Unavailable

OWNER = ".podium-owner"
"""The file or object that tells whose a store is."""
_PLACE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9]{1,9})/([0-9a-f.]+)")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was kept: its size in bytes and the SHA-256 of its content."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store has something: the same below a directory and below a prefix of a bucket."""

    task_id: UUID
    attempt: int
    file: str

    @classmethod
    def of(cls, task_id: UUID, attempt: int, name: str) -> "Place":
        """The place of an artifact."""
        # A hash, so that no name can be too long, hidden, reserved or a way out of the directory.
        hashed = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
        return cls(task_id, attempt, hashed)

    @classmethod
    def parse(cls, path: str) -> "Place | None":
        """The place that a path tells; None when it is of something else."""
        found = _PLACE.fullmatch(path)
        return cls(UUID(found[1]), int(found[2]), found[3]) if found else None

    def __str__(self) -> str:
        return f"{self.task_id}/{self.attempt}/{self.file}"


class Content(Protocol):
    """Content that is read piece by piece, as fast as its reader asks for more. Whoever opened it
    closes it, read to its end or not; that frees the file or the connection."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class ArtifactStore(Protocol):
    """Keeps files of tasks, each under (task, attempt, name).

    Guarantees an adapter gives: ``put`` is atomic (readers see the old content or the new, and one
    that fails or is cancelled leaves nothing), durable when it returns, and replaces, so that it
    may be repeated; names may hold any characters; no method holds a whole file in memory. What is
    kept goes only by ``remove``: whoever deletes a task calls it, and the sweep, which also finds
    what a crash has left. Any method raises ``Unavailable`` when there is no way to the store.
    """

    @property
    def shown(self) -> str:
        """Where it keeps things, as a URL without secrets; the same for all that share it."""
        ...

    async def put(
        self, task_id: UUID, attempt: int, name: str, content: bytes | Path, most: int | None = None
    ) -> Stored:
        """Keep a copy of ``content``, bytes or a file; ``TooLarge`` when it has more bytes than
        ``most``, ``Unavailable`` also when there is no room, ``OSError`` when the file cannot be
        read."""
        ...

    async def open(
        self,
        task_id: UUID,
        attempt: int,
        name: str,
        size: int,
        first: int = 0,
        count: int | None = None,
    ) -> Content:
        """The content, or ``count`` bytes of it from the byte ``first``, both inside it.

        ``size`` is that of the whole, on record; ``Unavailable`` when the store has another one, as
        for a moment while it is replaced, ``NotFound`` when it has none.
        """
        ...

    async def remove(self, places: Sequence[Place]) -> None:
        """Remove what is at these places, in few requests; what is not there is removed. After
        ``Unavailable`` some may be left."""
        ...

    async def kept(self, after: str, most: int) -> Sequence[Place]:
        """Up to ``most`` places at which there is something, finished or not, in the order of
        their texts, those after ``after``; fewer only at the end."""
        ...

    async def claim(self, owner: UUID, instead_of: UUID | None) -> bool:
        """Whether the store has been marked as the owner's before. One that is nobody's, or that of
        ``instead_of``, is marked now; of two that do so at once one finds itself marked later."""
        ...

    async def check(self) -> None:
        """Raise ``Unavailable``, with what to do, where the store could not be used now."""
        ...


def replaced(name: str) -> Unavailable:
    """What to say where the store has not the content that is on record."""
    return Unavailable(
        f"The content of artifact {name!r} is not the one on record: it is being replaced, or was "
        "changed by others.",
        hint="Try again; if it stays so, keep it once more.",
    )
