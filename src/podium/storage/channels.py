"""Messages of channels, over one connection of the process for all who listen."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from podium.kernel import background

_log = structlog.get_logger(__name__)

FAULTS = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a lost connection may raise; the last is uvloop's word for writing to a closed one."""
RETRY_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
_QUIET_SECONDS = 10.0
"""After so long without a change the server is asked whether it is there."""
_SILENT_SECONDS = 30.0
"""A connection over which nothing came for so long, not even that answer, is dead."""
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
    """Who listens to which channels. Only its own tasks use the connection, so a listener that is
    cancelled leaves nothing half done. One of them writes and the other reads; neither repairs the
    connection, which would take the other's answers from it. The client's ``PubSub`` does that from
    both sides at once, so this speaks to the connection itself.

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
        """Never ends by itself: nobody would ever hear anything again."""
        while True:
            try:
                async with self._connection() as connection:
                    await self._serve(connection)
            except FAULTS as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001
                _log.exception("valkey.listening_failed")
                self._lost(error)
            self._live.clear()
            await asyncio.sleep(RETRY_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Any]:
        """One that nobody else uses, and nobody after it."""
        pool: Any = self._client.connection_pool
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await pool.get_connection()
        try:
            yield connection
        finally:
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def _serve(self, connection: Any) -> None:
        """Until the connection breaks."""
        halves = [
            asyncio.create_task(self._read(connection)),
            asyncio.create_task(self._write(connection)),
        ]
        try:
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in done:
                half.result()
        finally:
            await background.end(*halves)

    async def _write(self, connection: Any) -> None:
        """Be subscribed to what somebody listens to."""
        known: set[str] = set()
        while True:
            self._changed.clear()
            wanted = {_OWN, *self._listeners}
            if more := wanted - known:
                await _send(connection, "SUBSCRIBE", *more)
            if fewer := known - wanted:
                await _send(connection, "UNSUBSCRIBE", *fewer)
            known = wanted
            try:
                async with asyncio.timeout(_QUIET_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                await _send(connection, "PING")

    async def _read(self, connection: Any) -> None:
        while True:
            async with asyncio.timeout(_SILENT_SECONDS):
                got = await connection.read_response(push_request=True)
            self._take(got)

    def _take(self, got: Any) -> None:
        match got:
            case [b"subscribe", channel, _]:
                name = channel.decode()
                self._live.add(name)
                self._give(name, "", b"")
            case [b"unsubscribe", channel, _]:
                self._live.discard(channel.decode())
            case [b"message", channel, data]:
                name = channel.decode()
                self._give(name, name, data)
            case _:  # the answer to PING, or what the server tells of itself
                pass

    def _give(self, name: str, channel: str, data: bytes) -> None:
        for listener in self._listeners.get(name, ()):
            listener.give(channel, data)


async def _send(connection: Any, *command: str) -> None:
    async with asyncio.timeout(_SILENT_SECONDS):
        await connection.send_command(*command, check_health=False)
