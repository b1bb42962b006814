"""What a snapshot that is held open for a minute does to claims, at 1,000 tasks/s.

No-ops come at an even pace over HTTP. After a stretch that nothing disturbs, a session of somebody
else begins a transaction, reads a row and does nothing for a minute: vacuum can remove nothing
that ended meanwhile. Then it ends, and the load goes on.

A claim's time is that from when a task became ready until it was claimed, as the database noted
both; it has the waking of the worker and the work of the claim in it. ``snapshot_claim_p99`` is
that of all tasks that became ready while the snapshot was held. ``snapshot_recovery`` counts from
the end of the snapshot until the end of the first 5 seconds whose 99th percentile is within 1.5
times that of the undisturbed stretch; where that never came, it is as long as was looked.
``snapshot_named`` is 1 when the diagnosis, asked every few seconds, named the session's process
while it held the snapshot, else 0.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.database import connected
from benchmarks.figures import Figure, Target, percentile
from benchmarks.load import Claims, claims, steady
from benchmarks.podium_server import Server, podium
from benchmarks.session import Session
from benchmarks.suite.http_post import drained

TASKS_PER_SECOND = 1000
WINDOW_SECONDS = 5.0
STEP_SECONDS = 1.0
NORMAL_TIMES = 1.5
ASK_SECONDS = 2.0


@dataclass(frozen=True)
class Lengths:
    """How long each stretch takes, in seconds."""

    warm_up: float = 5.0
    normal: float = 30.0
    held: float = 60.0
    after: float = 45.0

    @property
    def whole(self) -> float:
        return self.warm_up + self.normal + self.held + self.after


QUICK = Lengths(warm_up=1.0, normal=2.0, held=4.0, after=7.0)


@dataclass
class Moments:
    """When stretches began, by ``time.time``, and after how many seconds the backend was named."""

    normal: float = 0.0
    held: float = 0.0
    after: float = 0.0
    end: float = 0.0
    named_after: float | None = None
    posts: list[float] = field(default_factory=list[float])


async def run(session: Session) -> list[Figure]:
    """Claims while it is held, the time until they are as before, and whether it was told."""
    worst = Figure("snapshot_claim_p99", "ms", "lower", Target(100))
    recovery = Figure("snapshot_recovery", "s", "lower", Target(30))
    named = Figure("snapshot_named", "of 1", "higher", Target(1))
    lengths = QUICK if session.quick else Lengths()
    async with podium(session) as server:
        moments = await _course(session, server, lengths)
        session.tell("snapshot: reading what the claims took")
        await drained(server)
        url = server.database_url
        normal = await claims(url, moments.normal, moments.held)
        held = await claims(url, moments.held, moments.after)
        after = await claims(url, moments.after, moments.end)
        recovery.rounds = [{"podium": await _recovery(url, moments, normal)}]
    worst.rounds = [{"podium": held.p99}]
    named.rounds = [{"podium": float(moments.named_after is not None)}]
    named.details = {"named_after_s": moments.named_after, "held_s": lengths.held}
    stretches = (("normal", normal), ("held", held), ("after", after))
    worst.details = {name: _told(each) for name, each in stretches}
    worst.details["post_p99_ms"] = round(percentile(moments.posts, 0.99), 2)
    return [worst, recovery, named]


def _told(found: Claims) -> dict[str, float]:
    return {"claims": found.number, "p50_ms": round(found.p50, 2), "p99_ms": round(found.p99, 2)}


async def _course(session: Session, server: Server, lengths: Lengths) -> Moments:
    """Go through all stretches under load."""
    moments = Moments()
    load = asyncio.create_task(
        steady(server, TASKS_PER_SECOND, lengths.whole, lambda _: {"agent": "noop"})
    )
    session.tell("snapshot: nothing held")
    await asyncio.sleep(lengths.warm_up)
    moments.normal = time.time()
    await asyncio.sleep(lengths.normal)
    session.tell("snapshot: held open")
    async with _snapshot(server.database_url) as pid:
        moments.held = time.time()
        moments.named_after = await _named(server, pid, lengths.held)
    moments.after = time.time()
    session.tell("snapshot: ended")
    moments.posts = await load
    moments.end = time.time()
    return moments


@asynccontextmanager
async def _snapshot(url: str) -> AsyncGenerator[int]:
    """Hold a snapshot open in a session that does nothing else; gives its process id."""
    async with connected(url) as holder:
        # Podium's own sessions may not stand still in a transaction for so long.
        await holder.execute("set idle_in_transaction_session_timeout = 0")
        pid: int = await holder.fetchval("select pg_backend_pid()")
        async with holder.transaction(isolation="repeatable_read"):
            await holder.fetchval("select count(*) from project")
            yield pid


async def _named(server: Server, pid: int, seconds: float) -> float | None:
    """Return after so many seconds: after how many of them the diagnosis named the process."""
    start = time.monotonic()
    found: float | None = None
    connection = await server.connect()
    while (left := start + seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(ASK_SECONDS, left))
        if found is None:
            findings = (await connection.get("diagnosis"))["findings"]
            if any(each["where"] == f"process {pid}" for each in findings):
                found = round(time.monotonic() - start, 1)
    await connection.close()
    return found


async def _recovery(url: str, moments: Moments, normal: Claims) -> float:
    start = moments.after
    while start + WINDOW_SECONDS <= moments.end:
        window = await claims(url, start, start + WINDOW_SECONDS)
        if window.p99 <= NORMAL_TIMES * normal.p99:
            return start + WINDOW_SECONDS - moments.after
        start += STEP_SECONDS
    return moments.end - moments.after
