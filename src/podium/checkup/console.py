"""Parts as programs: the JSON-lines protocol for Podium, readable lines for a person."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from podium.checkup.context import Json


class ProtocolContext:
    """Reports by Podium's JSON-lines protocol: one object a line on ``stream``."""

    def __init__(self, dependencies: Mapping[str, object], stream: TextIO) -> None:
        self.dependencies = dependencies
        self._stream = stream

    def log(self, text: str) -> None:
        """See ``Context``."""
        self.send("log", text=text)

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """See ``Context``."""
        self.send("progress", fraction=fraction, note=note)

    def artifact(self, name: str, path: Path) -> None:
        """See ``Context``."""
        self.send("artifact", name=name, path=str(path))

    def send(self, kind: str, **fields: Json) -> None:
        """Write one message."""
        self._stream.write(json.dumps({"podium": kind, **fields}) + "\n")
        self._stream.flush()


class PartContext(ProtocolContext):
    """The same for one of several parts that are one attempt: its progress is a part of theirs."""

    def __init__(
        self, dependencies: Mapping[str, object], stream: TextIO, part: str, begun: float, all_: int
    ) -> None:
        super().__init__(dependencies, stream)
        self._part = part
        self._begun = begun
        self._all = all_

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """See ``Context``."""
        told = f"{self._part}: {note}" if note else self._part
        super().progress((self._begun + (fraction or 0)) / self._all, told)


class PersonContext:
    """Says on standard error what is going on, for a person who runs a part by hand."""

    def __init__(self, dependencies: Mapping[str, object], part: str) -> None:
        self.dependencies = dependencies
        self._part = part
        self._started = time.monotonic()

    def log(self, text: str) -> None:
        """See ``Context``."""
        self._say(text)

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        """See ``Context``."""
        share = "   " if fraction is None else f"{fraction:>4.0%}"
        self._say(f"{share} {note or ''}".rstrip())

    def artifact(self, name: str, path: Path) -> None:
        """See ``Context``."""
        self._say(f"wrote {path} ({name})")

    def _say(self, text: str) -> None:
        elapsed = time.monotonic() - self._started
        sys.stderr.write(f"{self._part:12} {elapsed:6.1f} s  {text}\n")
