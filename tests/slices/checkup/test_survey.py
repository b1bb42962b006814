"""The survey: what kind of repository it is, for every kind that there is."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.checkup import survey
from podium.checkup.context import CheckupError
from podium.checkup.git import GitFailed
from podium.checkup.headlines import headline
from podium.checkup.opening import open_repository
from slices.checkup.repos import DAY, NOW, Recorder, Repo, findings, rows, run

POLYGLOT = {
    "README.md": "# Demo\n",
    "LICENSE": "Apache\n",
    "src/app.py": "import os\n\n\ndef main():\n    return os.name\n",
    "src/web/index.ts": "export const one = 1;\n",
    "src/web/bundle.min.js": "x" * 10,
    "bin/tool": "#!/usr/bin/env bash\necho hello\n",
    "cmd/main.go": "package main\n\nfunc main() {}\n",
    "vendor/lib/lib.go": "package lib\n",
    "package-lock.json": "{}\n",
    "logo.png": b"\x89PNG\r\n\x1a\n\0\0",
    "empty.txt": "",
}


def test_tells_what_a_polyglot_repository_holds(repo: Repo) -> None:
    repo.write(POLYGLOT)
    (repo.path / "bin/tool").chmod(0o755)
    head = repo.commit({}, days_ago=3)

    output = run(survey, repo)

    facts = output["details"]["repository"]
    assert facts["head"] == head
    assert facts["branch"] == "main"
    assert facts["name"] == "repo"
    assert facts["top"] == str(repo.path)
    assert facts["last_commit"] == "2026-09-18"
    assert not (facts["bare"])
    assert not (facts["shallow"])
    assert not (facts["partial"])
    assert not (facts["linked_worktree"])
    languages = rows(output, "languages", "name")
    assert languages["Python"] == {
        "name": "Python", "files": 1, "lines": 5, "bytes": 43, "code": True,
    }  # fmt: skip
    assert languages["Shell"]["files"] == 1, "a script without an extension, by its first line"
    assert languages["Go"]["files"] == 1, "vendored code is not the repository's own"
    assert "JSON" not in languages, "a lock file is not written by hand"
    assert languages["Markdown"]["code"] is False
    assert output["summary"]["files"] == len(POLYGLOT)
    assert output["summary"]["code_files"] == 4
    assert output["summary"]["code_lines"] == 5 + 1 + 2 + 3
    assert output["findings"] == []


@pytest.mark.parametrize("committed", [True, False])
def test_files_whose_content_is_missing_are_said(repo: Repo, *, committed: bool) -> None:
    repo.write({"a.py": "a = 1\n", "b.py": "b = 2\n", "README.md": "c\n", "LICENSE": "d\n"})
    repo.git("add", ".")
    if committed:
        repo.commit({})
    blob = repo.git("hash-object", "b.py")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()

    output = run(survey, repo)

    (finding,) = output["findings"]
    assert (finding["kind"], finding["severity"]) == ("repository_damaged", "high")
    assert finding["title"] == "The repository is damaged: it lacks the contents of 1 file"
    assert (finding["path"], finding["count"]) == ("b.py", 1)
    assert "git fsck" in finding["detail"]
    assert output["truncated"][0]["what"] == "contents of 1 file"
    assert (output["summary"]["files"], output["summary"]["code_lines"]) == (4, 1)
    told = headline("survey", output["summary"])
    assert told.startswith("4 files (1 of them without content), 1 line of code")


def test_a_partial_clone_lacks_contents_but_is_not_damaged(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "a = 1\n", "README.md": "c\n", "LICENSE": "d\n"})
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    source = repo.path.as_uri()
    repo.git("clone", "-q", "--no-checkout", "--filter=blob:none", source, str(clone))

    output = run(survey, clone)

    assert output["details"]["repository"]["partial"]
    assert output["findings"] == []
    assert output["truncated"][0]["what"] == "contents of 3 files"
    assert any("partial clone" in note for note in output["notes"])


def test_says_that_readme_and_licence_are_missing(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    output = run(survey, repo)
    assert {finding["kind"] for finding in output["findings"]} == {"no_readme", "no_licence"}


def test_repository_without_a_commit(repo: Repo) -> None:
    output = run(survey, repo)
    assert output["summary"]["files"] == 0
    assert output["details"]["repository"]["head"] is None
    assert output["details"]["repository"]["branch"] == "main"
    assert any("no commit yet" in note for note in output["notes"])


def test_staged_files_count_when_there_is_no_commit(repo: Repo) -> None:
    repo.write({"a.py": "a = 1\n", "b/c.py": "b = 2\nc = 3\n", "untracked/ignored.py": "x\n"})
    repo.git("add", "a.py", "b")
    output = run(survey, repo)
    assert output["summary"]["files"] == 2
    assert output["summary"]["code_lines"] == 3
    assert output["summary"]["bytes"] == 18
    assert any("Looked at: 2 staged files." in note for note in output["notes"])


def test_untracked_and_uncommitted_content_is_not_looked_at(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.write({"a.py": "a = 1\n" * 50, "new.py": "b = 1\n"})
    output = run(survey, repo)
    assert output["summary"]["files"] == 1
    assert output["summary"]["code_lines"] == 1


def test_bare_repository(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "copy.git"))
    output = run(survey, tmp_path / "copy.git")
    facts = output["details"]["repository"]
    assert facts["bare"] is True
    assert facts["name"] == "copy"
    assert output["summary"]["code_lines"] == 1


def test_a_path_inside_takes_the_whole_repository(repo: Repo) -> None:
    repo.commit({"deep/down/a.py": "a = 1\n", "b.py": "b = 1\n"})
    output = run(survey, repo.path / "deep/down")
    assert output["details"]["repository"]["top"] == str(repo.path)
    assert output["summary"]["files"] == 2


def test_detached_head(repo: Repo) -> None:
    first = repo.commit({"a.py": "a = 1\n"})
    repo.commit({"b.py": "b = 1\n"})
    repo.git("checkout", "-q", "--detach", first)
    output = run(survey, repo)
    assert output["details"]["repository"]["head"] == first
    assert output["details"]["repository"]["branch"] is None
    assert any("detached" in note for note in output["notes"])


def test_a_given_commit_is_looked_at(repo: Repo) -> None:
    first = repo.commit({"a.py": "a = 1\n"})
    repo.commit({"b.py": "b = 1\n"})
    output = run(survey, repo, head=first)
    assert output["summary"]["files"] == 1
    with pytest.raises(CheckupError) as caught:
        run(survey, repo, head="0" * 40)
    assert (caught.value.error_class, caught.value.code) == ("invalid_input", "no_such_commit")


def test_linked_worktree(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    output = run(survey, tmp_path / "side")
    facts = output["details"]["repository"]
    assert facts["linked_worktree"] is True
    assert facts["branch"] == "side"
    assert facts["top"] == str(tmp_path / "side")


def test_shallow_clone_says_so(repo: Repo, tmp_path: Path) -> None:
    for number in range(3):
        repo.commit({"a.py": f"a = {number}\n"})
    source = repo.path.as_uri()
    repo.git("clone", "-q", "--depth", "1", source, str(tmp_path / "shallow"))
    output = run(survey, tmp_path / "shallow")
    assert output["details"]["repository"]["shallow"] is True
    assert output["summary"]["commits"] == 1
    assert any("shallow clone" in note for note in output["notes"])


def test_a_commit_that_was_asked_for_is_on_no_branch_of_head(repo: Repo) -> None:
    first = repo.commit({"a.py": "a = 1\n"})
    last = repo.commit({"a.py": "a = 2\n"})
    repo.git("branch", "side", first)
    for asked in ("side", first):
        output = run(survey, repo, head=asked)
        facts = output["details"]["repository"]
        assert (facts["head"], facts["branch"]) == (first, None)
        assert any("the commit that was asked for" in note for note in output["notes"])
        assert not any("detached" in note for note in output["notes"])
    facts = run(survey, repo, head=last)["details"]["repository"]
    assert facts["branch"] == "main"


def test_submodules_and_links_are_not_followed(
    repo: Repo, make: Callable[..., Repo], tmp_path: Path
) -> None:
    inner = make("inner")
    inner.commit({"inner.py": "a = 1\n"})
    secret = tmp_path / "outside.py"
    secret.write_text("outside = 1\n" * 9)
    repo.commit({"a.py": "a = 1\n"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.path), "sub")
    (repo.path / "link.py").symlink_to(secret)
    (repo.path / "directory").symlink_to("/etc")
    repo.commit({})
    output = run(survey, repo)
    assert output["summary"]["submodules"] == 1
    assert output["summary"]["symlinks"] == 2
    assert output["details"]["submodules"] == ["sub"]
    assert output["summary"]["code_lines"] == 1
    assert any("1 submodule not looked into (sub)" in note for note in output["notes"])
    assert any("2 symbolic links not followed" in note for note in output["notes"])


def test_generated_code_is_in_no_language(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n", "b.py": "# Generated by x.\nb = 1\n"})
    output = run(survey, repo)
    assert rows(output, "languages", "name")["Python"]["files"] == 1
    assert output["summary"]["code_lines"] == 1


def test_names_that_are_no_text_are_shown_escaped(repo: Repo) -> None:
    repo.commit_paths(
        {
            b"caf\xe9.py": b"a = 1\n",
            b"new\nline.py": b"b = 1\nc = 1\n",
            b"bell\x07\x1b[31m.py": b"d = 1\n",
            b"back\\slash.py": b"e = 1\n",
            "übermut.py".encode(): b"f = 1\n",
        }
    )
    output = run(survey, repo)
    assert output["summary"]["code_files"] == 5
    assert output["summary"]["code_lines"] == 6


@pytest.mark.parametrize("what", ["nothing", "file", "plain"])
def test_no_repository(tmp_path: Path, what: str) -> None:
    path = tmp_path / "somewhere"
    if what == "file":
        path.write_text("")
    elif what == "plain":
        path.mkdir()
    with pytest.raises(CheckupError) as caught:
        run(survey, path)
    assert (caught.value.error_class, caught.value.code) == ("invalid_input", "not_a_repository")
    assert str(path) in caught.value.message
    assert "--repo" in str(caught.value.hint)


def test_repository_with_sha256(make: Callable[..., Repo]) -> None:
    repo = make("wide", "--object-format=sha256")
    head = repo.commit({"a.py": "a = 1\n"})
    output = run(survey, repo)
    assert len(head) == 64
    assert output["details"]["repository"]["head"] == head
    assert output["summary"]["code_lines"] == 1


def test_a_repository_that_does_not_answer(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a pipe as configuration would take for ever."""
    from podium.checkup import git

    monkeypatch.setattr(git, "_ANSWER_SECONDS", 0.5)
    os.mkfifo(repo.path / "pipe")
    repo.git("config", "include.path", "../pipe")
    with pytest.raises(CheckupError) as caught:
        run(survey, repo)
    assert "no answer" in caught.value.message


