"""What 1, 2, 4 and 8 worker processes make of the same work, and whether any task runs twice.

Twice over, on as many workers more each time: tasks that take 5 ms of a processor each, where
workers are what is scarce (``scaling``), and tasks that do nothing, where on a machine of few
processors it is PostgreSQL, which they all share with the workers (``scaling_noops``). Both figures
are how many times the tasks a second of one worker two workers do in the same round; all rates are
in ``details``.

The queue is paused while the tasks are submitted, so that nothing but the running of them is
measured: from before it is opened until the last task has ended, the time included in which the
last worker is busy with what it claimed. All settings are the defaults, so a worker claims hundreds
of tasks at once.

``scaling_duplicates`` counts what should have been once and was not, over all runs: tasks without
exactly one attempt, or whose attempt did not succeed, starts among the events beyond one for each
task, and, of the tasks that take time, runs that the tasks told of themselves beyond one for each.
"""

import time
from dataclasses import dataclass, field
from statistics import median

from benchmarks.database import rows
from benchmarks.figures import Figure, Target
from benchmarks.http_client import Http
from benchmarks.podium_server import Server, podium
from benchmarks.processes import ProcessFailed
from benchmarks.session import Session
from benchmarks.suite.http_post import drained

WORKERS = (1, 2, 4, 8)
QUICK_WORKERS = (1, 2)
NOOPS = 20_000
BUSY = 5_000
QUICK_NOOPS = 1_000
QUICK_BUSY = 200
BULK = 5_000
ROUNDS = 2
RUN_SECONDS = 180.0
_AMISS = """
select (select count(*) from task t
         where outcome is distinct from 'succeeded'
            or (select count(*) from attempt a where a.task_id = t.id) <> 1)
       + (select count(*) from event where type = 'task.started')
       - (select count(distinct subject) from event where type = 'task.started') as number,
       (select count(*) from task) as tasks
"""


@dataclass
class Rates:
    """Tasks a second by number of workers, and what was amiss."""

    busy: dict[int, float] = field(default_factory=dict[int, float])
    noop: dict[int, float] = field(default_factory=dict[int, float])
    amiss: int = 0


async def run(session: Session) -> list[Figure]:
    """Two ratios and a count."""
    busy = Figure("scaling", "times", "higher", Target(1))
    noop = Figure("scaling_noops", "times", "higher", Target(1))
    duplicates = Figure("scaling_duplicates", "duplicates", "lower", Target(0))
    found = [await _round(session, place) for place in range(1 if session.quick else ROUNDS)]
    busy.rounds = [{"podium": rates.busy[2] / rates.busy[1]} for rates in found]
    noop.rounds = [{"podium": rates.noop[2] / rates.noop[1]} for rates in found]
    duplicates.rounds = [{"podium": float(sum(rates.amiss for rates in found))}]
    for number in found[0].busy:
        name = f"tasks_per_second_{number}"
        busy.details[name] = round(median(rates.busy[number] for rates in found))
        noop.details[name] = round(median(rates.noop[number] for rates in found))
    return [busy, noop, duplicates]


async def _round(session: Session, place: int) -> Rates:
    rates = Rates()
    noops, busy = (QUICK_NOOPS, QUICK_BUSY) if session.quick else (NOOPS, BUSY)
    async with podium(session, workers=0) as server:
        for number in QUICK_WORKERS if session.quick else WORKERS:
            session.tell(f"scaling: round {place + 1}, {number} workers")
            while len(server.workers) < number:
                await server.start_worker()
            rates.noop[number] = await _rate(server, "noop", noops)
            told = server.stamps.received
            rates.busy[number] = await _rate(server, "busy", busy)
            rates.amiss += abs(server.stamps.received - told - busy)
        runs = len(rates.noop)
        rates.amiss += await _amiss(server, runs * (noops + busy))
    return rates


async def _rate(server: Server, agent: str, number: int) -> float:
    """Tasks a second, from the opening of the queue to the last end."""
    connection = await server.connect()
    await connection.put("queues/default", {"state": "paused"})
    await _submit(connection, agent, number)
    start = time.monotonic()
    await connection.put("queues/default", {"state": "open"})
    await connection.close()
    await drained(server, RUN_SECONDS)
    return number / (time.monotonic() - start)


async def _submit(connection: Http, agent: str, number: int) -> None:
    for start in range(0, number, BULK):
        places = range(start, min(number, start + BULK))
        tasks = [{"agent": agent, "input": str(place)} for place in places]
        await connection.post("tasks/bulk", {"tasks": tasks})


async def _amiss(server: Server, submitted: int) -> int:
    [found] = await rows(server.database_url, _AMISS)
    if found["tasks"] != submitted:
        raise ProcessFailed(f"{found['tasks']} tasks are on record of {submitted}")
    return found["number"]
