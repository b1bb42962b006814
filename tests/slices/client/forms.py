"""One test for both forms of the SDK: the same calls on ``Podium`` and on ``AsyncPodium``."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any, Literal, TypeVar, cast

from podium.client import AsyncPodium, Podium

Form = Literal["sync", "async"]
FORMS: tuple[Form, ...] = ("sync", "async")
T = TypeVar("T")


async def call(form: Form, url: str, work: Callable[[Any], Any], **options: Any) -> Any:
    """What ``work(client)`` gives, with coroutines awaited."""
    if form == "sync":
        return await asyncio.to_thread(_sync, url, work, options)
    async with AsyncPodium(url, "podium_id_secret", **options) as client:
        value = work(client)
        return await value if isinstance(value, Awaitable) else value


def _sync(url: str, work: Callable[[Any], Any], options: dict[str, Any]) -> Any:
    with Podium(url, "podium_id_secret", **options) as client:
        return work(client)


async def take(
    form: Form, url: str, work: Callable[[Any], Any], most: int | None = None, **options: Any
) -> list[Any]:
    """The items of the iterator that ``work(client)`` gives, or the first of them."""
    if form == "sync":
        return await asyncio.to_thread(_take_sync, url, work, most, options)
    async with AsyncPodium(url, "podium_id_secret", **options) as client:
        found: list[Any] = []
        async with aclosing(work(client)) as items:
            async for item in cast("AsyncIterator[Any]", items):
                found.append(item)
                if len(found) == most:
                    break
        return found


def _take_sync(
    url: str, work: Callable[[Any], Any], most: int | None, options: dict[str, Any]
) -> list[Any]:
    with Podium(url, "podium_id_secret", **options) as client:
        found: list[Any] = []
        with closing(work(client)) as items:
            for item in cast("Iterator[Any]", items):
                found.append(item)
                if len(found) == most:
                    break
        return found
