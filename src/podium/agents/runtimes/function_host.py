"""Runs one user function in a process of its own: ``python -m … REFERENCE [MODULE_PREFIX…]``.

It speaks the JSON-lines protocol on what was its standard output. What the function prints to
``sys.stdout`` becomes log messages in their place between the others; what processes that it
starts write to theirs appears with standard error, so that nothing can break into a message.
"""

import inspect
import io
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from podium.agents.runtime import Dependency, Json, Said, Stream
from podium.agents.runtimes.functions import failure_of, load, to_json
from podium.agents.runtimes.output import MESSAGE_LIMIT, Lines

_TERMINATED = 128 + signal.SIGTERM


class _Channel:
    """Writes messages, one a line, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, kind: str, **fields: Any) -> None:
        left = json.dumps({"podium": kind, **fields}).encode() + b"\n"
        with self._lock:
            while left:
                left = left[os.write(self._descriptor, left) :]


class _Prints(io.RawIOBase):
    """The raw file under ``sys.stdout``: whole lines become log messages."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._lines = Lines()

    @property
    def name(self) -> str:
        return "<stdout>"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def write(self, data: Any, /) -> int:
        content = bytes(data)
        self._send(self._lines.feed(content))
        return len(content)

    def finish(self) -> None:
        """Send a last line without an end."""
        self._send(self._lines.close())

    def _send(self, lines: Sequence[str]) -> None:
        if lines:
            self._channel.send("log", text="\n".join(lines), stream="stdout")


class _Done:
    """Lets async functions await what was done already."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class HostSession:
    """The ``FunctionSession`` of a function in a process of its own: inputs are lines of standard
    input."""

    def __init__(self, channel: _Channel, earlier: Sequence[Mapping[str, Any]]) -> None:
        self._channel = channel
        self.earlier = [Said(**each) for each in earlier]
        self._answers = True  # or comes to ask for its first input
        self._reader: Any = None

    def say(self, text: str, data: Json = None) -> None:
        """See ``FunctionSession``."""
        self._channel.send("say", text=text, data=data)

    def ask(self, text: str, data: Json = None) -> None:
        """See ``FunctionSession``."""
        self._channel.send("ask", text=text, data=data)
        self._answers = False  # its turn is over with the question

    def receive(self) -> Said | None:
        """See ``FunctionSession``."""
        self._turn_over()
        return self._said(sys.stdin.buffer.readline())

    def _turn_over(self) -> None:
        if self._answers:
            self._channel.send("idle")
        self._answers = False

    def _said(self, line: bytes) -> Said | None:
        if not line:
            return None
        self._answers = True
        given = json.loads(line)
        return Said(given["n"], "input", given["text"], given["data"], given.get("author"))


class AsyncHostSession(HostSession):
    """The same for an async function, whose event loop goes on while it waits."""

    async def receive(self) -> Said | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See ``FunctionSession``."""
        import asyncio

        self._turn_over()
        if self._reader is None:
            self._reader = asyncio.StreamReader(limit=MESSAGE_LIMIT)
            protocol = asyncio.StreamReaderProtocol(self._reader)
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: protocol, sys.stdin)
        return self._said(await self._reader.readline())


class HostContext:
    """The ``FunctionContext`` of a function in a process of its own."""

    def __init__(self, channel: _Channel, envelope: Mapping[str, Any], *, is_async: bool) -> None:
        self._channel = channel
        self.session: HostSession | None = None
        if (session := envelope["session"]) is not None:
            kind = AsyncHostSession if is_async else HostSession
            self.session = kind(channel, session["earlier"])
        self.task_id = UUID(envelope["task_id"])
        self.attempt: int = envelope["attempt"]
        self.project: str = envelope["project"]
        self.title: str = envelope["title"]
        self.input: Json = envelope["input"]
        self.labels: Mapping[str, str] = envelope["labels"]
        self.workspace = Path(envelope["workspace"])
        self.dependencies = {
            name: replace(Dependency(**each), task_id=UUID(each["task_id"]))
            for name, each in envelope["dependencies"].items()
        }
        self._kept = 0

    def log(self, text: str, stream: Stream = "agent") -> None:
        """See ``FunctionContext``."""
        self._channel.send("log", text=text, stream=stream)

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """See ``FunctionContext``."""
        self._channel.send("progress", fraction=fraction, note=note)

    def usage(self, **counts: float) -> None:
        """See ``FunctionContext``."""
        self._channel.send("usage", **counts)

    def heartbeat(self) -> None:
        """See ``FunctionContext``."""
        self._channel.send("heartbeat")

    def artifact(
        self, name: str, content: bytes | Path, content_type: str = "application/octet-stream"
    ) -> _Done:
        """Copy it into the workspace, where the worker takes it from."""
        self._kept += 1
        copy = self.workspace / ".podium" / f"artifact-{os.getpid()}-{self._kept}"
        if isinstance(content, bytes):
            copy.write_bytes(content)
        else:
            shutil.copyfile(content, copy)
        self._channel.send("artifact", name=name, path=str(copy), content_type=content_type)
        return _Done()


def _take_over_stdout() -> tuple[_Channel, _Prints]:
    channel = _Channel(os.dup(1))
    os.dup2(2, 1)
    prints = _Prints(channel)
    sys.stdout = io.TextIOWrapper(
        prints, encoding="utf-8", errors="backslashreplace", write_through=True
    )
    return channel, prints


def _terminate(*_: object) -> NoReturn:
    """Let ``finally`` and ``with`` clean up before the grace is over."""
    sys.exit(_TERMINATED)


def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio  # it takes as long to import as everything else here together

    return asyncio.run(coroutine)


def main(reference: str, prefixes: Sequence[str]) -> int:
    """Run the function; the exit status."""
    os.environ.pop("PYTHONPATH", None)  # it was for this interpreter, not for what it starts
    signal.signal(signal.SIGTERM, _terminate)
    channel, prints = _take_over_stdout()
    envelope = json.loads(Path(os.environ["PODIUM_INPUT"]).read_bytes())
    try:
        function = load(reference, prefixes)
        returned = function(
            envelope["input"], lambda: HostContext(channel, envelope, is_async=function.is_async)
        )
        output = to_json(_awaited(returned) if inspect.iscoroutine(returned) else returned)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the attempt's outcome
        failure = failure_of(error)
        told = failure.as_dict()
        if failure.retry_after is not None:
            told["retry_after"] = failure.retry_after
        prints.finish()
        channel.send("error", **told)
        return 1
    prints.finish()
    channel.send("result", output=output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
