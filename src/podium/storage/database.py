"""The one door to PostgreSQL: a pool, transactions, and calls of the scheduler's functions."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

import asyncpg
import orjson
from sqlalchemy import MetaData, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from podium.kernel.errors import NotFound, PodiumError, Unavailable

metadata = MetaData()
"""The tables of every slice; each ``store.py`` declares its own here."""

_UNREACHABLE = (
    OSError,
    TimeoutError,
    PoolTimeout,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
)
_AFTER_COMMIT = "podium_after_commit"
_MISSING = "PD404"
_NO_LEASE = "PD001"


class LeaseLost(PodiumError):
    """The worker's lease ran out or was ended; it must stop all it runs and register anew."""

    code = "lease_lost"
    status = 409
    title = "Worker lease lost"


class RawConnection(Protocol):
    """The part of an asyncpg connection that the hot path uses."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def execute(self, query: str) -> str: ...


class Database:
    """A pool of connections.

    ``connect`` reads, ``transaction`` changes; ``call`` runs one statement with array arguments
    in a transaction of its own, which is what the hot path is made of.
    Errors of the driver leave as ``Unavailable`` when PostgreSQL cannot be reached or cannot
    take the write, as ``NotFound`` or ``LeaseLost`` when a function of ours raised them.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine = _create_engine(url, pool_size)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for reading: each statement sees the newest committed state."""
        with _wrapped_errors():
            async with self.engine.connect() as conn:
                yield await conn.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction for changes; commits at the end, rolls back on an error.

        Takes the event lock first, so whoever is in it may append events. What was given to
        ``after_commit`` runs when the commit is done.
        """
        with _wrapped_errors():
            async with self.engine.begin() as conn:
                await conn.execute(text("select lock_events()"))
                callbacks: list[Callable[[], None]] = []
                conn.info[_AFTER_COMMIT] = callbacks
                yield conn
        for callback in callbacks:
            callback()

    async def call(self, statement: str, *args: Any) -> list[Any]:
        """Rows of one statement, run and committed in one round trip. Arguments are ``$1, $2…``."""
        with _wrapped_errors():
            async with self.engine.connect() as conn:
                raw = await raw_connection(conn)
                return await raw.fetch(statement, *args)

    async def close(self) -> None:
        await self.engine.dispose()


def after_commit(conn: AsyncConnection, callback: Callable[[], None]) -> None:
    """Call ``callback`` once the transaction of ``conn`` is committed; never if it is not."""
    conn.info[_AFTER_COMMIT].append(callback)


async def raw_connection(conn: AsyncConnection) -> RawConnection:
    """The driver's connection below, for statements that take arrays."""
    fairy = await conn.get_raw_connection()
    return cast("RawConnection", fairy.driver_connection)


async def call_in(conn: AsyncConnection, statement: str, *args: Any) -> Sequence[Any]:
    """Rows of one statement with array arguments inside the caller's transaction."""
    return await (await raw_connection(conn)).fetch(statement, *args)


def _create_engine(url: str, pool_size: int) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        json_serializer=_to_json,
        json_deserializer=orjson.loads,
        connect_args={"server_settings": {"application_name": "podium", "timezone": "UTC"}},
    )


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


class _wrapped_errors:  # noqa: N801 - reads as a verb where it is used
    """Turns the driver's errors into Podium's as they leave the block."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, PodiumError):
            return
        cause = _driver_error(error)
        state = getattr(cause, "sqlstate", None)
        if state == _MISSING:
            raise NotFound(f"{str(cause)[0].upper()}{str(cause)[1:]}.") from error
        if state == _NO_LEASE:
            raise LeaseLost("The worker holds no lease any more.") from error
        if isinstance(cause, _UNREACHABLE):
            raise Unavailable(
                f"PostgreSQL cannot be used now: {cause or type(cause).__name__}.",
                hint="Try again; nothing was changed. `podium status` shows the servers.",
            ) from error


def _driver_error(error: BaseException) -> BaseException:
    """asyncpg's own error, from under SQLAlchemy's and its adapter's."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error
