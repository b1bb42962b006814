"""The socket of the API: opening it, and asking through it how the API is."""

import asyncio
import errno
import ipaddress
import socket

import structlog

from podium.kernel.addresses import local_url
from podium.kernel.errors import SettingsInvalid
from podium.kernel.settings import Settings
from podium.kernel.sockets import listen

_ASK_SECONDS = 10.0

log = structlog.stdlib.get_logger(__name__)


def listen_as_set(settings: Settings, *, or_any_port: bool = False) -> socket.socket:
    """The listening socket of ``settings``; warns when machines other than this can reach it.

    With ``or_any_port`` it takes a free one when the default is taken and nobody chose a port.
    Raises ``SettingsInvalid`` when the address cannot be had.
    """
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        if or_any_port and is_taken and "port" not in settings.model_fields_set:
            log.info("the default port is taken: another one will do", port=settings.port)
            return listen_as_set(settings.model_copy(update={"port": 0}))
        raise SettingsInvalid(
            f"The API cannot listen on {settings.host}, port {settings.port}: {error.strerror}.",
            hint="Choose another with --port or PODIUM_PORT (0 takes a free one), "
            "or another address with PODIUM_HOST.",
        ) from error
    if not _is_loopback(listener):
        log.warning(
            "the API can be reached from other machines and speaks plain HTTP: "
            "let a proxy in front of it terminate TLS",
            address=url_of(settings, listener),
        )
    if warning := what_is_missing(settings, listener):
        log.warning(warning)
    return listener


def what_is_missing(settings: Settings, listener: socket.socket) -> str | None:
    """What to set before other machines can use ``listener``; None when nothing is missing."""
    if settings.public_url or _is_loopback(listener):
        return None
    return (
        "Other machines can connect, but agents are given a URL for this machine, and requests "
        "to a host name that is not in PODIUM_ALLOWED_HOSTS are refused. Set PODIUM_PUBLIC_URL "
        "for the server and every worker, for example to "
        f"http://{socket.gethostname()}:{_port_of(listener)}."
    )


def url_of(settings: Settings, listener: socket.socket) -> str:
    """URL under which this machine reaches ``listener``, which was opened as ``settings`` say."""
    return local_url(settings, _port_of(listener))


def has_callers(listener: socket.socket) -> bool:
    """Whether somebody waits to be accepted."""
    import select

    return bool(select.select([listener], [], [], 0)[0])


async def is_ready(url: str) -> bool:
    """Ask ``/health/ready``. While nobody accepts yet, the question waits in the queue.

    False when the answer is not 200, or does not come within ten seconds.
    """
    answer = await _answer(url, "/health/ready", _ASK_SECONDS)
    return answer.startswith(b"HTTP/1.1 200")


async def is_live(url: str, seconds: float) -> bool:
    """Ask ``/health/live``; whether anything is answered within ``seconds``."""
    return bool(await _answer(url, "/health/live", seconds))


async def _answer(url: str, path: str, seconds: float) -> bytes:
    """The first line of an answer; nothing when none comes."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            question = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            writer.write(question.encode())
            return await reader.readline()
    except (OSError, TimeoutError):
        return b""
    finally:
        if writer is not None:
            writer.close()


def _port_of(listener: socket.socket) -> int:
    return listener.getsockname()[1]


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback
