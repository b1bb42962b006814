"""Refuses what no honest client of this server sends: foreign hosts and pages, NUL characters."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from podium.api.errors import MalformedRequest, Misdirected, OriginRefused
from podium.kernel.addresses import without_port

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Checks the Host and Origin headers and the path before anything else looks at them.

    The host allow-list keeps a page from reaching a local server by DNS rebinding; the origin
    check keeps a page of another site from opening a WebSocket or changing anything.
    """

    def __init__(
        self, app: ASGIApp, *, allowed_hosts: Iterable[str], origins: Iterable[str]
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host = origin = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
        if without_port(host) not in self._hosts and "*" not in self._hosts:
            raise Misdirected(
                "This server does not answer under that host name.",
                hint="Add the name to the setting allowed_hosts, or use it in public_url.",
            )
        if origin and (scope["type"] == "websocket" or scope["method"] not in _READING):
            self._check_origin(origin, host)
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            raise MalformedRequest("The URL holds a NUL character.", hint="Remove it.")

    def _check_origin(self, origin: str, host: str) -> None:
        if origin not in self._origins and (not host or _site(origin) != host):
            raise OriginRefused(
                "The request came from a page of another site.",
                hint="Add the site to the setting cors_origins if its pages may call this API.",
            )


def _site(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
