"""Real PostgreSQL and Valkey for every test; a database of its own for each that asks."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog
from fastapi import FastAPI

import host
import postgres
from buckets import S3, s3_server
from installation import Installation
from measuring import processes
from podium import app as composition
from podium.agents.runtimes import launch
from podium.events import retention
from podium.kernel.settings import Settings
from podium.principals.service import ensure_admin_token
from podium.projects.service import ensure_default
from podium.storage import partitions
from podium.storage.database import Database
from podium.storage.migrate import migrate
from podium.storage.valkey import Valkey
from servers import LiveApi, ValkeyProcess

PREFIX = "/api/v1/orchestration"
_NOT_RUN = "NOT RUN"
_not_run: list[str] = []
_LONGEST = [Path(__file__).parent / each for each in ("slices/cli", "flows")]


def pytest_configure() -> None:
    """Let what tests start be interrupted, also when a shell started them in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(each, signal.SIG_DFL)
    # Drawing a traceback with all its variables takes seconds, in which nothing else happens.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[*processors[:-1], plain])
    if processes.SWITCH in os.environ:
        launch.SUPERVISOR = processes.SUPERVISOR
        os.environ["PYTHONPATH"] = processes.python_path()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test that fails while others had the processors be run again, and be listed as such.
    The files that take longest begin, lest one process is left with them in the end."""
    items.sort(key=lambda item: not any(folder in item.path.parents for folder in _LONGEST))
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=2, condition=host.was_busy))


def pytest_runtest_setup() -> None:
    """Let the host's share of the processors be counted from here."""
    host.watch()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what could not run here."""
    if report.skipped and _NOT_RUN in str(report.longrepr):
        _not_run.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must run, as in CI, what could not run is a failure."""
    if _not_run and os.environ.get("EVERY_TEST_MUST_RUN") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def servers() -> Iterator[postgres.Servers]:
    """A fresh PostgreSQL, of the kind that ``PODIUM_TEST_POSTGRES`` names."""
    with (
        tempfile.TemporaryDirectory(prefix="podium-test-") as folder,
        postgres.running(Path(folder)) as servers,
    ):
        yield servers


@pytest.fixture(scope="session")
def server_url(servers: postgres.Servers) -> str:
    """URL of a PostgreSQL server as Podium is given it, with {} for the database's name."""
    return servers.url


@pytest.fixture(scope="session")
def direct_url(servers: postgres.Servers) -> str:
    """The same past any pooler, for what tests do to a server."""
    return servers.direct


@pytest.fixture(scope="session")
async def template(direct_url: str) -> str:
    """A migrated database that others are copied from."""
    admin = await asyncpg.connect(direct_url.format("postgres"))
    # Creating and dropping databases is what most tests wait for. Those that test durability
    # bring a server of their own.
    await admin.execute("alter system set fsync = off")
    await admin.execute("select pg_reload_conf()")
    await admin.execute("create database template_podium")
    await admin.close()
    database = Database(direct_url.format("template_podium"))
    await migrate(database, composition.SQL_SLICES)
    async with database.transaction() as conn:
        await retention.forget(conn, 30)
        await partitions.maintain(conn, "log", 14)
    await database.close()
    return "template_podium"


@pytest.fixture
async def database(server_url: str, direct_url: str, template: str) -> AsyncIterator[Database]:
    """An empty, migrated database of this test's own."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute(f"create database {name} template {template}")
    database = Database(server_url.format(name))
    yield database
    await database.close()
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A stand-in for an S3-compatible store."""
    with s3_server() as server:
        yield server


@pytest.fixture
async def valkey_process() -> AsyncIterator[ValkeyProcess]:
    """A Valkey server of this test's own, which it may kill and start again."""
    with tempfile.TemporaryDirectory(prefix="pdm-") as folder:
        process = ValkeyProcess(Path(folder))
        await process.start()
        yield process
        await process.kill()


@pytest.fixture
async def valkey(valkey_process: ValkeyProcess) -> AsyncIterator[Valkey]:
    """A client of a Valkey server of this test's own."""
    client = Valkey(valkey_process.url)
    yield client
    await client.close()


@pytest.fixture
def settings(
    database: Database,
    valkey_process: ValkeyProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings of an installation of this test's own."""
    monkeypatch.setenv("PODIUM_HOME", str(tmp_path))
    return Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": database.engine.url.render_as_string(hide_password=False),
            "valkey_url": valkey_process.url,
            "confinement": "none",
        }
    )


@pytest.fixture
async def prepared(settings: Settings, database: Database) -> Settings:
    """What ``composition.prepare`` leaves, without migrating anew."""
    async with database.transaction() as conn:
        await ensure_default(conn)
        await ensure_admin_token(settings.data_dir, conn)
    return settings


@pytest.fixture
async def app(prepared: Settings) -> AsyncIterator[FastAPI]:
    """The API, running its lifespan, without a socket."""
    app = composition.create_api(prepared)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def services(app: FastAPI) -> Mapping[type, Any]:
    """What the API is built of, by type."""
    return app.state.services


@pytest.fixture
def admin_token(prepared: Settings) -> str:
    """The local administrator's token."""
    return (prepared.data_dir / "admin-token").read_text().strip()


@pytest.fixture
async def api(app: FastAPI, admin_token: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API with the administrator's token; paths begin at the API's prefix."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url=f"http://localhost{PREFIX}",
        headers={"Authorization": f"Bearer {admin_token}"},
    ) as client:
        yield client


@pytest.fixture
async def live_api(prepared: Settings) -> AsyncIterator[LiveApi]:
    """The API on a real socket, which the test may stop and start again."""
    api = LiveApi(partial(composition.create_api, prepared))
    await api.start()
    yield api
    await api.stop()


@pytest.fixture
def live_server(live_api: LiveApi) -> str:
    """URL of the API on a real socket of the loopback interface."""
    return live_api.url


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """A Podium that all tests of the session share: they make projects and agents of their own."""
    # It has a PostgreSQL of its own unless another kind is to be tried.
    url = None if postgres.EMBEDDED else request.getfixturevalue("server_url").format("postgres")
    with tempfile.TemporaryDirectory(prefix="podium-home-") as folder:
        found = Installation(Path(folder) / "home", url)
        found.start()
        yield found
        found.end_all()
        found.stop()
