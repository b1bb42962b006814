"""The client side of a measurement, the same for Podium and for every peer.

Each engine brings a ``Submitter``; this module holds the clock. It runs as a process of its own
beside the engine's one worker process, takes one JSON request a line on standard input and
answers each with one line on standard output. It ends when standard input closes.
"""

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Protocol

from benchmarks.stamps import STAMPS_VARIABLE, Stamps
from podium.kernel import garbage

POLL_SECONDS = 0.01
IDLE_GAP_SECONDS = (0.05, 0.15)
CHAIN_LENGTH = 5
STAMP_SECONDS = 100.0
FEWEST = 3
FEWEST_TASKS = 100
MOST_TASKS = 50_000
WARM_UP_SHARE = 0.3


class Submitter(Protocol):
    """How an engine's own users submit work. Each method returns when the work is accepted.

    Accepted means as durable as the engine makes it. ``submit_stamp`` runs ``stamps.stamp(key)``
    as a task, a chain runs it as its last step, a fan-out as the join. It is never closed: its
    process just ends.
    """

    async def open(self) -> None:
        """Connect."""
        ...

    async def submit_noops(self, number: int) -> None:
        """Submit tasks that do nothing, as fast as the engine's documentation knows."""
        ...

    async def submit_stamp(self, key: str) -> None:
        """Submit one task that stamps."""
        ...

    async def submit_chain(self, key: str, length: int) -> None:
        """Submit steps that run one after the other, each durable before the next."""
        ...

    async def submit_fan_out(self, key: str, width: int) -> None:
        """Submit one task, ``width`` that depend on it, and one that depends on all of those."""
        ...

    async def unfinished(self) -> bool:
        """Whether any accepted task has not durably finished."""
        ...

    async def finished(self) -> int | None:
        """Tasks that durably succeeded since the engine was set up; None if it forgets them."""
        ...


class Driver:
    """Measures one engine through its submitter."""

    def __init__(self, submitter: Submitter, stamps: Stamps) -> None:
        self._submitter = submitter
        self._stamps = stamps
        self._keys = count()

    def _key(self) -> str:
        return f"{os.getpid()}-{next(self._keys)}"

    async def ready(self) -> dict[str, Any]:
        """Wait until the worker runs tasks."""
        key = self._key()
        await self._submitter.submit_stamp(key)
        await self._stamps.wait(key, STAMP_SECONDS)
        await self._drain()
        return {}

    async def _drain(self) -> None:
        while True:
            if not await self._submitter.unfinished():
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _run_noops(self, number: int) -> float:
        start = time.monotonic()
        await self._submitter.submit_noops(number)
        await self._drain()
        return time.monotonic() - start

    async def throughput(self, seconds: float) -> dict[str, Any]:
        """Tasks per second from the first submission to the last durable end.

        The number of tasks is what the engine should manage in ``seconds``, judged by growing
        warm-ups that are not counted, so a slow engine is not timed for minutes.
        """
        number = FEWEST_TASKS
        for share in (WARM_UP_SHARE / 2, WARM_UP_SHARE, 1.0):
            rate = number / await self._run_noops(number)
            number = max(FEWEST_TASKS, min(MOST_TASKS, int(rate * seconds * share)))
        before = await self._submitter.finished()
        elapsed = await self._run_noops(number)
        after = await self._submitter.finished()
        if before is not None and after is not None and after - before != number:
            raise RuntimeError(f"{number} tasks were submitted and {after - before} succeeded")
        return {"tasks": number, "seconds": elapsed, "value": number / elapsed}

    async def start_latency(self, seconds: float) -> dict[str, Any]:
        """Milliseconds to the start of one task on an idle worker, from two moments.

        ``accepted`` counts from when the submission returned, and is 0 for a task that started
        before the client had the answer; ``called`` counts from before the submission.
        """
        accepted: list[float] = []
        called: list[float] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or len(called) < FEWEST:
            await asyncio.sleep(random.uniform(*IDLE_GAP_SECONDS))
            key = self._key()
            before = time.monotonic()
            await self._submitter.submit_stamp(key)
            after = time.monotonic()
            moment = await self._stamps.wait(key, STAMP_SECONDS)
            accepted.append(max(0.0, moment - after) * 1000)
            called.append((moment - before) * 1000)
        return {"accepted": accepted, "called": called}

    async def _until_stamp(self, submit: Callable[[str], Awaitable[None]]) -> float:
        key = self._key()
        start = time.monotonic()
        await submit(key)
        elapsed = await self._stamps.wait(key, STAMP_SECONDS) - start
        await self._drain()
        return elapsed

    async def chain(self, seconds: float) -> dict[str, Any]:
        """Milliseconds from the submission of a lone chain to the run of its last step."""
        values: list[float] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or len(values) < FEWEST:
            await asyncio.sleep(random.uniform(*IDLE_GAP_SECONDS))
            elapsed = await self._until_stamp(
                lambda key: self._submitter.submit_chain(key, CHAIN_LENGTH)
            )
            values.append(elapsed * 1000)
        return {"values": values}

    async def fan_out(self, width: int, seconds: float) -> dict[str, Any]:
        """Seconds from the submission of a fan-out to the start of its join, as often as fits."""
        await self._run_noops(50)
        values: list[float] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or not values:
            elapsed = await self._until_stamp(
                lambda key: self._submitter.submit_fan_out(key, width)
            )
            values.append(elapsed)
        return {"values": values}


async def _serve(submitter: Submitter) -> None:
    requests: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    driver = Driver(submitter, await Stamps.listen(os.environ[STAMPS_VARIABLE]))
    threading.Thread(target=_read, args=(loop, requests), daemon=True).start()
    await submitter.open()
    while True:
        request: dict[str, Any] = json.loads(await requests.get())
        operation = getattr(driver, request.pop("op"))
        try:
            answer = await operation(**request)
        except Exception as error:  # noqa: BLE001 - the harness reports it beside the figure
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def _read(loop: asyncio.AbstractEventLoop, requests: asyncio.Queue[str]) -> None:
    """Pass requests on; end the process at once, whatever it does, when there will be no more."""
    for line in sys.stdin:
        loop.call_soon_threadsafe(requests.put_nowait, line)
    os._exit(0)


def serve(submitter: Submitter) -> None:
    """Answer requests on standard input until it closes.

    Garbage is collected as seldom as in the process of Podium's API, for every engine.
    """
    garbage.collect_seldom()
    asyncio.run(_serve(submitter))
