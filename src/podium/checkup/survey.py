"""survey: what kind of repository this is. The other parts start from what it finds."""

import time
from collections import Counter
from datetime import UTC, datetime

from podium.checkup import languages
from podium.checkup.context import CheckupError, Context, Json, mapping, number, string
from podium.checkup.opening import branches, open_to_survey
from podium.checkup.output import Output
from podium.checkup.paths import path_of
from podium.checkup.repository import Entry, Repository, Tree
from podium.checkup.text import display, plural, without_credentials

_README = ("readme", "readme.md", "readme.rst", "readme.txt", "readme.adoc", "readme.org")
_SUBMODULES_NAMED = 10
_PROMISES = r"^(extensions\.partialclone|remote\..*\.promisor)$"
"""Settings of a partial clone; git writes the second, versions before 2.22 the first."""

_LICENCE = ("licence", "license", "copying", "unlicense")


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Survey the repository at ``input["repo"]``.

    ``input``: ``repo`` (absolute path), ``head`` (commit, optional). ``details`` has
    ``repository`` (``top``, ``git_dir``, ``head``, ``branch``, ``bare``, ``shallow`` …) and
    ``languages`` (``name``, ``files``, ``lines``, ``bytes``, ``code``), the largest first.
    """
    given = mapping(input)
    path = string(given.get("repo"))
    if not path:
        raise CheckupError("invalid_input", "repo_missing", "the input names no repository")
    ctx.progress(0.05, "opening the repository")
    repository = open_to_survey(path_of(path), string(given.get("head")) or None)
    ctx.progress(0.2, "listing the tracked files")
    tree = repository.tree()
    ctx.progress(0.4, f"counting lines of {plural(len(tree.files), 'file')}")
    seconds = number(given.get("seconds"), 60)
    lines, complete = repository.line_counts(seconds=seconds)
    output = Output()
    if not complete:
        output.cut("line counts", f"counting took longer than {seconds:g} s")
    if tree.left_out:
        output.cut("files", f"only the first {len(tree.files):,} tracked files are looked at")
    _describe(repository, tree, lines, output)
    ctx.progress(1.0, f"{plural(len(tree.files), 'file')} surveyed")
    return output.as_json()


def _describe(repository: Repository, tree: Tree, lines: dict[str, int], output: Output) -> None:
    facts = _facts(repository)
    output.details["repository"] = facts
    code = repository.code(tree)
    output.details["languages"] = _languages(tree, code, lines)
    output.details["submodules"] = [display(entry.path) for entry in tree.submodules[:100]]
    output.summary = {
        "commits": facts["commits"],
        "files": len(tree.files),
        "missing_files": len(tree.missing),
        "bytes": sum(entry.size for entry in tree.files),
        "code_files": len(code),
        "code_lines": sum(lines.get(path, 0) for path in code),
        "symlinks": len(tree.symlinks),
        "submodules": len(tree.submodules),
    }
    _notes(repository, tree, facts, output)
    _missing(tree, output, partial=bool(facts["partial"]))
    _housekeeping(tree, output)


def _facts(repository: Repository) -> dict[str, Json]:
    runner = repository.git
    head = repository.head
    facts: dict[str, Json] = {
        "name": display(_name(repository)),
        "top": display(str(repository.top)),
        "git_dir": display(str(repository.git_dir)),
        "head": head,
        "branch": _branch(repository),
        "bare": repository.bare,
        "shallow": repository.shallow,
        "partial": is_partial(repository),
        "linked_worktree": repository.git_dir.resolve() != repository.common_dir,
        "remotes": _remotes(repository),
        "commits": int(runner.text("rev-list", "--count", head)) if head else 0,
        "last_commit": _moment(repository, head) if head else None,
        "looked_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "git": runner.text("version").removeprefix("git version "),
    }
    return facts


def is_partial(repository: Repository) -> bool:
    """Whether it is a partial clone, which lacks contents and is not damaged for that."""
    return bool(repository.ask("config", "--get-regexp", _PROMISES))


def _name(repository: Repository) -> str:
    name = repository.top.name
    if name in {".git", ""}:
        name = repository.top.parent.name
    return name.removesuffix(".git") or "repository"


def _branch(repository: Repository) -> str | None:
    """The branch that HEAD names; None where the commit that is looked at is not its last one."""
    if not _is_at_head(repository):
        return None
    return display(repository.ask("symbolic-ref", "--short", "--quiet", "HEAD") or "") or None


def _is_at_head(repository: Repository) -> bool:
    return repository.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}") == repository.head


def _remotes(repository: Repository) -> list[Json]:
    """Names and addresses; a token in an address is left out."""
    remotes: list[Json] = []
    found = repository.ask("config", "-z", "--get-regexp", r"^remote\..*\.url$") or ""
    for record in found.split("\0")[:10]:
        key, _, url = record.partition("\n")
        name = key.removeprefix("remote.").removesuffix(".url")
        if url:
            remotes.append({"name": name, "url": without_credentials(url)})
    return remotes


def _moment(repository: Repository, head: str) -> str | None:
    text = repository.git.text(
        "rev-list", "--max-count=1", "--no-commit-header", "--format=%ct", head
    )
    return moment(int(text)) if text.lstrip("-").isdigit() else None


def moment(seconds: int) -> str | None:
    """Seconds since 1970 as an ISO day; None for what no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def _languages(tree: Tree, code: dict[str, tuple[Entry, str]], lines: dict[str, int]) -> list[Json]:
    """Own files by language; vendored ones, generated code and lock files are left out."""
    files: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in tree.files:
        known = code.get(entry.path)
        name = known[1] if known else languages.language(entry.path)
        is_written = known is not None or not languages.is_code(entry.path)
        if name is None or not is_written or not languages.is_own(entry.path):
            continue
        files[name] += 1
        counted[name] += lines.get(entry.path, 0)
        sizes[name] += entry.size
    programming = {name for _, name in code.values()}
    order = sorted(files, key=lambda name: (name not in programming, -counted[name], name))
    return [
        {
            "name": name,
            "files": files[name],
            "lines": counted[name],
            "bytes": sizes[name],
            "code": name in programming,
        }
        for name in order
    ]


