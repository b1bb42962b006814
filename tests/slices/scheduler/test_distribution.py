"""How queues share tasks out among agents that could all do them: shares, and who is next."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from podium.scheduler.model import Claimed, Settlement
from slices.scheduler.engine import Engine
from slices.scheduler.rules import lay_down

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 0.5}


async def agents(engine: Engine, weights: Mapping[str, float], **options: Any) -> None:
    for name, weight in weights.items():
        await engine.add_agent(name, capabilities=["x"], weight=weight, **options)


async def finish(engine: Engine, worker: Any, claimed: Sequence[Claimed]) -> None:
    ends = [Settlement(one.task_id, one.attempt, "succeeded") for one in claimed]
    if ends:
        await engine.scheduler.settle(worker, ends)


def names(engine: Engine, claimed: Sequence[Claimed]) -> list[str]:
    by_id = {agent: name for name, agent in engine.agents.items()}
    return [by_id[one.agent_id] for one in claimed]


async def simulate(engine: Engine, tasks: int, *, queue: str = "q", seed: int = 1) -> Counter[str]:
    """Workers of any size come and go until all tasks are done; gives how many each agent had."""
    dice = random.Random(seed)
    await engine.submit_many(tasks, capabilities=("x",), queue=queue, agent=None)
    workers = [await engine.worker() for _ in range(3)]
    live: list[tuple[Any, Claimed]] = []
    shares: Counter[str] = Counter()
    while sum(shares.values()) < tasks or live:
        worker = dice.choice(workers)
        claimed = await engine.claim(worker, dice.choice([1, 1, 2, 7, 20]))
        shares.update(names(engine, claimed))
        live += [(worker, one) for one in claimed]
        dice.shuffle(live)
        ended, live = live[: len(live) // 2 + 1], live[len(live) // 2 + 1 :]
        for each in workers:
            await finish(engine, each, [one for owner, one in ended if owner == each])
    return shares


def assert_shares(shares: Counter[str], weights: Mapping[str, float]) -> None:
    """Each is within 5 % of what its weight promises, or one task."""
    total = sum(shares.values())
    for name, weight in weights.items():
        due = total * weight / sum(weights.values())
        assert abs(shares[name] - due) <= max(0.05 * due, 1), (name, shares)


@pytest.mark.parametrize("seed", [1, 2])
async def test_weighted_shares(engine: Engine, seed: int) -> None:
    await agents(engine, WEIGHTS)
    await lay_down(engine, "q", distribution="weighted")
    assert_shares(await simulate(engine, 850, seed=seed), WEIGHTS)


@pytest.mark.parametrize("seed", [1, 2])
async def test_round_robin_is_blind_to_weights(engine: Engine, seed: int) -> None:
    await agents(engine, WEIGHTS)
    await lay_down(engine, "q", distribution="round_robin")
    assert_shares(await simulate(engine, 600, seed=seed), dict.fromkeys(WEIGHTS, 1.0))


@pytest.mark.parametrize("processes", [None, 2])
async def test_agents_in_processes_and_others_share_alike(
    engine: Engine, processes: int | None
) -> None:
    """Some run in processes, of which a worker may have few; in turn they are all the same."""
    await agents(engine, WEIGHTS)
    await engine.run("update agent set isolated = name in ('b', 'd')")
    await lay_down(engine, "q", distribution="weighted")
    await engine.submit_many(425, capabilities=("x",), queue="q", agent=None)
    worker = await engine.worker()
    shares: Counter[str] = Counter()
    while claimed := await engine.claim(worker, 5, processes):
        assert sum(one.isolated for one in claimed) <= (processes or 5)
        shares.update(names(engine, claimed))
        await finish(engine, worker, claimed)
    assert sum(shares.values()) == 425
    assert_shares(shares, WEIGHTS)


async def test_least_loaded_levels_the_parts_of_limits(engine: Engine) -> None:
    for name, limit in (("a", 10), ("b", 20), ("c", 30)):
        await engine.add_agent(name, capabilities=["x"], limit=limit)
    await engine.submit_many(30, capabilities=("x",), agent=None)
    claimed = await engine.claim(await engine.worker(), 30)
    assert_shares(Counter(names(engine, claimed)), {"a": 1, "b": 2, "c": 3})


async def test_one_after_the_other(engine: Engine) -> None:
    await agents(engine, dict.fromkeys("abc", 1.0))
    await lay_down(engine, "q", distribution="round_robin")
    await engine.submit_many(12, capabilities=("x",), queue="q", agent=None)
    worker = await engine.worker()
    order: list[str] = []
    for most in (1, 1, 1, 1, 2, 3, 3):
        claimed = await engine.claim(worker, most)
        order += names(engine, claimed)
        await finish(engine, worker, claimed)
    rounds = [sorted(order[start : start + 3]) for start in range(0, 12, 3)]
    assert rounds == [["a", "b", "c"]] * 4


async def test_queues_have_turns_of_their_own(engine: Engine) -> None:
    """Taken in alternation, two queues of two agents would else keep to one agent each."""
    await agents(engine, dict.fromkeys("ab", 1.0))
    worker = await engine.worker()
    shares: dict[str, Counter[str]] = {"q": Counter(), "r": Counter()}
    for queue in shares:
        await lay_down(engine, queue, distribution="round_robin")
    for _ in range(10):
        for queue, share in shares.items():
            await engine.submit(capabilities=("x",), queue=queue, agent=None)
            claimed = await engine.claim(worker, 1)
            share.update(names(engine, claimed))
            await finish(engine, worker, claimed)
    assert shares["q"] == shares["r"] == {"a": 5, "b": 5}


async def test_who_comes_late_does_not_catch_up(engine: Engine) -> None:
    await agents(engine, dict.fromkeys("ab", 1.0))
    await lay_down(engine, "q", distribution="round_robin")
    await simulate(engine, 40)
    await agents(engine, {"new": 1.0})
    assert_shares(await simulate(engine, 60), {"a": 1, "b": 1, "new": 1})


async def test_full_disabled_and_unhealthy_agents_are_passed_over(engine: Engine) -> None:
    await agents(engine, dict.fromkeys("abc", 1.0))
    await engine.add_agent("small", capabilities=["x"], limit=2)
    await lay_down(engine, "q", distribution="round_robin")
    await engine.run("update agent set enabled = false where name = 'a'")
    await engine.run("update agent set healthy = false where name = 'b'")
    await engine.submit_many(12, capabilities=("x",), queue="q", agent=None)
    worker = await engine.worker()
    claimed = [one for _ in range(4) for one in await engine.claim(worker, 4)]
    assert Counter(names(engine, claimed)) == {"small": 2, "c": 10}


@pytest.mark.parametrize("seed", range(4))
async def test_all_are_served_whoever_can_do_what(engine: Engine, seed: int) -> None:
    """Agents with room for little and unlike abilities; no limit is passed, and nothing stays."""
    dice = random.Random(seed)
    limits: dict[str, int] = {}
    for name in "abcdef":
        limits[name] = dice.randint(1, 2)
        skills = ["x", *(skill for skill in "yz" if dice.random() < 0.5)]
        await engine.add_agent(
            name, capabilities=skills, limit=limits[name], weight=dice.choice([0.3, 1, 4])
        )
    await engine.add_agent("all", capabilities=["x", "y", "z"], limit=1)
    for queue in ("q", "r", "s"):
        await lay_down(engine, queue, distribution=dice.choice(["round_robin", "weighted"]))
    for _ in range(60):
        wanted = ("x", *(skill for skill in "yz" if dice.random() < 0.3))
        queue = dice.choice(["q", "r", "s", "default"])
        await engine.submit(capabilities=wanted, queue=queue, agent=None)
    worker = await engine.worker()
    live: list[Claimed] = []
    for _ in range(500):
        live += await engine.claim(worker, dice.choice([1, 3, 10]))
        running = Counter(names(engine, live))
        assert all(running[name] <= limit for name, limit in limits.items())
        dice.shuffle(live)
        await finish(engine, worker, live[: len(live) // 2 + 1])
        del live[: len(live) // 2 + 1]
        if not live and not await engine.run("select from ready limit 1"):
            return
    pytest.fail("tasks were left")


async def test_queues_beside_it_are_shared_out_by_load(engine: Engine) -> None:
    """All lanes are dealt in one claim, and no agent gets more than it has room for."""
    await engine.add_agent("a", capabilities=["x"], limit=3)
    await engine.add_agent("b", capabilities=["x"], limit=3)
    await lay_down(engine, "q", distribution="weighted")
    for queue in ("q", "r"):
        await engine.submit_many(5, capabilities=("x",), queue=queue, agent=None)
    worker = await engine.worker()
    claimed = [one for _ in range(3) for one in await engine.claim(worker, 10)]
    assert Counter(names(engine, claimed)) == {"a": 3, "b": 3}
    rows = await engine.run("select distinct choice ->> 'how' from running")
    assert {row[0] for row in rows} <= {"weighted", "least_loaded"}


async def test_the_choice_is_on_record(engine: Engine) -> None:
    await agents(engine, {"a": 1.0, "b": 4.0})
    await lay_down(engine, "q", distribution="weighted")
    await engine.submit_many(3, capabilities=("x",), queue="q", agent=None)
    worker = await engine.worker()
    assert names(engine, await engine.claim(worker, 1)) == ["b"]
    rows = await engine.run("select choice from running")
    assert rows[0].choice == {
        "how": "weighted",
        "candidates": [
            {"agent": "b", "weight": 4, "passed": 0},
            {"agent": "a", "weight": 1, "passed": 0},
        ],
    }


async def test_claims_side_by_side_keep_the_shares(engine: Engine) -> None:
    await agents(engine, dict.fromkeys("abcd", 1.0))
    await lay_down(engine, "q", distribution="round_robin")
    await engine.submit_many(200, capabilities=("x",), queue="q", agent=None)
    workers = [await engine.worker() for _ in range(5)]
    shares: Counter[str] = Counter()

    async def work(worker: Any) -> None:
        while claimed := await engine.claim(worker, 3):
            shares.update(names(engine, claimed))
            await finish(engine, worker, claimed)

    await asyncio.gather(*(work(worker) for worker in workers))
    assert sorted(shares.values()) == [50, 50, 50, 50]


async def test_a_thousand_agents_in_turn(engine: Engine) -> None:
    await engine.run(
        "insert into agent (id, project_id, name, runtime, capabilities)"
        " select gen_random_uuid(), :project, 'many-' || n, 'function', '{x}'"
        " from generate_series(1, 1000) as n",
        project=engine.project,
    )
    await lay_down(engine, "q", distribution="round_robin")
    await engine.submit_many(500, capabilities=("x",), queue="q", agent=None)
    worker = await engine.worker()
    claimed = [one for _ in range(25) for one in await engine.claim(worker, 20)]
    assert len({one.agent_id for one in claimed}) == len(claimed) == 500


async def test_who_is_preferred_gets_all_while_it_can(engine: Engine) -> None:
    await agents(engine, dict.fromkeys("abc", 1.0))
    await engine.add_agent("small", capabilities=["x"], limit=2)
    worker = await engine.worker()
    await engine.submit_many(4, agent=None, capabilities=("x",), prefers="small")
    await engine.submit_many(4, agent=None, capabilities=("x",), prefers="b")
    claimed = [one for _ in range(4) for one in await engine.claim(worker, 10)]
    assert Counter(names(engine, claimed)) == {"small": 2, "b": 4}
    rows = await engine.run("select distinct choice ->> 'how' from running")
    assert [row[0] for row in rows] == ["sticky"]


@pytest.mark.parametrize(
    "trouble",
    ["enabled = false", "healthy = false", "deleted_at = now()", "capabilities = '{}'"],
)
@pytest.mark.parametrize("distribution", ["least_loaded", "round_robin"])
async def test_others_stand_in_for_who_is_preferred(
    engine: Engine, trouble: str, distribution: str
) -> None:
    await agents(engine, dict.fromkeys("abc", 1.0))
    await lay_down(engine, "q", distribution=distribution)
    await engine.submit_many(4, agent=None, capabilities=("x",), queue="q", prefers="b")
    await engine.run(f"update agent set {trouble} where name = 'b'")
    worker = await engine.worker()
    claimed = [one for _ in range(4) for one in await engine.claim(worker, 10)]
    assert Counter(names(engine, claimed)) == {"a": 2, "c": 2}
