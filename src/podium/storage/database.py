"""The one door to PostgreSQL: a pool, transactions, and calls of the scheduler's functions."""

import asyncio
import math
import re
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self, cast

import asyncpg
import orjson
from sqlalchemy import Connection, MetaData, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from podium.kernel.errors import (
    NotFound,
    PodiumError,
    QueueDraining,
    Unavailable,
)
from podium.storage import slow
from podium.storage.address import Address, pooler_unknown

metadata = MetaData()
"""The tables of every slice; each ``store.py`` declares its own here."""

_AWAY = (
    PoolTimeout,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # a connection that the server ended, but did not close yet
    asyncpg.InsufficientResourcesError,  # the disk is full, there are too many connections, …
    asyncpg.OperatorInterventionError,  # it shuts down, a statement took too long, …
    asyncpg.PostgresSystemError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
_ENDED = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)
"""The server's last words on a connection, whatever it did before."""
_UNPREPARED = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
"""A statement of ours is another's, or nobody's: we are not alone on the connection."""
_CONTENDED = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,  # the schema was brought up to date meanwhile
)
_OF_THE_VALUES = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
_GONE = re.compile(r"\b(closed|closing|cancelling)\b")
"""In what the driver says when it is used on a connection that is no more."""
_AFTER_COMMIT = "podium_after_commit"
_LOCK_EVENTS = text("select lock_events()")
_MISSING = "PD404"
_CLOSED = "PD423"
_NO_LEASE = "PD001"
_PATIENCE_SECONDS = 60.0
_STATEMENTS = 100
"""Statements that a connection keeps prepared."""


class Contended(Unavailable):
    """Two transactions stood in each other's way and this one gave in; nothing was changed."""


class OutcomeUnknown(Unavailable):
    """PostgreSQL was lost before it answered: the change was made, or it was not."""

    code = "outcome_unknown"
    title = "Outcome unknown"
    advice = "Look whether it was done; with an idempotency key ask again."


class LeaseLost(PodiumError):
    """The worker's lease ran out or was ended; it must stop all it runs and register anew."""

    code = "lease_lost"
    status = 409
    title = "Worker lease lost"
    advice = "Nothing: the worker registers anew by itself."


class RawConnection(Protocol):
    """The part of an asyncpg connection that the hot path uses."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def execute(self, query: str) -> str: ...
    def terminate(self) -> None: ...


class Database:
    """A pool of connections.

    ``connect`` reads, ``transaction`` changes; ``call`` runs one statement with array arguments
    in a transaction of its own, which is what the hot path is made of.
    Errors of the driver leave as ``Unavailable`` when PostgreSQL cannot be reached, cannot take
    the write or does not answer within ``patience`` seconds (None: waits for ever), as
    ``OutcomeUnknown`` when that happens while it commits, as ``Contended`` after a deadlock, as
    ``NotFound`` (``missing`` in its context says what), ``QueueDraining`` or ``LeaseLost`` when a
    function of ours raised them.

    ``address.pooled`` says that a transaction pooler stands between: what is set or prepared then
    lasts for one transaction, and each statement by itself takes a second round trip.
    Statements that take longer than ``slow_seconds`` are logged; 0 logs none. Of its ``pool_size``
    connections it keeps ``kept`` while they are not used, or all of them.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        kept: int | None = None,
        patience: float | None = _PATIENCE_SECONDS,
        slow_seconds: float = 0,
    ) -> None:
        self.address = Address.parse(url)
        kept = min(pool_size, kept or pool_size)
        self.engine = _create_engine(
            self.address, kept, pool_size - kept, patience, slow_seconds or math.inf
        )
        if slow_seconds:
            slow.watch(self.engine.sync_engine, slow_seconds)
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for reading: each statement sees the newest committed state."""
        with driver_errors():
            async with self.engine.connect() as conn:
                yield await conn.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction for changes; commits at the end, rolls back on an error.

        Takes the event lock first, so whoever is in it may append events. What was given to
        ``after_commit`` runs when the commit is done.
        """
        callbacks: list[Callable[[], None]] = []
        with driver_errors() as errors:
            async with self.engine.begin() as conn:
                await conn.execution_options(**{_AFTER_COMMIT: callbacks})
                await conn.execute(_LOCK_EVENTS)
                yield conn
                errors.committing = True
        for callback in callbacks:
            callback()

    async def call(self, statement: str, *args: Any) -> list[Any]:
        """Rows of one statement, run and committed in one round trip. Arguments are ``$1, $2…``."""
        with driver_errors() as errors:
            async with self.engine.connect() as conn:
                raw = await raw_connection(conn)
                errors.committing = True
                try:
                    return await raw.fetch(statement, *args)
                except asyncio.CancelledError:
                    raw.terminate()  # the next user would wait for this answer
                    raise

    def apart(self) -> "Database":
        """The same database for the event loop of another thread."""
        return Database(self.address.url.render_as_string(hide_password=False), pool_size=1)

    async def close(self) -> None:
        await self.engine.dispose()


def after_commit(conn: AsyncConnection, callback: Callable[[], None]) -> None:
    """Call ``callback`` once the transaction of ``conn`` is committed; never if it is not.

    ``conn`` must come from ``Database.transaction``.
    """
    options = cast("Connection", conn.sync_connection).get_execution_options()
    callbacks: list[Callable[[], None]] = options[_AFTER_COMMIT]
    callbacks.append(callback)


