"""Runs a command under a supervisor to its end, from the worker's event loop."""

import asyncio
import fcntl
import os
import termios
from collections.abc import Sequence
from typing import Any, Protocol

from podium.agents.runtime import Lease
from podium.agents.runtimes.launch import Launch, Report, Supervisor, decoded, start
from podium.agents.runtimes.outcome import not_begun, wall_limit
from podium.agents.runtimes.supervision import processes
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed, ErrorClass

_CHUNK = 64 * 1024
_LEASE_SECONDS = 1.0
_OVERDUE_SECONDS = 5.0
_LEFTOVER_SECONDS = 10.0
_DRAIN_SECONDS = 2.0


class Sink(Protocol):
    """Takes what the command writes to one stream. A slow sink slows the command down."""

    async def feed(self, data: bytes) -> None:
        """Take bytes. Raising ends the command; ``supervise`` raises the first such error."""
        ...

    async def close(self) -> None:
        """The stream ended."""
        ...


class Company(Protocol):
    """Whoever is with a command while it runs, and has something to say to it."""

    async def keep(self, orders: "Orders") -> None:
        """Called once it has begun, and cancelled at its end. Raising ends the command;
        ``supervise`` raises the first such error."""
        ...


class Orders(Protocol):
    """What can be told to a running command."""

    async def write(self, data: bytes) -> bool:
        """Write to its standard input; False when it does not listen any more."""
        ...

    def unread(self) -> bool:
        """Whether something was written to its standard input that nobody has read."""
        ...

    def end_input(self) -> None:
        """Let it find the end of its standard input."""
        ...

    def pause(self, *, on: bool) -> None:
        """Have its whole tree stand still, or go on."""
        ...


async def supervise(
    launch: Launch,
    lease: Lease,
    stdout: Sink,
    stderr: Sink,
    seconds: float | None = None,
    company: Company | None = None,
) -> Report:
    """Run the command; when this returns or raises, nothing of its tree is left.

    Cancelling ends the tree within ``launch.grace``. After ``seconds`` it is ended too and
    ``AttemptFailed`` (timeout, wall_limit) raised.
    """
    running = _Running(launch, lease)
    ending = asyncio.create_task(running.to_end(stdout, stderr, company))
    try:
        await asyncio.wait({ending}, timeout=seconds)
    except asyncio.CancelledError:
        running.stop()
        await _settled(ending)
        raise
    if ending.done():
        return ending.result()
    running.stop()
    await _settled(ending)
    raise wall_limit(seconds or 0)


