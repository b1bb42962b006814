"""Runs a coroutine inside the worker, and never past the worker's lease.

A process that was stopped (SIGSTOP, a suspended laptop) goes on where it was when it continues.
By then another worker may run the task, so the lease is checked before every single step of the
user's coroutine and of every task that it started. The step under way is for the
worker's fence.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn, TypeVar

from podium.agents.runtime import AttemptContext, Conversation, Json, Said, Stream
from podium.kernel.clock import boottime

_STUBBORN_STEPS = 100
_TURN_SECONDS = 0.05
"""How long attempts take steps in one turn of the event loop. In the next it renews the worker's
lease and asks for more tasks, which hundreds of busy functions would keep it from."""

Waited = TypeVar("Waited")


class LeaseExpired(BaseException):
    """Raised into a coroutine whose worker may not run it any more.

    Like ``CancelledError`` it is no ``Exception``, so that ordinary handlers let it through.
    """


class CancelIgnored(BaseException):
    """Raised into a coroutine that went on for all its grace after it was cancelled."""


class _Turn:
    """The turn of an event loop, and when its first step began."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether its steps have taken as long as they may; else one more is taken now."""
        if self._began is None:
            self._began = now
            self._loop.call_soon(self._next)
        return now - self._began > _TURN_SECONDS

    def _next(self) -> None:
        self._began = None


