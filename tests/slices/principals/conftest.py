"""Fixtures of this slice."""

from typing import Any

import httpx
import pytest

from slices.principals.tokens import Made


@pytest.fixture
def make(api: httpx.AsyncClient) -> Made:
    """Creates a token over HTTP, as the administrator unless another token is given."""

    async def make(*scopes: str, by: str | None = None, **more: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {by}"} if by else {}
        body = {"name": "t", "scopes": list(scopes), **more}
        answer = await api.post("/tokens", json=body, headers=headers)
        return {"status": answer.status_code, **answer.json()}

    return make