async def _settled(task: "asyncio.Task[Any]") -> None:
    """Wait for the task's end even when cancelled meanwhile, which is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    task.exception()  # it is told by whoever stopped the task
    if cancelled is not None:
        raise cancelled


class _Running:
    """One command from its start to the end of its tree."""

    def __init__(self, launch: Launch, lease: Lease) -> None:
        self._launch = launch
        self._lease = lease
        self._supervisor: Supervisor | None = None
        self._stopped = False
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Have the tree ended; a supervisor that does not obey is killed."""
        self._stopped = True
        if self._supervisor is not None:
            self._supervisor.say("stop", repr(self._launch.grace))
            loop = asyncio.get_running_loop()
            loop.call_later(self._launch.grace + _OVERDUE_SECONDS, self._supervisor.kill)

    async def to_end(self, stdout: Sink, stderr: Sink, company: Company | None) -> Report:
        """Start, follow and clean up."""
        supervisor = await self._start()
        streams = _Stream(supervisor.stdout), _Stream(supervisor.stderr)
        copies = [
            asyncio.create_task(self._copy(stream, sink))
            for stream, sink in zip(streams, (stdout, stderr), strict=True)
        ]
        helpers = [*copies, asyncio.create_task(self._renew(supervisor))]
        if company is not None:
            helpers.append(asyncio.create_task(self._accompany(company, _Orders(supervisor))))
        try:
            report = decoded(await _read_all(supervisor.status))
            if report.reason == "supervisor_lost":
                await asyncio.to_thread(self._end_leftovers)
            await self._drain(streams, copies)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)
            self._supervisor = None
            await asyncio.to_thread(supervisor.close)
        if self._failure is not None:
            raise self._failure
        return report

    async def _start(self) -> Supervisor:
        try:
            supervisor = await asyncio.to_thread(start, self._launch, self._lease.deadline())
        except ValueError as error:
            raise AttemptFailed(
                ErrorClass.INVALID_INPUT, "invalid_command", f"The command cannot be run: {error}."
            ) from None
        except OSError as error:
            raise not_begun("The agent cannot be started", error) from error
        self._supervisor = supervisor
        if self._stopped:
            self.stop()
        return supervisor

    async def _drain(
        self, streams: "Sequence[_Stream]", copies: "Sequence[asyncio.Task[None]]"
    ) -> None:
        """Wait until the sinks have taken all that the tree wrote, however long they need, or until
        the attempt is to stop. What somebody outside the tree may yet write has only a moment."""
        _, left = await asyncio.wait(copies, timeout=_DRAIN_SECONDS)
        for stream in streams:
            stream.wait_no_more()
        while left and not self._stopped:
            _, left = await asyncio.wait(left, timeout=_DRAIN_SECONDS)

    async def _copy(self, stream: "_Stream", sink: Sink) -> None:
        """Read to the end, whatever the sink says: an unread pipe would hold the tree up."""
        try:
            while data := await stream.read():
                await self._hand_over(sink, data)
        except OSError as error:
            self._fail(error)
        await self._hand_over(sink, None)

    async def _accompany(self, company: Company, orders: Orders) -> None:
        try:
            await company.keep(orders)
        except Exception as error:  # noqa: BLE001 - it ends the attempt and is raised at its end
            self._fail(error)

    async def _hand_over(self, sink: Sink, data: bytes | None) -> None:
        if self._failure is not None:
            return
        try:
            await (sink.close() if data is None else sink.feed(data))
        except Exception as error:  # noqa: BLE001 - it ends the attempt and is raised at its end
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
            self.stop()

    async def _renew(self, supervisor: Supervisor) -> None:
        told = 0.0
        while True:
            deadline = self._lease.deadline()
            if deadline != told:
                supervisor.say("lease", repr(deadline))
                told = deadline
            if supervisor.paused is not None:  # what was said once may have been lost
                supervisor.say("pause", "1" if supervisor.paused else "0")
            await asyncio.sleep(min(_LEASE_SECONDS, max(0.05, (deadline - boottime()) / 4)))

    def _end_leftovers(self) -> None:
        """The kernel ended the agent with its supervisor; what the agent started may live on."""
        processes.end_marked(
            self._launch.task, seconds=_LEFTOVER_SECONDS, attempt=str(self._launch.attempt)
        )


class _Orders:
    """What is told to a command through its supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def write(self, data: bytes) -> bool:
        left = memoryview(data)
        while left and (inlet := self._supervisor.inlet) is not None:
            try:
                left = left[os.write(inlet, left) :]
            except BlockingIOError:
                await _writable(inlet)
            except BrokenPipeError:
                return False
        return not left

    def unread(self) -> bool:
        inlet = self._supervisor.inlet
        return inlet is not None and any(fcntl.ioctl(inlet, termios.FIONREAD, bytes(4)))

    def end_input(self) -> None:
        self._supervisor.close_inlet()

    def pause(self, *, on: bool) -> None:
        self._supervisor.paused = on
        self._supervisor.say("pause", "1" if on else "0")


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    writable: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _answer, writable)
    try:
        await writable
    finally:
        loop.remove_writer(descriptor)


async def _read_all(descriptor: int) -> bytes:
    stream = _Stream(descriptor)
    parts: list[bytes] = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


class _Stream:
    """Our end of a pipe that nobody else reads.

    Not through ``connect_read_pipe``: uvloop closes the descriptor of a pipe twice, and in between
    another thread may have been given its number.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._readable: asyncio.Future[None] | None = None
        self._waits = True

    async def read(self) -> bytes:
        """The next bytes; none at the end, or when there are none and it waits no more."""
        if self._waits:
            await self._wait()
        else:
            await asyncio.sleep(0)
        try:
            return os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return b""

    def wait_no_more(self) -> None:
        """End the stream after what was written so far, whoever still holds it open."""
        self._waits = False
        os.set_blocking(self._descriptor, False)
        if self._readable is not None:
            _answer(self._readable)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._readable = loop.create_future()
        loop.add_reader(self._descriptor, _answer, self._readable)
        try:
            await self._readable
        finally:
            loop.remove_reader(self._descriptor)


def _answer(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
