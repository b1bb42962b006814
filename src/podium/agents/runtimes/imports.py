"""Imports functions that run inside the worker, without trust that their import ends."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread

from podium.agents.runtimes.functions import Function, load
from podium.kernel.errors import AttemptFailed, ErrorClass

_SECONDS = 60.0


class Imports:
    """Imports that are under way in this process.

    An import cannot be broken off, so each has a thread of its own, which nothing waits for at
    the end of the process: one that hangs takes no thread from others. Attempts that want the
    same function meanwhile wait for the same import.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._under_way: dict[str, Future[Function]] = {}

    async def load(self, reference: str, prefixes: Sequence[str]) -> Function:
        """The function. Raises ``AttemptFailed`` that says why it cannot be used, of class timeout
        when its import takes too long."""
        running = self._under_way.get(reference)
        if running is None:
            running = self._begin(reference, prefixes)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(asyncio.wrap_future(running))
        except TimeoutError:
            if running.done():  # the import itself raised it
                raise
            raise AttemptFailed(
                ErrorClass.TIMEOUT,
                "function_import_slow",
                f"Importing {reference} takes longer than {self._seconds:g} seconds.",
                hint="Let the module do less when it is imported. This worker tries no second "
                "import of it before the first has ended.",
            ) from None

    def _begin(self, reference: str, prefixes: Sequence[str]) -> Future[Function]:
        running: Future[Function] = Future()
        self._under_way[reference] = running
        running.add_done_callback(lambda _: self._under_way.pop(reference, None))
        name = f"import-{reference}"
        Thread(target=_import, args=(running, reference, prefixes), name=name, daemon=True).start()
        return running


def _import(running: Future[Function], reference: str, prefixes: Sequence[str]) -> None:
    try:
        running.set_result(load(reference, prefixes))
    except BaseException as error:  # noqa: BLE001 - told by whoever waits
        running.set_exception(error)
