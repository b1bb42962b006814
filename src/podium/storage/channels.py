"""Messages of channels, over one connection of the process for all who listen."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from podium.kernel import background

FAULTS = (RedisError, OSError, TimeoutError)
RETRY_SECONDS = 1.0
_OWN = "podium:process"
"""Nobody writes to it; it keeps the connection subscribed while nobody listens."""
_MOST_WAITING = 100


class Listener:
    """What one listener has not taken yet."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_MOST_WAITING)

    async def message(self, seconds: float) -> tuple[str, bytes] | None:
        """The next (channel, data); None when nothing came in time.

        ``("", b"")`` says that listening began or was renewed: what was sent before is lost. May
        be cancelled at any moment.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._waiting.get()
        return None

    def give(self, channel: str, data: bytes) -> None:
        """Hand it a message; one that has so many waiting has enough to look for."""
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait((channel, data))


class Channels:
    """Who listens to which channels. Only its own task uses the connection, so a listener that is
    cancelled leaves nothing half done.

    ``lost`` is told of every fault of the connection; it is then made anew until it works.
    """

    def __init__(self, client: redis.Redis, lost: Callable[[BaseException], None]) -> None:
        self._client = client
        self._lost = lost
        self._listeners: dict[str, set[Listener]] = {}
        self._live: set[str] = set()
        self._changed = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(self, *channels: str) -> AsyncGenerator[Listener]:
        """Messages of these channels, while the block runs."""
        listener = Listener()
        for name in channels:
            self._listeners.setdefault(name, set()).add(listener)
            if name in self._live:
                listener.give("", b"")
        self._changed.set()
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        try:
            yield listener
        finally:
            for name in channels:
                self._listeners[name].discard(listener)
                if not self._listeners[name]:
                    del self._listeners[name]
            self._changed.set()

    async def close(self) -> None:
        await background.end(self._runner)

    async def _run(self) -> None:
        while True:
            try:
                async with self._client.pubsub() as pubsub:  # pyright: ignore[reportUnknownMemberType]
                    await self._serve(pubsub)
            except FAULTS as error:
                self._lost(error)
            self._live.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _serve(self, pubsub: Any) -> None:
        """Until the connection breaks."""
        await pubsub.subscribe(_OWN)
        halves = [
            asyncio.create_task(self._read(pubsub)),
            asyncio.create_task(self._subscribe(pubsub)),
        ]
        try:
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in done:
                half.result()
        finally:
            await background.end(*halves)

    async def _subscribe(self, pubsub: Any) -> None:
        """Be subscribed to what somebody listens to."""
        known: set[str] = set()
        while True:
            self._changed.clear()
            wanted = set(self._listeners)
            if more := wanted - known:
                await pubsub.subscribe(*more)
            if fewer := known - wanted:
                await pubsub.unsubscribe(*fewer)
            known = wanted
            await self._changed.wait()

    async def _read(self, pubsub: Any) -> None:
        while True:
            got = await pubsub.get_message(timeout=None)
            if got is not None:
                self._take(got)

    def _take(self, got: Mapping[str, Any]) -> None:
        name = got["channel"].decode()
        listeners = self._listeners.get(name, ())
        match got["type"]:
            case "subscribe":
                self._live.add(name)
                for listener in listeners:
                    listener.give("", b"")
            case "unsubscribe":
                self._live.discard(name)
            case _:
                for listener in listeners:
                    listener.give(name, got["data"])
