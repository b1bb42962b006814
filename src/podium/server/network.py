"""The socket of the API: opening it, naming it, and asking through it how the API is."""

import asyncio
import ipaddress
import socket

import structlog

from podium.kernel.errors import SettingsInvalid
from podium.kernel.settings import Settings
from podium.kernel.sockets import listen

_ASK_SECONDS = 10.0

log = structlog.stdlib.get_logger(__name__)


def listen_as_set(settings: Settings) -> socket.socket:
    """The listening socket of ``settings``; warns when machines other than this can reach it.

    Raises ``SettingsInvalid`` when the address cannot be had.
    """
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        raise SettingsInvalid(
            f"The API cannot listen on {settings.host}, port {settings.port}: {error.strerror}.",
            hint="Choose another with --port or PODIUM_PORT (0 takes a free one), "
            "or another address with PODIUM_HOST.",
        ) from error
    if not _is_loopback(listener):
        log.warning(
            "the API can be reached from other machines and speaks plain HTTP: "
            "let a proxy in front of it terminate TLS",
            address=url_of(listener),
        )
    return listener


def url_of(listener: socket.socket) -> str:
    """URL under which this machine reaches ``listener``."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if listener.family is socket.AF_INET6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def has_callers(listener: socket.socket) -> bool:
    """Whether somebody waits to be accepted."""
    import select

    return bool(select.select([listener], [], [], 0)[0])


async def is_ready(url: str, host_name: str) -> bool:
    """Ask ``/health/ready``. While nobody accepts yet, the question waits in the queue.

    ``host_name`` is one under which the API answers. False when the answer is not 200, or does
    not come within ten seconds.
    """
    answer = await _answer(url, host_name, "/health/ready", _ASK_SECONDS)
    return answer.startswith(b"HTTP/1.1 200")


async def is_live(url: str, host_name: str, seconds: float) -> bool:
    """Ask ``/health/live``; whether anything is answered within ``seconds``."""
    return bool(await _answer(url, host_name, "/health/live", seconds))


async def _answer(url: str, host_name: str, path: str, seconds: float) -> bytes:
    """The first line of an answer; nothing when none comes."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            question = f"GET {path} HTTP/1.1\r\nHost: {host_name}\r\nConnection: close\r\n\r\n"
            writer.write(question.encode())
            return await reader.readline()
    except (OSError, TimeoutError):
        return b""
    finally:
        if writer is not None:
            writer.close()


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback
