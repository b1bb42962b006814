"""One reading for all who want to know the same at the same time, or writing that need not be
repeated."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SharedReads(Generic[Key, Value]):
    """Reads a key once for everybody who asks for it while that reading is under way.

    A reader sees what was true after it began, which may be before somebody asked who joined it.
    """

    def __init__(self, read: Callable[[Key], Coroutine[Any, Any, Value]]) -> None:
        self._read = read
        self._under_way: dict[Key, asyncio.Task[Value]] = {}

    def get(self, key: Key) -> Awaitable[Value]:
        """What the reading gives or raises. One that nobody waits for any more goes on."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._read(key))
            self._under_way[key] = task
            task.add_done_callback(partial(self._ended, key))
        return asyncio.shield(task)

    def _ended(self, key: Key, task: asyncio.Task[Value]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # those who waited were told; nobody may be left
