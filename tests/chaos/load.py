"""An installation under load whose books are checked at the end."""

import asyncio
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from chaos.installation import Installation, installed
from chaos.ledger import Ledger
from podium.client import AsyncPodium
from podium.client.errors import PodiumError


@asynccontextmanager
async def under_load(
    home: Path, *, producers: int = 3, retried: bool = False, **settings: object
) -> AsyncGenerator[tuple[Installation, AsyncPodium, Ledger]]:
    """An installation with agents of both runtimes, producers and one subscriber.

    ``retried`` says that all tasks have retries, not only half of them. At the end the producers
    stop, all accepted tasks end, and the books are checked.
    """
    async with installed(home, **settings) as running, running.client() as client:
        ledger = Ledger(home.parent / "journal", retried)
        await _register(client)
        follower = asyncio.create_task(ledger.follow(client))
        work = [asyncio.create_task(_produce(client, ledger, n)) for n in range(producers)]
        try:
            yield running, client, ledger
            assert not any(task.done() for task in work), "a producer gave up"
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await ledger.settle(client, 90)
            on_record = await ledger.caught_up(client)
            ledger.assert_exact(on_record)
            ledger.assert_alone()
        finally:
            for task in (*work, follower):
                task.cancel()
            await asyncio.gather(*work, follower, return_exceptions=True)


async def _register(client: AsyncPodium) -> None:
    await client.agents.create(
        name="inside", runtime="function", config={"function": "chaos.agents:steady"}
    )
    command = [sys.executable, str(Path(__file__).parent / "agents.py")]
    await client.agents.create(
        name="program", runtime="command", config={"command": command, "prompt": "none"}
    )


async def _produce(client: AsyncPodium, ledger: Ledger, seed: int) -> None:
    dice = random.Random(seed)
    while True:
        agent = dice.choice(["inside", "inside", "inside", "program"])
        # Given up, or cut off in the middle of a call, a task may be accepted and not be in the
        # ledger: then its end is checked all the same, from the events.
        with suppress(PodiumError):
            await ledger.submit(client, agent, dice.choice([0, 0.05, 0.2, 1.0]))
        await asyncio.sleep(dice.random() / 5)
