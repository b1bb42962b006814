"""Sending requests: one pool of connections, retries, event streams."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar, cast

import httpcore

from podium import __version__
from podium.client._async.runtime import sleep
from podium.client.connection import Connection, found_again
from podium.client.errors import (
    ApiError,
    ClientClosed,
    ConnectionFailed,
    InvalidResponse,
    NoServer,
    Unauthenticated,
)
from podium.client.wire import (
    Answer,
    Message,
    MessageParser,
    Request,
    decode,
    delay,
    may_retry,
    problem,
    require_hash,
    was_deleted,
)

T = TypeVar("T")

_AGENT = f"podium-python/{__version__}"
_NOT_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)
BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError)
_CONNECT_SECONDS = 10.0
_LONGEST_PROBLEM = 2**20
_PARTIAL = 206


class AsyncTransport:
    """Sends requests to one server; safe for concurrent use.

    ``timeout`` is how long, in seconds, the server may stay silent within one answer;
    ``retries`` how often a request that may be repeated is sent again.
    """

    def __init__(self, connection: Connection, home: Path, timeout: float, retries: int) -> None:
        self.connection = connection
        self._home = home
        self._timeout = timeout
        self._retries = retries
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=100, max_keepalive_connections=20, keepalive_expiry=20
        )
        self._closed = False

    async def aclose(self) -> None:
        """Close all connections; whatever is asked for from then on raises ``ClientClosed``."""
        self._closed = True  # the pool would open new ones without a word
        await self._pool.aclose()

    async def call(self, request: Request, kind: type[T]) -> T:
        """Send a request and read its answer as ``kind``."""
        return decode((await self.send(request)).content, kind)

    async def send(self, request: Request) -> Answer:
        """Send a request, again if it failed and may be repeated.

        Raises an ``ApiError`` when the server refuses it and ``ConnectionFailed`` when no answer
        came.
        """
        perhaps_done = False
        for attempt in range(1, self._retries + 2):
            answer: Answer | None = None
            try:
                answer = await self._send_once(request)
                if answer.status < 400 or (perhaps_done and was_deleted(request, answer.status)):
                    return answer
                if attempt > self._retries or not may_retry(request, answer.status):
                    raise problem(answer)
                perhaps_done |= answer.status >= 500
            except BROKEN as error:
                sent = not isinstance(error, _NOT_SENT)
                if attempt > self._retries or (sent and not request.repeatable):
                    raise self.failed(error) from error
                perhaps_done |= sent
                self.look_again()
            await sleep(delay(attempt, answer))
        raise AssertionError

    async def download(self, request: Request) -> AsyncGenerator[bytes]:
        """The content of an answer as it comes, taken up again where the connection broke.

        Raises ``InvalidResponse`` when it is another content by then, or when all of it has not the
        hash that the server told.
        """
        received = attempt = 0
        tag = ""
        digest = sha256()
        while True:
            attempt += 1
            try:
                async with self._stream(_from_byte(request, received, tag), None) as response:
                    if received and response.status != _PARTIAL:
                        raise InvalidResponse(
                            "The server cannot go on with a broken download: it is another file.",
                            hint="Fetch it again.",
                        )
                    tag = _headers(response.headers).get("etag", "")
                    async for chunk in response.aiter_stream():
                        received += len(chunk)
                        digest.update(chunk)
                        attempt = 1  # of going on from here
                        yield chunk
                    require_hash(tag, digest.hexdigest())
                    return
            except BROKEN as error:
                if attempt > self._retries:
                    raise self.failed(error) from error
            except ApiError as refused:
                if attempt > self._retries or not may_retry(request, refused.status):
                    raise
            await sleep(delay(attempt))

    @asynccontextmanager
    async def _stream(
        self, request: Request, read_timeout: float | None
    ) -> AsyncGenerator[httpcore.Response]:
        """An answer whose content is still to come. Sent once; ``httpcore``'s errors pass."""
        self._require_open()
        async with self._pool.stream(
            request.method,
            request.url(self.connection),
            headers=request.all_headers(self.connection, _AGENT),
            extensions=self._extensions(read_timeout),
        ) as response:
            if response.status >= 400:
                content = b""
                async for chunk in response.aiter_stream():
                    content += chunk[: _LONGEST_PROBLEM - len(content)]
                raise problem(Answer(response.status, _headers(response.headers), content))
            yield response

    async def messages(self, request: Request, read_timeout: float) -> AsyncGenerator[Message]:
        """The messages of an event stream until it ends or breaks."""
        parser = MessageParser()
        async with self._stream(request, read_timeout) as response:
            async for chunk in response.aiter_stream():
                for message in parser.feed(chunk):
                    yield message

    def failed(self, error: Exception) -> ConnectionFailed:
        """What to tell of a connection that did not come about or broke."""
        url = self.connection.url
        if isinstance(error, _NOT_SENT):
            return ConnectionFailed(
                f"No server answers at {url}: {_reason(error)}.",
                hint="Check the address, and that the server runs: on its machine 'podium up "
                "--detach' starts one, and 'podium logs' says why one ended.",
            )
        return ConnectionFailed(
            f"The connection to {url} broke: {_reason(error)}.",
            hint="The request may have been carried out. 'podium doctor' looks for the cause.",
        )

    def look_again(self) -> None:
        """Take the address of a local server anew, for the same principal."""
        with suppress(NoServer, Unauthenticated):
            self.connection = found_again(self.connection, self._home)

    def _require_open(self) -> None:
        if self._closed:
            raise ClientClosed(
                "The client was closed.",
                hint="Use it before it is closed, inside its 'with' block, or make another one.",
            )

    async def _send_once(self, request: Request) -> Answer:
        self._require_open()
        response = await self._pool.request(
            request.method,
            request.url(self.connection),
            headers=request.all_headers(self.connection, _AGENT),
            content=request.content(),
            extensions=self._extensions(None),
        )
        return Answer(response.status, _headers(response.headers), response.content)

    def _extensions(self, read_timeout: float | None) -> dict[str, object]:
        connect = min(_CONNECT_SECONDS, self._timeout)
        read = self._timeout if read_timeout is None else read_timeout
        limits = {"connect": connect, "pool": self._timeout, "write": self._timeout, "read": read}
        return {"timeout": limits}


def _from_byte(request: Request, first: int, tag: str) -> Request:
    if not first:
        return request
    same = {"If-Range": tag} if tag else {}
    headers = {**request.headers, "Range": f"bytes={first}-", **same}
    return replace(request, headers=headers)


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    return str(error) or str(cast("object", cause) or "") or type(error).__name__