def test_input_without_a_repository() -> None:
    with pytest.raises(CheckupError) as caught:
        survey.run({}, Recorder())
    assert caught.value.code == "repo_missing"


def test_git_is_missing(repo: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CheckupError) as caught:
        survey.run({"repo": str(repo.path)}, Recorder())
    assert (caught.value.error_class, caught.value.code) == ("resource", "git_missing")


def test_damaged_repository(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    (repo.path / ".git/config").write_text("[core\n")
    with pytest.raises(CheckupError) as caught:
        run(survey, repo)
    assert caught.value.code == "repository_unreadable"
    assert "config" in caught.value.message


def test_missing_objects_are_an_error_that_says_what_to_do(repo: Repo) -> None:
    repo.commit({"deep/a.py": "a = 1\n"})
    tree = repo.git("rev-parse", "HEAD:deep")
    (repo.path / ".git/objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(CheckupError) as caught:
        run(survey, repo)
    assert caught.value.code == "git_failed"
    assert tree in caught.value.message
    assert "git fsck" in str(caught.value.hint)


def test_a_content_that_is_damaged_is_told_in_plain_words(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    blob = repo.git("rev-parse", "HEAD:a.py")
    file = repo.path / ".git/objects" / blob[:2] / blob[2:]
    file.chmod(0o644)
    file.write_bytes(b"nonsense")
    with pytest.raises(CheckupError) as caught:
        run(survey, repo)
    said = f"git cannot read the object {blob}, which is missing or damaged"
    assert caught.value.message == said
    assert repo.git(*_hinted(caught.value)).endswith("a.py")


def test_the_hinted_command_names_a_file_that_was_renamed_since(repo: Repo) -> None:
    lines = "a = 1\n" * 20
    repo.commit({"a.py": lines})
    blob = repo.git("rev-parse", "HEAD:a.py")
    repo.git("mv", "a.py", "b.py")
    renamed = repo.commit({"b.py": lines + "b = 1\n"})
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitFailed) as caught:
        open_repository(repo.path).git.run("diff-tree", "-M", renamed)
    assert repo.git(*_hinted(caught.value)).endswith("a.py")


def _hinted(error: CheckupError) -> list[str]:
    """The arguments of the last git command that the hint names."""
    return str(error.hint).rpartition("'git ")[2].partition("'")[0].split()


def test_repository_of_another_user(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    from podium.checkup import git

    repo.commit({"a.py": "a = 1\n"})
    fresh = git.git_environment
    monkeypatch.setattr(
        git, "git_environment", lambda: fresh() | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    )
    assert run(survey, repo)["summary"]["files"] == 1


def test_credentials_in_remotes_are_left_out(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.git("remote", "add", "origin", "https://ada:canary-token@example.org/a/b.git")
    output = run(survey, repo)
    remotes = output["details"]["repository"]["remotes"]
    assert remotes == [{"name": "origin", "url": "https://example.org/a/b.git"}]
    assert "canary" not in repr(output)


def test_time_that_runs_out_is_said(repo: Repo) -> None:
    repo.commit({f"{n}.py": "a = 1\n" * 2_000 for n in range(300)})
    output = run(survey, repo, seconds=0.001)
    assert [cut["what"] for cut in output["truncated"]] == ["line counts"]


def test_commit_times_outside_of_any_calendar(repo: Repo) -> None:
    tree = repo.git("hash-object", "-t", "tree", "-w", os.devnull)
    text = f"tree {tree}\nauthor A <a@b> 99999999999999999 +0000\n"
    text += "committer A <a@b> 99999999999999999 +0000\n\nodd\n"
    commit = repo.git("hash-object", "-t", "commit", "-w", "--stdin", feed=text.encode())
    repo.git("update-ref", "refs/heads/main", commit)
    output = run(survey, repo)
    assert output["details"]["repository"]["last_commit"] is None
    assert findings(output, "no_readme") == []
    assert NOW > DAY
