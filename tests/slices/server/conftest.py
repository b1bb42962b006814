"""Fixtures of this slice."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from homes import home, made_home, tmp_path
from podium.kernel.settings import Settings
from slices.server.stacks import Stack, clean

__all__ = ["home", "made_home", "stack", "tmp_path"]


@pytest.fixture
async def stack(home: Path, tmp_path: Path) -> AsyncGenerator[Stack]:
    async with clean(Stack(home, tmp_path)) as made:
        yield made


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """That of a process apart, on the databases of the test."""
    assert settings.database_url is not None
    assert settings.valkey_url is not None
    return {
        **{name: value for name, value in os.environ.items() if "PODIUM" not in name},
        "PODIUM_HOME": str(tmp_path),
        "PODIUM_DATABASE_URL": settings.database_url.get_secret_value(),
        "PODIUM_VALKEY_URL": settings.valkey_url.get_secret_value(),
        "PODIUM_LOG_FORMAT": "json",
    }
