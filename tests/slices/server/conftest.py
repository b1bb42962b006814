"""Fixtures of this slice."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from homes import home, made_home, tmp_path
from slices.server.stacks import Stack, clean

__all__ = ["home", "made_home", "stack", "tmp_path"]


@pytest.fixture
async def stack(home: Path, tmp_path: Path) -> AsyncGenerator[Stack]:
    async with clean(Stack(home, tmp_path)) as made:
        yield made
