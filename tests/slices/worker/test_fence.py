"""What a worker's lease does to a process that does not look at it, with real processes."""

import subprocess
import sys
import textwrap

import pytest

ENDED = 7


def _busy(*, inside: int, renewed: str = "", timer: str = "thread") -> int:
    """The exit status of a process that is busy for 1.5 s under a lease of 0.5 s."""
    script = f"""
        import os, time
        from podium.kernel.clock import boottime
        from podium.worker import fence
        from podium.worker.lease import LeaseClock

        if {timer == "process"}:
            fence._thread_timer = lambda rings: None
        lease = LeaseClock(0.5, fence.Fence(lambda: os._exit({ENDED})))
        lease.inside = {inside}
        lease.renewed(boottime())
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            {renewed or "pass"}
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], timeout=30, check=False
    ).returncode


@pytest.mark.parametrize("timer", ["thread", "process"])
def test_what_runs_inside_ends_with_the_lease(timer: str) -> None:
    assert _busy(inside=1, timer=timer) == ENDED


@pytest.mark.parametrize("timer", ["thread", "process"])
def test_a_renewal_moves_the_end_on(timer: str) -> None:
    assert _busy(inside=1, renewed="lease.renewed(boottime())", timer=timer) == 0


def test_a_process_in_which_no_agent_runs_stays() -> None:
    assert _busy(inside=0) == 0
