"""A lane that names its agent is dealt slots by a shorter way, which deals as the long one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from podium.storage.database import Database
from slices.scheduler.engine import Engine

_DEAL = """
select agent_id, version, isolated, choice
  from deal_slots($1::int[], array['function'], $2, $3, $4)
"""


async def _dealt(
    database: Database, lanes: Sequence[int], most: int, processes: int, *, counted: bool
) -> list[Any]:
    return [tuple(row) for row in await database.call(_DEAL, lanes, counted, most, processes)]


@pytest.mark.parametrize("kind", ["process", "inline"])
@pytest.mark.parametrize("limit", [None, 1, 3, 4, 9])
@pytest.mark.parametrize("processes", [0, 2, 10])
@pytest.mark.parametrize("most", [1, 4, 10])
async def test_one_lane_is_dealt_the_same_alone_and_beside_an_empty_one(
    engine: Engine, kind: str, limit: int | None, processes: int, most: int
) -> None:
    """Of eight tasks one runs already; another claim holds the first of the rest."""
    isolated = kind == "process"
    await engine.add_agent("other", limit=limit)
    await engine.run("update agent set isolated = :isolated", isolated=isolated)
    worker = await engine.worker()
    await engine.submit_many(8, agent="other")
    [running] = await engine.claim(worker, 1)
    lane, empty = (await engine.task(agent="other")).lane_id, (await engine.task()).lane_id
    async with engine.database.transaction() as conn:
        await conn.exec_driver_sql("select from ready order by task_id limit 1 for update")
        alone, beside = await asyncio.gather(
            _dealt(engine.database, [lane], most, processes, counted=True),
            _dealt(engine.database, [lane, empty], most, processes, counted=True),
        )
    assert alone == beside
    free = min(7, most, 7 if limit is None else limit - 1, processes if isolated else 7)
    assert alone == [(running.agent_id, 1, isolated, None)] * free


@pytest.mark.parametrize("trouble", ["enabled = false", "healthy = false", "runtime = 'command'"])
async def test_an_agent_that_cannot_serve_is_dealt_nothing_either_way(
    engine: Engine, trouble: str
) -> None:
    await engine.add_agent("other")
    lane = (await engine.task(agent="other")).lane_id
    empty = (await engine.task()).lane_id
    await engine.submit_many(3, agent="other")
    assert len(await _dealt(engine.database, [lane], 10, 10, counted=False)) == 3
    await engine.run(f"update agent set {trouble} where name = 'other'")
    assert await _dealt(engine.database, [lane], 10, 10, counted=False) == []
    assert await _dealt(engine.database, [lane, empty], 10, 10, counted=False) == []
