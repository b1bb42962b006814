-- What workers write of sessions. Each write is fenced by the attempt that writes.

-- Whether an attempt counts; if so it does until the transaction ends.
create or replace function hold_attempt(by_worker uuid, which uuid, of_attempt int)
returns boolean language plpgsql as $$
begin
    perform from running r
      where r.task_id = which and r.attempt = of_attempt and r.worker_id = by_worker
        for key share;
    return found;
end $$;

-- An attempt begins: what it has to know of its session. Nothing when the attempt is stale.
create or replace function begin_session(by_worker uuid, which uuid, of_attempt int)
returns table (paused boolean, closed boolean, entries int, inputs int, answered int,
               idle_seconds float8)
language plpgsql set jit = off as $$
declare
    before session;
begin
    perform lock_events();
    if not hold_attempt(by_worker, which, of_attempt) then return; end if;
    select * into before from session s where s.task_id = which for update;
    if not found then return; end if;
    update session s set attempt = of_attempt where s.task_id = which;
    perform turn_session(before, 'initialising');
    return query select before.paused, before.closed, before.entries, before.inputs,
                        before.answered, before.idle_seconds;
end $$;

-- Puts a session that is locked into another state, and tells of it.
create or replace function turn_session(before session, new_state text) returns void
language plpgsql as $$
begin
    if new_state = before.state then return; end if;
    update session set state = new_state, changed_at = clock_timestamp()
     where task_id = before.task_id;
    insert into event (type, project_id, subject, data)
    values ('session.changed', before.project_id, before.task_id,
            jsonb_build_object('state', new_state, 'paused', before.paused));
end $$;

-- What an agent said, the state that it is in, and up to which input it has answered; each may be
-- none. False when the attempt is stale.
create or replace function tell_session(
    by_worker uuid, which uuid, of_attempt int, kinds text[], texts text[], datas text[],
    new_state text, new_answered int
) returns boolean language plpgsql set jit = off as $$
declare
    before session;
begin
    perform lock_events();
    if not hold_attempt(by_worker, which, of_attempt) then return false; end if;
    select * into before from session where task_id = which for update;
    if not found then return false; end if;
    insert into session_entry (task_id, n, kind, attempt, text, data)
    select which, before.entries + x.place, x.kind, of_attempt, x.text, x.data::jsonb
      from unnest(kinds, texts, datas) with ordinality as x (kind, text, data, place);
    update session
       set entries = before.entries + cardinality(kinds),
           answered = greatest(before.answered, new_answered)
     where task_id = which;
    insert into event (type, project_id, subject, data)
    select 'session.said', before.project_id, which,
           jsonb_build_object('first', before.entries + 1,
                              'last', before.entries + cardinality(kinds),
                              'kind', kinds[cardinality(kinds)])
     where cardinality(kinds) > 0;
    perform turn_session(before, new_state) where new_state is not null;
    return true;
end $$;

-- Closes a session whose agent was idle for too long, with a note of it. False when there is an input
-- after those that the attempt knows, also when somebody closed it meanwhile; true also when the
-- attempt is stale.
create or replace function close_idle_session(
    by_worker uuid, which uuid, of_attempt int, knows int, note text
) returns boolean language plpgsql set jit = off as $$
declare
    before session;
begin
    perform lock_events();
    if not hold_attempt(by_worker, which, of_attempt) then return true; end if;
    select * into before from session where task_id = which for update;
    if not found then return true; end if;
    if before.inputs > knows then return false; end if;
    if before.closed then return true; end if;
    perform note_in_session(before, note);
    update session set closed = true where task_id = which;
    insert into event (type, project_id, subject, data)
    values ('session.closed', before.project_id, which, '{}');
    return true;
end $$;

-- Adds a note of Podium's own to a session that is locked.
create or replace function note_in_session(before session, note text) returns void
language plpgsql as $$
begin
    insert into session_entry (task_id, n, kind, text)
    values (before.task_id, before.entries + 1, 'note', note);
    update session set entries = before.entries + 1 where task_id = before.task_id;
    insert into event (type, project_id, subject, data)
    values ('session.said', before.project_id, before.task_id,
            jsonb_build_object('first', before.entries + 1, 'last', before.entries + 1,
                               'kind', 'note'));
end $$;

-- The agent of an attempt has ended, and the attempt is about to. Where another one follows, the
-- session is in the next state until that begins. Where none does (null) it takes nothing more from
-- now on, so that no input is accepted that nobody will hear, and a note tells of those that came
-- before. heard: the last input that the agent was given; dealt_with: that it has dealt with it.
create or replace function leave_session(
    by_worker uuid, which uuid, of_attempt int, next_state text, heard int, dealt_with boolean
) returns void language plpgsql set jit = off as $$
declare
    before session;
    missed int;
begin
    perform lock_events();
    if not hold_attempt(by_worker, which, of_attempt) then return; end if;
    select * into before from session where task_id = which for update;
    if next_state is not null then
        perform turn_session(before, next_state);
        return;
    end if;
    update session
       set over = of_attempt,
           answered = case when dealt_with then greatest(answered, heard) else answered end
     where task_id = which;
    select count(*) into missed
      from session_entry where task_id = which and kind = 'input' and n > heard;
    perform note_in_session(before, case missed
                when 1 then 'Ended: its agent did not hear the last input.'
                else format('Ended: its agent did not hear the last %s inputs.', missed) end)
      where missed > 0;
end $$;
