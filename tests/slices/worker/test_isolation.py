"""What attempts in processes are given and show of it, and what those inside the worker are not."""

import sys
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
    assert b"PODIUM_TOKEN=pat_***" in await shop.kept(task, "output.json")


async def test_secrets_that_an_agent_prints_are_masked_in_its_error(shop: Shop) -> None:
    let_run(shop, "command", command=["sh", "-c", "env | grep PODIUM_TOKEN >&2; exit 3"])
    async with shop.worker():
        done = await shop.ended(await shop.submit("a"))
    assert done.error["detail"]["stderr"] == "PODIUM_TOKEN=pat_***"
    assert "pat_***" in done.error["message"]


_AROUND_A_CUT = """
import os, sys
token = os.environ["PODIUM_TOKEN"]
for back in range(0, len(token) + 10, 3):
    for write in (sys.stdout.write, sys.stderr.write):
        write("x" * (16384 - back) + token + "." * 20000 + "\\n")
        write("x" * (2 * 16384 - back) + " postgresql://u:TopSecret@h/d" + "\\n")
"""


@pytest.mark.parametrize("output", ["text", "json", "events"])
async def test_secrets_are_masked_where_a_long_line_is_split(shop: Shop, output: str) -> None:
    let_run(shop, "command", command=[sys.executable, "-c", _AROUND_A_CUT], output=output)
    await assert_masked_in_the_log(shop)


async def test_secrets_are_masked_where_a_long_print_is_split(shop: Shop) -> None:
    options = {"isolation": "process", "env_allow": ["PATH", "HOME"]}
    let_run(shop, "function", function="worker_agents:run_script", **options)
    await assert_masked_in_the_log(shop, _AROUND_A_CUT)


async def assert_masked_in_the_log(shop: Shop, given: Any = None) -> None:
    """No half of a secret is in it, whether at an end of a piece or at its beginning."""
    async with shop.worker():
        task = await shop.submit("a", given)
        await shop.ended(task)
    lines = [each for row in await shop.rows("log", task) for each in row.text.split("\n")]
    assert "TopS" not in str(lines)
    assert all(len(each) <= 16384 for each in lines)
    left = {each.lstrip("x").partition(".")[0] for each in lines if "postgresql" not in each}
    assert left <= {"", "pat_***", " ", "/d"}


@pytest.mark.parametrize("back", [1, 10, 40, 60, 70])
async def test_secrets_are_masked_where_the_tail_of_an_output_begins(shop: Shop, back: int) -> None:
    script = f"""
import os, sys
token = os.environ["PODIUM_TOKEN"]
for file, limit in ((sys.stdout, 128 * 1024), (sys.stderr, 2000)):
    file.write("x" * 300_000 + token + "." * (limit - {back}))
sys.exit("fail" in sys.argv)
"""
    shop.around = replace(shop.around, max_output_bytes=1_000_000)
    for mode in ("fail", "succeed"):
        let_run(shop, "command", command=[sys.executable, "-c", script, mode])
        async with shop.worker():
            done = await shop.ended(await shop.submit("a"))
        text = done.output["text"] if done.output else done.error["detail"]["stderr"]
        assert set(text) == {"."}


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
