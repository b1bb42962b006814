"""Statements that take PostgreSQL too long: logged without their values, and counted.

Two clock readings are all that the others cost.
"""

import math
from time import perf_counter
from typing import Any, cast

import asyncpg
import structlog
from prometheus_client import Counter
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

_log = structlog.get_logger(__name__)

_MOST_CHARS = 500
_slow = Counter(
    "podium_slow_statements",
    "Statements that took PostgreSQL longer than PODIUM_SLOW_QUERY_SECONDS.",
)


class TimedConnection(asyncpg.Connection):
    """The driver's connection. It times what is not sent through SQLAlchemy: the functions of the
    hot path, and commits."""

    slow_seconds = math.inf

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[Any]:
        began, count = perf_counter(), None
        try:
            found = await super().fetch(query, *args, **options)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            rows = cast("list[Any]", found)
            count = len(rows)
            return rows
        finally:
            if (took := perf_counter() - began) > self.slow_seconds:
                _tell(query, took, count)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        began, count = perf_counter(), None
        try:
            done: str = await super().execute(query, *args, **options)  # pyright: ignore[reportUnknownMemberType]
            count = 0
            return done
        finally:
            if (took := perf_counter() - began) > self.slow_seconds:
                _tell(query, took, count)


def watch(engine: Engine, seconds: float) -> None:
    """Time what is sent through SQLAlchemy."""

    def before(_conn: Any, _cursor: Any, _sql: str, _values: Any, context: Any, _many: Any) -> None:
        context.podium_began = perf_counter()

    def after(_conn: Any, cursor: Any, sql: str, _values: Any, context: Any, _many: Any) -> None:
        if (took := perf_counter() - context.podium_began) > seconds:
            _tell(sql, took, cursor.rowcount)

    def failed(error: ExceptionContext) -> None:
        began = getattr(error.execution_context, "podium_began", None)
        if began is not None and (took := perf_counter() - began) > seconds:
            _tell(error.statement or "", took, None)

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)


def _tell(statement: str, seconds: float, rows: int | None) -> None:
    """``rows`` is None for a statement that failed or was given up."""
    _slow.inc()
    text = " ".join(statement.split())[:_MOST_CHARS]
    _log.warning("database.slow_statement", statement=text, seconds=round(seconds, 3), rows=rows)
