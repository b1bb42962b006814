"""The API with function agents, and a worker to start when a test wants one."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

import statements
from podium import app as composition
from podium.kernel.settings import Settings
from podium.kernel.web import PREFIX
from podium.principals.service import ensure_admin_token
from podium.projects.service import ensure_default
from podium.storage.database import Database
from servers import ValkeyProcess

ENDED = ("succeeded", "failed", "cancelled", "dead")
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return _for_tasks(settings)


def _for_tasks(settings: Settings) -> Settings:
    changes = {
        "function_modules": ["worker_agents"],
        "lease_seconds": 3,
        "max_payload_bytes": 1024,
    }
    return settings.model_copy(update=changes)


@dataclass
class Desk:
    """Where tasks are handed in. Answers other than those expected fail the test."""

    api: httpx.AsyncClient
    settings: Settings
    database: Database
    project: str
    registered: set[str] = field(default_factory=set[str])

    async def call(
        self, method: str, path: str, status: int = 200, **options: Any
    ) -> dict[str, Any]:
        answer = await self.api.request(method, path, **options)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else {}

    async def agent(self, name: str = "echo", **fields: Any) -> dict[str, Any]:
        """Register the function of ``worker_agents`` that has the agent's name."""
        self.registered.add(name)
        body = {
            "name": name,
            "runtime": "function",
            "config": {"function": f"worker_agents:{name}", "isolation": "inline"},
        }
        return await self.call("POST", "agents", 201, json=body | fields)

    async def create(self, agent: str | None = "echo", **fields: Any) -> dict[str, Any]:
        """A task as the API answered its creation."""
        query = {"params": {"project": fields.pop("project")}} if "project" in fields else {}
        if agent is not None:
            if agent not in self.registered and not query:
                await self.agent(agent)
            fields["agent"] = agent
        return await self.call("POST", "tasks", 201, json=fields, **query)

    async def bulk(self, tasks: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        return await self.call("POST", "tasks/bulk", 201, json={"tasks": tasks}, **options)

    async def get(self, task: dict[str, Any] | str, part: str = "", **params: Any) -> Any:
        """The task, or a part of it such as ``attempts``."""
        path = f"tasks/{task if isinstance(task, str) else task['id']}/{part}".rstrip("/")
        return await self.call("GET", path, params=params)

    async def explain(self, task: dict[str, Any]) -> dict[str, Any]:
        return await self.get(task, "explain")

    async def until(
        self, task: dict[str, Any] | str, *states: str, seconds: float = 15
    ) -> dict[str, Any]:
        """The task once it is in one of the states; in an end when none is named."""
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while (found := await self.get(task))["state"] not in (states or ENDED):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(
                f"the task is still {found.get('state')}: {await self.get(task, 'explain')}"
            )
        return found

    async def run(self, statement: str, **values: Any) -> Any:
        return await statements.run(self.database, statement, **values)

    async def count(self) -> int:
        """How many tasks the project has."""
        rows = await self.run(
            "select count(*) from task t join project p on p.id = t.project_id"
            " where p.name = :name",
            name=self.project,
        )
        return rows[0][0]

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncGenerator[None]:
        """A worker of the installation, in this process."""
        stop = asyncio.Event()
        own = self.settings.model_copy(update={"drain_seconds": 1, **settings})
        running = asyncio.create_task(composition.run_worker(own, stop, asyncio.Event()))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await running


async def blockers(desk: Desk, task: dict[str, Any]) -> list[tuple[str, str]]:
    """Kind and sentence of each blocker; the first one's sentence leads the explanation."""
    found = await desk.explain(task)
    assert found["state"] == (await desk.get(task))["state"]
    assert found["why"].startswith(found["blockers"][0]["detail"])
    return [(each["kind"], each["detail"]) for each in found["blockers"]]


@pytest.fixture
async def own_desk(api: httpx.AsyncClient, settings: Settings, database: Database) -> Desk:
    """A desk of an installation that is the test's own."""
    return Desk(api, settings, database, "default")


@dataclass
class Office:
    """An installation that the tests of a module share, each with a project of its own."""

    app: FastAPI
    settings: Settings
    database: Database
    token: str


@pytest.fixture(scope="module")
async def office(
    server_url: str, direct_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute(f"create database {name} template {template}")
    with tempfile.TemporaryDirectory(prefix="pdm-") as folder:
        valkey = ValkeyProcess(Path(folder))
        await valkey.start()
        values = {
            "home": tmp_path_factory.mktemp("office"),
            "database_url": server_url.format(name),
            "valkey_url": valkey.url,
            "confinement": "none",
        }
        async with _running(_for_tasks(Settings.model_validate(values))) as office:
            yield office
        await valkey.kill()
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@asynccontextmanager
async def _running(settings: Settings) -> AsyncGenerator[Office]:
    assert settings.database_url
    database = Database(settings.database_url.get_secret_value())
    async with database.transaction() as conn:
        await ensure_default(conn)
        path = await ensure_admin_token(settings.data_dir, conn)
    app = composition.create_api(settings)
    async with app.router.lifespan_context(app):
        yield Office(app, settings, database, path.read_text().strip())
    await database.close()


def in_project(project: str) -> Callable[[httpx.Request], Awaitable[None]]:
    """Names the project in requests to the routes that take one; the others refuse it."""

    async def name(request: httpx.Request) -> None:
        parts = request.url.path.removeprefix(PREFIX).strip("/").split("/")
        many = ("bulk", "count", "export", "cancel", "retry", "reprioritise", "delete")
        takes = parts[0] in ("agents", "events") or (
            parts[0] == "tasks" and (len(parts) == 1 or parts[1] in many)
        )
        if takes and "project" not in request.url.params:
            request.url = request.url.copy_set_param("project", project)

    return name


@pytest.fixture
async def desk(office: Office) -> AsyncIterator[Desk]:
    """A desk in a project of the test's own, in an installation that is shared."""
    project = f"p-{uuid4().hex}"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(office.app, raise_app_exceptions=False),
        base_url=f"http://localhost{PREFIX}",
        headers={"Authorization": f"Bearer {office.token}"},
        event_hooks={"request": [in_project(project)]},
    ) as api:
        desk = Desk(api, office.settings, office.database, project)
        await desk.call("POST", "projects", 201, json={"name": project})
        yield desk
