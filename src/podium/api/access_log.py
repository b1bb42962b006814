"""One line per request, in the log file beside all others.

Formatting a line like other log lines costs half a millisecond, which is more than a request may:
lines are gathered here and written together, four times a second.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from logging import INFO, Formatter, LogRecord
from pathlib import Path
from typing import Any

import orjson

from podium.kernel import background
from podium.kernel.redaction import redact_text
from podium.kernel.telemetry import LogFile

_FLUSH_SECONDS = 0.25
_MOST_WAITING = 20_000


class AccessLog:
    """Gathers and writes access lines. Query strings and headers never get here."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._waiting: list[tuple[float, Mapping[str, Any]]] = []
        self._dropped = 0
        self._writer: asyncio.Task[None] | None = None

    def add(self, fields: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((time.time(), fields))
        else:
            self._dropped += 1

    async def open(self) -> None:
        """Start writing; without a path nothing is ever written."""
        if self._path is not None:
            self._writer = asyncio.create_task(self._write_on(LogFile(self._path)))

    async def close(self) -> None:
        """Write what is waiting."""
        await background.end(self._writer)

    async def _write_on(self, file: LogFile) -> None:
        file.setFormatter(Formatter("%(message)s"))
        try:
            while True:
                await asyncio.sleep(_FLUSH_SECONDS)
                await asyncio.to_thread(self._write, file)
        finally:
            self._write(file)
            file.close()

    def _write(self, file: LogFile) -> None:
        lines, self._waiting = self._waiting, []
        if self._dropped:
            lines.append((time.time(), {"event": "requests.not_logged", "count": self._dropped}))
            self._dropped = 0
        if lines:
            text = "\n".join(_line(at, fields) for at, fields in lines)
            file.emit(LogRecord(__name__, INFO, "", 0, text, None, None))


def _line(at: float, fields: Mapping[str, Any]) -> str:
    line: dict[str, Any] = {
        "event": "request",
        **fields,
        "level": "info",
        "logger": __name__,
        "time": datetime.fromtimestamp(at, UTC),
        "process": "api",
        "pid": os.getpid(),
    }
    if "path" in line:
        line["path"] = redact_text(line["path"])[:500]
    return orjson.dumps(line, default=str).decode()
