"""How a command that takes long tells how far it is."""

import json
import sys
import time
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and how much there is."""

_LEAST_SECONDS = 0.1


class Lines:
    """Tells it as lines of JSON on standard output, some ten a second."""

    def __init__(self) -> None:
        self._step = ""
        self._told_at = 0.0

    def __call__(self, step: str, done: int, of: int) -> None:
        now = time.monotonic()
        if step == self._step and done < of and now - self._told_at < _LEAST_SECONDS:
            return
        self._step, self._told_at = step, now
        _write({"step": step, "done": done, "of": of})

    def end(self, result: object) -> None:
        _write({"result": result})


def _write(told: object) -> None:
    sys.stdout.write(json.dumps(told, default=str) + "\n")
    sys.stdout.flush()
