"""Runs one agent, and sees to it that nothing of the agent outlives its lease.

The worker starts it in a session of its own, with the lifeline (a pipe that only the worker
writes to) as standard input and the agent's output as standard output and error.

Lifeline: NUL-ended records. First the launch (see ``Launch``), ended by ``go``; then
``lease SECONDS`` moves the deadline on CLOCK_BOOTTIME, ``pause 1`` has the tree stand still until
``pause 0``, and ``stop GRACE`` ends it. The end of the lifeline means that the worker died, which
ends the tree as well.

Status: one JSON object when nothing of the tree is left: ``reason``; ``code``, the agent's exit
status or minus its signal, null when it never ran; ``cpu`` seconds of the tree and ``rss`` bytes
of its largest process; ``stage`` and ``errno`` when the reason is start_failed.

Reasons: exited, stopped, worker_gone, lease_expired, memory_limit, cpu_limit, process_limit,
previous_attempt_running, start_failed.
"""

import ctypes
import fcntl
import os
import resource
import select
import time

from . import processes
from .lifeline import LIFELINE, LINUX, Ended, Launch, Lifeline, StartFailed, boottime
from .processes import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from .spawn import Agent

_LIMITS_SECONDS = 0.2
_PR_SET_CHILD_SUBREAPER = 36


