"""What must be true after any fault: counted from the agents' own journal and from the events."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podium.client import AsyncPodium

ENDS = {"task.completed", "task.failed", "task.dead", "task.cancelled"}


@dataclass
class Ledger:
    """Tasks that were accepted, and all events that one subscriber saw."""

    journal: Path
    accepted: set[str] = field(default_factory=set)
    seen: list[Any] = field(default_factory=list)

    async def follow(self, client: AsyncPodium) -> None:
        """Be the subscriber that must miss nothing, over every break of the connection."""
        async for event in client.events(types=["task.*"], after="0.0.0"):
            self.seen.append(event)

    async def submit(self, client: AsyncPodium, agent: str, seconds: float) -> str:
        """Submit one task; it counts once the server accepted it."""
        key = f"{agent}-{len(self.accepted)}-{id(object())}"
        task = await client.tasks.create(
            agent=agent,
            input={"journal": str(self.journal), "key": key, "seconds": seconds},
            retry={"max_retries": 20, "initial": 0.1, "max_delay": 1},
        )
        self.accepted.add(str(task.id))
        return str(task.id)

    async def settle(self, client: AsyncPodium, seconds: float) -> None:
        """Wait until all that was accepted has ended."""
        async with asyncio.timeout(seconds):
            while True:
                counts = (await client.status()).counts
                if not any(counts.get(name) for name in _OPEN):
                    return
                await asyncio.sleep(0.2)

    async def caught_up(self, client: AsyncPodium) -> list[Any]:
        """All task events on record, once the subscriber saw as many."""
        on_record = [event async for event in _all_events(client)]
        async with asyncio.timeout(30):
            while len(self.seen) < len(on_record):
                await asyncio.sleep(0.1)
        return on_record

    def assert_exact(self, on_record: list[Any]) -> None:
        """Every accepted task ended exactly once, and the subscriber saw all, once, in order."""
        cursors = [event.cursor for event in self.seen]
        assert len(set(cursors)) == len(cursors), "an event was seen twice"
        assert cursors == [event.cursor for event in on_record], "events were lost or reordered"
        ends: dict[str, list[str]] = defaultdict(list)
        for event in on_record:
            if event.type in ENDS:
                ends[str(event.subject)].append(event.type)
        assert self.accepted <= set(ends), f"never ended: {self.accepted - set(ends)}"
        assert {task: each for task, each in ends.items() if each != ["task.completed"]} == {}

    def assert_alone(self) -> None:
        """No two attempts of a task ever ran at once: every sign of life is of the newest one."""
        newest: dict[str, int] = {}
        for _, key, attempt, _ in self._lines():
            assert attempt >= newest.get(key, 0), f"attempt {attempt} of {key} lives on"
            newest[key] = attempt
        assert newest, "no agent wrote anything"

    def _lines(self) -> Iterable[tuple[str, str, int, float]]:
        for line in self.journal.read_text().splitlines():
            what, key, attempt, at = line.split()
            yield what, key, int(attempt), float(at)


_OPEN = ("running", "queued", "waiting", "pending")


async def _all_events(client: AsyncPodium) -> AsyncIterator[Any]:
    async for event in client.events.list(types=["task.*"], after="0.0.0"):
        yield event
