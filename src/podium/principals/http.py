"""FastAPI dependencies that tell a route who is asking. The API's middleware proved it before."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from podium.kernel.errors import Unauthenticated
from podium.principals.model import Principal, Scope


async def current_principal(connection: HTTPConnection) -> Principal:
    """Who is asking; ``Unauthenticated`` when nobody was proven."""
    principal: Principal | None = connection.scope["state"].get("principal")
    if principal is None:
        raise Unauthenticated("This needs a token.", hint="Send `Authorization: Bearer <token>`.")
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def require(*scopes: Scope) -> Callable[[HTTPConnection], Awaitable[Principal]]:
    """A dependency that gives the principal when it holds all these scopes, else ``Forbidden``."""

    async def check(connection: HTTPConnection) -> Principal:
        principal = await current_principal(connection)
        principal.demand(*scopes)
        return principal

    return check
