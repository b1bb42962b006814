"""Making and using tokens, for the tests of what they can do."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

Made = Callable[..., Awaitable[dict[str, Any]]]


async def as_token(api: httpx.AsyncClient, token: str, path: str) -> httpx.Response:
    """What somebody with this token gets."""
    return await api.get(path, headers={"Authorization": f"Bearer {token}"})
