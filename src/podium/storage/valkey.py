"""Valkey carries only what may be lost: wake-ups, presence, live tails. Nothing here raises.

Guarantee: a message reaches whoever listens at that moment, or nobody. Every reader therefore also
looks by itself now and then, more often while ``available`` is False.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, cast

import redis.asyncio as redis
import structlog
from redis.exceptions import MaxConnectionsError

from podium.kernel import background
from podium.storage.channels import FAULTS, RETRY_SECONDS, Channels, Listener

_log = structlog.get_logger(__name__)


class Valkey:
    """A connection pool that tells whether the server can be reached and comes back by itself."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=None)  # pyright: ignore[reportUnknownMemberType]
        self._channels = Channels(self._client, self._lost)
        self.available = True
        self._back = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def send(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Run commands in one round trip; an empty list when the server cannot be reached."""
        if not self.available:
            return []
        try:
            async with asyncio.timeout(2):
                if len(commands) == 1:  # a pipeline takes twice the time
                    return [await cast("Any", self._client).execute_command(*commands[0])]
                async with self._client.pipeline(transaction=False) as pipe:
                    for command in commands:
                        pipe.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
                    return await pipe.execute()
        except FAULTS as error:
            self._lost(error)
            return []

    async def pop(self, keys: Sequence[str], seconds: float) -> bool:
        """Wait until one of the lists has an element and take it; False when none came."""
        if not self.available:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._back.wait()
            return False
        try:
            async with asyncio.timeout(seconds + 2):
                found = await cast("Any", self._client).blpop(keys, timeout=seconds)
        except MaxConnectionsError as error:
            self._lost(error)
            await asyncio.sleep(min(seconds, RETRY_SECONDS))
            return False
        except FAULTS as error:
            self._lost(error)
            return False
        return found is not None

    def listen(self, *channels: str) -> AbstractAsyncContextManager[Listener]:
        """Messages of these channels, while the block runs. All listeners share a connection."""
        return self._channels.listen(*channels)

    async def close(self) -> None:
        await self._channels.close()
        await background.end(self._watcher)
        await self._client.aclose()

    def _lost(self, error: BaseException) -> None:
        if isinstance(error, MaxConnectionsError):  # it is there, and this process is busy
            _log.warning("valkey.busy", error=str(error))
        elif self.available:
            self.available = False
            self._back.clear()
            _log.warning("valkey.lost", error=str(error) or type(error).__name__)
            self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while not self.available:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                async with asyncio.timeout(2):
                    await self._client.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
            except FAULTS:
                continue
            self.available = True
            self._back.set()
            _log.info("valkey.back")
