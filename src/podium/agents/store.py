"""The agent tables."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.model import Agent, AgentFilter, AgentVersion, Definition, Listed
from podium.agents.runtime import AgentSpec
from podium.scheduler.model import TALKS, shown_capabilities
from podium.scheduler.tables import running
from podium.storage.database import Database, call_in, metadata

agent = sa.Table(
    "agent",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("project_id", sa.Uuid, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("version", sa.Integer, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("capabilities", ARRAY(sa.Text), nullable=False, server_default=sa.FetchedValue()),
    sa.Column("labels", JSONB, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("max_concurrency", sa.Integer),
    sa.Column("weight", sa.Double, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("isolated", sa.Boolean, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("healthy", sa.Boolean, nullable=False, server_default=sa.FetchedValue()),
    sa.Column("health_detail", sa.Text),
    sa.Column("health_checked_at", sa.DateTime(timezone=True)),
    sa.Column("health_host", sa.Text),
    sa.Column(
        "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()
    ),
    sa.Column(
        "updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()
    ),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
)
agent_version = sa.Table(
    "agent_version",
    metadata,
    sa.Column("agent_id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("config", JSONB, nullable=False),
    sa.Column(
        "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.FetchedValue()
    ),
    sa.Column("created_by", sa.Text, nullable=False),
)
_LIVE = agent.c.deleted_at.is_(None)
_STUCK = (
    "select key, agent_id, used_at > now() - interval '1 hour' as fresh from sticky"
    " where project_id = $1 and key = any ($2::text[])"
)
_STICK = (
    "insert into sticky (project_id, key, agent_id)"
    " select $1, x.key, x.agent_id from unnest($2::text[], $3::uuid[]) as x (key, agent_id)"
    " on conflict (project_id, key) do update set agent_id = excluded.agent_id, used_at = now()"
)
_FORGET_KEYS = (
    "with gone as (delete from sticky where ctid = any (array("
    "  select ctid from sticky where used_at < now() - make_interval(days => $1)"
    "   order by used_at limit $2)) returning 1) select count(*) as n from gone"
)
_AT_ONCE = 5000


def _agents() -> sa.Select[Any]:
    count = sa.select(sa.func.count()).where(running.c.agent_id == agent.c.id)
    joined = agent.join(
        agent_version,
        sa.and_(agent_version.c.agent_id == agent.c.id, agent_version.c.version == agent.c.version),
    )
    columns = (agent, agent_version.c.config, count.scalar_subquery().label("running"))
    return sa.select(*columns).select_from(joined).where(_LIVE)


async def insert(
    conn: AsyncConnection, agent_id: UUID, project_id: UUID, new: Definition, who: str
) -> bool:
    """Whether the agent was registered; False when the name is taken."""
    rows = await conn.execute(
        upsert(agent)
        .values(
            id=agent_id,
            project_id=project_id,
            name=new.name,
            runtime=new.runtime,
            **_settled(new),
        )
        .on_conflict_do_nothing(
            index_elements=[agent.c.project_id, agent.c.name], index_where=_LIVE
        )
        .returning(agent.c.id)
    )
    if rows.first() is None:
        return False
    await add_version(conn, agent_id, 1, new, who)
    return True


async def add_version(
    conn: AsyncConnection, agent_id: UUID, version: int, new: Definition, who: str
) -> None:
    await conn.execute(
        sa.insert(agent_version).values(
            agent_id=agent_id,
            version=version,
            runtime=new.runtime,
            config=dict(new.config),
            created_by=who,
        )
    )


async def update(conn: AsyncConnection, agent_id: UUID, version: int, new: Definition) -> None:
    """Put a definition in force. A new version starts as healthy, nothing being known against it,
    and as one that runs in processes, until a worker finds that it does not."""
    fresh = agent.c.version != version
    change = sa.update(agent).where(agent.c.id == agent_id)
    await conn.execute(
        change.values(
            version=version,
            runtime=new.runtime,
            isolated=sa.or_(fresh, agent.c.isolated),
            healthy=sa.or_(fresh, agent.c.healthy),
            health_detail=sa.case((fresh, None), else_=agent.c.health_detail),
            health_checked_at=sa.case((fresh, None), else_=agent.c.health_checked_at),
            health_host=sa.case((fresh, None), else_=agent.c.health_host),
            updated_at=sa.func.now(),
            **_settled(new),
        )
    )


async def by_key(conn: AsyncConnection, project_id: UUID, key: UUID | str) -> Agent | None:
    """An agent of the project by id or name."""
    row = (await conn.execute(_agents().where(*_keyed(project_id, key)))).one_or_none()
    return _agent(row) if row else None


async def lock(conn: AsyncConnection, project_id: UUID, key: UUID | str) -> None:
    """Let nobody else change the agent before this transaction ends. Read it afterwards: only a
    statement that begins then sees what was waited for."""
    query = sa.select(agent.c.id).where(*_keyed(project_id, key), _LIVE)
    await conn.execute(query.with_for_update())


def _keyed(project_id: UUID, key: UUID | str) -> tuple[sa.ColumnElement[bool], ...]:
    named = agent.c.id == key if isinstance(key, UUID) else agent.c.name == key
    return agent.c.project_id == project_id, named


async def read_page(
    conn: AsyncConnection, project_id: UUID, wanted: AgentFilter, after: str | None, limit: int
) -> list[Agent]:
    """Those agents of the project that are meant, in order of name."""
    query = _agents().where(agent.c.project_id == project_id)
    if wanted.runtime is not None:
        query = query.where(agent.c.runtime == wanted.runtime)
    if wanted.capabilities:
        query = query.where(agent.c.capabilities.contains(list(wanted.capabilities)))
    if wanted.labels:
        query = query.where(agent.c.labels.contains(dict(wanted.labels)))
    if after is not None:
        query = query.where(agent.c.name > after)
    return [_agent(row) for row in await conn.execute(query.order_by(agent.c.name).limit(limit))]


async def directory(conn: AsyncConnection, project_id: UUID) -> list[Listed]:
    """Each agent of the project."""
    query = sa.select(
        agent.c.id,
        agent.c.name,
        agent.c.runtime,
        agent.c.capabilities,
        sa.and_(agent.c.enabled, agent.c.healthy).label("usable"),
        agent.c.weight,
    )
    rows = await conn.execute(query.where(agent.c.project_id == project_id, _LIVE))
    return [
        Listed(row.id, row.name, row.runtime, frozenset(row.capabilities), row.usable, row.weight)
        for row in rows
    ]


async def stuck_to(
    conn: AsyncConnection, project_id: UUID, keys: Sequence[str]
) -> Mapping[str, tuple[UUID, bool]]:
    """The agents that tasks of these keys stay with, for keys that have one, and whether it is on
    record that the key was used within the hour."""
    rows = await call_in(conn, _STUCK, project_id, keys)
    return {row["key"]: (row["agent_id"], row["fresh"]) for row in rows}


async def stick(conn: AsyncConnection, project_id: UUID, agents: Mapping[str, UUID]) -> None:
    """Let tasks of each key stay with its agent, and note that they were used."""
    keys = sorted(agents)
    await call_in(conn, _STICK, project_id, keys, [agents[key] for key in keys])


async def forget_keys(database: Database, days: int) -> None:
    """Drop keys that no task had for so long, so many in each transaction."""
    while (await database.call(_FORGET_KEYS, days, _AT_ONCE))[0]["n"] == _AT_ONCE:
        continue


async def versions(
    conn: AsyncConnection, agent_id: UUID, before: int | None, limit: int
) -> list[AgentVersion]:
    """Versions of an agent, newest first."""
    query = sa.select(agent_version).where(agent_version.c.agent_id == agent_id)
    if before is not None:
        query = query.where(agent_version.c.version < before)
    rows = await conn.execute(query.order_by(agent_version.c.version.desc()).limit(limit))
    return [_version(row) for row in rows]


async def versions_of(
    conn: AsyncConnection, agent_id: UUID, wanted: Collection[int]
) -> Mapping[int, AgentVersion]:
    """Those of the versions that there are."""
    of_agent = agent_version.c.agent_id == agent_id
    query = sa.select(agent_version).where(of_agent, agent_version.c.version.in_(wanted))
    return {row.version: _version(row) for row in await conn.execute(query)}


async def spec(conn: AsyncConnection, agent_id: UUID, version: int) -> AgentSpec | None:
    """One version as an attempt is given it; also of a deleted agent."""
    query = (
        sa.select(agent.c.name, agent_version)
        .join(agent_version, agent_version.c.agent_id == agent.c.id)
        .where(agent.c.id == agent_id, agent_version.c.version == version)
    )
    row = (await conn.execute(query)).one_or_none()
    return AgentSpec(row.name, row.version, row.runtime, row.config) if row else None


async def set_health(
    conn: AsyncConnection, agent_id: UUID, version: int, host: str, *, healthy: bool, detail: str
) -> bool:
    """Record a probe of this version on a machine; False when it is not the one in force any
    more."""
    rows = await conn.execute(
        sa.update(agent)
        .where(agent.c.id == agent_id, agent.c.version == version, _LIVE)
        .values(
            healthy=healthy,
            health_detail=detail,
            health_checked_at=sa.func.now(),
            health_host=host,
        )
        .returning(agent.c.id)
    )
    return rows.first() is not None


async def set_isolated(
    conn: AsyncConnection, agent_id: UUID, version: int, *, isolated: bool
) -> None:
    """Record whether attempts of this version run in processes of their own."""
    unrecorded = sa.and_(
        agent.c.id == agent_id,
        agent.c.version == version,
        agent.c.isolated.is_distinct_from(isolated),
    )
    await conn.execute(sa.update(agent).where(unrecorded).values(isolated=isolated))


async def unhealthy(conn: AsyncConnection, limit: int) -> list[Agent]:
    """Enabled agents that are not healthy, those first that were not probed for longest."""
    query = _agents().where(agent.c.enabled, agent.c.healthy.is_(False))
    oldest = agent.c.health_checked_at.asc().nulls_first()
    return [_agent(row) for row in await conn.execute(query.order_by(oldest).limit(limit))]


async def due(conn: AsyncConnection, host: str, seconds: float, limit: int) -> list[Agent]:
    """Enabled agents that a probe on this machine found healthy so long ago, the longest ago
    first."""
    latest = sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    query = _agents().where(
        agent.c.enabled,
        agent.c.healthy,
        agent.c.health_host == host,
        agent.c.health_checked_at < latest,
    )
    rows = await conn.execute(query.order_by(agent.c.health_checked_at).limit(limit))
    return [_agent(row) for row in rows]


async def delete(conn: AsyncConnection, agent_id: UUID) -> None:
    """Mark an agent as deleted: its attempts still tell of it."""
    await call_in(conn, "delete from turn where agent_id = $1", agent_id)
    change = sa.update(agent).where(agent.c.id == agent_id)
    await conn.execute(change.values(enabled=False, deleted_at=sa.func.now()))


def _settled(new: Definition) -> Mapping[str, Any]:
    return {
        "description": new.description,
        "capabilities": sorted({*new.capabilities, *((TALKS,) if new.talks else ())}),
        "labels": dict(new.labels or {}),
        "max_concurrency": new.max_concurrency,
        "weight": new.weight,
        "enabled": new.enabled,
    }


def _version(row: Any) -> AgentVersion:
    return AgentVersion(row.version, row.runtime, row.config, row.created_at, row.created_by)


def _agent(row: Any) -> Agent:
    return Agent(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        version=row.version,
        runtime=row.runtime,
        config=row.config,
        description=row.description,
        capabilities=tuple(shown_capabilities(row.capabilities)),
        labels=row.labels,
        max_concurrency=row.max_concurrency,
        weight=row.weight,
        enabled=row.enabled,
        talks=TALKS in row.capabilities,
        healthy=row.healthy,
        health_detail=row.health_detail,
        health_checked_at=row.health_checked_at,
        health_host=row.health_host,
        running=row.running,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
