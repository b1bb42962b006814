"""Running commands against a real Podium, for their tests."""

import time
from collections.abc import Callable

from in_process import Said

Run = Callable[..., Said]


def made(said: Said) -> str:
    """What the command printed, the id of a new task."""
    assert said.status == 0, said
    return said.out.strip()


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
