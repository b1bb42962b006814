"""What agents do in the runtime suite: each behaviour once, for every kind of agent.

As functions: ``contract.behaviours:NAME`` is sync, ``contract.behaviours:async_NAME`` async.
As a command: ``python -m contract.behaviours NAME`` speaks the JSON-lines protocol.
"""

# ruff: noqa: T201 - agents print, and write small files where they are

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from podium.kernel.errors import AttemptFailed, ErrorClass


def echo(value: Any, ctx: Any) -> Any:
    return {"got": value, "title": ctx.title, "attempt": ctx.attempt}


def depends(_: Any, ctx: Any) -> Any:
    return {name: [each.state, each.output] for name, each in ctx.dependencies.items()}


def report(_: Any, ctx: Any) -> Any:
    ctx.log("first\nsecond")
    ctx.progress(0.25, "a quarter")
    ctx.usage(input_tokens=3, cost_usd=0.5)
    ctx.log("third")
    ctx.heartbeat()
    ctx.progress(None, "cannot be known")
    ctx.usage(input_tokens=4)


def made(ctx: Any) -> Path:
    path = Path(ctx.workspace) / "made.txt"
    path.write_text("made here")
    return path


def keep(_: Any, ctx: Any) -> Any:
    ctx.artifact("made", made(ctx), "text/plain")


def fail(value: Any, ctx: Any) -> Any:
    raise AttemptFailed(
        ErrorClass.RATE_LIMITED,
        "slow_down",
        "The model wants a pause.",
        hint="Wait.",
        detail={"limit": 3},
        retry_after=7,
    )


class NoRepository(Exception):
    """Says what it means without a word of Podium's."""

    error_class = "invalid_input"
    code = "not_a_repository"
    hint = "Name one."


def refuse(value: Any, ctx: Any) -> Any:
    raise NoRepository(f"{value} is no repository.")


def crash(value: Any, ctx: Any) -> Any:
    raise {
        "value": ValueError,
        "time": TimeoutError,
        "permission": PermissionError,
        "connection": ConnectionResetError,
        "memory": MemoryError,
    }[value]("as asked")


def big(value: Any, ctx: Any) -> Any:
    for _ in range(int(value)):
        ctx.log("x" * 999)
    return "y" * 1_000_000


def environment(_: Any, ctx: Any) -> Any:
    return dict(os.environ)


def nap(value: Any, ctx: Any) -> Any:
    """Say so, then sleep, leaving a mark when nobody ended it."""
    mark(value)
    time.sleep(60)


