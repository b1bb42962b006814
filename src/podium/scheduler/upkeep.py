"""What the keeper asks of the database: whose time has come, who is dead, who acts."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from podium.storage.database import Database


class Standing(NamedTuple):
    """Whether the one who asked leads, and the database's time. Where another was found: for how
    many seconds that one does yet, and how many workers there are."""

    leads: bool
    now: datetime
    others: float = 0.0
    workers: int = 0


_OTHER = (
    "select clock_timestamp() as now,"
    "       extract(epoch from until - clock_timestamp())::float8 as others,"
    "       (select count(*) from worker where state in ('active', 'draining')) as workers"
    "  from leader where role = $1 and holder <> $2 and until > clock_timestamp()"
)
_FORGET_CALLS = (
    "with gone as (delete from idempotency where ctid = any (array("
    "  select ctid from idempotency where expires_at < now() order by expires_at limit $1))"
    " returning 1) select count(*) as n from gone"
)
_FORGET_WORKERS = (
    "delete from worker w where w.state in ('stopped', 'dead')"
    " and w.lease_until < now() - make_interval(days => $1)"
    " and not exists (select from running r where r.worker_id = w.id)"
)
END_LEASES = """
update worker set lease_until = 'epoch' where state in ('active', 'draining');
delete from leader;
"""
"""Statements for a copy of a database: its workers are not this one's, and so the reaper takes back
what they ran. By the moment to which their leases are set it knows that they did not die."""
_FORGET_AT_ONCE = 5000
_LIMITS = "limit:"
"""The keys of all gates of limits begin with it."""


async def reap(
    database: Database, max_losses: int, seen: datetime, seconds: float
) -> list[tuple[UUID, int]]:
    """Take back the tasks of workers whose lease ran out; gives (worker, tasks).

    Does nothing when it begins more than ``seconds`` after the database was ``seen``: the leases
    may have run out while it stood still, and their workers are about to renew them.
    """
    rows = await database.call(
        "select * from reap_workers($1, case when clock_timestamp() <"
        " $2::timestamptz + make_interval(secs => $3) then 100 else 0 end)",
        max_losses,
        seen,
        seconds,
    )
    return [(row["worker_id"], row["tasks"]) for row in rows]


async def fire_timers(database: Database, most: int) -> int:
    return (await database.call("select fire_timers($1) as n", most))[0]["n"]


async def expire_tasks(database: Database, most: int) -> int:
    return (await database.call("select expire_tasks($1) as n", most))[0]["n"]


async def refill_queues(database: Database) -> int:
    """How many queues, having used up their rate, may start tasks again."""
    return (await database.call("select refill_queues() as n"))[0]["n"]


async def serve_refilled(database: Database, most: int) -> int:
    """Serve gates whose rates allow starts again; gives how many tasks became ready."""
    return (await database.call("select serve_refilled($1) as n", most))[0]["n"]


async def next_due(database: Database) -> float | None:
    """Seconds until the next timer, queue timeout or start that a rate allows; None without any."""
    rows = await database.call(
        "select extract(epoch from least((select min(fires_at) from timer),"
        " (select min(expires_at) from expiry), (select min(due_at) from spent),"
        " (select min(wakes_at) from queue where wakes_at is not null),"
        " (select min(wakes_at) from gate where wakes_at is not null))"
        " - clock_timestamp())::float8 as due"
    )
    return rows[0]["due"]


async def other(database: Database, role: str, who: UUID) -> Standing | None:
    """How it stands where another leads. It costs less than to stand."""
    rows = await database.call(_OTHER, role, who)
    return Standing(leads=False, **rows[0]) if rows else None


async def stand(database: Database, role: str, who: UUID, seconds: float) -> Standing:
    """Be the one that plays the role for the next seconds, unless somebody else is."""
    rows = await database.call("select * from stand($1, $2, $3)", role, who, seconds)
    return Standing(**rows[0])


async def resign(database: Database, role: str, who: UUID) -> None:
    """Give up the role."""
    await database.call("delete from leader where role = $1 and holder = $2", role, who)


async def forget_calls(database: Database) -> None:
    """Drop idempotency keys whose time is over, so many in each transaction."""
    while (await database.call(_FORGET_CALLS, _FORGET_AT_ONCE))[0]["n"] == _FORGET_AT_ONCE:
        continue


async def forget_limits(database: Database) -> None:
    """Drop gates of limits that nobody uses any more, so many in each transaction."""
    last: str | None = _LIMITS
    while last is not None:
        rows = await database.call("select forget_limits($1, $2) as last", last, _FORGET_AT_ONCE)
        last = rows[0]["last"]


async def forget_workers(database: Database, days: int) -> None:
    """Drop workers that ended so long ago."""
    await database.call(_FORGET_WORKERS, days)
