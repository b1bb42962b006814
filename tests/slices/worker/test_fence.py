"""What a worker's lease does to a process that does not look at it, with real processes."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from contract.context import RecordingContext
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes.inline import LeaseExpired, run_leased
from podium.worker import fence
from podium.worker.lease import LeaseClock

TIMERS = [
    pytest.param("thread", marks=pytest.mark.skipif(sys.platform != "linux", reason="of Linux")),
    "process",
]


SPARED = 2.0
"""The lease (s) of a process that should live: a slow machine may not run it for a while."""


def _busy(what: str, timer: str = "thread", *, lease: float = 0.5) -> int:
    """The exit status of a process that is busy for more than two leases (s); ``what`` is done all
    the time."""
    script = f"""
        import time
        from podium.kernel.clock import boottime
        from podium.worker import fence
        from podium.worker.lease import LeaseClock

        if {timer == "process"}:
            fence._thread_timer = lambda: None
        else:
            assert fence._thread_timer() is not None
        lease = LeaseClock({lease}, fence.Fence())
        lease.renewed(boottime())
        lease.enter()
        until = time.monotonic() + {2 * lease + 0.5}
        while time.monotonic() < until:
            {what}
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], timeout=30, check=False
    ).returncode


@pytest.mark.parametrize("timer", TIMERS)
def test_what_runs_inside_ends_with_the_lease(timer: str) -> None:
    used = signal.SIGALRM if timer == "process" else signal.SIGRTMIN
    assert _busy("pass", timer) == -used
    assert used in fence.SIGNALS


@pytest.mark.parametrize("timer", TIMERS)
def test_a_call_into_c_is_no_shelter(timer: str) -> None:
    assert _busy("sum(range(10**9))", timer) < 0


@pytest.mark.parametrize("timer", TIMERS)
def test_a_renewal_moves_the_end_on(timer: str) -> None:
    assert _busy("lease.renewed(boottime())", timer, lease=SPARED) == 0


def test_a_process_whose_agents_have_ended_lives_on() -> None:
    """Once it is known that the lease is lost, and with the next renewal else."""
    sleep = f"time.sleep({2 * SPARED + 1})"
    assert _busy(f"lease.leave(); lease.lost(); {sleep}", lease=SPARED) == 0
    assert _busy(f"lease.leave(); lease.renewed(boottime()); {sleep}", lease=SPARED) == 0


def test_what_does_not_end_when_the_lease_is_lost_is_ended_with_it() -> None:
    assert _busy("lease.lost()") == -signal.SIGRTMIN


def test_what_ended_after_the_lease_was_lost_ends_nobody() -> None:
    sleep = f"time.sleep({2 * SPARED + 1})"
    assert _busy(f"lease.lost(); lease.leave(); {sleep}", lease=SPARED) == 0


async def test_what_comes_too_late_does_not_begin(tmp_path: Path) -> None:
    class Lost(LeaseClock):
        def enter(self) -> None:
            pytest.fail("the fence would end this process")

    async def never() -> None:
        pytest.fail("it has begun")

    ctx = RecordingContext(tmp_path, AgentSpec("late", 1, "function", {}), lease=Lost(1))
    with pytest.raises(LeaseExpired):
        await run_leased(never(), ctx, 0)
