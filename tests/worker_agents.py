"""Agents that the tests of the worker run as functions inside it."""

import asyncio
from typing import Any

from podium.kernel.errors import AttemptFailed, ErrorClass

calls: list[Any] = []


async def echo(given: Any) -> Any:
    return given


async def report(given: Any, ctx: Any) -> dict[str, Any]:
    """Says everything that an agent can say."""
    ctx.log("first line")
    ctx.progress(0.5, "half")
    ctx.usage(input_tokens=3, cost_usd=0.25)
    ctx.usage(input_tokens=4)
    await ctx.artifact("note.txt", b"kept", "text/plain")
    await asyncio.sleep(0.4)
    ctx.log("password is https://user:hunter2@example.org", "stderr")
    return {name: each.output for name, each in ctx.dependencies.items()}


async def fail(given: dict[str, Any]) -> None:
    raise AttemptFailed(ErrorClass(given.get("class", "transient")), "told_to", "I was told to.")


async def flaky(given: int, ctx: Any) -> int:
    """Fails until its third attempt."""
    if ctx.attempt < given:
        raise AttemptFailed(ErrorClass.TRANSIENT, "not_yet", "Not yet.")
    return ctx.attempt


async def sleep(given: float) -> str:
    calls.append(("started", given))
    try:
        await asyncio.sleep(given)
    finally:
        calls.append(("ended", given))
    return "slept"


async def talk(given: float, ctx: Any) -> str:
    """Gives signs of life for so many seconds."""
    for _ in range(int(given * 20)):
        ctx.heartbeat()
        await asyncio.sleep(0.05)
    return "talked"


async def park(given: str, ctx: Any) -> str:
    if ctx.attempt == 1:
        await ctx.park(given)
    return f"resumed as attempt {ctx.attempt}"


async def large(given: int) -> str:
    return "x" * given


async def unprintable(given: Any) -> Any:
    return object()


async def nul(given: Any) -> str:
    return "a\x00b"


async def keep(given: dict[str, str], ctx: Any) -> None:
    """Keeps an empty file under any name and type."""
    await ctx.artifact(given["name"], b"", given.get("type", "text/plain"))
