"""Fixtures of this slice."""

import pytest

from servers import LiveApi
from slices.api.followers import Client


@pytest.fixture
def client(live_api: LiveApi, admin_token: str) -> Client:
    return Client(live_api, admin_token)
