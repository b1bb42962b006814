"""Agents that the tests of the worker run as functions inside it."""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast

from podium.kernel.errors import AttemptFailed, ErrorClass

calls: list[Any] = []


async def echo(given: Any) -> Any:
    return given


def plain(given: Any) -> Any:
    return given


def run_script(given: str) -> None:
    exec(given, {})


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


async def hog(given: float, ctx: Any) -> int:
    """Keeps the worker from everything else in its first attempt, and takes another step."""
    if ctx.attempt == 1:
        _block(given)
        await asyncio.sleep(1)
    return ctx.attempt


async def beat(given: float, ctx: Any) -> None:
    """Shows life all the time in its first attempt, but lets nobody else do anything."""
    until = time.monotonic() + given
    while ctx.attempt == 1 and time.monotonic() < until:
        ctx.heartbeat()


async def search(given: float, ctx: Any) -> None:
    """Spends its first attempt in long calls into C that keep Python's lock."""
    until = time.monotonic() + given
    while ctx.attempt == 1 and time.monotonic() < until:
        sum(range(10**7))


async def cling(given: float) -> None:
    """Does not end when it is cancelled, and blocks when it is ended."""
    try:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
    finally:
        _block(given)


def _block(seconds: float) -> None:
    time.sleep(seconds)


async def sleep(given: float) -> str:
    calls.append(("started", given))
    try:
        await asyncio.sleep(given)
    finally:
        calls.append(("ended", given))
    return "slept"


async def go_on(given: float) -> None:
    """Works for so many seconds, whoever asks it to stop."""
    until = asyncio.get_running_loop().time() + given
    while asyncio.get_running_loop().time() < until:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)


def deaf(given: float) -> None:
    """Does not hear that it is asked to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("deaf\n")
    sys.stdout.flush()
    time.sleep(given)


async def spend_and_sleep(given: float, ctx: Any) -> str:
    ctx.usage(tokens=7)
    return await sleep(given)


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


async def hoard(given: list[tuple[str, int]], ctx: Any) -> None:
    """Keeps files of these names and sizes."""
    for name, size in given:
        await ctx.artifact(name, b"x" * size)


class Spent(StrEnum):
    """What an agent counts."""

    TOKENS = "tokens"


class Tantrum(BaseException):
    """No ``Exception``, so that ordinary handlers let it through."""


_ODD_GATES = {"strange gate": "a\x00\ud800", "a limit's gate": "limit:x", "a lane's gate": "lane:1"}


async def odd(given: str, ctx: Any) -> str:
    """Says or does something that could stand in the way of its own settlement."""
    match given:
        case "decimal usage":
            ctx.usage(cost_usd=Decimal("0.25"))
        case "usage named by an enum":
            ctx.usage(**{Spent.TOKENS: 7})
        case "endless usage":
            ctx.usage(tokens=float("inf"))
        case "huge usage":
            ctx.usage(tokens=10**30)
        case "usage that adds up":
            for _ in range(3):
                ctx.usage(tokens=2.0**52)
        case "usage of a strange name":
            ctx.usage(**{"tokens\x00\ud800": 1})
        case "usage without end":
            for n in range(200_000):
                ctx.usage(**{f"n{n}": 1})
        case "usage that is no number":
            ctx.usage(tokens="many")
        case "strange words":
            ctx.log("a\ud800b\x00c")
            ctx.progress(0.5, "d\udfffe\x00f")
        case "strange stream":
            ctx.log("text", "somewhere")
        case "progress that is no number":
            ctx.progress(float("nan"))
        case "strange gate" | "a limit's gate" | "a lane's gate":
            await ctx.park(_ODD_GATES[given])
        case _:
            await _end_oddly(given)
    return "said"


async def _end_oddly(given: str) -> None:
    match given:
        case "strange exception":
            raise ValueError("a\ud800b\x00c")
        case "strange failure":
            detail = {"\ud800": ["\x00", 2**70, {1: float("nan")}]}
            raise AttemptFailed(ErrorClass.AGENT, "c\ud800\x00", "m\ud800", detail=detail)
        case "strange wish":
            raise AttemptFailed(ErrorClass.AGENT, "later", "Later.", retry_after=float("inf"))
        case "distant wish":
            raise AttemptFailed(ErrorClass.AGENT, "later", "Later.", retry_after=1e300)
        case "no error class":
            raise AttemptFailed(cast("Any", "agent"), "wrong", "This is no class.")
        case "exit":
            sys.exit(3)
        case "tantrum":
            raise Tantrum("\ud800")
        case _:
            task = asyncio.current_task()
            assert task
            task.cancel()
            await asyncio.sleep(1)


async def last_words(given: int, ctx: Any) -> None:
    """Says so many lines and that it is done, and ends at once."""
    for n in range(given):
        ctx.log(f"line {n}")
    ctx.progress(1.0, "done")


async def chatter(given: float, ctx: Any) -> None:
    """Tells of progress all the time, for so many seconds."""
    for n in range(int(given * 100)):
        ctx.progress(None, str(n))
        await asyncio.sleep(0.01)


async def keep_and_wait(given: float, ctx: Any) -> None:
    """Keeps a file after so many seconds, and goes on for long."""
    calls.append(("keeps", given))
    await asyncio.sleep(given)
    try:
        await ctx.artifact("late.txt", b"late")
        await asyncio.sleep(30)
    finally:
        calls.append(("ends", given))


async def settle_in(given: Any, ctx: Any) -> str:
    """Leaves a file in its workspace for others to see while it runs."""
    (ctx.workspace / "here").touch()
    await asyncio.sleep(given)
    return str(ctx.workspace)


async def chat(given: Any, ctx: Any) -> dict[str, Any]:
    """Answers what is said to it; asks back what ends with a question mark; ends at the end."""
    earlier = [each.text for each in ctx.session.earlier]
    heard: list[str] = []
    ctx.session.say(f"attempt {ctx.attempt} begins")
    while (said := await ctx.session.receive()) is not None:
        heard.append(said.text)
        if said.text.endswith("?"):
            ctx.session.ask(f"which {said.text}", {"choices": [1, 2]})
        elif said.text == "think":
            await asyncio.sleep(60)
        elif said.text == "count":
            for n in range(1000):
                ctx.progress(None, str(n))
                await asyncio.sleep(0.02)
        else:
            ctx.session.say(f"heard {said.text}", said.data)
    return {"heard": heard, "earlier": earlier, "given": given}


async def farewell(given: Any, ctx: Any) -> None:
    """Says something when all that it said before is long written, and ends."""
    await ctx.session.receive()
    await asyncio.sleep(0.3)
    ctx.session.say("bye")


async def guest(given: float, ctx: Any) -> str:
    """Hears what is said until it is told to leave, or to fail, which takes it some seconds."""
    while (said := await ctx.session.receive()) is not None:
        ctx.session.say(f"heard {said.text}")
        if said.text in ("leave", "fail"):
            await asyncio.sleep(given)
        if said.text == "fail":
            raise ValueError("as it was told")
        if said.text == "leave":
            break
    return "gone"
