"""Opening a repository, and what to tell where that is not possible.

``podium run checkup`` opens it too, before it starts anything: what is wrong is told at once.
"""

from contextlib import suppress
from pathlib import Path

from podium.checkup import git
from podium.checkup.context import CheckupError
from podium.checkup.git import Git
from podium.checkup.repository import Repository
from podium.checkup.text import clean, display

_BRANCHES_NAMED = 5


def open_to_survey(path: Path, head: str | None = None) -> Repository:
    """``open_repository`` that raises, too, when there is plainly nothing to look at although
    there are commits (``head_missing``, ``repository_damaged``)."""
    repository = open_repository(path, head)
    _require_tree(repository)
    others = branches(repository) if repository.head is None else []
    if others and not repository.tree().files:
        raise CheckupError(
            "invalid_input",
            "head_missing",
            f"HEAD of {clean(str(repository.top))} names the branch {unborn(repository)}, which "
            f"has no commit; others have: {', '.join(others)}",
            hint=f"name what to look at, for example --head {others[0]}, or mend HEAD, for example "
            f"with git symbolic-ref HEAD refs/heads/{others[0]}",
        )
    return repository


def _require_tree(repository: Repository) -> None:
    if repository.head is None:
        return
    try:
        repository.git.run("cat-file", "-e", f"{repository.head}^{{tree}}")
    except git.GitFailed:
        raise _broken(
            repository.top,
            f"the list of the files of commit {repository.head} is missing or unreadable",
        ) from None


def branches(repository: Repository) -> list[str]:
    """The first few branches that have commits, those of remotes after the repository's own."""
    found = repository.ask(
        "for-each-ref",
        f"--count={_BRANCHES_NAMED}",
        "--format=%(refname:short)",
        "refs/heads",
        "refs/remotes",
    )
    return [display(name) for name in (found or "").splitlines()]


def unborn(repository: Repository) -> str:
    """The branch that HEAD names."""
    return display(repository.ask("symbolic-ref", "--short", "--quiet", "HEAD") or "")


def open_repository(path: Path, head: str | None = None) -> Repository:
    """Open the repository that ``path`` is in (bare ones too).

    ``head`` pins the commit; by default it is what HEAD points at now. Raises ``CheckupError``
    (``not_a_repository``, ``git_missing``, ``no_such_commit``, ``repository_damaged``,
    ``repository_unreadable``).
    """
    path = path.absolute()
    directories, bare, shallow, form = _described(path).rsplit("\n", 3)
    git_dir, _, common = directories.rpartition("\n")
    top = git.ask(path, "rev-parse", "--show-toplevel").output if bare == "false" else ""
    common_dir = (path / common).resolve()
    runner = Git(
        common_dir / "objects",
        common_dir / "shallow",
        Path(git_dir) / "index",
        sha256=form == "sha256",
    )
    place = Path(top or git_dir)
    repository = Repository(
        top=place,
        git_dir=Path(git_dir),
        common_dir=common_dir,
        bare=bare == "true",
        shallow=shallow == "true",
        head=_commit(runner, Path(git_dir), head) if head else _head(runner, Path(git_dir), place),
        git=runner,
    )
    if repository.head:
        runner.look_at(repository.head)
    return repository


def _described(path: Path) -> str:
    """What git says of the repository, one fact a line."""
    if not path.is_dir():
        what = "is a file, not a directory" if path.exists() else "does not exist"
        raise _not_a_repository(path, what)
    found = git.ask(
        *(path, "rev-parse", "--absolute-git-dir", "--git-common-dir"),
        *("--is-bare-repository", "--is-shallow-repository", "--show-object-format"),
    )
    if not found.status:
        return found.output
    if "not a git repository" in found.errors:
        raise _refused(path)
    raise _unreadable(path, found.errors)


_VERIFY = ("rev-parse", "--verify", "--quiet", "--end-of-options")


def _head(runner: Git, git_dir: Path, place: Path) -> str | None:
    """The commit that HEAD points at; None when there is none yet."""
    named = git.ask(git_dir, *_VERIFY, "HEAD")
    if not named.status:
        found = _peeled(runner, named.output)
        if found is None:
            raise _broken(place, f"HEAD points at {named.output}, which is missing or unreadable")
        return found
    if git.ask(git_dir, "symbolic-ref", "--quiet", "HEAD").status:  # not so for a branch to come
        said = clean(git.ask(git_dir, "for-each-ref", "--count=1").errors.strip())
        raise _broken(
            place, f"HEAD names a branch that cannot be read ({said or 'no reason given'})"
        )
    return None


def _commit(runner: Git, git_dir: Path, wanted: str) -> str:
    named = git.ask(git_dir, *_VERIFY, wanted)
    found = None if named.status else _peeled(runner, named.output)
    if found is None:
        raise CheckupError(
            "invalid_input",
            "no_such_commit",
            f"the repository has no commit {clean(wanted)}",
            hint="give a commit that exists, or none for what HEAD points at; where it should "
            "exist, 'git fsck' says what the repository misses",
        )
    return found


def _peeled(runner: Git, name: str) -> str | None:
    """The commit that an object is or, being a tag, names; None when it is not there."""
    with suppress(git.GitFailed):
        return runner.text(*_VERIFY, f"{name}^{{commit}}")
    return None


def _broken(place: Path, what: str) -> CheckupError:
    return CheckupError(
        "agent",
        "repository_damaged",
        f"the repository at {clean(str(place))} is damaged: {what}",
        hint="run 'git fsck' there to see what else is missing; fetch it from where it still is, "
        "or clone the repository anew, without --filter",
    )


def _unreadable(path: Path, said: str) -> CheckupError:
    return CheckupError(
        "agent",
        "repository_unreadable",
        f"git cannot read the repository at {clean(str(path))}: {clean(said.strip())}",
        hint="run 'git status' there and mend what it complains about",
    )


def _refused(path: Path) -> CheckupError:
    """What to tell of a directory that git takes for no repository."""
    for directory in (path, *path.parents):
        git_dir = directory / ".git"
        if git_dir.is_dir() or _looks_bare(directory):
            return _damaged(git_dir if git_dir.is_dir() else directory)
        if git_dir.exists():
            return _unreadable(directory, f"{git_dir} names a place that holds no repository")
    return _not_a_repository(path, "is not inside a git repository")


def _looks_bare(directory: Path) -> bool:
    return (directory / "objects").is_dir() and (directory / "refs").is_dir()


def _damaged(git_dir: Path) -> CheckupError:
    return CheckupError(
        "agent",
        "repository_damaged",
        f"git does not take {clean(str(git_dir))} for a repository: its HEAD is missing or holds "
        "neither a branch nor a commit, or its objects or refs are missing",
        hint="name a branch in HEAD, for example with echo 'ref: refs/heads/main' > HEAD in there; "
        "if more is missing, clone the repository anew",
    )


def _not_a_repository(path: Path, what: str) -> CheckupError:
    return CheckupError(
        "invalid_input",
        "not_a_repository",
        f"{clean(str(path))} {what}",
        hint="give the path of a git repository, for example --repo . inside one",
    )
