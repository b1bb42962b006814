"""A repository whose configuration names programs must not get any of them run.

Every kind of trap is first sprung by git itself, so that a trap that does nothing is noticed.
"""

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.checkup import (
    dependencies,
    history,
    large_files,
    lint,
    secret_scan,
    survey,
    tests,
    todos,
)
from slices.checkup.repos import Recorder, Repo, run

PARTS = (survey, history, lint, secret_scan, dependencies, todos, large_files, tests)


class Trap:
    """A repository, and a program that leaves a mark when anything runs it."""

    def __init__(self, repo: Repo, directory: Path) -> None:
        self.repo = repo
        self.mark = directory / "sprung"
        self.program = directory / "trap.sh"
        self.program.write_text(f'#!/bin/sh\necho "$0 $*" >> {self.mark}\n')
        self.program.chmod(0o755)

    def spring(self, *arguments: str) -> bool:
        """Run git the ordinary way; whether the trap was sprung. The mark is taken away."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.repo.git(*arguments)
        sprung = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return sprung


@pytest.fixture
def trap(repo: Repo, tmp_path: Path) -> Trap:
    repo.commit({"a.py": "# TODO: mend\npassword = 'quite-A-secret-9'\n", ".gitignore": "x\n"})
    repo.commit({"a.py": "# TODO: mend\npassword = 'quite-A-secret-8'\n"})
    return Trap(repo, tmp_path)


def _everything(trap: Trap) -> None:
    surveyed = {"survey": {"state": "succeeded", "output": run(survey, trap.repo)}}
    for part in PARTS:
        run(part, trap.repo, Recorder(**surveyed))
    assert not trap.mark.exists(), trap.mark.read_text()


def _fsmonitor(trap: Trap) -> bool:
    trap.repo.git("config", "core.fsmonitor", str(trap.program))
    return trap.spring("status")


def _text_conversion(trap: Trap) -> bool:
    trap.repo.commit({".gitattributes": "*.py diff=evil\n"})
    trap.repo.git("config", "diff.evil.textconv", str(trap.program))
    trap.repo.git("config", "diff.evil.command", str(trap.program))
    return trap.spring("blame", "HEAD", "--", "a.py")


def _external_diff(trap: Trap) -> bool:
    trap.repo.git("config", "diff.external", str(trap.program))
    return trap.spring("diff", "HEAD~1", "HEAD")


def _signature(trap: Trap) -> bool:
    trap.repo.git("config", "log.showSignature", "true")
    trap.repo.git("config", "gpg.program", str(trap.program))
    signed = trap.repo.git("cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n", 1
    )
    commit = trap.repo.git("hash-object", "-t", "commit", "-w", "--stdin", feed=signed.encode())
    trap.repo.git("update-ref", "refs/heads/main", commit)
    return trap.spring("log", "-1")


def _filter(trap: Trap) -> bool:
    trap.repo.commit({".gitattributes": "*.py filter=evil\n"})
    trap.repo.git("config", "filter.evil.clean", str(trap.program))
    trap.repo.git("config", "filter.evil.smudge", str(trap.program))
    (trap.repo.path / "a.py").write_text("changed = 1\n")
    return trap.spring("diff")


def _promisor(trap: Trap) -> bool:
    """A partial clone whose missing object would be fetched by a program."""
    blob = trap.repo.git("rev-parse", "HEAD:a.py")
    (trap.repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": f"ext::{trap.program}",
        "remote.origin.promisor": "true",
        "protocol.ext.allow": "always",
        "protocol.allow": "always",
    }.items():
        trap.repo.git("config", name, value)
    return trap.spring("cat-file", "-p", blob)


def _included(trap: Trap) -> bool:
    """The same by a file that the configuration includes."""
    other = trap.repo.path / ".git" / "more"
    other.write_text(f"[core]\n\tfsmonitor = {trap.program}\n\thooksPath = {trap.program.parent}\n")
    trap.repo.git("config", "include.path", "more")
    return trap.spring("status")


TRAPS: tuple[Callable[[Trap], bool], ...] = (
    _fsmonitor,
    _text_conversion,
    _external_diff,
    _signature,
    _filter,
    _included,
)


@pytest.mark.parametrize("lay", TRAPS)
def test_no_program_of_the_configuration_runs(trap: Trap, lay: Callable[[Trap], bool]) -> None:
    assert lay(trap), "the trap itself does not work"
    _everything(trap)


def test_a_partial_clone_starts_no_transport(trap: Trap) -> None:
    assert _promisor(trap), "the trap itself does not work"
    for part in PARTS:
        # Parts may fail for the missing object, but nothing may be run to get it.
        with contextlib.suppress(Exception):
            run(part, trap.repo)
    assert not trap.mark.exists(), trap.mark.read_text()


def test_settings_that_change_answers_are_overridden(trap: Trap) -> None:
    before = {part: run(part, trap.repo)["summary"] for part in PARTS}
    for name, value in {
        "core.quotePath": "true",
        "grep.patternType": "fixed",
        "grep.column": "true",
        "grep.fullName": "true",
        "color.ui": "always",
        "blame.ignoreRevsFile": "/nonexistent",
        "mailmap.file": "/nonexistent",
        "log.showRoot": "false",
        "diff.renames": "copies",
        "diff.orderFile": "/nonexistent",
        "core.worktree": "/",
        "submodule.recurse": "true",
        "log.date": "relative",
        "core.abbrev": "4",
    }.items():
        trap.repo.git("--git-dir=.git", "config", name, value)
    after = {part: run(part, trap.repo)["summary"] for part in PARTS}
    assert after == before


def test_modules_beside_the_repository_are_not_imported(repo: Repo) -> None:
    """``python -m`` would import from the working directory first."""
    from podium.checkup.graph import agents

    for draft in agents():
        if draft["runtime"] == "command":
            assert "-I" in draft["config"]["command"]
    repo.commit({"json.py": "raise SystemExit('imported')\n", "podium.py": "raise SystemExit(9)\n"})
    command = next(d["config"]["command"] for d in agents() if d["runtime"] == "command")
    subprocess.run([*command, "--repo", "."], cwd=repo.path, capture_output=True, check=True)
