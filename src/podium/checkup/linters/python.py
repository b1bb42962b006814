"""Python: ruff, with the repository's own configuration where it has one.

Ruff's configuration is only data, it has no plugins; what it could make ruff do to files (fix,
write a cache) is switched off, and ruff sees a copy.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from podium.checkup import languages
from podium.checkup.context import Json, mapping, string, whole
from podium.checkup.detectors import redact
from podium.checkup.linters.issues import Issues
from podium.checkup.linters.materialise import write
from podium.checkup.linters.process import Ended, run
from podium.checkup.output import Severity
from podium.checkup.part import Deadline
from podium.checkup.repository import Entry, Reader
from podium.checkup.text import clean, plural, shorten

_SELECT = ("E7", "E9", "F", "B", "PLE", "W605")
_CONFIGS = ("ruff.toml", ".ruff.toml", "pyproject.toml")
_MAX_FILES = 30_000
_LIKELY_BUG = ("F50", "F52", "F6", "F7", "F82", "PLE", "E9", "B006", "B015", "B018", "B023")


def check(entries: list[Entry], reader: Reader, deadline: Deadline, issues: Issues) -> None:
    """Run ruff over the Python files among ``entries``."""
    python = [
        entry
        for entry in entries
        if languages.language(entry.path) == "Python" and languages.extension(entry.path) in _READ
    ]
    if not python:
        return
    from ruff import find_ruff_bin

    configs = [entry for entry in entries if entry.path.rpartition("/")[2] in _CONFIGS]
    if len(python) > _MAX_FILES:
        issues.cuts.append(("ruff", f"the first {_MAX_FILES:,} of {len(python):,} files"))
    with tempfile.TemporaryDirectory(prefix="checkup-") as directory:
        root = Path(directory)
        own = _write_config(root, configs, reader)
        written, left_out = write(root, python[:_MAX_FILES], reader)
        if left_out:
            issues.cuts.append(("ruff", f"{plural(left_out, 'file')} could not be copied"))
        ended = _ruff(find_ruff_bin(), root, deadline, isolated=False)
        if own and ended.status == 2:
            why = _said(ended.errors.replace(directory, "."))
            issues.notes.append(f"ruff could not use the repository's configuration: {why}")
            own = False
            ended = _ruff(find_ruff_bin(), root, deadline, isolated=True)
        _report(ended, root, written, issues)
    rules = "the repository's own" if own else f"a choice for likely faults ({', '.join(_SELECT)})"
    issues.ran("ruff", len(written), _version(find_ruff_bin(), ended), rules=rules)


def _version(binary: str, ended: Ended) -> str | None:
    if ended.status is None:  # it would keep us waiting for this as well
        return None
    return run([binary, "--version"], Path("/"), 10).output.strip().removeprefix("ruff ")


_READ = frozenset({"py", "pyi", "pyw"})


def _write_config(root: Path, configs: list[Entry], reader: Reader) -> bool:
    """Copy the configurations; True when one of them is for ruff.

    Without one at the top, ruff would look for one in the directories above the copy.
    """
    wanted: list[Entry] = []
    for entry in configs:
        is_pyproject = entry.path.endswith("pyproject.toml")
        if not is_pyproject or "[tool.ruff" in reader.text(entry):
            wanted.append(entry)
    write(root, configs, reader)
    if not any("/" not in entry.path for entry in wanted):
        chosen = ", ".join(f'"{rule}"' for rule in _SELECT)
        (root / "ruff.toml").write_text(f"[lint]\nselect = [{chosen}]\n")
    return bool(wanted)


def _ruff(binary: str, root: Path, deadline: Deadline, *, isolated: bool) -> Ended:
    argv = [binary, "check", "--quiet", "--no-cache", "--no-fix", "--no-fix-only", "--exit-zero"]
    argv += ["--no-respect-gitignore", "--output-format", "json-lines"]
    if isolated:
        argv += ["--isolated", "--select", ",".join(_SELECT)]
    return run([*argv, "."], root, deadline.left())


def _report(ended: Ended, root: Path, written: list[str], issues: Issues) -> None:
    # Ruff replaces bytes of a path that are no UTF-8.
    paths = {os.fsencode(path).decode("utf-8", "replace"): path for path in written}
    if ended.status is None:
        issues.cuts.append(("ruff", "it took too long; what it had found is counted"))
    elif ended.status:
        why = _said(ended.errors)
        issues.missing.append(
            {
                "tool": "ruff",
                "why": f"it ended with status {ended.status}: {why}",
                "how_to_get": "run 'ruff check' in the repository",
            }
        )
    for item in _lines(ended.output):
        code = string(item.get("code")) or "invalid-syntax"
        name = string(item.get("name"))
        row = whole(mapping(item.get("location")).get("row"), 1)
        file = Path(string(item.get("filename")))
        path = str(file.relative_to(root)) if file.is_relative_to(root) else file.name
        issues.add(
            "ruff",
            code,
            _severity(code),
            paths.get(path, path),
            row,
            string(item.get("message")),
            name=name or None,
            url=string(item.get("url")) or None,
        )


def _said(errors: str) -> str:
    return shorten(clean(redact(" ".join(errors.split()))), 300)


def _lines(text: str) -> Iterable[dict[str, Json]]:
    for line in text.splitlines():
        try:
            yield mapping(cast("object", json.loads(line)))
        except ValueError:
            return  # the last line of a run that was ended


def _severity(code: str) -> Severity:
    if code == "invalid-syntax":
        return "high"
    return "medium" if code.startswith(_LIKELY_BUG) else "low"
