"""Databases to copy from and to, each with the settings by which commands find it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from homes import home, made_home, tmp_path
from podium.kernel.settings import Settings
from podium.storage.database import Database
from slices.scheduler.engine import Engine

__all__ = ["home", "made_home", "tmp_path"]


@dataclass
class Place:
    """A database, and a data directory for what belongs to it."""

    settings: Settings
    database: Database

    @property
    def url(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()


@asynccontextmanager
async def place(direct_url: str, home: Path, template: str | None = None) -> AsyncGenerator[Place]:
    name = f"copy_{uuid4().hex}"
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute(f"create database {name}" + (f" template {template}" if template else ""))
    url = direct_url.format(name)
    found = Place(Settings.model_validate({"home": home, "database_url": url}), Database(url))
    yield found
    await found.database.close()
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def source(direct_url: str, template: str, tmp_path: Path) -> AsyncIterator[Place]:
    """A database of this version without any work."""
    async with place(direct_url, tmp_path / "source", template) as found:
        yield found


@pytest.fixture
async def target(direct_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    """A database with nothing in it at all."""
    async with place(direct_url, tmp_path / "target") as found:
        yield found


@pytest.fixture
async def engine(source: Place) -> Engine:
    return await Engine.create(source.database)
