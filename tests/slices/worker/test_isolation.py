"""What attempts in processes are given and show of it, and what those inside the worker are not."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from podium.agents.runtime import AgentSpec
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
