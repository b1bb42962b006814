"""A stand-in for a server that fails in scripted ways. It speaks HTTP over real sockets.

What a real server does is tested against the real one; here is what a real one cannot be made
to do on demand.
"""

import json
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Scripted:
    """What to do with one request.

    ``parts`` go out as they are, ``pause`` seconds after each other. With ``cut`` the connection
    is closed in the middle of the answer, with ``ignore`` without any answer.
    """

    status: int = 200
    parts: Sequence[bytes] = (b"",)
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    ignore: bool = False
    length: int | None = None


def answer(value: Any, status: int = 200, **headers: str) -> Scripted:
    """A JSON answer."""
    return Scripted(status, (json.dumps(value).encode(),), dict(headers))


def problem(status: int, code: str, **more: Any) -> Scripted:
    """A problem document."""
    headers = more.pop("headers", {})
    document = {"title": code, "status": status, "code": code, "detail": f"It is {code}.", **more}
    return Scripted(status, (json.dumps(document).encode(),), headers)


def stream(*messages: str, cut: bool = False) -> Scripted:
    """Server-sent events; the connection ends after them, in order or cut."""
    headers = {"content-type": "text/event-stream"}
    return Scripted(200, [f"{message}\n\n".encode() for message in messages], headers, cut=cut)


IGNORED = Scripted(ignore=True)

_TASK = {
    "id": "t", "project": "default", "title": "t", "state": "running", "priority": 0,
    "labels": {}, "queue": "default", "limits": [], "agent": "a", "capabilities": [],
    "sticky": None,
    "input": None,
    "output": None, "error": None, "attempt": 1, "progress": None, "depends_on": [],
    "on_dependency_failure": "cancel", "deadline": None, "timeouts": {}, "retry": {
        "max_retries": 0, "backoff": "fixed", "initial": 1, "factor": 1, "max_delay": 1,
        "jitter": 0,
    }, "input_schema": None, "output_schema": None, "template": None, "interactive": False,
    "created_at": "2026-01-01T00:00:00Z",
    "created_by": "x", "started_at": None, "finished_at": None, "queued_seconds": None,
    "run_seconds": None, "running_on": None,
}  # fmt: skip


def task(state: str) -> Scripted:
    """The answer to a look at the task."""
    return answer({**_TASK, "state": state})


class StandIn:
    """Answers requests one after the other by ``script``; after its end by ``otherwise``."""

    def __init__(
        self, *script: Scripted, otherwise: Scripted | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.seen: list[Seen] = []
        self._script = list(script)
        self._otherwise = otherwise
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._host = host
        self._socket = socket.create_server((host, 0), family=family)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._start(self._accept)

    def close(self) -> None:
        self._closing = True
        socket.create_connection((self._host, self.port)).close()
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            with suppress(OSError):  # close() may come between the look and the wait
                connection, _ = self._socket.accept()
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming, suppress(ConnectionError):
            while not self._closing:
                seen = _read(incoming)
                if seen is None:
                    return
                self.seen.append(seen)
                scripted = self._script.pop(0) if self._script else self._otherwise
                assert scripted is not None, f"unexpected request: {seen}"
                if not _send(connection, scripted):
                    return


def _read(incoming: Any) -> Seen | None:
    first = incoming.readline().decode().split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while line := incoming.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", 0)))
    return Seen(first[0], first[1], headers, body)


def _send(connection: socket.socket, scripted: Scripted) -> bool:
    """Whether the connection may go on."""
    if scripted.ignore:
        return False
    streaming = scripted.headers.get("content-type") == "text/event-stream"
    lines = [f"HTTP/1.1 {scripted.status} Scripted"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in scripted.headers.items()]
    length = scripted.length or sum(map(len, scripted.parts))
    lines.append("transfer-encoding: chunked" if streaming else f"content-length: {length}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    for part in scripted.parts:
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if streaming else part)
    if streaming and not scripted.cut:
        connection.sendall(b"0\r\n\r\n")
    return not scripted.cut and length == sum(map(len, scripted.parts))
