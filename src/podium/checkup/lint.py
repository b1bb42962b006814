"""lint: syntax and likely faults, in any language, without running code of the repository."""

import os

from podium.checkup import languages
from podium.checkup.context import Context, Json, number
from podium.checkup.linters import data, external, python
from podium.checkup.linters.issues import Issues
from podium.checkup.output import Output
from podium.checkup.part import Deadline, Progress, begin
from podium.checkup.repository import Repository
from podium.checkup.text import plural


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Check the snapshot with the linters at hand.

    ``input``: ``repo``, ``head``, ``seconds`` (default 120), ``run_project_tools`` (default
    false: linters that run the repository's code are left out). ``details``: ``tools``,
    ``rules`` (with up to three examples each), ``worst_files``.
    """
    repository, options = begin(input, ctx)
    deadline = Deadline(number(options.get("seconds"), 120))
    issues = Issues()
    ctx.progress(0.02, "listing the files")
    tree = repository.tree()
    entries = [entry for entry in tree.files if languages.is_own(entry.path)]
    with repository.reader() as reader:
        ctx.progress(0.05, "running ruff")
        python.check(entries, reader, deadline, issues)
        ctx.progress(0.4, "parsing data files")
        data.check(tree.files, reader, deadline, Progress(ctx, 0.4, 0.7), issues)
    ctx.progress(0.7, "looking for marks of unfinished merges")
    _conflicts(repository, deadline, issues)
    external.check(
        repository,
        repository.code(tree),
        entries,
        deadline,
        Progress(ctx, 0.75, 1.0),
        issues,
        project_tools=options.get("run_project_tools") is True,
    )
    output = Output()
    issues.describe(output)
    ctx.progress(1.0, f"{plural(int(str(output.summary['issues'])), 'issue')} found")
    return output.as_json()


def _conflicts(repository: Repository, deadline: Deadline, issues: Issues) -> None:
    """Files with both the opening and the closing mark of a merge conflict."""
    opened: dict[str, int] = {}
    pattern = "^(<<<<<<<|>>>>>>>) [^ ]"
    for path, line, text in repository.grep(
        "-n", "-E", "-e", pattern, fields=3, seconds=deadline.left()
    ):
        name = os.fsdecode(path)
        if text.startswith(b"<"):
            opened.setdefault(name, int(line))
        elif name in opened:
            message = "the file holds the marks of an unfinished merge"
            issues.add("git", "merge-conflict", "high", name, opened.pop(name), message)