async def raw_connection(conn: AsyncConnection) -> RawConnection:
    """The driver's connection below, for statements that take arrays."""
    fairy = await conn.get_raw_connection()
    return cast("RawConnection", fairy.driver_connection)


async def call_in(conn: AsyncConnection, statement: str, *args: Any) -> Sequence[Any]:
    """Rows of one statement with array arguments inside the caller's transaction."""
    return await (await raw_connection(conn)).fetch(statement, *args)


def _create_engine(
    address: Address, kept: int, more: int, patience: float | None, slow_seconds: float
) -> AsyncEngine:
    async def connect(**_: object) -> Any:
        made = await address.connect(patience=patience)
        made.slow_seconds = slow_seconds
        return made

    return create_async_engine(
        address.without_hosts.set(drivername="postgresql+asyncpg"),
        pool_size=kept,
        max_overflow=more,
        pool_use_lifo=True,  # few busy connections: each has plans and caches of its own to warm
        pool_timeout=30,
        json_serializer=_to_json,
        json_deserializer=orjson.loads,
        connect_args={
            "async_creator_fn": connect,
            "prepared_statement_cache_size": 0 if address.pooled else _STATEMENTS,
        },
    )


def _refuse_closed(connection: Any, _record: object, _fairy: object) -> None:
    """Replace connections that the server closed while they lay in the pool; costs no query."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


class driver_errors:  # noqa: N801 - reads as a verb where it is used
    """Turns the driver's errors into Podium's as they leave the block, and no others.

    ``committing`` says that changes may have been made by the time of the error.
    """

    def __init__(self) -> None:
        self.committing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, PodiumError):
            return
        cause = _driver_error(error)
        _raise_ours(cause, error)
        if isinstance(cause, _CONTENDED) or _missed_its_partition(cause):
            raise Contended(
                "Others were changing the same things at the same time.",
                hint="Try again; nothing was changed.",
            ) from error
        if not _away(cause):
            return
        if self.committing and not _answered(cause):
            raise OutcomeUnknown(
                f"PostgreSQL was lost before it answered: {_said(cause)}.",
                hint="What was to be changed may have been changed. Send the request again: with "
                "its idempotency key that does nothing twice.",
            ) from error
        raise Unavailable(
            f"PostgreSQL cannot be used now: {_said(cause)}.",
            hint="Try again; nothing was changed. `podium status` shows the servers.",
        ) from error


def _raise_ours(cause: BaseException, error: BaseException) -> None:
    """What functions of ours raised, as what they mean."""
    state = getattr(cause, "sqlstate", None)
    if state == _MISSING:
        missing = getattr(cause, "detail", None)
        said = _said(cause)
        raise NotFound(f"{said[0].upper()}{said[1:]}.", missing=missing) from error
    if state == _CLOSED:
        name = getattr(cause, "detail", None)
        raise QueueDraining(
            f"The queue {name!r} is draining: it takes no new tasks.",
            hint=f"Submit to another queue, or open it: podium queue open {name}.",
            queue=name,
        ) from error
    if state == _NO_LEASE:
        raise LeaseLost("The worker holds no lease any more.") from error
    if isinstance(cause, _UNPREPARED):
        raise pooler_unknown() from error


def _away(cause: BaseException) -> bool:
    """Whether PostgreSQL, and not what we ask of it, is the reason."""
    if isinstance(cause, asyncpg.InterfaceError):  # most of them are faults of ours
        return not isinstance(cause, ValueError) and bool(_GONE.search(str(cause)))
    if isinstance(cause, OSError):  # timeouts are some, too
        return _is_of_driver(cause)
    return isinstance(cause, _AWAY)


def _is_of_driver(error: BaseException) -> bool:
    """Whether it comes from within the driver: files and timeouts of ours fail in the same way."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").startswith("asyncpg.") for frame, _ in frames)


def _answered(cause: BaseException) -> bool:
    """Whether the server itself refused, so that nothing was changed."""
    return isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, _ENDED)


def _said(cause: BaseException) -> str:
    """The message without the details that the driver puts on lines below it."""
    return getattr(cause, "message", None) or str(cause) or type(cause).__name__


def _missed_its_partition(cause: BaseException) -> bool:
    """Whether a row was on its way to one partition while another one was made for it. Only such
    constraints have no name."""
    return isinstance(cause, asyncpg.CheckViolationError) and not getattr(
        cause, "constraint_name", None
    )


def lock_was_refused(error: BaseException) -> bool:
    """Whether the error, inside a transaction, says that ``lock_timeout`` ran out."""
    return isinstance(_driver_error(error), asyncpg.LockNotAvailableError)


def _driver_error(error: BaseException) -> BaseException:
    """asyncpg's own error, from under SQLAlchemy's and its adapter's."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def refuses_values(error: BaseException) -> bool:
    """Whether the database refused these very values, which it would refuse again. Anything else
    may pass: a function or a table, too, is away for a moment while its schema is changed."""
    return isinstance(_driver_error(error), _OF_THE_VALUES)
