"""Nothing hangs without a word when nothing can run."""

import subprocess
from pathlib import Path

from installation import Installation, interrupt


def reason(process: "subprocess.Popen[str]") -> str:
    """What the command says of a task that does not start."""
    assert process.stderr is not None
    for said in process.stderr:
        if said.startswith("It has not started yet: "):
            interrupt(process)
            process.communicate(timeout=60)
            return said
    raise AssertionError(process.wait(10))


def test_without_workers_it_is_told_that_there_are_none(
    fresh: Installation, tmp_path: Path
) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    assert fresh.podium("up", "--detach", "--workers", "0").status == 0
    assert fresh.podium("agent", "add", "echo", "--", "cat").status == 0
    assert "worker" in reason(fresh.begin("ask", "x", "-a", "echo"))
    assert "worker" in reason(fresh.begin("ask", "x", "-a", "echo", "--timeout", "2"))
    out = str(tmp_path / "out")
    assert "worker" in reason(fresh.begin("run", "checkup", "-r", str(tmp_path), "-o", out))
