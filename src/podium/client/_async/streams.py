"""Event streams that come back by themselves and go on where they were."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Self

import httpcore

from podium.client._async.runtime import sleep
from podium.client._async.transport import BROKEN, AsyncTransport
from podium.client.errors import ApiError, PodiumError
from podium.client.models import Event
from podium.client.wire import (
    RETRIED_STATUS,
    Message,
    Query,
    Request,
    decode,
    delay,
    problem_of,
)

SILENCE_SECONDS = 45.0
"""Three heartbeats: a stream that is silent for longer is broken."""
_HEARTBEAT_SECONDS = 15.0
_SLACK_SECONDS = 0.5


class AsyncFollower:
    """Reads one event stream across broken connections and restarts of the server.

    ``cursor`` is the place to go on from. ``deadline`` is on ``time.monotonic``; at it the
    messages end, or the last error is raised if the server was never reached. It is raised as
    well when no connection lasted or brought an event for ``patience`` seconds.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        path: str,
        query: Query,
        *,
        after: str | None = None,
        deadline: float | None = None,
        patience: float = 300.0,
    ) -> None:
        self.cursor = after
        self._transport = transport
        self._path = path
        self._query = query
        self._deadline = deadline
        self._patience = patience
        self._alive = time.monotonic()
        self._reached = False

    async def messages(self) -> AsyncGenerator[Message]:
        """Every message, also those that only show life; each event once."""
        failures = 0
        error: PodiumError | None = None
        while (seconds := self._read_timeout()) > 0:
            error = None
            opened = time.monotonic()
            try:
                async with aclosing(self._once(seconds)) as source:
                    async for message in source:
                        self._reached = True
                        if message.event or time.monotonic() - opened > _HEARTBEAT_SECONDS:
                            failures, self._alive = 0, time.monotonic()
                        yield message
            except BROKEN as broken:
                # A read that the deadline cut short is the end of the time, not of the connection.
                if not isinstance(broken, httpcore.ReadTimeout) or self._read_timeout() > 0:
                    error = self._transport.failed(broken)
            except ApiError as refused:
                if refused.status not in RETRIED_STATUS:
                    raise
                error = refused
            await sleep(self._pause(failures, error))
            failures += 1
        if error and not self._reached:
            raise error

    async def _once(self, seconds: float) -> AsyncGenerator[Message]:
        async with aclosing(self._transport.messages(self._request(), seconds)) as source:
            async for message in source:
                if message.event == "error":
                    raise problem_of(message.data)
                if message.id:
                    self.cursor = message.id
                yield message
                if self._read_timeout() < min(_HEARTBEAT_SECONDS, seconds - _SLACK_SECONDS):
                    return  # and connect again with a read timeout that ends at the deadline

    def _pause(self, failures: int, error: PodiumError | None) -> float:
        """Seconds until the next connection, or until the deadline."""
        if error and time.monotonic() - self._alive > self._patience:
            raise error
        self._transport.look_again()
        return min(delay(failures + 1), max(self._read_timeout(), 0))

    def _read_timeout(self) -> float:
        if self._deadline is None:
            return SILENCE_SECONDS
        return min(SILENCE_SECONDS, self._deadline - time.monotonic())

    def _request(self) -> Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        return Request("GET", self._path, {**self._query, "after": self.cursor}, headers=headers)


class AsyncEventStream:
    """Events as they happen, each once, in order, across reconnections.

    An iterator and a context manager. Entering it connects: every event that happens after
    that is delivered. ``cursor`` is where another stream would go on from.
    """

    def __init__(self, follower: AsyncFollower) -> None:
        self._follower = follower
        self._messages = follower.messages()
        self._first: Message | None = None

    @property
    def cursor(self) -> str | None:
        return self._follower.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            message = self._first or await self._messages.__anext__()
            self._first = None
            if message.event:
                return decode(message.data, Event)

    async def __aenter__(self) -> Self:
        if self._follower.cursor is None:
            with suppress(StopAsyncIteration):  # the time limit came first: it ends at once
                self._first = await self._messages.__anext__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._messages.aclose()
