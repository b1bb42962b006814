"""What all parts begin with: the repository at the commit that the survey looked at."""

import time

from podium.checkup.context import CheckupError, Context, Json, field, mapping, string
from podium.checkup.opening import open_repository
from podium.checkup.paths import path_of
from podium.checkup.repository import Repository
from podium.checkup.text import shorten


def begin(given: object, ctx: Context) -> tuple[Repository, dict[str, Json]]:
    """Open ``given["repo"]`` at ``given["head"]``, else at the survey's commit, else at HEAD.

    Returns the repository and the input as an object.
    """
    options = mapping(given)
    path = string(options.get("repo"))
    if not path:
        raise CheckupError(
            "invalid_input",
            "repo_missing",
            "the input names no repository",
            hint='give {"repo": "/absolute/path"}',
        )
    surveyed = string(survey(ctx).get("head"))
    repository = open_repository(path_of(path), string(options.get("head")) or surveyed or None)
    return repository, options


def survey(ctx: Context) -> dict[str, Json]:
    """What the survey says of the repository; empty when this part runs without one."""
    output = mapping(field(ctx.dependencies.get("survey"), "output"))
    return mapping(mapping(output.get("details")).get("repository"))


class Deadline:
    """Seconds that a part, or a stretch of it, may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left; always more than none, so that it can be used as a time limit."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._end


class Progress:
    """Reports at most twice a second, from ``start`` to ``end`` of the whole."""

    def __init__(self, ctx: Context, start: float, end: float) -> None:
        self._ctx = ctx
        self._start = start
        self._range = end - start
        self._next = 0.0
        self._reached = 0.0

    def at(self, done: int, of: int, note: str) -> None:
        """Say that ``done`` of ``of`` are done; what begins anew goes on from what was reached."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.5
        self._reached = max(self._reached, min(done / of, 1.0) if of else 1.0)
        reached = self._start + self._range * self._reached
        self._ctx.progress(round(reached, 3), shorten(note, 200))
