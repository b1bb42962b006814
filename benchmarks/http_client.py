"""As little of an HTTP client as will do.

A full client takes more CPU for a request than the server does, and on a small machine that
would be what is measured. This one keeps a connection, sends JSON and reads what has a length.
"""

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit

API = "/api/v1/orchestration"


class HttpError(Exception):
    """The server did not answer with success."""


class Http:
    """One connection that stays open, for one request after the other."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def connect(cls, url: str, token: str) -> Self:
        """Connect to a server on this machine."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        sign_in = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"Host: {place.netloc}\r\n{sign_in}Content-Type: application/json\r\n"
        return cls(reader, writer, head)

    async def post(self, path: str, body: Any) -> Any:
        """Send JSON; the answer's JSON."""
        return json.loads(await self.send("POST", f"{API}/{path}", json.dumps(body).encode()))

    async def put(self, path: str, body: Any) -> Any:
        """Send JSON; the answer's JSON."""
        return json.loads(await self.send("PUT", f"{API}/{path}", json.dumps(body).encode()))

    async def get(self, path: str) -> Any:
        """The answer's JSON."""
        return json.loads(await self.send("GET", f"{API}/{path}"))

    async def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send a request as it is; the answer's body. ``HttpError`` unless it succeeded."""
        start = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(start.encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = head.split(" ", 2)[1]
        length = 0
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        answer = await self._reader.readexactly(length)
        if not status.startswith("2"):
            raise HttpError(f"{method} {path}: {status} {answer[:500].decode(errors='replace')}")
        return answer

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()
