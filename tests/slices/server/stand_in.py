"""A light stand-in for ``podium.app``, for how processes are run rather than what they do.

``BEHAVIOUR`` holds words: ``prepare-fails``, ``lifespan-fails``, ``worker-fails``,
``worker-slow``, ``worker-deaf``, ``worker-oversleeps``. Every request is answered by 200; ``NOTES``
is a file that gets a line at each step.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from podium.kernel.clock import boottime
from podium.kernel.errors import SettingsInvalid
from podium.kernel.settings import Settings
from podium.worker.fence import Fence

BEHAVIOUR = os.environ.get("BEHAVIOUR", "").split()
NOTES = Path(os.environ.get("NOTES", os.devnull))


def note(word: str) -> None:
    with NOTES.open("a", encoding="utf-8") as file:
        file.write(f"{word} {os.getpid()}\n")


def starts() -> int:
    return NOTES.read_text(encoding="utf-8").count("worker-starts")


class Application:
    """An ASGI application that says yes."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(
            stop=lambda: note("streams-end"), last_request=time.monotonic()
        )

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            if "lifespan-fails" in BEHAVIOUR:
                raise RuntimeError("no lifespan today")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            note("api-stops")
            await send({"type": "lifespan.shutdown.complete"})
            return
        if not scope["path"].startswith("/health"):
            self.state.last_request = time.monotonic()
        await asyncio.sleep(0.05 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def prepare(settings: Settings) -> None:
    note("prepare")
    if "prepare-fails" in BEHAVIOUR:
        raise SettingsInvalid("The stand-in cannot be prepared.", hint="Nobody can.")


def create_api(settings: Settings) -> Application:
    return Application()


async def idle_for(app: Application) -> float:
    return time.monotonic() - app.state.last_request


async def run_worker(settings: Settings, stop: asyncio.Event, hurry: asyncio.Event) -> int:
    note(f"worker-starts:{settings.worker_name}")
    if "worker-oversleeps" in BEHAVIOUR and starts() == 1:
        Fence().arm(boottime())
        time.sleep(10)  # noqa: ASYNC251 - it does not come to its end
    if "worker-fails" in BEHAVIOUR:
        raise RuntimeError("no work today")
    await stop.wait()
    note("worker-drains")
    try:
        if "worker-slow" in BEHAVIOUR:
            await hurry.wait()
            await asyncio.sleep(1)
            note("worker-hands-back")
        await asyncio.sleep(60 if "worker-deaf" in BEHAVIOUR else 0.05)
    finally:
        note("worker-ends")
    return 0
