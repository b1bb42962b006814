"""Serves the application: uvicorn, set up for long streams and clients that misbehave."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from podium.api.errors import PROBLEM_TYPE, MalformedRequest, problem
from podium.kernel.sockets import listen

if TYPE_CHECKING:
    from fastapi import FastAPI

_MOST_HEADER_BYTES = 64 * 1024
_HURRIED_SECONDS = 3.0
"""How long the application may take to end when it is hurried before it has begun to."""
_HEAD = "Address and headers may have 64 KiB together."


class _HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with a limit on the size of a request's head, which it lacks, and with a
    problem as the answer to what is no HTTP."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        body = orjson.dumps(problem(MalformedRequest(f"{msg} {_HEAD}"), None))
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_TYPE}\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _count(self, part: bytes) -> None:
        self._head_bytes += len(part)
        if self._head_bytes > _MOST_HEADER_BYTES:
            raise ValueError("the head of the request is too large")  # answered with 400


class ApiServer(uvicorn.Server):
    """One API process. ``port`` is the one that it really listens on, also for port 0.

    ``listener`` is a socket that listens already and takes the place of ``host`` and ``port``;
    it is closed at the end.
    """

    def __init__(
        self,
        app: "FastAPI",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
        grace: float = 10.0,
    ) -> None:
        self._app = app
        self._socket = listener or listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        super().__init__(
            uvicorn.Config(
                app,
                http=_HttpProtocol,
                ws="websockets-sansio",
                loop="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=max(1, round(grace)),
                ws_max_size=256 * 1024,
                ws_per_message_deflate=False,
                ws_ping_interval=20,
                ws_ping_timeout=60,
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets or [self._socket])

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to whoever runs this server, and sets ``should_exit``."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: uvicorn waits for connections, and streams never end alone.

        Hurried before that, uvicorn leaves the application to be cancelled, and logs an error.
        """
        stop: Any = self._app.state.stop
        stop()
        await super().shutdown(sockets)
        if self.force_exit and not self.lifespan.shutdown_event.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_HURRIED_SECONDS):
                    await self.lifespan.shutdown()
