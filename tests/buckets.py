"""A stand-in for an S3-compatible store, a process that speaks its protocol over HTTP, and a proxy
before it that does what networks and stores do now and then."""

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypedDict
from urllib.parse import urlsplit
from uuid import uuid4

import httpx


class Keys(TypedDict):
    """Credentials."""

    access_key: str
    secret_key: str


KEYS: Keys = {"access_key": "AKIAEXAMPLE", "secret_key": "not-a-secret"}
_PIECE = 64 * 1024


class S3:
    """The stand-in (moto's server). It does not look at signatures."""

    def __init__(self, url: str) -> None:
        self.url = url

    def make_bucket(self) -> str:
        name = f"b-{uuid4().hex}"
        httpx.put(f"{self.url}/{name}").raise_for_status()
        return name

    def keys(self, bucket: str) -> list[str]:
        """The names of all objects."""
        told = httpx.get(f"{self.url}/{bucket}?list-type=2").raise_for_status().text
        return re.findall(r"<Key>(.*?)</Key>", told)

    def unfinished(self, bucket: str) -> list[str]:
        """Uploads in parts that were neither completed nor aborted."""
        told = httpx.get(f"{self.url}/{bucket}?uploads").raise_for_status().text
        return re.findall(r"<UploadId>(.*?)</UploadId>", told)


@contextmanager
def s3_server() -> Generator[S3]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the stand-in for S3 did not start"
                assert process.poll() is None, "the stand-in for S3 ended"
                time.sleep(0.05)
        yield S3(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


class Fault(NamedTuple):
    """What becomes of the next request of a method whose path holds a text."""

    method: str
    path: str = ""
    status: int | None = None
    code: str = ""
    cut_after: int | None = None
    wait: float = 0.0


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the stand-in, but for the ``faults`` that are planned."""

    daemon_threads = True

    def __init__(self, s3: S3) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.s3 = s3
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        """Methods and paths of all requests."""
        self.authorization = ""
        """Of the last request."""
        self.sent = self.broken = 0
        """Bytes of answers, and answers that were not taken to their end."""

    def next_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and fault.path in path:
                self.faults.remove(fault)
                return fault
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no trouble here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is written to the console."""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(f"{self.command} {self.path}")
        self.server.authorization = self.headers.get("Authorization", "")
        fault = self.server.next_fault(self.command, self.path)
        if fault and fault.wait:
            time.sleep(fault.wait)
        if fault and fault.status:
            return self._refuse(fault)
        connection = http.client.HTTPConnection(urlsplit(self.server.s3.url).netloc, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self._send(content, fault.cut_after if fault else None)
        return None

    def _send(self, content: bytes, cut_after: int | None) -> None:
        try:
            for start in range(0, len(content), _PIECE):
                if cut_after is not None and start >= cut_after:
                    self.close_connection = True
                    return
                piece = content[start : start + _PIECE]
                self.connection.sendall(piece)
                self.server.sent += len(piece)
        except OSError:
            self.server.broken += 1
            self.close_connection = True

    def _refuse(self, fault: Fault) -> None:
        told = f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>".encode()
        self.send_response(fault.status or 500)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815


@contextmanager
def proxy(s3: S3) -> Generator[Proxy]:
    with Proxy(s3) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