class _Scope:
    """One attempt: its lease, and the tasks that its coroutine started."""

    def __init__(self, ctx: AttemptContext, grace: float, turn: _Turn) -> None:
        self.turn = turn
        self._ctx = ctx
        self._lease = ctx.lease
        self._grace = grace
        self._tasks: set[asyncio.Future[Any]] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._over = False
        self._main = asyncio.current_task()

    def add(self, task: "asyncio.Future[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def take(self, step: Callable[[Any], Any], value: Any) -> Any:
        """Take a step of a coroutine; meanwhile the lease knows whose it is."""
        lease = self._lease
        before, lease.stepping = lease.stepping, self._ctx
        lease.steps += 1
        try:
            return step(value)
        finally:
            lease.stepping = before

    def verdict(self, now: float) -> BaseException | None:
        """Why no further step may be taken, or None."""
        if now >= self._lease.deadline():
            return LeaseExpired("the worker's lease ran out")
        return CancelIgnored() if self._over else None

    def paused(self) -> bool:
        """Whether the next step has to wait: not for one that is told to end."""
        session = self._ctx.session
        if session is None or not session.paused or self._over:
            return False
        return self._main is None or not self._main.cancelling()

    async def goes_on(self) -> None:
        """Wait until the session is not paused."""
        if self._ctx.session is not None:
            await self._ctx.session.paused_is(False)  # noqa: FBT003

    def cancelled(self) -> None:
        """The main coroutine is told of a cancellation: from here on its grace runs.

        It may be the coroutine's own, of a time-out that it will have dealt with by then.
        """
        task = asyncio.current_task()
        if self._patience is None and task is not None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(self._grace, self._insist, task)

    def _insist(self, task: "asyncio.Task[Any]") -> None:
        self._patience = None
        if task.cancelling():
            self._over = True
            task.cancel()

    async def end(self) -> None:
        """Cancel what is left, and wait for it; what holds on never takes a step again."""
        if self._patience is not None:
            self._patience.cancel()
        if self._tasks:
            left = set(self._tasks)
            for task in left:
                task.add_done_callback(_forgiven)
                task.cancel()
            try:
                await _waited(left, self._grace)
            finally:
                self._over = True
                for task in left:
                    task.cancel()


def is_step(code: CodeType) -> bool:
    """Whether what follows this in the stack of a thread lies within a step."""
    return (code.co_filename, code.co_qualname) == (__file__, _Scope.take.__qualname__)


def _forgiven(task: "asyncio.Future[Any]") -> None:
    """Nobody asks any more how it ended, and asyncio shall not complain of that."""
    if not task.cancelled():
        task.exception()


async def _waited(tasks: set["asyncio.Future[Any]"], seconds: float) -> None:
    """Wait whatever happens; a cancellation that arrives meanwhile is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    until = boottime() + seconds
    while tasks and boottime() < until:
        try:
            _, tasks = await asyncio.wait(tasks, timeout=until - boottime())
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


_scope: ContextVar[_Scope | None] = ContextVar("podium_inline_scope", default=None)


async def run_leased(coroutine: Coroutine[Any, Any, Any], ctx: AttemptContext, grace: float) -> Any:
    """The coroutine's result, under the lease of ``ctx``. Tasks that it left running are cancelled,
    for ``grace`` seconds.

    Raises ``LeaseExpired`` when the lease ran out before it ended, ``CancelIgnored`` when it did
    not end within ``grace`` seconds of a cancellation.
    """
    scope = _Scope(ctx, grace, _turn_of(asyncio.get_running_loop()))
    if verdict := scope.verdict(
        boottime()
    ):  # too late to begin: there is nothing to be ended with the lease
        coroutine.close()
        raise verdict
    token = _scope.set(scope)
    ctx.lease.enter()
    try:
        return await _Leased(coroutine, scope, is_main=True)
    finally:
        _scope.reset(token)
        try:
            await scope.end()
        finally:
            ctx.lease.leave()


class _Leased:
    """Drives a coroutine by hand, asking its scope before each step."""

    __slots__ = ("_coroutine", "_is_main", "_scope")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], scope: _Scope, *, is_main: bool = False
    ) -> None:
        self._coroutine = coroutine
        self._scope = scope
        self._is_main = is_main

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            now = boottime()
            verdict = self._scope.verdict(now)
            if verdict is not None:
                self._end(verdict)
            if self._scope.paused() or self._scope.turn.is_over(now):
                thrown = yield from self._stand()
                if thrown is not None:
                    value, step = self._to_throw(thrown), self._coroutine.throw
                continue
            try:
                waited_for = self._scope.take(step, value)
            except StopIteration as end:
                return end.value
            try:
                value = yield waited_for
                step = self._coroutine.send
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
                value, step = self._to_throw(error), self._coroutine.throw

    def _stand(self) -> Generator[Any, Any, BaseException | None]:
        """Wait for the next turn, or until the session goes on; gives what was thrown into the
        coroutine meanwhile."""
        try:
            if self._scope.paused():
                yield from self._scope.goes_on().__await__()
            else:
                yield
        except GeneratorExit:
            self._coroutine.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
            return error
        return None

    def _to_throw(self, error: BaseException) -> BaseException:
        if self._is_main and isinstance(error, asyncio.CancelledError):
            self._scope.cancelled()
        return error

    def _end(self, verdict: BaseException) -> NoReturn:
        """End the coroutine where it is. Its own clean-up may run but cannot wait."""
        for _ in range(_STUBBORN_STEPS):
            try:
                self._scope.take(self._coroutine.throw, verdict)
            except StopIteration:
                raise verdict from None
        with suppress(RuntimeError):  # it does not end even now; it will never be resumed
            self._coroutine.close()
        raise verdict


class _Factory:
    """Makes tasks as before, but leases and remembers those that an attempt starts."""

    def __init__(self, before: Callable[..., "asyncio.Future[Any]"] | None, turn: _Turn) -> None:
        self._before = before
        self.turn = turn

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> "asyncio.Future[Any]":
        context = options.get("context")
        scope = _scope.get() if context is None else context.get(_scope)
        if scope is not None:
            coroutine = _as_coroutine(_Leased(coroutine, scope))
        if self._before is None:
            task = asyncio.Task(coroutine, loop=loop, **options)
        else:
            task = self._before(loop, coroutine, **options)
        if scope is not None:
            scope.add(task)
        return task


async def _as_coroutine(leased: _Leased) -> Any:
    return await leased


def _turn_of(loop: asyncio.AbstractEventLoop) -> _Turn:
    """The loop's own, which has its tasks leased from now on."""
    factory = loop.get_task_factory()
    if not isinstance(factory, _Factory):
        factory = _Factory(factory, _Turn(loop))
        loop.set_task_factory(factory)
    return factory.turn


class InlineSession:
    """The ``FunctionSession`` of a function inside the worker."""

    def __init__(self, session: Conversation) -> None:
        self._session = session
        self.earlier = session.earlier

    async def receive(self) -> Said | None:
        """See ``FunctionSession``."""
        return await _wait_outside(self._session.receive())

    def say(self, text: str, data: Json = None) -> None:
        """See ``FunctionSession``."""
        _outside(self._session.say, text, data)

    def ask(self, text: str, data: Json = None) -> None:
        """See ``FunctionSession``."""
        _outside(self._session.ask, text, data)


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
        self.session = None if ctx.session is None else InlineSession(ctx.session)

    @property
    def workspace(self) -> Path:
        """See ``FunctionContext``. It is made when it is first asked for."""
        return self._ctx.workspace

    def log(self, text: str, stream: Stream = "agent") -> None:
        """See ``FunctionContext``."""
        _outside(self._ctx.log, text, stream)

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """See ``FunctionContext``."""
        _outside(self._ctx.progress, fraction, note)

    def usage(self, **counts: float) -> None:
        """See ``FunctionContext``."""
        _outside(self._ctx.usage, **counts)

    def heartbeat(self) -> None:
        """See ``FunctionContext``."""
        _outside(self._ctx.heartbeat)

    async def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> None:
        """See ``FunctionContext``."""
        await _wait_outside(self._ctx.artifact(name, content, content_type))

    async def park(self, key: str) -> None:
        """Give up the slot until ``key`` is signalled; never returns, the next attempt resumes."""
        await _wait_outside(self._ctx.park(key))


def _outside(call: Callable[..., None], *values: Any, **named: Any) -> None:
    token = _scope.set(None)
    try:
        call(*values, **named)
    finally:
        _scope.reset(token)


async def _wait_outside(waited_for: Coroutine[Any, Any, Waited]) -> Waited:
    token = _scope.set(None)
    try:
        return await waited_for
    finally:
        _scope.reset(token)
