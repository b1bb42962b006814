"""What the two forms of the SDK do differently. Not generated."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def in_thread(function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call something that blocks."""
    return function(*args, **options)