def take_lock(launch: Launch, lifeline: Lifeline) -> int:
    """Hold the task's lock. The agent inherits it, so having it proves that none runs here."""
    until = time.monotonic() + launch.patience
    while True:
        try:
            descriptor = os.open(launch.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartFailed("lock", error.errno or 0) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == os.stat(launch.lock).st_ino:  # noqa: PTH116
                os.set_inheritable(descriptor, True)  # noqa: FBT003
                return descriptor
        except OSError:  # held, or removed by its last holder
            pass
        os.close(descriptor)
        if time.monotonic() > until:
            raise Ended("previous_attempt_running")
        lifeline.wait(0.02)


def end_previous(launch: Launch) -> None:
    """End what an attempt left behind whose supervisor was killed: the lock cannot show it."""
    if launch.attempt != "1" and not processes.end_marked(
        launch.task, seconds=launch.patience, besides=launch.attempt
    ):
        raise Ended("previous_attempt_running")


class Watch:
    """Follows the tree to its end."""

    def __init__(self, agent: Agent, launch: Launch, lifeline: Lifeline) -> None:
        self._agent = agent
        self._limits = launch.limits
        self._grace = launch.grace
        self._lifeline = lifeline
        self._kill_at = float("inf")
        self._checked_at = 0.0
        self._seen: set[int] = set()
        self._standing: set[int] = set()
        self._status: int | None = None
        self.reason: str | None = None

    def run(self) -> None:
        """Return when nothing of the tree is left."""
        while self._reap():
            self._lifeline.listen()
            self._decide()
            if boottime() >= self._kill_at:
                processes.signal_all(self._tree(), SIGKILL)
            self._wait()
        self.reason = self.reason or "exited"

    def code(self) -> int | None:
        """How the agent ended; None when it never ran."""
        return None if self._status is None else self._agent.exit_code(self._status)

    def _reap(self) -> bool:
        """Collect the dead; False when the last one was collected.

        On Linux orphans become our children, so having no child proves that the tree ended.
        """
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self._agent.pid:
                    self._status = status
        except ChildProcessError:
            return not LINUX and bool(self._tree())

    def _tree(self) -> set[int]:
        """Everything below. Where orphans leave us, also what was seen below before and lives."""
        found = processes.descendants(os.getpid())
        if not LINUX:
            for known in self._seen - found:
                found |= {known} | processes.descendants(known)
            found = {process for process in found if processes.lives(process)}
            self._seen = found
        return found

    def _decide(self) -> None:
        line = self._lifeline
        if self._status is not None and self.reason is None:
            self._end("exited", 0.0)
        if line.closed:
            self._end("worker_gone", self._grace)
        if line.stop_grace is not None:
            self._end("stopped", line.stop_grace)
        if boottime() >= line.deadline:
            self._end("lease_expired", 0.0)
        if self.reason is None and self._limits:
            self._check_limits()
        if self.reason is None and (line.paused or self._standing):
            self._pause()

    def _pause(self) -> None:
        """Stop what is not stopped yet, as long as something new comes: who is not stopped may
        start others. Or let all of it go on."""
        if not self._lifeline.paused:
            processes.signal_all(self._tree(), SIGCONT)
            self._standing = set()
            return
        self._standing &= self._tree()
        while new := self._tree() - self._standing:
            processes.signal_all(new, SIGSTOP)
            self._standing |= new

    def _end(self, reason: str, grace: float) -> None:
        """Begin to end the tree, or hasten it. The first reason is the one that is told."""
        self._kill_at = min(self._kill_at, boottime() + grace, self._lifeline.deadline)
        if self.reason is None:
            self.reason = reason
            if grace > 0:
                # A wrapper would die of it at once and take the agent with it, without grace.
                tree = self._tree() - ({self._agent.pid} if self._agent.wrapped else set())
                processes.signal_all(tree, SIGTERM)
                processes.signal_all(tree | (self._standing & self._tree()), SIGCONT)

    def _check_limits(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < _LIMITS_SECONDS:
            return
        self._checked_at = now
        tree = self._tree()
        cpu, memory = processes.consumed(tree)
        dead = resource.getrusage(resource.RUSAGE_CHILDREN)
        wrappers = 2 if self._agent.wrapped else 0
        for reason, limit, amount in (
            ("memory_limit", "memory_bytes", memory),
            ("cpu_limit", "cpu_seconds", cpu + dead.ru_utime + dead.ru_stime),
            ("process_limit", "processes", len(tree) - wrappers),
        ):
            if amount > self._limits.get(limit, amount):
                self._end(reason, 0.0)

    def _wait(self) -> None:
        poll = select.poll()
        if not self._lifeline.closed:
            poll.register(LIFELINE, select.POLLIN)
        if self._agent.pidfd >= 0 and self._status is None:
            poll.register(self._agent.pidfd, select.POLLIN)
        poll.poll(self._patience() * 1000)

    def _patience(self) -> float:
        """Seconds until something may have to be done that no descriptor announces."""
        if boottime() >= self._kill_at:
            return 0.005
        if self.reason is not None or self._agent.pidfd < 0:
            return 0.02
        longest = _LIMITS_SECONDS if self._limits else 1.0
        return max(0.0, min(longest, self._lifeline.deadline - boottime()))


def supervise(lifeline: Lifeline, stdin: int) -> bytes:
    """Run the attempt to its end; the status object."""
    try:
        launch = lifeline.launch()
        lifeline.wait(0)
        take_lock(launch, lifeline)
    except Ended as error:
        return _report(str(error))
    except StartFailed as error:
        return _report("start_failed", stage=error.stage, errno=error.number)
    try:
        end_previous(launch)
        watch = Watch(Agent(launch, stdin), launch, lifeline)
        watch.run()
    except Ended as error:
        return _report(str(error))
    except StartFailed as error:
        return _report("start_failed", stage=error.stage, errno=error.number)
    finally:
        # While it is still held: a waiter must not come to hold a file that others cannot find.
        os.unlink(launch.lock)  # noqa: PTH108
    code = watch.code()
    if code is None and watch.reason == "exited":
        return _report("start_failed", stage="confinement")
    return _report(watch.reason or "exited", code=code)


def _report(reason: str, *, code: int | None = None, stage: str = "", errno: int = 0) -> bytes:
    dead = resource.getrusage(resource.RUSAGE_CHILDREN)
    rss = dead.ru_maxrss * (1024 if LINUX else 1)
    return (
        f'{{"reason": "{reason}", "code": {"null" if code is None else code}, '
        f'"cpu": {dead.ru_utime + dead.ru_stime:.3f}, "rss": {rss}, '
        f'"stage": "{stage}", "errno": {errno}}}'
    ).encode()


def main(stdin: int, status: int) -> None:
    """Supervise one agent; ``stdin`` is the agent's, ``status`` takes the report."""
    for descriptor in (stdin, status):
        os.set_inheritable(descriptor, False)  # noqa: FBT003
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    report = supervise(Lifeline(), stdin)
    try:
        os.write(status, report)
    except BrokenPipeError:  # the worker died; the next attempt's supervisor waits for our lock
        return
