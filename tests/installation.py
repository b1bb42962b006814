"""A whole Podium as a user has it: started, used and stopped by the ``podium`` command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import in_process
from in_process import Said

INTERRUPT_AFTER_SECONDS = 1.0
"""A command is interrupted once it waits; while it loads it has nothing to say."""


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Send what Ctrl-C sends, to a command that soon waits."""
    time.sleep(INTERRUPT_AFTER_SECONDS)
    process.send_signal(signal.SIGINT)


class Installation:
    """One data directory."""

    def __init__(self, home: Path, database_url: str | None = None) -> None:
        self.home = home
        self.database_url = database_url
        self._begun: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")}
        made = {"PODIUM_HOME": str(self.home), "PODIUM_PORT": "0", "COLUMNS": "200"}
        if self.database_url is not None:
            made["PODIUM_DATABASE_URL"] = self.database_url
        return {**kept, **made}

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
        """Run one command to its end, in this process where that can be."""
        whole = {**self.environment, **environment}
        if in_process.possible():
            with suppress(in_process.Replaced):
                return in_process.run(arguments, stdin, cwd, whole)
        done = subprocess.run(
            self.argv(*arguments),
            env=whole,
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def begin(
        self, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        """Start a command that goes on; the caller ends it, or ``end_all`` does."""
        process = subprocess.Popen(
            self.argv(*arguments),
            env={**self.environment, **(environment or {})},
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
