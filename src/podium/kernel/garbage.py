"""How often a process looks for cyclic garbage."""

import gc

_THRESHOLDS = (20_000, 10, 10)


def collect_seldom() -> None:
    """Hundreds of attempts and requests live at once and end without leaving cycles. By its own
    thresholds, made for scripts, the collector took a quarter of a server process's time.
    """
    gc.set_threshold(*_THRESHOLDS)
