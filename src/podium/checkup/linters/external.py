"""Running the linters of ``tools``; the shell's own check where shellcheck is missing."""

import re
import shutil
import tempfile
from pathlib import Path

from podium.checkup.detectors import redact
from podium.checkup.linters.issues import Issues
from podium.checkup.linters.materialise import write
from podium.checkup.linters.process import Ended, run
from podium.checkup.linters.tools import PROJECT, SAFE, SHELLCHECK, Tool
from podium.checkup.part import Deadline, Progress
from podium.checkup.repository import Entry, Reader, Repository
from podium.checkup.text import clean, plural, shorten

_BATCH = 100
_MAX_FILES = 3_000
_SHELL = re.compile(rb"#!.*\b(ba|da|k)?sh\b(?! *-c)")
_BASH_SAYS = re.compile(r"line (\d+): (.*)")


def check(
    repository: Repository,
    code: dict[str, tuple[Entry, str]],
    entries: list[Entry],
    deadline: Deadline,
    progress: Progress,
    issues: Issues,
    *,
    project_tools: bool,
) -> None:
    """Run what is installed and safe, and the project's own linters if ``project_tools``."""
    with repository.reader() as reader:
        for place, tool in enumerate(SAFE):
            progress.at(place, len(SAFE), f"running {tool.name}")
            if tool is SHELLCHECK:
                chosen = _shell_scripts(code, reader)
            else:
                chosen = [entry for entry in entries if tool.applies(entry.path)]
            if not chosen:
                continue
            if shutil.which(tool.argv[0]):
                _run_on_copy(tool, chosen, reader, deadline, issues)
            else:
                _missing(tool, f"not installed ({plural(len(chosen), 'file')} to check)", issues)
                if tool is SHELLCHECK:
                    _bash(chosen, reader, deadline, issues)
    for tool in PROJECT:
        if any(tool.applies(path) for path in code):
            _run_in_project(tool, repository, deadline, issues, allowed=project_tools)


def _missing(tool: Tool, why: str, issues: Issues, how: str | None = None) -> None:
    issues.missing.append({"tool": tool.name, "why": why, "how_to_get": how or tool.how_to_get})


def _shell_scripts(code: dict[str, tuple[Entry, str]], reader: Reader) -> list[Entry]:
    """Scripts for sh, bash, dash or ksh: by the first line, else by the extension."""
    chosen: list[Entry] = []
    for path, (entry, language) in code.items():
        if language != "Shell" or entry.size > 500_000:
            continue
        first = reader.read(entry).split(b"\n", 1)[0]
        if _SHELL.match(first) or (first[:2] != b"#!" and path.endswith((".sh", ".bash"))):
            chosen.append(entry)
    return chosen


def _run_on_copy(
    tool: Tool, entries: list[Entry], reader: Reader, deadline: Deadline, issues: Issues
) -> None:
    """Run a tool on copies, so that it can neither change a file nor find others around it."""
    if len(entries) > _MAX_FILES:
        issues.cuts.append((tool.name, f"the first {_MAX_FILES:,} of {len(entries):,} files"))
    with tempfile.TemporaryDirectory(prefix="checkup-") as directory:
        root = Path(directory)
        written, left_out = write(root, entries[:_MAX_FILES], reader)
        if left_out:
            issues.cuts.append((tool.name, f"{plural(left_out, 'file')} could not be copied"))
        for start in range(0, len(written), _BATCH):
            if deadline.passed:
                issues.cuts.append((tool.name, f"{start:,} of {len(written):,} files were checked"))
                break
            files = [f"./{path}" for path in written[start : start + _BATCH]]
            ended = run([*tool.argv, *files], root, deadline.left())
            if not _report(tool, ended, root, issues):
                return
        issues.ran(tool.name, len(written))


def _run_in_project(
    tool: Tool, repository: Repository, deadline: Deadline, issues: Issues, *, allowed: bool
) -> None:
    if not allowed:
        how = "--run-project-tools, for a repository that you trust"
        _missing(tool, f"{tool.why_not}; off unless allowed", issues, how)
        return
    program = repository.top / tool.argv[0] if "/" in tool.argv[0] else tool.argv[0]
    if repository.bare:
        _missing(tool, "it needs a working tree, and this repository is bare", issues)
    elif not shutil.which(program):
        _missing(tool, "not installed", issues)
    else:
        ended = run([str(program), *tool.argv[1:]], repository.top, deadline.left(), home=True)
        if _report(tool, ended, repository.top, issues):
            issues.ran(tool.name, 0, whole_project=True)


def _report(tool: Tool, ended: Ended, root: Path, issues: Issues) -> bool:
    """Count what the tool found; False when it did not work."""
    found = list(tool.parse(ended.output))
    if ended.status is None:
        issues.cuts.append((tool.name, "it took too long and was ended"))
    elif ended.status > 1 and not found:
        said = shorten(clean(redact(" ".join(ended.errors.split()))), 200)
        why = said or "it gave no reason"
        _missing(tool, f"it ended with status {ended.status}: {why}", issues, "run it by hand")
        return False
    for said in found:
        path = said.path.removeprefix(f"{root}/").removeprefix("./")
        issues.add(tool.name, said.rule, said.severity, path, said.line, said.message)
    return True


def _bash(entries: list[Entry], reader: Reader, deadline: Deadline, issues: Issues) -> None:
    """``bash -n``: reads a script without running any of it."""
    bash = shutil.which("bash")
    if bash is None:
        return
    with tempfile.TemporaryDirectory(prefix="checkup-") as directory:
        script = Path(directory) / "script"
        for place, entry in enumerate(entries[:_MAX_FILES]):
            if deadline.passed:
                issues.cuts.append(("bash -n", f"{place:,} of {len(entries):,} files were read"))
                break
            content = reader.read(entry)
            script.write_bytes(content)
            # A script that turns extended patterns on itself is else refused here.
            patterns = ["-O", "extglob"] if b"extglob" in content else []
            argv = [bash, "--norc", "--noprofile", *patterns, "-n", "script"]
            ended = run(argv, Path(directory), deadline.left())
            said = _BASH_SAYS.search(ended.errors)
            if ended.status and said:
                line, message = int(said[1]), said[2].partition("`")[0]
                issues.add("bash -n", "parse-error", "high", entry.path, line, message)
    issues.ran("bash -n", len(entries))
