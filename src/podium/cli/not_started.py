"""Say why a task does not start, when that takes long."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import TYPE_CHECKING

from podium.cli import output
from podium.client.errors import PodiumError

if TYPE_CHECKING:
    from podium.client import Podium

_PATIENCE_SECONDS = 4.0
_LAST_WORD_SECONDS = 1.0


@contextmanager
def explained(
    client: "Podium", task_id: str, *, quiet: bool, within: float | None = None
) -> Generator[None]:
    """While the body follows the task: say once, after a few seconds, why it has not started; of
    one that must start ``within`` less, before it is too late to know."""
    if quiet:
        yield
        return
    patience = _PATIENCE_SECONDS if within is None else min(_PATIENCE_SECONDS, within / 2)
    timer = Timer(patience, _explain, (client, task_id))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(_LAST_WORD_SECONDS)


def _explain(client: "Podium", task_id: str) -> None:
    with suppress(PodiumError):  # who follows the task meets the same trouble, and tells it
        told = client.tasks.explain(task_id)
        if told.state in {"pending", "queued"}:
            output.note(f"It has not started yet: {told.why}")
