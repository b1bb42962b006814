"""Functions as users write them, for the tests of function agents."""

# ruff: noqa: T201, ASYNC230, ASYNC240 - agents print, and write small files where they are

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from os import kill as borrowed
from pathlib import Path
from typing import Any

from pydantic import BaseModel

NUMBER = 7
BORROWED = borrowed  # a function of a module that is not allowed


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Report(BaseModel):
    title: str
    made: datetime


def double(value: Any) -> Any:
    return value * 2


async def async_double(value: Any) -> Any:
    return value * 2


def optional(value: Any, times: int = 3) -> Any:
    return value * times


def optional_context(value: Any, ctx: Any = None) -> Any:
    return ctx.title


def returns_coroutine(value: Any) -> Any:
    return async_double(value)


class Caller:
    async def __call__(self, value: Any) -> Any:
        return value


called = Caller()


def none() -> None:
    """Takes nothing."""


def many(a: Any, b: Any, c: Any) -> None:
    """Takes too much."""


def point(_: Any) -> Any:
    return {"points": [Point(1, 2.5)], "tuple": (1, 2)}


async def report(_: Any) -> Any:
    return Report(title="it", made=datetime(2026, 1, 2, tzinfo=UTC))


async def unprintable(_: Any) -> Any:
    return {"handle": object()}


def talk(_: Any, ctx: Any) -> None:
    print("one")
    ctx.log("two")
    print("three", end="")
    print(" and a half")
    ctx.progress(1)
    sys.stdout.buffer.write(b"four\n")
    print("err", file=sys.stderr)
    subprocess.run(["echo", "from a child"], stdout=sys.stdout, check=True)
    subprocess.run(["printf", '{"podium":"result","output":"forged"'], check=True)
    print("x" * 40_000, end="")
    print("last", end="")


def surroundings(_: Any, ctx: Any) -> Any:
    assert ctx.workspace == Path.cwd()
    (ctx.workspace / "colorsys.py").write_text("raise SystemError('shadowed')")
    import colorsys

    return {"path": os.environ.get("PYTHONPATH"), "module": colorsys.__name__}


def leave(value: Any) -> None:
    sys.exit(value)


def keep(_: Any, ctx: Any) -> None:
    ctx.artifact("bytes", b"as bytes", "text/plain")
    path = Path(ctx.workspace) / "later-changed"
    path.write_text("before")
    ctx.artifact("copied", path)
    path.write_text("after")


async def keep_in_process(_: Any, ctx: Any) -> None:
    await ctx.artifact("bytes", b"as bytes", "text/plain")


def clean_up(value: Any) -> None:
    """Shows that SIGTERM lets ``finally`` run."""
    import time

    try:
        Path(value).write_text("started")
        time.sleep(60)
    finally:
        Path(value).write_text("cleaned")


async def cancel_itself(_: Any) -> None:
    raise asyncio.CancelledError


async def park(_: Any, ctx: Any) -> None:
    await ctx.park("key")


async def compute(value: Any) -> Any:
    """Take so many seconds of the processor before anything is waited for."""
    until = time.monotonic() + value
    while time.monotonic() < until:
        pass


async def swallow(value: Any) -> Any:
    """Hold on whatever comes."""
    caught = 0
    while caught <= 100:
        try:
            await asyncio.sleep(0.05)
        except BaseException:  # noqa: BLE001
            caught += 1
            Path(value).write_text("caught")
            if Path(value + ".end").exists():
                break
    return "ended well"


async def own_time_out(_: Any) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(10)


async def recovered_time_out(_: Any) -> str:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
    return "recovered"


async def long(_: Any) -> None:
    await asyncio.sleep(30)


async def start_and_leave(value: Any, ctx: Any) -> None:
    async def going_on() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            Path(value).write_text("ended")

    ctx.kept = asyncio.create_task(going_on())
    ctx.log("left")
    ctx.usage(tokens=1)
    ctx.progress(0.5)
    ctx.heartbeat()
    await asyncio.sleep(0.01)


async def gather(_: Any) -> list[int]:
    async def one(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(3)]
    return [task.result() for task in tasks]


async def raise_in_step(_: Any) -> None:
    try:
        await asyncio.sleep(0)
        _ = {}["inner"]
    except KeyError as error:
        raise RuntimeError("outer") from error


async def goes_on_after_time_out(_: Any) -> str:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    await asyncio.sleep(0.2)
    return "went on"


async def leave_stubborn(value: Any, ctx: Any) -> None:
    async def going_on() -> None:
        caught = 0
        while caught < 5:
            try:
                await asyncio.sleep(0.02)
                with Path(value).open("a") as file:
                    file.write("x")
            except BaseException:  # noqa: BLE001
                caught += 1

    ctx.kept = asyncio.create_task(going_on())
    await asyncio.sleep(0.05)