def mark(path: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")


_STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(60)
"""

_DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for number in range(3, 64):
    try: os.close(number)
    except OSError: pass
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(60)
"""


def stubborn(value: Any, ctx: Any) -> Any:
    """Ignore SIGTERM, and so does the child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", _STUBBORN, value])
    nap(value, ctx)


def daemonise(value: Any, ctx: Any) -> Any:
    """Start a process that leaves group, session and parent and closes what it inherited."""
    subprocess.Popen([sys.executable, "-c", _DAEMON, value]).wait()
    nap(value, ctx)


def leave_daemon(value: Any, ctx: Any) -> Any:
    """End well while a daemon goes on."""
    subprocess.Popen([sys.executable, "-c", _DAEMON, value]).wait()
    while not Path(value).exists():
        time.sleep(0.01)
    return "left"


def devour(value: Any, ctx: Any) -> Any:
    """Take memory until something gives."""
    taken = []
    for _ in range(int(value)):
        taken.append(bytearray(os.urandom(1024)) * 1024)
        time.sleep(0.001)
    return len(taken)


def talk(value: Any, ctx: Any) -> Any:
    """Answer each input, until there is none any more."""
    heard = [each.text for each in ctx.session.earlier]
    while (said := ctx.session.receive()) is not None:
        heard.append(said.text)
        answer(said, ctx)
    return heard


def answer(said: Any, ctx: Any) -> None:
    if said.text.endswith("?"):
        ctx.session.ask(f"why {said.text}")
    else:
        ctx.session.say(f"heard {said.text}", said.data)


def count(value: Any, ctx: Any) -> None:
    """Be busy, in two processes where that can be, and leave a mark every now and then."""
    subprocess.Popen(["sh", "-c", f"while :; do echo x >> {value}.child; sleep 0.02; done"])
    while True:
        mark(value)
        time.sleep(0.02)


async def async_talk(value: Any, ctx: Any) -> Any:
    heard = [each.text for each in ctx.session.earlier]
    while (said := await ctx.session.receive()) is not None:
        heard.append(said.text)
        answer(said, ctx)
    return heard


async def async_count(value: Any, ctx: Any) -> None:
    await async_tick(value, ctx)


async def async_echo(value: Any, ctx: Any) -> Any:
    return echo(value, ctx)


async def async_depends(value: Any, ctx: Any) -> Any:
    return depends(value, ctx)


async def async_report(value: Any, ctx: Any) -> Any:
    return report(value, ctx)


async def async_keep(value: Any, ctx: Any) -> Any:
    await ctx.artifact("made", made(ctx), "text/plain")


async def async_fail(value: Any, ctx: Any) -> Any:
    fail(value, ctx)


async def async_refuse(value: Any, ctx: Any) -> Any:
    return refuse(value, ctx)


async def async_crash(value: Any, ctx: Any) -> Any:
    crash(value, ctx)


async def async_big(value: Any, ctx: Any) -> Any:
    return big(value, ctx)


async def async_nap(value: Any, ctx: Any) -> Any:
    mark(value)
    await asyncio.sleep(60)


async def async_stubborn(value: Any, ctx: Any) -> Any:
    """Leave a task behind that does not want to end at the first request."""
    mark(value)

    async def clinging() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            Path(value).with_suffix(".ended").write_text("ended")

    _kept.add(asyncio.create_task(clinging()))
    await asyncio.sleep(60)


async def async_tick(value: Any, ctx: Any) -> Any:
    """Write down every step, in two tasks."""

    async def ticking() -> None:
        while True:
            mark(value)
            await asyncio.sleep(0.02)

    await asyncio.gather(ticking(), ticking())


_kept: set[asyncio.Task[None]] = set()


class _Speaker:
    """The protocol, as an agent in any language would write it."""

    def __init__(self) -> None:
        envelope = json.loads(Path(os.environ["PODIUM_INPUT"]).read_text())
        self.input = envelope["input"]
        self.title = envelope["title"]
        self.attempt = envelope["attempt"]
        self.workspace = envelope["workspace"]
        self.session = _Session(self, envelope["session"]) if envelope["session"] else None
        self.dependencies = {
            name: type("Dependency", (), each) for name, each in envelope["dependencies"].items()
        }

    def say(self, kind: str, **fields: Any) -> None:
        print(json.dumps({"podium": kind, **fields}), flush=True)

    def log(self, text: str) -> None:
        self.say("log", text=text)

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        self.say("progress", fraction=fraction, note=note)

    def usage(self, **counts: float) -> None:
        self.say("usage", **counts)

    def heartbeat(self) -> None:
        self.say("heartbeat")

    def artifact(self, name: str, path: Path, content_type: str) -> None:
        self.say("artifact", name=name, path=str(path), content_type=content_type)


class _Session:
    """The protocol of a session, likewise."""

    def __init__(self, speaker: _Speaker, given: dict[str, Any]) -> None:
        self._speaker = speaker
        self._busy = False
        self.earlier = [type("Said", (), each) for each in given["earlier"]]

    def say(self, text: str, data: Any = None) -> None:
        self._speaker.say("say", text=text, data=data)

    def ask(self, text: str) -> None:
        self._speaker.say("ask", text=text)
        self._busy = False

    def receive(self) -> Any:
        if self._busy:
            self._speaker.say("idle")
        line = sys.stdin.readline()
        self._busy = bool(line)
        return type("Said", (), json.loads(line)) if line else None


def main(name: str) -> None:
    speaker = _Speaker()
    try:
        output = globals()[name](speaker.input, speaker)
    except AttemptFailed as error:
        speaker.say("error", **error.as_dict(), retry_after=error.retry_after)
        sys.exit(1)
    except MemoryError:
        sys.exit(1)
    speaker.say("result", output=output)


if __name__ == "__main__":
    main(sys.argv[1])
