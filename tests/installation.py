"""A whole Podium as a user has it: started, used and stopped by the ``podium`` command."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Installation:
    """One data directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._begun: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")}
        return {**kept, "PODIUM_HOME": str(self.home), "PODIUM_PORT": "0", "COLUMNS": "200"}

    def start(self) -> None:
        """Raises when it does not come up."""
        said = self.podium("up", "--detach")
        assert said.status == 0, said

    def stop(self) -> None:
        said = self.podium("down")
        assert said.status == 0, said

    def podium(
        self, *arguments: str, stdin: str = "", cwd: Path | None = None, **environment: str
    ) -> Said:
        """Run one command to its end."""
        done = subprocess.run(
            self.argv(*arguments),
            env={**self.environment, **environment},
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def begin(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command that goes on; the caller ends it, or ``end_all`` does."""
        process = subprocess.Popen(
            self.argv(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self._begun.append(process)
        return process

    def end_all(self) -> None:
        """End what a failed test has left."""
        for process in self._begun:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self._begun.clear()

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "podium.cli", *arguments]
