"""What attempts in processes are given and show of it, and what those inside the worker are not."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from podium.agents.runtime import AgentSpec
from podium.worker import store
from slices.worker.conftest import Shop


def let_run(shop: Shop, runtime: str, **config: Any) -> None:
    """Let the shop's agents be of this definition."""
    valid = shop.around.runtimes[runtime].validate(config)

    async def spec(_agent_id: UUID, version: int) -> AgentSpec:
        return AgentSpec("a", version, runtime, valid)

    shop.around = replace(shop.around, agent_spec=spec)


async def test_secrets_that_an_agent_prints_are_masked_in_its_output(shop: Shop) -> None:
    script = "env | grep PODIUM_TOKEN; echo postgresql://u:hunter2@h/d; echo basic authentication"
    let_run(shop, "command", command=["sh", "-c", script])
    async with shop.worker():
        done = await shop.ended(await shop.submit("a"))
    assert done.output["text"] == (
        "PODIUM_TOKEN=pat_***\npostgresql://u:***@h/d\nbasic authentication"
    )


async def test_large_outputs_are_masked_too(shop: Shop) -> None:
    script = "env | grep PODIUM_TOKEN; seq 1 1000"
    let_run(shop, "command", command=["sh", "-c", script])
    async with shop.worker():
        task = await shop.submit("a")
        assert (await shop.ended(task)).output["artifact"] == "output.json"
    kept = await shop.around.artifacts.locate(task, 1, "output.json")
    assert "PODIUM_TOKEN=pat_***" in kept.read_text()


async def test_secrets_that_an_agent_prints_are_masked_in_its_error(shop: Shop) -> None:
    let_run(shop, "command", command=["sh", "-c", "env | grep PODIUM_TOKEN >&2; exit 3"])
    async with shop.worker():
        done = await shop.ended(await shop.submit("a"))
    assert done.error["detail"]["stderr"] == "PODIUM_TOKEN=pat_***"
    assert "pat_***" in done.error["message"]


@pytest.mark.parametrize(
    ("function", "credentials"), [("worker_agents:echo", 0), ("worker_agents:plain", 1)]
)
async def test_the_first_attempt_of_a_function_is_already_told_apart(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, function: str, credentials: int
) -> None:
    let_run(shop, "function", function=function)
    marked: list[UUID] = []
    mark = store.mark_isolated

    async def noting(database: Any, worker: UUID, task: UUID, *rest: Any) -> None:
        marked.append(task)
        await mark(database, worker, task, *rest)

    monkeypatch.setattr(store, "mark_isolated", noting)
    async with shop.worker():
        task = await shop.submit("a", 7)
        assert (await shop.ended(task)).output == 7
    assert len(marked) == credentials
    [attempt] = await shop.rows("attempt", task)
    assert attempt.confinement == "none"
