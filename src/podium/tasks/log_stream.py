"""Output of a task as server-sent events, to so many at once as the server can serve."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, aclosing, contextmanager
from uuid import UUID

import orjson

from podium.events.model import TooManyStreams
from podium.kernel.errors import Unauthenticated, Unavailable
from podium.principals.service import PrincipalService
from podium.tasks.follow import LogBatch
from podium.tasks.model import LogItem

_STILL_HERE_SECONDS = 15.0
_MOST = 500
_MOST_EACH = 100
_LATER_SECONDS = 5


class LogStreams:
    """The log streams that this process serves. Each looks at the database every two seconds, so
    there may be so many in all, and so many of one principal."""

    def __init__(self) -> None:
        self._open: Counter[UUID] = Counter()

    def require_place(self, principal: UUID) -> None:
        """Raise ``TooManyStreams`` when there is no place for another one."""
        for count, most, whose in (
            (self._open.total(), _MOST, "This server serves"),
            (self._open[principal], _MOST_EACH, "You follow"),
        ):
            if count >= most:
                raise TooManyStreams(
                    f"{whose} {most} logs already.",
                    hint="Close some, or read pages of `logs` now and then.",
                    retry_after=_LATER_SECONDS,
                )

    @contextmanager
    def place(self, principal: UUID) -> Generator[None]:
        """Count one while the block runs."""
        self._open[principal] += 1
        try:
            yield
        finally:
            self._open[principal] -= 1
            self._open += Counter()  # forgets those that have none


async def log_stream(
    batches: AsyncGenerator[LogBatch],
    place: AbstractContextManager[None],
    principals: PrincipalService,
    credential: str,
) -> AsyncGenerator[bytes]:
    """The messages. They end without ``end`` soon after the credential does."""
    told = time.monotonic()
    with place:
        async with aclosing(batches) as source:
            async for batch in source:
                if await _ended(principals, credential):
                    return  # the client finds out why when it comes back
                if batch.items:
                    yield b"".join(map(_log_event, batch.items))
                    told = time.monotonic()
                elif time.monotonic() - told > _STILL_HERE_SECONDS:
                    yield b": still here\n\n"
                    told = time.monotonic()
                if batch.last:
                    yield b"event: end\ndata: {}\n\n"


async def _ended(principals: PrincipalService, credential: str) -> bool:
    """Whether the credential holds no more; when that cannot be known, it was proven before."""
    try:
        await principals.authenticate(credential)
    except Unauthenticated:
        return True
    except Unavailable:
        return False
    return False


def _log_event(item: LogItem) -> bytes:
    data = orjson.dumps(item.model_dump(mode="json"))
    return b"id: %d\nevent: log\ndata: %s\n\n" % (item.id, data)
