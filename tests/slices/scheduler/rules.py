"""What people lay down for queues and limits, as the slices of these do."""

from typing import Any
from uuid import UUID

from sqlalchemy import text

from podium.kernel.ids import uuid7
from slices.scheduler.engine import Engine

_FOLLOW = text("select follow_limit(:project, :name)")


async def limit(engine: Engine, name: str, **rule: Any) -> None:
    """What ``podium.limits`` does, in one transaction."""
    fields = {"concurrency": None, "count": None, "seconds": None, "burst": None} | rule
    if fields["count"]:
        fields["seconds"] = fields["seconds"] or 1
        fields["burst"] = fields["burst"] or fields["count"]
    async with engine.database.transaction() as conn:
        await conn.execute(text("select lock_gates()"))
        await conn.execute(
            text(
                "insert into task_limit (id, project_id, name, concurrency, rate_count,"
                " rate_seconds, rate_burst) values (:id, :project, :name, :concurrency, :count,"
                " :seconds, :burst) on conflict (project_id, name) do update"
                " set concurrency = excluded.concurrency, rate_count = excluded.rate_count,"
                " rate_seconds = excluded.rate_seconds, rate_burst = excluded.rate_burst"
            ),
            {"id": uuid7(), "project": engine.project, "name": name, **fields},
        )
        await conn.execute(_FOLLOW, {"project": engine.project, "name": name})


async def unlimit(engine: Engine, name: str) -> None:
    async with engine.database.transaction() as conn:
        await conn.execute(text("select lock_gates()"))
        await conn.execute(text("delete from task_limit where name = :name"), {"name": name})
        await conn.execute(_FOLLOW, {"project": engine.project, "name": name})


async def turn(engine: Engine, name: str, state: str) -> None:
    """What ``podium.queues`` does to pause a queue, or to open it."""
    await engine.follow(
        f"follow_queue('{engine.project}', '{name}')",
        "insert into queue (id, project_id, name, tokens, state) values"
        f" ('{uuid7()}', '{engine.project}', '{name}', 0, '{state}')"
        " on conflict (project_id, name) do update set state = excluded.state",
    )


async def lay_down(engine: Engine, name: str, project: UUID | None = None, **rules: Any) -> None:
    """What ``podium.queues`` does to the table."""
    names = ", ".join(rules)
    values = ", ".join(f":{each}" for each in rules)
    await engine.run(
        f"insert into queue (id, project_id, name, tokens, {names})"
        f" values (:id, :project, :name, :tokens, {values})",
        id=uuid7(),
        project=project or engine.project,
        name=name,
        tokens=rules.get("rate_burst", 0),
        **rules,
    )
