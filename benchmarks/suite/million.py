"""A project with 1,000,000 ended tasks: what lists, searches, starts and throughput take then.

The tasks are written by SQL into the tables of a running server, with inputs of a dozen words of
which some stand in most tasks and most in few. Each request is made again and again on one
connection while nothing else runs; the figure is the 99th percentile over all kinds of requests of
a figure, and the details have it for each. Throughput is that of 10,000 tasks submitted in one call
and carried out by one worker, before the tasks are there and after, in the same processes.
"""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from benchmarks.database import connected
from benchmarks.figures import Figure, Target, percentile
from benchmarks.http_client import Http
from benchmarks.podium_server import Server, podium
from benchmarks.session import Session
from benchmarks.suite.http_post import drained

TASKS = 1_000_000
REQUESTS = 300
BULK = 10_000
ROUNDS = 3
STARTS = 200
_PART = 10_000
_CHUNK = 50_000
_SEED = """
insert into task (id, project_id, lane_id, title, labels, input, output, created_by, created_at,
                  outcome, attempt, started_at, finished_at)
select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 100000000 + n * 50), 12, '0')
        || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || right(md5(n::text), 15))::uuid,
       p.id, l.id, 'Task ' || n, jsonb_build_object('team', 't' || n % 50),
       jsonb_build_object('prompt', w.words), jsonb_build_object('result', 'done ' || n), 'bench',
       now() - interval '1 day', case when n % 100 = 0 then 'failed' else 'succeeded' end, 1,
       now() - interval '1 day', now() - interval '1 day' + n % 1000 * interval '1 s'
  from generate_series($1::int, $2::int) n
  join project p on p.name = 'default'
  join lateral (select id from lane where project_id = p.id limit 1) l on true
  join lateral (
       select string_agg('w' || floor(power(30000, random()))::int || 'x', ' ') as words
         from generate_series(1, 12) where n > 0) w on true
"""
_KINDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "million_list": {
        "newest": {},
        "oldest": {"sort": "oldest"},
        "by end": {"sort": "finished"},
        "window": {"offset": 5000, "limit": 200},
    },
    "million_filter": {
        "failed": {"state": "failed"},
        "label": {"label": "team:t7"},
        "running": {"state": "running"},
        "agent": {"agent": "noop"},
        "created before": {"created_before": "2020-01-01T00:00:00Z"},
        "count of failed": {"count": True, "state": "failed"},
    },
    "million_search": {
        "in 1 of 10": {"search": "w10x"},
        "in 1 of 100": {"search": "w100x"},
        "in 1 of 1,000": {"search": "w1000x"},
        "one task": {"search": "777777"},
        "two words": {"search": "w2x w20x"},
        "failed": {"search": "w10x", "state": "failed"},
        "none": {"search": "nowhere"},
    },
}


async def run(session: Session) -> list[Figure]:
    """Reads, starts and throughput beside a million tasks."""
    count = 5_000 if session.quick else TASKS
    throughput = Figure("million_throughput", "tasks/s", "higher")
    async with podium(session) as server:
        await _carried_out(server, 1000)
        session.tell("million: throughput before")
        before = [await _carried_out(server, BULK) for _ in range(ROUNDS)]
        await _seed(session, server, count)
        session.tell("million: throughput after")
        after = [await _carried_out(server, BULK) for _ in range(ROUNDS)]
        throughput.rounds = [{"podium": value} for value in after]
        throughput.details = {"before": before, "share": sorted(after)[1] / sorted(before)[1]}
        figures = [await _reads(session, server, name, kinds) for name, kinds in _KINDS.items()]
        figures.append(await _starts(session, server))
    return [*figures, throughput]


async def _carried_out(server: Server, number: int) -> float:
    """Tasks a second, from the submission of the first until the last has ended."""
    connection = await server.connect()
    start = time.monotonic()
    await connection.post("tasks/bulk", {"tasks": [{"agent": "noop"}] * number})
    await drained(server)
    elapsed = time.monotonic() - start
    await connection.close()
    return number / elapsed


async def _seed(session: Session, server: Server, count: int) -> None:
    async with connected(server.database_url) as connection:
        for first in range(1, count + 1, _CHUNK):
            session.tell(f"million: writing tasks, {first - 1:,} of {count:,}")
            await connection.execute(_SEED, first, min(first + _CHUNK - 1, count))
        # In order of ids, as they come in practice: so parts are filled one after the other.
        await connection.execute("truncate search, search_part")
        rows = await connection.fetch("select id from task order by id")
        ids = [row["id"] for row in rows]
        for at in range(0, len(ids), _PART):
            session.tell(f"million: indexing, {at:,} of {count:,}")
            chunk = ids[at : at + _PART]
            await connection.execute("select place_in_parts($1, $2)", chunk, _PART)
        parts = await connection.fetchval("select count(*) from search_part")
        if not len(ids) // _PART <= parts <= len(ids) // _PART + 2:
            raise RuntimeError(f"{len(ids)} tasks lie in {parts} parts")
        for statement in ("vacuum analyze task", "vacuum analyze search", "checkpoint"):
            session.tell(f"million: {statement}")
            await connection.execute(statement)


async def _reads(
    session: Session, server: Server, name: str, kinds: Mapping[str, Mapping[str, Any]]
) -> Figure:
    """The slowest kind's 99th percentile."""
    figure = Figure(name, "ms", "lower", Target(20))
    connection = await server.connect()
    for kind, query in kinds.items():
        session.tell(f"{name}: {kind}")
        rest = {key: value for key, value in query.items() if key != "count"}
        path = ("tasks/count?" if "count" in query else "tasks?") + urlencode(rest)
        times = await _asked(connection, path, 20 if session.quick else REQUESTS)
        figure.details[kind] = {
            "p50_ms": round(percentile(times, 0.5), 2),
            "p99_ms": round(percentile(times, 0.99), 2),
        }
    await connection.close()
    figure.rounds = [{"podium": max(each["p99_ms"] for each in figure.details.values())}]
    return figure


async def _asked(connection: Http, path: str, requests: int) -> list[float]:
    times: list[float] = []
    for _ in range(requests):
        start = time.monotonic()
        await connection.get(path)
        times.append((time.monotonic() - start) * 1000)
    return times


async def _starts(session: Session, server: Server) -> Figure:
    """From the acceptance of a lone task to its start, which has the claim in it."""
    figure = Figure("million_start", "ms", "lower", Target(20))
    session.tell("million: starts")
    connection = await server.connect()
    waits: list[float] = []
    for _ in range(20 if session.quick else STARTS):
        task = await connection.post("tasks", {"agent": "noop"})
        await drained(server)
        ended = await connection.get(f"tasks/{task['id']}")
        waits.append(ended["queued_seconds"] * 1000)
    await connection.close()
    figure.rounds = [{"podium": percentile(waits, 0.99)}]
    figure.details["p50_ms"] = round(percentile(waits, 0.5), 2)
    return figure
