"""What a task's attempts write as server-sent events."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

import orjson

from podium.kernel.errors import Unauthenticated, Unavailable
from podium.principals.service import PrincipalService
from podium.tasks.follow import Batch, Numbered

_STILL_HERE_SECONDS = 15.0


class Shown(Numbered, Protocol):
    """A piece that can be told."""

    def model_dump(self, *, mode: str) -> Any: ...


async def stream(
    batches: AsyncGenerator[Batch[Shown]],
    principals: PrincipalService,
    credential: str,
    event: str,
) -> AsyncGenerator[bytes]:
    """The messages, each an ``event``. They end without ``end`` soon after the credential does."""
    told = time.monotonic()
    async with aclosing(batches) as source:
        async for batch in source:
            if await _ended(principals, credential):
                return  # the client finds out why when it comes back
            if batch.items:
                yield b"".join(_message(event, item) for item in batch.items)
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


def _message(event: str, item: Shown) -> bytes:
    data = orjson.dumps(item.model_dump(mode="json"))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (item.id, event.encode(), data)
