-- The spine. Cold records (project, agent, task, attempt, event) and narrow hot tables
-- (ready, running, timer, blocked, wait, gate) that churn and stay small.
-- Hot tables have no foreign keys: only the functions of the scheduler write them.

create table meta (
    key text primary key,
    value jsonb not null
);
insert into meta (key, value) values ('epoch', '1');

create table project (
    id uuid primary key,
    name text not null,
    weight float8 not null default 1 check (weight > 0),
    created_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index project_name on project (name) where deleted_at is null;

create table token (
    id uuid primary key,
    name text not null,
    project_id uuid references project (id),           -- null: every project
    secret_hash bytea not null,                        -- SHA-256 of the secret part
    scopes text[] not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);

create table agent (
    id uuid primary key,
    project_id uuid not null references project (id),
    name text not null,
    description text not null default '',
    version int not null default 1,
    runtime text not null,
    capabilities text[] not null default '{}',
    labels jsonb not null default '{}',
    max_concurrency int check (max_concurrency > 0),   -- null: no limit
    enabled boolean not null default true,
    healthy boolean not null default true,
    health_detail text,
    health_checked_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
) with (fillfactor = 50);
create unique index agent_name on agent (project_id, name) where deleted_at is null;

create table agent_version (
    agent_id uuid not null references agent (id),
    version int not null,
    runtime text not null,
    config jsonb not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    primary key (agent_id, version)
);

-- What is shared by all tasks of one (project, queue, demand): the unit of fair sharing and of
-- the gates that are judged at the claim. A demand is one named agent or a set of capabilities.
create table lane (
    id int generated always as identity primary key,
    project_id uuid not null references project (id),
    queue text not null,
    agent_id uuid references agent (id),
    capabilities text[] not null default '{}',
    unique nulls not distinct (project_id, queue, agent_id, capabilities)
);

create table task (                                    -- one insert, one update at its end
    id uuid primary key,
    project_id uuid not null,
    lane_id int not null,
    priority smallint not null default 0,
    title text not null,
    labels jsonb not null default '{}',
    input jsonb not null,
    spec jsonb not null default '{}',                  -- retry policy, timeouts, schemas, ...
    created_at timestamptz not null default now(),
    created_by text not null,
    outcome text check (outcome in ('succeeded', 'failed', 'cancelled', 'dead')),  -- null: open
    output jsonb,
    error jsonb,
    attempt int not null default 0,
    started_at timestamptz,
    finished_at timestamptz
) with (fillfactor = 80);
create index task_list on task (project_id, id desc);
create index task_outcome on task (project_id, outcome, id desc) where outcome is not null;
create index task_labels on task using gin (labels jsonb_path_ops) where labels <> '{}';

create table dependency (
    task_id uuid not null,
    depends_on uuid not null,
    name text not null,                                -- how the task calls this dependency
    released boolean not null default false,           -- no longer holds the task back
    primary key (task_id, depends_on)
) with (fillfactor = 80);
create index dependency_depends_on on dependency (depends_on);

create table attempt (                                 -- ended attempts; the live one is in running
    task_id uuid not null,
    attempt int not null,
    outcome text not null,
    agent_id uuid,
    agent_version int,
    worker_id uuid,
    choice jsonb,
    confinement text,
    queued_at timestamptz not null,
    started_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    error jsonb,
    usage jsonb,
    primary key (task_id, attempt)
);

create table ready (
    lane_id int not null,
    priority smallint not null,
    task_id uuid not null,
    attempt int not null default 0,
    failures smallint not null default 0,
    losses smallint not null default 0,
    gated boolean not null default false,
    queued_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 100000000);
create unique index ready_order on ready (lane_id, priority desc, task_id);

create table running (
    task_id uuid primary key,
    lane_id int not null,
    priority smallint not null,
    attempt int not null,
    failures smallint not null,
    losses smallint not null,
    gated boolean not null,
    worker_id uuid not null,
    agent_id uuid not null,
    agent_version int not null,
    choice jsonb,
    confinement text,
    queued_at timestamptz not null,
    started_at timestamptz not null default clock_timestamp(),
    cancel jsonb,                                      -- {"by", "reason"} once it was asked for
    progress real,
    note text,
    token_hash bytea
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_threshold = 100000000);
create index running_worker on running (worker_id);
create index running_agent on running (agent_id);

create table timer (
    task_id uuid primary key,
    fires_at timestamptz not null,
    reason text not null check (reason in ('delay', 'retry')),
    lane_id int not null,
    priority smallint not null,
    attempt int not null default 0,
    failures smallint not null default 0,
    losses smallint not null default 0,
    gated boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index timer_fires_at on timer (fires_at);

create table blocked (
    task_id uuid primary key,
    pending int not null,                              -- dependencies not yet released
    on_failure text not null check (on_failure in ('cancel', 'run', 'hold')),
    not_before timestamptz,
    lane_id int not null,
    priority smallint not null,
    attempt int not null default 0,
    gated boolean not null default false
) with (fillfactor = 70);

create table gate (                                    -- one counter for everything limited
    key text primary key,
    capacity bigint not null default 0,
    used bigint not null default 0,
    waiting int not null default 0,
    one_shot boolean not null default false            -- opened by a signal, forgotten after use
) with (fillfactor = 50);

create table need (
    task_id uuid not null,
    gate text not null,
    units bigint not null check (units > 0),
    held boolean not null default false,               -- counted in gate.used
    primary key (task_id, gate)
);

create table wait (
    gate text not null,
    priority smallint not null,
    task_id uuid not null,
    lane_id int not null,
    attempt int not null default 0,
    failures smallint not null default 0,
    losses smallint not null default 0,
    parked boolean not null default false,
    since timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create unique index wait_order on wait (gate, priority desc, task_id);
create unique index wait_task on wait (task_id);

create table expiry (                                  -- queue timeouts: must have started by then
    task_id uuid primary key,
    expires_at timestamptz not null
);
create index expiry_expires_at on expiry (expires_at);

create table worker (                                  -- one row an incarnation; dead is final
    id uuid primary key,
    name text not null,
    host text not null,
    pid int not null,
    version text not null,
    state text not null default 'active' check (state in ('active', 'draining', 'stopped', 'dead')),
    concurrency int not null,
    queues text[] not null default '{}',               -- empty: all
    runtimes text[] not null,
    confinement text,
    started_at timestamptz not null default clock_timestamp(),
    lease_until timestamptz not null
) with (fillfactor = 50);
create index worker_lease on worker (lease_until) where state in ('active', 'draining');

create table leader (
    role text primary key,
    holder uuid not null,
    until timestamptz not null
);

create table idempotency (
    project_id uuid not null,
    key text not null,
    request_hash bytea not null,
    task_ids uuid[] not null,
    expires_at timestamptz not null,
    primary key (project_id, key)
);
create index idempotency_expires_at on idempotency (expires_at);

create sequence event_id;
create table event (
    epoch smallint not null default 1,
    xid bigint not null default pg_current_xact_id()::text::bigint,
    id bigint not null default nextval('event_id'),
    at timestamptz not null default clock_timestamp(),
    project_id uuid,
    type text not null,
    version smallint not null default 1,
    subject uuid not null,
    actor text,
    data jsonb not null
) partition by range (at);
create table event_default partition of event default;
create index event_cursor on event (epoch, xid, id);
create index event_subject on event (subject, epoch, xid, id);

create sequence log_id;
create table log (
    id bigint not null default nextval('log_id'),
    at timestamptz not null default clock_timestamp(),
    task_id uuid not null,
    attempt int not null,
    stream text not null,
    text text not null
) partition by range (at);
create table log_default partition of log default;
create index log_task on log (task_id, id);

create table artifact (
    id uuid primary key,
    task_id uuid not null,
    attempt int not null,
    name text not null,
    content_type text not null,
    size bigint not null,
    sha256 bytea not null,
    created_at timestamptz not null default now(),
    unique (task_id, attempt, name)
);
