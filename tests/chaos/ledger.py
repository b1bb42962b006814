"""What must be true after any fault: counted from the agents' own journal and from the events."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from podium.client import AsyncPodium

ENDS = {"task.completed", "task.failed", "task.dead", "task.cancelled"}


@dataclass
class Ledger:
    """Tasks that were accepted, and all events that one subscriber saw.

    Every second task has no retries, unless all are ``retried``: that its worker was lost is no
    failure of its own.
    """

    journal: Path
    retried: bool = False
    accepted: set[str] = field(default_factory=set[str])
    once: set[str] = field(default_factory=set[str])
    """Those without retries."""
    seen: list[Any] = field(default_factory=list[Any])
    numbers: Iterator[int] = field(default_factory=count)

    async def follow(self, client: AsyncPodium) -> None:
        """Be the subscriber that must miss nothing, over every break of the connection."""
        async for event in client.events(types=["task.*"], after="0.0.0"):
            self.seen.append(event)

    async def submit(self, client: AsyncPodium, agent: str, seconds: float) -> str:
        """Submit one task; it counts once the server accepted it."""
        number = next(self.numbers)
        once = number % 2 == 0 and not self.retried
        task = await client.tasks.create(
            agent=agent,
            input={"journal": str(self.journal), "key": f"{agent}-{number}", "seconds": seconds},
            retry={"max_retries": 0 if once else 20, "initial": 0.1, "max_delay": 1},
        )
        self.accepted.add(str(task.id))
        if once:
            self.once.add(str(task.id))
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
        ends: dict[str, list[Any]] = defaultdict(list)
        for event in on_record:
            if event.type in ENDS:
                ends[str(event.subject)].append(event)
        assert self.accepted <= set(ends), f"never ended: {self.accepted - set(ends)}"
        wrong = {
            task: [(each.type, each.data) for each in events]
            for task, events in ends.items()
            if [each.type for each in events] != ["task.completed"]
        }
        assert not wrong, wrong

    def lost(self) -> set[str]:
        """Tasks of which an attempt was lost with its worker."""
        return {str(event.subject) for event in self.seen if event.type == "task.lost"}

    def assert_alone(self) -> None:
        """No two attempts of a task ever ran at once, and none began twice: every sign of life is
        of the newest one."""
        newest: dict[str, int] = {}
        begun: Counter[tuple[str, int]] = Counter()
        for what, key, attempt, _ in self._lines():
            assert attempt >= newest.get(key, 0), f"attempt {attempt} of {key} lives on"
            newest[key] = attempt
            begun[key, attempt] += what == "begin"
        assert {key: times for key, times in begun.items() if times != 1} == {}
        assert begun, "no agent wrote anything"

    def _lines(self) -> Iterable[tuple[str, str, int, float]]:
        for line in self.journal.read_text().splitlines():
            what, key, attempt, at = line.split()
            yield what, key, int(attempt), float(at)


_OPEN = ("running", "queued", "waiting", "pending")


async def _all_events(client: AsyncPodium) -> AsyncIterator[Any]:
    async for event in client.events.list(types=["task.*"], after="0.0.0"):
        yield event
