"""What the host of this virtual machine took of its processors while a test ran.

A test waits for real processes, for seconds and no longer. Where the host gives the processors to
others, as in a shared CI, all of them stand still at once, and a failure then says nothing about
the product. Linux counts this time as *stolen*, apart from all that the tests use themselves, so
a fault of ours, however slow it makes a test, is not excused by it.
"""

from pathlib import Path

_MOST = 0.05
"""Share of the processors' time that the host may take before a failure is doubted."""

_STAT = Path("/proc/stat")
_STOLEN = 7  # user, nice, system, idle, iowait, irq, softirq, steal: man 5 proc_stat

_began: list[int] = []


def watch() -> None:
    """Begin to count, at the start of a test."""
    _began[:] = _times()


def was_busy() -> bool:
    """Whether the host took more than 5 % of the processors' time since the last ``watch``."""
    spent = [now - then for now, then in zip(_times(), _began, strict=True)]
    return bool(spent) and spent[_STOLEN] > _MOST * sum(spent)


def _times() -> list[int]:
    """Ticks of all processors by what they were spent on; none where there is no such count."""
    if not _STAT.exists():
        return []
    return [int(each) for each in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
