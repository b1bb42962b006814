"""What the README tells a new user to type works as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

from installation import Installation

ROOT = Path(__file__).parents[2]


def blocks(language: str, heading: str) -> list[str]:
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def test_use_it(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "home")
    (shell,), (python,) = blocks("sh", "Use it"), blocks("python", "Use it")
    activate, *commands = shell.splitlines()
    assert activate == "source .venv/bin/activate"
    assert commands.pop() == "podium down"
    live = next(place for place, each in enumerate(commands) if each.startswith("podium top "))
    commands[live] = "podium top --once"  # nobody sits at a terminal here
    script = "\n".join(["set -e", *commands, f"python - <<'END'\n{python}\nEND"])
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            env=installation.environment
            | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("HELLO\n") == 2  # what `ask` streams, what Python prints
    finally:
        installation.stop()
