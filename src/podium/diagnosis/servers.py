"""What is wrong with PostgreSQL, with what the events allow, and with the workers."""

from collections.abc import Iterator, Sequence
from typing import Any

from podium import __version__
from podium.diagnosis.model import Finding, bounded, duration
from podium.scheduler.overview import Worker

LONG_TRANSACTION_SECONDS = 30.0
HOLDS_EVENTS_SECONDS = 5.0
_PREPARED_SECONDS = 60.0
_SLOW_SECONDS = 0.1
_FULL_SHARE = 0.9
_APART_SECONDS = 2.0
_SEARCH_SECONDS = 60.0


def round_trip(seconds: float) -> Iterator[Finding]:
    """Whether PostgreSQL answers the least of queries soon enough."""
    if seconds > _SLOW_SECONDS:
        yield Finding(
            "database",
            "database_slow",
            "warning",
            "PostgreSQL",
            f"It took {seconds:.2f} s to answer the least of queries.",
            "See its load and its disk, and the network between. Slow statements are in 'podium "
            "logs' as database.slow_statement.",
        )


def connections(used: int, most: int) -> Iterator[Finding]:
    """Whether there is room for more."""
    if used >= _FULL_SHARE * most:
        yield Finding(
            "database",
            "connections_short",
            "warning",
            "PostgreSQL",
            f"It has {used} connections and takes {most}.",
            "Lower PODIUM_DATABASE_POOL_SIZE of the processes, raise max_connections, or put a "
            "pooler before it.",
        )


def clocks(apart: float) -> Iterator[Finding]:
    """Whether the clock of the server's machine agrees with the database's."""
    if abs(apart) > _APART_SECONDS:
        ahead = "ahead of" if apart < 0 else "behind"
        yield Finding(
            "database clock",
            "clocks_apart",
            "warning",
            "PostgreSQL",
            f"The clock of the API's machine is {abs(apart):.0f} s {ahead} the database's.",
            "Synchronise both clocks (NTP): delays and deadlines are judged by either.",
        )


def transactions(sessions: Sequence[Any], prepared: Sequence[Any], lag: float) -> Sequence[Finding]:
    """Transactions that hold back the events, which lag by so many seconds, or what vacuum may
    remove."""
    visible = [each for each in sessions if each["seconds"] is not None]
    hidden = [each for each in sessions if each["seconds"] is None]
    return bounded([*_sessions(visible), *_hidden(hidden, lag), *_prepared(prepared)])


def _sessions(sessions: Sequence[Any]) -> Iterator[Finding]:
    for each in sessions:
        holds = each["holds_events"]
        if not holds and each["seconds"] < LONG_TRANSACTION_SECONDS:
            continue
        rests = (each["state"] or "").startswith("idle")
        held = (
            "No event after its beginning can be read."
            if holds
            else "Vacuum removes nothing that it may still see, so tables grow."
        )
        yield Finding(
            "transactions",
            "events_held_back" if holds else "long_transaction",
            "failed" if holds else "warning",
            f"process {each['pid']}",
            f"{each['program']} of {each['login']} at {each['client']} has been in a transaction "
            f"for {duration(each['seconds'])}{' and does nothing in it' if rests else ''}. {held}",
            f"Have it end, or end it: select pg_terminate_backend({each['pid']});",
        )


def _hidden(sessions: Sequence[Any], lag: float) -> Iterator[Finding]:
    """Of other roles' sessions nobody tells us since when they are in a transaction: those that
    hold the lock of events are to blame while the feed lags."""
    for each in sessions:
        if each["holds_events"] and lag > HOLDS_EVENTS_SECONDS:
            yield Finding(
                "transactions",
                "events_held_back",
                "failed",
                f"process {each['pid']}",
                f"A session of {each['login']} holds the lock of events, which are "
                f"{duration(lag)} late.",
                f"Have it end, or end it: select pg_terminate_backend({each['pid']});",
            )
    if sessions:
        own, logins = sessions[0]["own"], sorted({each["login"] for each in sessions})
        yield Finding(
            "transactions",
            "not_visible",
            "warning",
            "PostgreSQL",
            f"The role {own} may not see what sessions of {', '.join(logins[:5])} do: one may be "
            "in a transaction that holds up vacuum.",
            f"Let it see them: grant pg_monitor to {own};",
        )


def _prepared(prepared: Sequence[Any]) -> Iterator[Finding]:
    for each in prepared:
        if each["seconds"] < _PREPARED_SECONDS:
            continue
        yield Finding(
            "transactions",
            "prepared_transaction",
            "warning",
            each["gid"],
            f"The prepared transaction {each['gid']} has waited for {duration(each['seconds'])}. "
            "Vacuum removes nothing that it may still see, so tables grow.",
            "Podium makes none: whoever did should commit it, or roll it back.",
        )


def feed(lag: float) -> Iterator[Finding]:
    """Whether events can be read soon after they happened."""
    if lag > HOLDS_EVENTS_SECONDS:
        yield Finding(
            "events",
            "feed_lag",
            "warning",
            "the event feed",
            f"Events are {duration(lag)} late.",
            "Look for a long transaction on the database.",
        )


def search(lag: float, *, catching_up: bool) -> Iterator[Finding]:
    """Whether search knows what happened."""
    if lag > _SEARCH_SECONDS and not catching_up:
        yield Finding(
            "search",
            "search_lag",
            "warning",
            "search",
            f"Search has not seen what happened in the last {duration(lag)}.",
            "See 'podium logs' for keeper.round_failed with the loop search. While tasks wait for "
            "workers it lags by itself.",
        )


def workers(found: Sequence[Worker]) -> Sequence[Finding]:
    """What is wrong with workers that live."""
    alive = [worker for worker in found if worker.state in ("active", "draining")]
    return bounded(finding for worker in alive for finding in _worker(worker))


def _worker(worker: Worker) -> Iterator[Finding]:
    who = f"{worker.name} at {worker.host} (process {worker.pid})"
    if worker.version != __version__:
        yield Finding(
            "workers",
            "worker_version",
            "warning",
            who,
            f"{who} is of version {worker.version}, and the server of {__version__}.",
            "Finish the upgrade: install the server's version there and restart it.",
        )
    if worker.blocked_by:
        task, at = worker.blocked_by["task_id"], worker.blocked_by["at"]
        yield Finding(
            "workers",
            "worker_blocked",
            "failed",
            who,
            f"{who} is blocked by task {task}, at {at}.",
            "Have the function await what takes long, or give its agent a process: "
            '"isolation": "process".',
        )
    if worker.confinement in (None, "none"):
        yield Finding(
            "confinement",
            "unconfined",
            "warning",
            who,
            f"Agents of {who} run unconfined: they can read Podium's own files.",
            "Install bubblewrap there, or a Linux with Landlock; see PODIUM_CONFINEMENT.",
        )
