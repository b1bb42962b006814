"""Building small repositories for the tests, with fixed authors and times."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

NOW = 1_790_000_000
"""The moment that the tests count ages from: 2026-09-21."""

DAY = 86_400


class Recorder:
    """The context of a part: keeps what the part reports."""

    def __init__(self, **dependencies: object) -> None:
        self.dependencies: Mapping[str, object] = dependencies
        self.logged: list[str] = []
        self.reported: list[tuple[float | None, str | None]] = []
        self.kept: dict[str, str] = {}

    def log(self, text: str) -> None:
        self.logged.append(text)

    def progress(self, fraction: float | None, note: str | None = None) -> None:
        self.reported.append((fraction, note))

    def artifact(self, name: str, path: Path) -> None:
        self.kept[name] = path.read_text(encoding="utf-8")


class Repo:
    """A repository in ``path``."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *options)

    def git(self, *arguments: str, when: int = NOW, author: str = "Ada", feed: bytes = b"") -> str:
        """Run git the ordinary way; returns its output."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": author,
            "GIT_AUTHOR_EMAIL": f"{author.lower().replace(' ', '.')}@example.org",
            "GIT_COMMITTER_NAME": author,
            "GIT_COMMITTER_EMAIL": f"{author.lower().replace(' ', '.')}@example.org",
            "GIT_AUTHOR_DATE": f"{when} +0000",
            "GIT_COMMITTER_DATE": f"{when} +0000",
            "PYTHON": sys.executable,
        }
        ended = subprocess.run(
            ["git", *arguments], cwd=self.path, env=env, input=feed, capture_output=True, check=True
        )
        return ended.stdout.decode().strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files into the working tree."""
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(
        self,
        files: Mapping[str, str | bytes],
        message: str = "change",
        *,
        author: str = "Ada",
        days_ago: float = 1,
    ) -> str:
        """Write the files and commit everything; returns the commit."""
        self.write(files)
        self.git("add", "-A", "-f")
        when = int(NOW - days_ago * DAY)
        self.git("commit", "-q", "--allow-empty", "-m", message, when=when, author=author)
        return self.git("rev-parse", "HEAD")

    def commit_paths(self, paths: Mapping[bytes, bytes]) -> str:
        """Commit files of any name, hostile ones too, without a working tree."""
        stream = b"commit refs/heads/main\ncommitter Ada <a@example.org> %d +0000\n" % (NOW - DAY)
        stream += b"data 4\nodd\n\n"
        for path, content in paths.items():
            quoted = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
            stream += b'M 100644 inline "%s"\ndata %d\n%s\n' % (quoted, len(content), content)
        self.git("fast-import", "--quiet", "--force", feed=stream)
        return self.git("rev-parse", "HEAD")


def run(part: Any, repo: Path | Repo, recorder: Recorder | None = None, **given: Any) -> Any:
    """Run a part's module on a repository; checks what holds for every part's output."""
    path = repo.path if isinstance(repo, Repo) else repo
    ctx = recorder or Recorder()
    output = part.run({"repo": str(path), "now": NOW, **given}, ctx)
    assert len(json.dumps(output, ensure_ascii=False).encode("utf-8")) <= 200_000
    assert {"summary", "findings", "details", "notes", "could_not_run", "truncated"} <= set(output)
    fractions = [fraction for fraction, _ in ctx.reported if fraction is not None]
    assert fractions == sorted(fractions), "progress only grows"
    assert fractions[-1] == 1.0
    assert all(note for _, note in ctx.reported)
    return cast("dict[str, Any]", output)


def findings(output: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The findings of one kind."""
    return [finding for finding in output["findings"] if finding["kind"] == kind]


def rows(output: dict[str, Any], table: str, key: str) -> dict[Any, dict[str, Any]]:
    """A table of the details by one of its columns."""
    return {row[key]: row for row in output["details"][table]}