def _notes(repository: Repository, tree: Tree, facts: dict[str, Json], output: Output) -> None:
    if repository.head is None:
        staged = f" Looked at: {plural(len(tree.files), 'staged file')}." * bool(tree.files)
        output.notes.append(_no_commit(repository, facts) + staged)
    elif not _is_at_head(repository):
        output.notes.append("Looked at is the commit that was asked for; HEAD points at another.")
    elif facts["branch"] is None:
        output.notes.append("HEAD is detached: the checkup looks at a commit, not at a branch.")
    if repository.shallow:
        output.notes.append(
            "This is a shallow clone: older history is missing, so figures of the history and "
            "ages are too low. 'git fetch --unshallow' brings the rest."
        )
    if facts["partial"]:
        output.notes.append(
            "This is a partial clone: objects that are not here are not fetched, so some "
            "contents cannot be looked at. A clone without --filter has them all."
        )
    if tree.submodules:
        some = ", ".join(display(entry.path) for entry in tree.submodules[:_SUBMODULES_NAMED])
        more = ", …" * (len(tree.submodules) > _SUBMODULES_NAMED)
        output.notes.append(
            f"{plural(len(tree.submodules), 'submodule')} not looked into ({some}{more}); run a "
            "checkup on each."
        )
    if tree.symlinks:
        output.notes.append(
            f"{plural(len(tree.symlinks), 'symbolic link')} not followed and not counted."
        )
    if repository.head and not repository.bare:
        output.notes.append("Looked at is the commit; uncommitted changes are not part of it.")


def say_missing(tree: Tree, output: Output) -> None:
    """Say of how many files nothing but the name is known."""
    if tree.missing:
        first = display(tree.missing[0].path)
        output.cut(_lacking(tree), f"the repository lacks them, such as that of {first}")


def _lacking(tree: Tree) -> str:
    return f"contents of {plural(len(tree.missing), 'file')}"


def _missing(tree: Tree, output: Output, *, partial: bool) -> None:
    say_missing(tree, output)
    if tree.missing and not partial:
        output.findings.append(
            {
                "severity": "high",
                "kind": "repository_damaged",
                "title": f"The repository is damaged: it lacks the {_lacking(tree)}",
                "path": display(tree.missing[0].path),
                "detail": "'git fsck' says what is missing; fetch it or clone the repository anew",
                "count": len(tree.missing),
            }
        )


def _no_commit(repository: Repository, facts: dict[str, Json]) -> str:
    others = branches(repository)
    if not others:
        return "The repository has no commit yet, so it has no history."
    return (
        f"HEAD names the branch {facts['branch']}, which has no commit, so there is no history. "
        f"Others have commits ({', '.join(others)}): --head {others[0]} looks at one of them."
    )


def _housekeeping(tree: Tree, output: Output) -> None:
    """Files that a reader expects at the top of a repository."""
    if not tree.files:
        return
    names = {entry.path.lower() for entry in tree.files if "/" not in entry.path}
    names |= {entry.path.lower() for entry in tree.symlinks if "/" not in entry.path}
    stems = {name.partition(".")[0].partition("-")[0] for name in names}
    if not names & set(_README):
        output.findings.append(
            {"severity": "low", "kind": "no_readme", "title": "There is no README at the top"}
        )
    if not stems & set(_LICENCE):
        output.findings.append(
            {
                "severity": "low",
                "kind": "no_licence",
                "title": "There is no licence file at the top",
                "detail": "without one nobody else may use the code",
            }
        )
