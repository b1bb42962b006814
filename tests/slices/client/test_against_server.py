"""Both forms of the SDK against a real Podium."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from installation import Installation
from podium.client import AsyncPodium, Podium, errors
from slices.client.forms import FORMS, Form

pytestmark = pytest.mark.parametrize("form", FORMS)


class Both:
    """The sync form called like the async one, each call in a thread."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        return Both(getattr(self._value, name))

    async def __call__(self, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(self._value, *args, **options)


async def items(iterator: Any, most: int | None = None) -> list[Any]:
    """All items, or the first of them."""
    if asyncio.iscoroutine(iterator):
        iterator = await iterator
    found: list[Any] = []
    if hasattr(iterator, "__aiter__"):
        async for item in iterator:
            found.append(item)
            if len(found) == most:
                break
        return found
    while most is None or len(found) < most:
        item = await asyncio.to_thread(next, iterator, None)
        if item is None:
            break
        found.append(item)
    return found


@pytest.fixture
async def podium(form: Form, installation: Installation) -> Any:
    """A client in a project of the test's own, with an agent that echoes."""
    project = f"p-{uuid4().hex[:12]}"
    if form == "sync":
        with Podium(home=installation.home, project=project) as client:
            client.projects.create(name=project)
            yield Both(client)
    else:
        async with AsyncPodium(home=installation.home, project=project) as client:
            await client.projects.create(name=project)
            yield client


@pytest.fixture
async def echo(podium: Any) -> str:
    await podium.agents.create(
        name="echo", runtime="command", config={"command": ["cat"], "prompt": "stdin"}
    )
    return "echo"


async def test_a_task_from_submission_to_result(podium: Any, echo: str) -> None:
    task = await podium.tasks.create(agent=echo, input="hello", labels={"suite": "sdk"})
    assert (task.state, task.agent, task.labels) == ("queued", echo, {"suite": "sdk"})
    done = await podium.tasks.wait(task.id, timeout=60)
    assert (done.state, done.output["text"]) == ("succeeded", "hello")
    assert done.finished_at > done.started_at > datetime.now(UTC) - timedelta(minutes=5)
    assert next(e.type for e in await podium.tasks.history(task.id)) == "task.created"
    assert [a.outcome for a in await podium.tasks.attempts(task.id)] == ["succeeded"]
    logs = await items(podium.tasks.logs(task.id))
    assert "".join(each.text for each in logs).strip() == "hello"
    assert (await podium.tasks.explain(task.id)).state == "succeeded"
    again = await podium.tasks.wait(task.id, timeout=5)
    assert again.id == task.id


async def test_logs_are_followed_to_the_end(podium: Any) -> None:
    await podium.agents.create(
        name="slow",
        runtime="command",
        config={"command": "for i in 1 2 3; do echo $i; sleep 0.2; done", "shell": True},
    )
    task = await podium.tasks.create(agent="slow")
    logs = await items(podium.tasks.logs(task.id, follow=True))
    assert "\n".join(each.text for each in logs).split() == ["1", "2", "3"]
    assert (await podium.tasks.get(task.id)).state == "succeeded"


async def test_many_tasks_with_dependencies_in_one_call(podium: Any, echo: str) -> None:
    made = await podium.tasks.create_many(
        [
            {"ref": "a", "agent": echo, "input": "a"},
            {"ref": "b", "agent": echo, "input": "b", "depends_on": ["a"]},
        ]
    )
    assert made.ids == [made.refs["a"], made.refs["b"]]
    last = await podium.tasks.wait(made.refs["b"], timeout=60)
    assert [each.id for each in last.depends_on] == [made.refs["a"]]
    listed = await items(podium.tasks.list(states=["succeeded"], agent=echo))
    assert await items(podium.tasks.list(states="succeeded", agent=echo)) == listed
    assert [each.id for each in listed] == [made.refs["b"], made.refs["a"]]
    assert len(await items(podium.tasks.list(limit=1))) == 1
    now = datetime.now(UTC)
    assert await items(podium.tasks.list(created_after=now + timedelta(hours=1))) == []
    assert await items(podium.tasks.list(labels={"no": "such"}, queue="default")) == []


async def test_a_key_gives_the_same_task_again(podium: Any, echo: str) -> None:
    first = await podium.tasks.create(agent=echo, input=1, idempotency_key="once")
    again = await podium.tasks.create(agent=echo, input=1, idempotency_key="once")
    assert again.id == first.id
    with pytest.raises(errors.IdempotencyMismatch):
        await podium.tasks.create(agent=echo, input=2, idempotency_key="once")


async def test_a_waiting_task_is_changed_cancelled_retried_and_deleted(
    podium: Any, echo: str
) -> None:
    task = await podium.tasks.create(agent=echo, delay=3600)
    assert task.state == "pending"
    changed = await podium.tasks.update(task.id, title="another", priority=7)
    assert (changed.title, changed.priority) == ("another", 7)
    with pytest.raises(errors.Conflict):
        await podium.tasks.delete(task.id)
    assert await podium.tasks.cancel(task.id, "not wanted") == "cancelled"
    assert await podium.tasks.cancel(task.id) == "ended"
    assert (await podium.tasks.get(task.id)).error["message"] == "not wanted"
    assert (await podium.tasks.retry(task.id)).id == task.id
    assert (await podium.tasks.wait(task.id, timeout=60)).state == "succeeded"
    await podium.tasks.delete(task.id)
    with pytest.raises(errors.NotFound):
        await podium.tasks.get(task.id)


async def test_waiting_ends_with_the_events_of_the_task(podium: Any, echo: str) -> None:
    task = await podium.tasks.create(agent=echo, delay=1.5)
    with pytest.raises(errors.WaitTimeout):
        await podium.tasks.wait(task.id, timeout=0.5)
    assert (await podium.tasks.wait(task.id, timeout=60)).state == "succeeded"


async def test_artifacts_are_listed_read_and_written_to_files(podium: Any, tmp_path: Path) -> None:
    script = (
        'printf 0123456789 > out.txt; echo \'{"podium":"artifact","name":"a/b.txt",'
        '"path":"out.txt","content_type":"text/plain"}\''
    )
    await podium.agents.create(
        name="maker",
        runtime="command",
        config={"command": script, "shell": True, "output": "events"},
    )
    task = await podium.tasks.create(agent="maker")
    assert (await podium.tasks.wait(task.id, timeout=60)).state == "succeeded"
    (artifact,) = await podium.tasks.artifacts(task.id)
    assert (artifact.name, artifact.size, artifact.content_type) == ("a/b.txt", 10, "text/plain")
    assert await podium.tasks.read_artifact(task.id, "a/b.txt") == b"0123456789"
    path = await podium.tasks.download(task.id, "a/b.txt", tmp_path / "here")
    assert path.read_bytes() == b"0123456789"
    with pytest.raises(errors.NotFound):
        await podium.tasks.read_artifact(task.id, "a/b.txt", attempt=7)


async def test_agents_have_versions_and_health(podium: Any, echo: str) -> None:
    with pytest.raises(errors.Conflict):
        await podium.agents.create(name=echo, runtime="command", config={"command": ["cat"]})
    changed = await podium.agents.update(echo, config={"command": ["cat", "-"]}, description="d")
    assert (changed.version, changed.description) == (2, "d")
    assert {each.version for each in await podium.agents.versions(echo)} == {1, 2}
    assert (await podium.agents.version(echo, 1)).config["command"] == ["cat"]
    diff = await podium.agents.diff(echo)
    assert (diff.old, diff.new) == (1, 2)
    assert [(each.pointer, each.after) for each in diff.differences] == [
        ("/config/command", ["cat", "-"]),
        ("/config/prompt", "none"),
    ]
    with pytest.raises(errors.Conflict):
        await podium.agents.rollback(echo, 1, expected=1)
    assert (await podium.agents.rollback(echo, 1, expected=2)).version == 3
    assert (await podium.agents.diff(echo, 1, 3)).differences == []
    assert await items(podium.agents.list(capabilities=["none"])) == []
    assert await items(podium.agents.list(labels={"a": "b"}, runtime="command")) == []
    assert (await podium.agents.probe(echo)).ok
    assert [each.name for each in await items(podium.agents.list())] == [echo]
    assert (await podium.agents.get(changed.id)).name == echo
    await podium.agents.delete(echo)
    assert await items(podium.agents.list()) == []
    with pytest.raises(errors.InvalidInput) as caught:
        await podium.agents.create(name="x", runtime="command", config={})
    assert caught.value.request_id


async def test_all_versions_of_an_agent_are_given(podium: Any, echo: str) -> None:
    for number in range(1, 61):
        await podium.agents.update(echo, config={"command": ["echo", str(number)]})
    versions = await podium.agents.versions(echo)
    assert [each.version for each in versions] == [*range(61, 0, -1)]


async def test_events_are_listed_and_followed(podium: Any, echo: str, form: Form) -> None:
    task = await podium.tasks.create(agent=echo, input="x")
    await podium.tasks.wait(task.id, timeout=60)
    listed = await items(podium.events.list(types=["task.*"], subjects=[task.id]))
    assert await items(podium.events.list(types="task.*", subjects=task.id)) == listed
    alone = podium.events.list(types="task.created", subjects=task.id, last=9)
    assert [event.type for event in await items(alone)] == ["task.created"]
    assert [each.type for each in listed][0::2] == ["task.created", "task.completed"]
    newest = podium.events.list(types=["task.*"], subjects=[task.id], last=2)
    assert [each.cursor for each in await items(newest)] == [each.cursor for each in listed[1:]]
    stream = podium.events(types=["task.*"], after=listed[0].cursor, timeout=30)
    stream = await stream if form == "sync" else stream
    followed = await items(stream, 2)
    assert [each.cursor for each in followed] == [each.cursor for each in listed[1:]]
    assert stream.cursor == listed[-1].cursor
    await (asyncio.to_thread(stream.close) if form == "sync" else stream.aclose())


async def test_entering_a_stream_is_the_moment_from_which_nothing_is_missed(
    podium: Any, echo: str, form: Form
) -> None:
    stream = podium.events(types="task.created", timeout=30)
    stream = await stream if form == "sync" else stream
    await (asyncio.to_thread(stream.__enter__) if form == "sync" else stream.__aenter__())
    assert stream.cursor
    task = await podium.tasks.create(agent=echo)
    (created,) = await items(stream, 1)
    assert created.subject == task.id
    await (
        asyncio.to_thread(stream.__exit__, None, None, None)
        if form == "sync"
        else stream.__aexit__(None, None, None)
    )


async def test_tokens_have_their_powers_and_end(podium: Any, installation: Installation) -> None:
    made = await podium.tokens.create(name="reader", scopes=["tasks:read"], expires_in=60)
    assert made.token.startswith("podium_")
    url = Podium(home=installation.home).connection.url
    async with AsyncPodium(url, made.token, retries=0) as reader:
        assert (await reader.whoami()).scopes == ["tasks:read"]
        with pytest.raises(errors.Forbidden) as caught:
            await reader.settings()
        assert "settings:read" in caught.value.message
        await podium.tokens.revoke(made.id)
        with pytest.raises(errors.Unauthenticated):
            await reader.whoami()
    assert made.id not in [each.id for each in await items(podium.tokens.list())]


async def test_projects_are_apart(podium: Any, echo: str, form: Form) -> None:
    name = f"q-{uuid4().hex[:12]}"
    made = await podium.projects.create(name=name, weight=2)
    assert (await podium.projects.update(name, weight=3)).weight == 3
    assert (await podium.projects.get(name)).id == made.id
    assert name in [each.name for each in await items(podium.projects.list())]
    other = podium.in_project(name)
    other = Both(await other) if form == "sync" else other
    assert await items(other.agents.list()) == []
    await podium.projects.delete(name)
    with pytest.raises(errors.NotFound):
        await other.tasks.create(agent=echo)


async def test_a_task_is_reached_by_its_id_whatever_the_project(
    podium: Any, echo: str, form: Form, tmp_path: Path
) -> None:
    """Routes of one task know no parameter for the project, and refuse unknown ones."""
    there = podium.in_project("default")
    there = Both(await there) if form == "sync" else there
    task = await podium.tasks.create(agent=echo, input="x")
    assert (await podium.tasks.wait(task.id, timeout=60)).state == "succeeded"
    assert (await there.tasks.get(task.id)).id == task.id
    assert len(await there.tasks.attempts(task.id)) == 1
    assert (await there.tasks.explain(task.id)).task_id == task.id
    assert await there.tasks.artifacts(task.id) == []
    assert await items(there.tasks.logs(task.id, follow=True)) is not None
    assert await items(there.tasks.logs(task.id)) is not None
    assert await there.tasks.cancel(task.id) == "ended"
    with pytest.raises(errors.NotFound):
        await there.tasks.read_artifact(task.id, "none")
    with pytest.raises(errors.NotFound):
        await there.tasks.download(task.id, "none", tmp_path / "none")
    with pytest.raises(errors.Conflict):
        await there.tasks.update(task.id, priority=1)
    with pytest.raises(errors.Conflict):
        await there.tasks.retry(task.id)
    await there.tasks.delete(task.id)


async def test_the_server_tells_of_itself(podium: Any) -> None:
    status = await podium.status()
    assert status.database.ok
    assert status.valkey.ok
    assert next(worker.state for worker in await podium.workers.list()) == "active"
    assert {each.name for each in await podium.settings()} >= {"home", "port"}
    assert (await podium.whoami()).kind == "admin"
    assert abs(await podium.clock_skew()) < 3


async def test_a_token_of_one_project_needs_no_project(
    installation: Installation, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PODIUM_PROJECT", raising=False)
    project = f"b-{uuid4().hex[:12]}"
    async with AsyncPodium(home=installation.home) as admin:
        await admin.projects.create(name=project)
        await admin.in_project(project).agents.create(
            name="echo", runtime="command", config={"command": ["cat"], "prompt": "stdin"}
        )
        bound = await admin.tokens.create(
            name="bound", preset="operator", project=project, expires_in=600
        )
        url = admin.connection.url

    async def used(client: Any) -> None:
        task = await client.tasks.create(agent="echo", input="x")
        assert task.project == project
        assert (await client.tasks.wait(task.id, timeout=60)).state == "succeeded"

    if form == "sync":
        with Podium(url, bound.token) as client:
            await used(Both(client))
    else:
        async with AsyncPodium(url, bound.token) as client:
            await used(client)
