"""Proves who is asking, once, and puts the principal on the request's state."""

from starlette.types import ASGIApp, Receive, Scope, Send

from podium.api.middleware.limit import RateLimiter
from podium.kernel.errors import PodiumError, Unauthenticated
from podium.principals.service import PrincipalService

PUBLIC_PATHS = frozenset({"/health/live", "/health/ready", "/openapi.json", "/docs"})


class Authenticate:
    """Nobody gets further without a valid token, except to the public paths.

    A WebSocket may come without one: it must then show it in its first message.
    """

    def __init__(self, app: ASGIApp, *, principals: PrincipalService, limiter: RateLimiter) -> None:
        self._app = app
        self._principals = principals
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._prove(scope)
        await self._app(scope, receive, send)

    async def _prove(self, scope: Scope) -> None:
        if scope["path"] in PUBLIC_PATHS:  # also with a token that is none any more
            self._limiter.take(_address(scope))
            return
        credential = _bearer(scope)
        if credential is None:
            self._limiter.take(_address(scope))
            if scope["type"] == "websocket":
                return
            raise Unauthenticated(
                "This needs a token.", hint="Send `Authorization: Bearer <token>`."
            )
        counted = False

        def count() -> None:
            nonlocal counted
            counted = True
            self._limiter.take(_address(scope))

        try:
            principal = await self._principals.authenticate(credential, count)
        except PodiumError:
            if not counted:
                count()
            raise
        self._limiter.take(principal.id)
        scope["state"]["principal"] = principal
        scope["state"]["credential"] = credential


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, credential = value.decode("latin-1").partition(" ")
            if kind.lower() != "bearer":
                raise Unauthenticated(
                    "The Authorization header is of another kind than Bearer.",
                    hint="Send `Authorization: Bearer <token>`.",
                )
            return credential.strip()
    return None


def _address(scope: Scope) -> object:
    client = scope.get("client")
    return client[0] if client else None
