"""Listening sockets. Apart from what serves on them, so that a light process may open one."""

import socket
import sys

_BACKLOG = 2048
_UNTAKEN_MS = 90_000
"""The kernel drops a connection whose peer takes nothing for so long. By then the stream was
closed from here, and a client that only paused has had a minute to see why."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, whose connections do not outlive a peer that takes nothing.

    Port 0 takes a free one. Raises ``OSError`` when the address cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_MS)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
