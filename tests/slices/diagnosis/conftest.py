"""Fixtures of this slice."""

import httpx
import pytest

from podium.kernel.settings import Settings
from podium.storage.database import Database
from slices.tasks.conftest import Desk


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changes = {"function_modules": ["worker_agents"], "lease_seconds": 30}
    return settings.model_copy(update=changes)


@pytest.fixture
async def desk(api: httpx.AsyncClient, settings: Settings, database: Database) -> Desk:
    """A desk of an installation that is the test's own."""
    return Desk(api, settings, database, "default")
