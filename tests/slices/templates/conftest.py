"""What templates name."""

import httpx
import pytest

from slices.templates.calls import AGENT


@pytest.fixture
async def agent(api: httpx.AsyncClient) -> str:
    assert (await api.post("/agents", json=AGENT)).status_code == 201
    return "a"
