"""What the SDK does when the server refuses, breaks or is not there."""

import asyncio
import hashlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from podium.client import errors
from slices.client.forms import FORMS, Form, call
from slices.client.standin import IGNORED, Scripted, StandIn, answer, problem

WHOAMI = {"principal": "token:ci", "kind": "token", "project": None, "scopes": []}
PROJECT = {
    "id": "1", "name": "p", "weight": 1.0, "priority_ageing": None,
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
BULK = {"ids": ["1"], "refs": {}}

pytestmark = pytest.mark.parametrize("form", FORMS)


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.client.wire._FIRST_DELAY", 0.01)


async def test_a_server_is_called_by_its_address_of_ipv6(form: Form) -> None:
    with StandIn(answer(WHOAMI), host="::1") as server:
        await call(form, server.url, lambda client: client.whoami())
    assert server.seen[0].headers["host"] == f"[::1]:{server.port}"


async def test_a_call_carries_the_token_and_says_who_calls(form: Form) -> None:
    with StandIn(answer(WHOAMI)) as server:
        await call(form, server.url, lambda client: client.whoami())
    assert server.seen[0].headers["authorization"] == "Bearer podium_id_secret"
    assert server.seen[0].headers["user-agent"].startswith("podium-python/")


@pytest.mark.parametrize(
    "trouble",
    [
        problem(503, "unavailable"),
        problem(429, "rate_limited"),
        Scripted(502, (b"<html>bad gateway",)),
        IGNORED,
        Scripted(200, (b'{"princ',), length=500, cut=True),
    ],
    ids=["503", "429", "502", "dropped", "cut"],
)
async def test_a_read_is_sent_again_until_it_is_answered(form: Form, trouble: Scripted) -> None:
    with StandIn(trouble, trouble, answer(WHOAMI)) as server:
        found = await call(form, server.url, lambda client: client.whoami())
    assert found.principal == "token:ci"
    assert len(server.seen) == 3


async def test_it_gives_up_after_the_retries_it_was_given(form: Form) -> None:
    refusal = problem(503, "unavailable", hint="Wait.")
    with StandIn(otherwise=refusal) as server, pytest.raises(errors.Unavailable) as caught:
        await call(form, server.url, lambda client: client.whoami(), retries=2)
    assert len(server.seen) == 3
    assert caught.value.hint == "Wait."


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
async def test_an_answer_that_will_not_change_is_not_asked_for_again(
    form: Form, status: int
) -> None:
    refusal = problem(status, "whatever")
    with StandIn(refusal) as server, pytest.raises(errors.ApiError) as caught:
        await call(form, server.url, lambda client: client.whoami())
    assert caught.value.status == status
    assert len(server.seen) == 1


async def test_retry_after_is_respected(form: Form) -> None:
    with StandIn(problem(429, "rate_limited", headers={"retry-after": "1"}), answer(WHOAMI)) as it:
        began = time.monotonic()
        await call(form, it.url, lambda client: client.whoami())
    assert 1.0 <= time.monotonic() - began < 5


async def test_a_submission_is_repeated_under_one_key(form: Form) -> None:
    """The first may have been carried out although its answer was lost."""
    with StandIn(IGNORED, problem(503, "unavailable"), answer(BULK, 201)) as server:
        made = await call(
            form, server.url, lambda client: client.tasks.create_many([{"agent": "echo"}])
        )
    assert made.ids == ["1"]
    keys = [seen.headers["idempotency-key"] for seen in server.seen]
    assert len(keys) == 3
    assert len(set(keys)) == 1


ENTRY = {
    "id": 1, "kind": "input", "author": "a", "attempt": None, "text": "hello", "data": None,
    "at": "2026-01-01T00:00:00Z",
}  # fmt: skip


async def test_an_input_is_repeated_under_one_key(form: Form) -> None:
    """The first may have been said although its answer was lost."""
    with StandIn(IGNORED, problem(503, "outcome_unknown"), answer(ENTRY, 201)) as server:
        said = await call(form, server.url, lambda it: it.sessions.send("1", "hello"))
    assert said.id == 1
    keys = [seen.headers["idempotency-key"] for seen in server.seen]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    with StandIn(answer(ENTRY, 201)) as server:
        await call(
            form, server.url, lambda it: it.sessions.send("1", "hello", idempotency_key="mine")
        )
    assert server.seen[0].headers["idempotency-key"] == "mine"


async def test_each_submission_has_a_key_of_its_own(form: Form) -> None:
    with StandIn(otherwise=answer(BULK, 201)) as server:
        for _ in range(2):
            await call(form, server.url, lambda it: it.tasks.create_many([{"agent": "echo"}]))
    keys = {seen.headers["idempotency-key"] for seen in server.seen}
    assert len(keys) == len(server.seen) == 2


async def test_a_key_given_is_the_key_sent(form: Form) -> None:
    with StandIn(answer(BULK, 201)) as server:
        await call(
            form,
            server.url,
            lambda client: client.tasks.create_many([{"agent": "a"}], idempotency_key="mine"),
        )
    assert server.seen[0].headers["idempotency-key"] == "mine"


async def test_what_may_not_be_repeated_is_not(form: Form) -> None:
    with StandIn(IGNORED) as server, pytest.raises(errors.ConnectionFailed, match="broke"):
        await call(form, server.url, lambda client: client.projects.create(name="p"))
    assert len(server.seen) == 1


AGENT = {
    "id": "1", "project": "default", "name": "a", "version": 2, "runtime": "command", "config": {},
    "description": "", "capabilities": [], "labels": {}, "enabled": True, "healthy": True,
    "running": 0, "weight": 1, "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}  # fmt: skip


async def test_a_change_of_one_version_is_not_repeated(form: Form) -> None:
    """The first may have made the version that the second would conflict with."""
    with StandIn(IGNORED) as server, pytest.raises(errors.ConnectionFailed, match="broke"):
        await call(form, server.url, lambda it: it.agents.update("a", enabled=True, version=1))
    assert len(server.seen) == 1
    with StandIn(IGNORED, answer(AGENT)) as server:
        changed = await call(form, server.url, lambda it: it.agents.update("a", enabled=True))
    assert (changed.version, len(server.seen)) == (2, 2)


@pytest.mark.parametrize("lost", [IGNORED, problem(503, "outcome_unknown")], ids=["dropped", "503"])
async def test_what_a_lost_deletion_has_deleted_is_deleted(form: Form, lost: Scripted) -> None:
    with StandIn(lost, problem(404, "not_found")) as server:
        await call(form, server.url, lambda client: client.agents.delete("a"))
    assert [seen.method for seen in server.seen] == ["DELETE"] * 2


@pytest.mark.parametrize("before", [[], [problem(429, "rate_limited")]], ids=["once", "after 429"])
async def test_what_never_was_is_not_deleted(form: Form, before: list[Scripted]) -> None:
    script = [*before, problem(404, "not_found")]
    with StandIn(*script) as server, pytest.raises(errors.NotFound):
        await call(form, server.url, lambda client: client.agents.delete("a"))


async def test_but_it_is_when_the_server_says_that_nothing_was_done(form: Form) -> None:
    with StandIn(problem(429, "rate_limited"), answer(PROJECT, 201)) as server:
        made = await call(form, server.url, lambda client: client.projects.create(name="p"))
    assert made.name == "p"
    assert [seen.json for seen in server.seen] == [{"name": "p"}] * 2


async def test_a_server_that_is_not_there_is_told_with_its_address(form: Form) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(errors.ConnectionFailed) as caught:
        await call(form, url, lambda client: client.whoami(), retries=1)
    assert url in caught.value.message
    assert "podium up --detach" in (caught.value.hint or "")


async def test_a_silent_server_is_given_up(form: Form) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(errors.ConnectionFailed):
            await call(form, url, lambda client: client.whoami(), retries=0, timeout=0.2)
    assert time.monotonic() - began < 5


async def test_an_answer_of_another_shape_is_told(form: Form) -> None:
    with StandIn(answer({"principal": 7})) as server, pytest.raises(errors.InvalidResponse):
        await call(form, server.url, lambda client: client.whoami())


async def test_what_a_newer_server_adds_is_passed_over(form: Form) -> None:
    with StandIn(answer({**WHOAMI, "shoe_size": 43, "kind": "robot"})) as server:
        found = await call(form, server.url, lambda client: client.whoami())
    assert found.kind == "robot"


async def test_a_broken_download_goes_on_where_it_stopped(form: Form, tmp_path: Path) -> None:
    first = Scripted(200, (b"0123",), {"etag": '"x"'}, length=10, cut=True)
    second = Scripted(206, (b"456789",))
    with StandIn(first, second) as server:
        path = await call(
            form, server.url, lambda client: client.tasks.download("t", "a b", tmp_path / "out")
        )
    assert path.read_bytes() == b"0123456789"
    assert server.seen[0].target == "/api/v1/orchestration/tasks/t/artifacts/a%20b"
    assert server.seen[1].headers["range"] == "bytes=4-"
    assert server.seen[1].headers["if-range"] == '"x"'
    assert names(tmp_path) == ["out"]


async def test_a_download_that_cannot_go_on_leaves_nothing(form: Form, tmp_path: Path) -> None:
    first = Scripted(200, (b"0123",), length=10, cut=True)
    again = Scripted(200, (b"0123456789",))
    with StandIn(first, again) as it, pytest.raises(errors.InvalidResponse, match="download"):
        await call(form, it.url, lambda client: client.tasks.download("t", "a", tmp_path / "out"))
    assert names(tmp_path) == []


async def test_a_download_is_compared_with_its_hash(form: Form, tmp_path: Path) -> None:
    tag = f'"{hashlib.sha256(b"0123456789").hexdigest()}"'
    first = Scripted(200, (b"0123",), {"etag": tag}, length=10, cut=True)
    for rest, whole in ((b"456789", True), (b"45678x", False)):
        with StandIn(first, Scripted(206, (rest,), {"etag": tag})) as it:
            doing = call(
                form, it.url, lambda client: client.tasks.download("t", "a", tmp_path / "out")
            )
            if whole:
                assert (await doing).read_bytes() == b"0123456789"
                (tmp_path / "out").unlink()
            else:
                with pytest.raises(errors.InvalidResponse, match="SHA-256"):
                    await doing
        assert names(tmp_path) == []


async def test_a_refused_download_leaves_nothing(form: Form, tmp_path: Path) -> None:
    with StandIn(problem(404, "not_found")) as it, pytest.raises(errors.NotFound):
        await call(form, it.url, lambda client: client.tasks.download("t", "a", tmp_path / "out"))
    assert names(tmp_path) == []


async def test_a_closed_client_says_so(form: Form) -> None:
    with StandIn(otherwise=answer(WHOAMI)) as server:
        kept: list[Any] = []
        await call(form, server.url, kept.append)
        (client,) = kept
        for use in (
            client.whoami,
            lambda: client.in_project("other").tasks.get("1"),
            lambda: client.tasks.download("1", "name", "target"),
            lambda: client.events().__enter__() if form == "sync" else client.events().__aenter__(),
        ):
            with pytest.raises(errors.ClientClosed):
                await asyncio.to_thread(use) if form == "sync" else await use()
    assert not server.seen
