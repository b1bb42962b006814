"""Runs a coroutine inside the worker, and never past the worker's lease.

A process that was stopped (SIGSTOP, a suspended laptop) goes on where it was when it continues.
By then another worker may run the task, so the lease is checked before every single step of the
user's coroutine and of every task that it started.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from podium.agents.runtime import AttemptContext, Lease, Stream
from podium.kernel.clock import boottime

_STUBBORN_STEPS = 100


class LeaseExpired(BaseException):
    """Raised into a coroutine whose worker may not run it any more.

    Like ``CancelledError`` it is no ``Exception``, so that ordinary handlers let it through.
    """


class _Scope:
    """The tasks that one attempt's coroutine started."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.tasks: set[asyncio.Future[Any]] = set()

    def add(self, task: "asyncio.Future[Any]") -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def end(self, seconds: float) -> None:
        """Cancel what is left, and wait for it."""
        for task in self.tasks:
            task.cancel()
        left = set(self.tasks)
        if left:
            await asyncio.wait(left, timeout=seconds)


_scope: ContextVar[_Scope | None] = ContextVar("podium_inline_scope", default=None)


async def run_leased(coroutine: Coroutine[Any, Any, Any], lease: Lease, grace: float) -> Any:
    """The coroutine's result. Tasks that it left running are cancelled, for ``grace`` seconds.

    Raises ``LeaseExpired`` when the lease ran out before it ended.
    """
    _install(asyncio.get_running_loop())
    scope = _Scope(lease)
    token = _scope.set(scope)
    try:
        return await _Leased(coroutine, lease)
    finally:
        _scope.reset(token)
        if scope.tasks:
            await scope.end(grace)


class _Leased:
    """Drives a coroutine by hand, looking at the lease before each step."""

    __slots__ = ("_coroutine", "_lease")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], lease: Lease) -> None:
        self._coroutine = coroutine
        self._lease = lease

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            if boottime() >= self._lease.deadline():
                self._expire()
            try:
                waited_for = step(value)
            except StopIteration as end:
                return end.value
            try:
                value = yield waited_for
                step = self._coroutine.send
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
                value = error
                step = self._coroutine.throw

    def _expire(self) -> None:
        """End the coroutine where it is. Its own clean-up may run but cannot wait."""
        expired = LeaseExpired("the worker's lease ran out")
        for _ in range(_STUBBORN_STEPS):
            try:
                self._coroutine.throw(expired)
            except StopIteration:
                raise expired from None
        with suppress(RuntimeError):  # it does not end even now; it will never be resumed
            self._coroutine.close()
        raise expired


class _Factory:
    """Makes tasks as before, but leases and remembers those that an attempt starts."""

    def __init__(self, before: Callable[..., "asyncio.Future[Any]"] | None) -> None:
        self._before = before

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> "asyncio.Future[Any]":
        context = options.get("context")
        scope = _scope.get() if context is None else context.get(_scope)
        if scope is not None:
            coroutine = _as_coroutine(_Leased(coroutine, scope.lease))
        if self._before is None:
            task = asyncio.Task(coroutine, loop=loop, **options)
        else:
            task = self._before(loop, coroutine, **options)
        if scope is not None:
            scope.add(task)
        return task


async def _as_coroutine(leased: _Leased) -> Any:
    return await leased


def _install(loop: asyncio.AbstractEventLoop) -> None:
    factory = loop.get_task_factory()
    if not isinstance(factory, _Factory):
        loop.set_task_factory(_Factory(factory))


class InlineContext:
    """The ``FunctionContext`` of a function inside the worker.

    What Podium starts on its own behalf while it serves a call is none of the function's tasks.
    """

    def __init__(self, ctx: AttemptContext) -> None:
        self._ctx = ctx
        self.task_id = ctx.task_id
        self.attempt = ctx.attempt
        self.project = ctx.project
        self.title = ctx.title
        self.input = ctx.input
        self.labels = ctx.labels
        self.dependencies = ctx.dependencies

    @property
    def workspace(self) -> Path:
        """See ``FunctionContext``. It is made when it is first asked for."""
        return self._ctx.workspace

    def log(self, text: str, stream: Stream = "agent") -> None:
        """See ``FunctionContext``."""
        self._outside(self._ctx.log, text, stream)

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """See ``FunctionContext``."""
        self._outside(self._ctx.progress, fraction, note)

    def usage(self, **counts: float) -> None:
        """See ``FunctionContext``."""
        self._outside(self._ctx.usage, **counts)

    def heartbeat(self) -> None:
        """See ``FunctionContext``."""
        self._outside(self._ctx.heartbeat)

    async def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> None:
        """See ``FunctionContext``."""
        await self._wait_outside(self._ctx.artifact(name, content, content_type))

    async def park(self, key: str) -> None:
        """Give up the slot until ``key`` is signalled; never returns, the next attempt resumes."""
        await self._wait_outside(self._ctx.park(key))

    def _outside(self, call: Callable[..., None], *values: Any, **named: Any) -> None:
        token = _scope.set(None)
        try:
            call(*values, **named)
        finally:
            _scope.reset(token)

    async def _wait_outside(self, waited_for: Coroutine[Any, Any, None]) -> None:
        token = _scope.set(None)
        try:
            await waited_for
        finally:
            _scope.reset(token)
