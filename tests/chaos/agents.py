"""Agents of the fault suites. Each writes down when it begins and ends, so overlaps would show."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def _note(given: dict[str, Any], what: str, attempt: int) -> None:
    line = f"{what} {given['key']} {attempt} {time.clock_gettime(time.CLOCK_BOOTTIME):.4f}\n"
    with Path(given["journal"]).open("a") as file:  # one short write in append mode stays whole
        file.write(line)


async def steady(given: dict[str, Any], ctx: Any) -> str:
    """Works inside the worker for ``seconds``, in small steps."""
    _note(given, "begin", ctx.attempt)
    try:
        for _ in range(int(given["seconds"] / 0.05)):
            await asyncio.sleep(0.05)
            _note(given, "alive", ctx.attempt)
        return given["key"]
    finally:
        _note(given, "end", ctx.attempt)


async def frozen(given: dict[str, Any], ctx: Any) -> str:
    """Is stopped with its worker in the middle of a step, at its first attempt."""
    _note(given, "begin", ctx.attempt)
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    _note(given, "end", ctx.attempt)
    return given["key"]


async def stuck(given: dict[str, Any], ctx: Any) -> str:
    """Keeps its worker's event loop to itself for ``seconds``, at its first attempt."""
    _note(given, "begin", ctx.attempt)
    for _ in range(int(given["seconds"] / 0.01) if ctx.attempt == 1 else 0):
        time.sleep(0.01)  # noqa: ASYNC251 - what such a function must not do
        _note(given, "alive", ctx.attempt)
    _note(given, "end", ctx.attempt)
    return given["key"]


STEPS = 40


async def talker(given: dict[str, Any], ctx: Any) -> None:
    """Answers what is said to it; of ``work`` it speaks at each of its steps."""
    _note(given, "begin", ctx.attempt)
    while (said := await ctx.session.receive()) is not None:
        for step in range(STEPS if said.text == "work" else 0):
            ctx.session.say(f"step {step}")
            _note(given, "alive", ctx.attempt)
            await asyncio.sleep(0.05)
        ctx.session.say(f"heard {said.text}")
    _note(given, "end", ctx.attempt)


def main() -> None:
    """The same as a program: what it is given comes in the file ``PODIUM_INPUT``."""
    import json

    given = json.loads(Path(os.environ["PODIUM_INPUT"]).read_text())["input"]
    attempt = int(os.environ["PODIUM_ATTEMPT"])
    _note(given, "begin", attempt)
    for _ in range(int(given["seconds"] / 0.05)):
        time.sleep(0.05)
        _note(given, "alive", attempt)
    sys.stdout.write(given["key"])
    _note(given, "end", attempt)


if __name__ == "__main__":
    main()
