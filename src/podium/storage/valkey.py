"""Valkey carries only what may be lost: wake-ups, presence, live tails. Nothing here raises.

Guarantee: a message reaches whoever listens at that moment, or nobody. Every reader therefore also
looks by itself now and then, more often while ``available`` is False.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

_log = structlog.get_logger(__name__)
_FAULTS = (RedisError, OSError, TimeoutError)
_RETRY_SECONDS = 1.0


class Valkey:
    """A connection pool that tells whether the server can be reached and comes back by itself."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=None)  # pyright: ignore[reportUnknownMemberType]
        self.available = True
        self._back = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def send(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Run commands in one round trip; an empty list when the server cannot be reached."""
        if not self.available:
            return []
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
                async with asyncio.timeout(2):
                    return await pipe.execute()
        except _FAULTS as error:
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
        except _FAULTS as error:
            self._lost(error)
            return False
        return found is not None

    @asynccontextmanager
    async def listen(self, *channels: str) -> AsyncGenerator["Listener"]:
        """Messages of these channels, while the block runs."""
        listener = Listener(self, self._client, channels)
        try:
            yield listener
        finally:
            await listener.close()

    async def close(self) -> None:
        if self._watcher:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        await self._client.aclose()

    def _lost(self, error: BaseException) -> None:
        if self.available:
            self.available = False
            self._back.clear()
            _log.warning("valkey.lost", error=str(error) or type(error).__name__)
            self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while not self.available:
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                async with asyncio.timeout(2):
                    await self._client.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
            except _FAULTS:
                continue
            self.available = True
            self._back.set()
            _log.info("valkey.back")


class Listener:
    """One subscription that renews itself. A renewal counts as a message: some may be lost."""

    def __init__(self, valkey: Valkey, client: redis.Redis, channels: Sequence[str]) -> None:
        self._valkey = valkey
        self._client = client
        self._channels = channels
        self._pubsub: Any = None

    async def message(self, seconds: float) -> tuple[str, bytes] | None:
        """The next (channel, data); None when nothing came in time.

        After an outage it returns ``("", b"")`` once: whatever was sent meanwhile is lost.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._next()
        except TimeoutError:
            return None

    async def _next(self) -> tuple[str, bytes]:
        while True:
            try:
                if self._pubsub is None:
                    self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)  # pyright: ignore[reportUnknownMemberType]
                    await self._pubsub.subscribe(*self._channels)
                    return "", b""
                got = await self._pubsub.get_message(timeout=None)
            except _FAULTS as error:
                self._valkey._lost(error)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                await self._drop()
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if got is not None:
                return got["channel"].decode(), got["data"]

    async def _drop(self) -> None:
        if self._pubsub is not None:
            with suppress(*_FAULTS):
                await self._pubsub.aclose()
            self._pubsub = None

    async def close(self) -> None:
        await self._drop()
