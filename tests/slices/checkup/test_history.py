"""History: hot spots, authors and activity, on histories whose facts are known."""

import json
import os
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from podium.checkup import churn, history
from podium.checkup.git import GitFailed
from slices.checkup.repos import DAY, NOW, Recorder, Repo, findings, rows, run

HARD = "def hard(x):\n" + "".join(
    f"    if x == {n}:\n        for i in range({n}):\n            print(i)\n" for n in range(12)
)


def test_an_empty_repository_has_no_history(repo: Repo) -> None:
    output = run(history, repo)
    assert output["summary"] == {"commits": 0, "authors": 0}


def commit_small_history(repo: Repo) -> None:
    """One hard file by two people, an easy one by a third, and much prose."""
    repo.commit({"core.py": HARD, "easy.py": "a = 1\n", "README.md": "x\n"}, days_ago=800)
    for number in range(12):
        author = "Grace" if number < 3 else "Ada"
        repo.commit({"core.py": HARD + f"# {number}\n"}, author=author, days_ago=100 - number)
    for number in range(6):
        repo.commit({"easy.py": f"a = {number}\n"}, author="Linus", days_ago=50 - number)
    for number in range(15):
        repo.commit({"README.md": f"{number}\n"}, days_ago=20 - number)


def test_golden_facts_of_a_small_history(repo: Repo) -> None:
    commit_small_history(repo)
    output = run(history, repo)
    summary = output["summary"]
    assert summary["commits"] == 34
    assert summary["commits_12_months"] == 33
    assert summary["authors"] == 3
    assert summary["bus_factor_12_months"] == 1
    assert summary["first_commit"] == "2024-07-13"
    assert summary["last_commit"] == "2026-09-15"
    spots = output["details"]["hot_spots"]
    assert [spot["path"] for spot in spots] == ["core.py", "easy.py"], "prose is no hot spot"
    core = spots[0]
    assert core["score"] == 100.0
    assert core["commits"] == 13
    assert core["commits_12_months"] == 12
    assert (core["authors"], core["main_author"], core["main_author_share"]) == (2, "Ada", 0.769)
    assert core["hardest_function"] == {"name": "hard", "line": 1, "complexity": 25, "lines": 37}
    assert spots[1]["score"] < 1
    assert output["details"]["window"] == "12 months"
    changed = output["details"]["most_changed"]
    assert [row["path"] for row in changed] == ["README.md", "core.py", "easy.py"]
    assert rows(output, "years", "year")["2024"]["commits"] == 1
    months = output["details"]["months"]
    assert len(months) == 24
    assert months[-1]["month"] == "2026-09"
    assert sum(month["commits"] for month in months) == 33
    [found] = findings(output, "hot_spot")
    assert (found["path"], found["line"], found["severity"]) == ("core.py", 1, "medium")
    [bus] = findings(output, "bus_factor")
    assert "73%" in bus["title"]
    authors = rows(output, "authors", "name")
    assert authors["Linus"]["commits"] == 6
    assert "@" not in json.dumps(output), "addresses are not shown"


def test_renamed_files_keep_their_history(repo: Repo) -> None:
    repo.commit({"old.py": HARD}, days_ago=30)
    repo.commit({"old.py": HARD + "# 1\n"}, days_ago=29)
    repo.git("mv", "old.py", "middle.py")
    repo.commit({}, days_ago=28)
    (repo.path / "src").mkdir()
    repo.git("mv", "middle.py", "src/new.py")
    repo.commit({"src/new.py": HARD + "# 1\n# 2\n"}, days_ago=27)
    output = run(history, repo)
    assert rows(output, "most_changed", "path")["src/new.py"]["commits"] == 4


def lose(repo: Repo, *names: str) -> None:
    """Delete the contents that have these names, such as ``HEAD:a.py``."""
    for name in names:
        blob = repo.git("rev-parse", name)
        (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()


def test_a_lost_content_costs_the_lines_and_nothing_else(repo: Repo) -> None:
    commit_small_history(repo)
    repo.git("mv", "easy.py", "moved.py")
    repo.commit({})
    whole = run(history, repo)
    lose(repo, "HEAD:README.md")

    output = run(history, repo)

    lines = {"lines_added_12_months": None, "lines_deleted_12_months": None}
    assert output["summary"] == {**whole["summary"], **lines}
    assert output["details"]["hot_spots"] == [
        {**row, **lines} for row in whole["details"]["hot_spots"]
    ]
    for table in ("most_changed", "areas", "authors"):
        assert output["details"][table] == whole["details"][table]
    assert not findings(output, "repository_damaged"), "the survey says it"
    (cut,) = output["truncated"]
    assert cut["what"] == "lines added and deleted"
    assert "cannot be read, such as that of README.md;" in cut["limit"]


def test_so_does_the_lost_content_of_an_earlier_version(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.commit({"a.py": "a = 2\n"})
    lose(repo, "HEAD~:a.py")
    output = run(history, repo)
    assert output["summary"]["commits"] == 2
    assert rows(output, "most_changed", "path")["a.py"]["commits"] == 2
    assert "cannot be read, of earlier versions;" in output["truncated"][0]["limit"]
    (finding,) = findings(output, "repository_damaged")
    assert finding["severity"] == "high"


def damage_a_base(repo: Repo, name: str) -> None:
    """Pack the contents as changes of each other, and damage one that ``name`` is built from."""
    repo.git("-c", "pack.threads=1", "repack", "-adfq", "--window=2", "--depth=50")
    [pack] = (repo.path / ".git/objects/pack").glob("*.pack")
    lines = [line.split() for line in repo.git("verify-pack", "-v", str(pack)).splitlines()]
    built = {fields[0]: fields for fields in lines if len(fields) == 7}
    at = built[repo.git("rev-parse", name)]
    assert int(at[5]) > 25, "so many are named before it"
    while at[6] in built:
        at = built[at[6]]
    pack.chmod(0o644)
    with pack.open("r+b") as file:
        file.seek(int(at[4]) + int(at[3]) // 2)
        file.write(b"nonsense")


def test_so_does_a_damaged_pack_of_which_git_says_much(repo: Repo) -> None:
    lines = [sha256(b"%d" % number).hexdigest() for number in range(200)]
    for number in range(50):
        lines[number * 4] = lines[number * 4][::-1]
        repo.commit({"a.txt": "\n".join(lines)})
    repo.git("rm", "-q", "a.txt")
    repo.commit({"b.py": "b = 1\n"})
    damage_a_base(repo, "HEAD~2:a.txt")
    output = run(history, repo)
    assert output["summary"]["commits"] == 51
    assert [cut["what"] for cut in output["truncated"]] == ["lines added and deleted"]
    assert findings(output, "repository_damaged")


def test_a_git_that_is_killed_says_nothing_of_the_repository(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repo.commit({"a.py": "a = 1\n"})
    killed = tmp_path / "bin" / "git"
    killed.parent.mkdir()
    killed.write_text(
        '#!/bin/sh\nfor a in "$@"; do [ "$a" = --numstat ] && kill -KILL $$; done\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    killed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{killed.parent}:{os.environ['PATH']}")
    with pytest.raises(GitFailed) as caught:
        run(history, repo)
    assert caught.value.message == "git diff-tree ended with status -9: it gave no reason"


def test_a_partial_clone_has_a_history_without_its_origin(repo: Repo, tmp_path: Path) -> None:
    commit_small_history(repo)
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    source = repo.path.as_uri()
    repo.git("clone", "-q", "--no-checkout", "--filter=blob:none", source, str(clone))
    repo.path.rename(tmp_path / "away")
    output = run(history, clone)
    assert output["summary"]["commits"] == 34
    assert rows(output, "most_changed", "path")["core.py"]["commits_12_months"] > 10
    assert not findings(output, "repository_damaged")
    assert "a clone without --filter has them" in output["truncated"][0]["limit"]


def test_people_are_told_apart_by_the_mailmap(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"}, author="Ada")
    repo.commit({"a.py": "a = 2\n"}, author="Countess")
    repo.commit({".mailmap": "Ada <ada@example.org> <countess@example.org>\n"}, author="Ada")
    output = run(history, repo)
    assert output["summary"]["authors"] == 1
    assert rows(output, "authors", "name")["Ada"]["commits"] == 3


def test_merges_count_for_nobody(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({"b.py": "b = 1\n"}, author="Grace")
    repo.git("checkout", "-q", "main")
    repo.commit({"c.py": "c = 1\n"})
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    output = run(history, repo)
    assert output["summary"]["commits"] == 4
    assert output["summary"]["merges"] == 1
    assert rows(output, "authors", "name")["Ada"]["commits"] == 2


def test_of_equal_scores_more_commits_come_first(repo: Repo) -> None:
    for number in range(3):
        repo.commit({"z.py": f"a = {number}\n"})
    repo.commit({"a.py": "a = 1\n", "m.py": "if 1:\n    b = 1\n"})
    spots = run(history, repo)["details"]["hot_spots"]
    assert [spot["path"] for spot in spots] == ["m.py", "z.py", "a.py"]


def test_commits_that_change_everything_are_no_hot_spots(repo: Repo) -> None:
    many = {f"m{n}.py": f"a = {n}\n" for n in range(churn.SWEEPING + 1)}
    repo.commit(many)
    repo.commit({"m1.py": "a = 'one'\n"})
    output = run(history, repo)
    assert [row["path"] for row in output["details"]["most_changed"]] == ["m1.py"]
    assert any("1 commit that changed more than 300 files" in note for note in output["notes"])


def test_a_dormant_repository_is_judged_by_its_whole_history(repo: Repo) -> None:
    repo.commit({"a.py": HARD}, days_ago=900)
    repo.commit({"a.py": HARD + "#\n"}, days_ago=800)
    output = run(history, repo)
    assert output["details"]["window"] == "whole history"
    assert output["details"]["hot_spots"][0]["commits"] == 2
    assert findings(output, "dormant")
    assert output["summary"]["bus_factor_12_months"] == 0


def test_generated_and_vendored_files_are_no_hot_spots(repo: Repo) -> None:
    for number in range(3):
        repo.commit(
            {
                "vendor/lib/a.go": f"package a // {number}\n",
                "api.pb.go": f"package a // {number}\n",
                "client.py": f"# This file was automatically generated.\na = {number}\n",
                "package-lock.json": f"[{number}]\n",
                "own.py": f"a = {number}\n",
            }
        )
    output = run(history, repo)
    assert [row["path"] for row in output["details"]["hot_spots"]] == ["own.py"]


def test_names_that_are_no_text(repo: Repo) -> None:
    repo.commit_paths({b"caf\xe9.py": b"a = 1\n", b"tab\tnew\nline.py": b"b = 1\n"})
    output = run(history, repo)
    paths = {row["path"] for row in output["details"]["most_changed"]}
    assert paths == {"caf\\xe9.py", "tab\\x09new\\x0aline.py"}


def test_a_future_commit_is_noted(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"}, days_ago=-400)
    output = run(history, repo)
    assert any("in the future" in note for note in output["notes"])


def test_limits_are_said(repo: Repo) -> None:
    for number in range(5):
        repo.commit({"a.py": f"a = {number}\n"})
    output = run(history, repo, max_commits=3)
    assert output["summary"]["commits"] == 3
    assert any("latest 3 commits" in cut["limit"] for cut in output["truncated"])


def test_a_commit_without_a_time(repo: Repo) -> None:
    tree = repo.git("hash-object", "-t", "tree", "-w", os.devnull)
    text = f"tree {tree}\nauthor nobody\ncommitter nobody\n\nodd\n"
    arguments = ("hash-object", "--literally", "-t", "commit", "-w", "--stdin")
    commit = repo.git(*arguments, feed=text.encode())
    repo.git("update-ref", "refs/heads/main", commit)
    output = run(history, repo)
    assert output["summary"]["commits"] == 1


def synthetic(path: Path, commits: int) -> Repo:
    """A history of many commits by 60 people, each changing one to four of 2,000 files."""
    repo = Repo(path)
    stream: list[bytes] = []
    for number in range(commits):
        when = NOW - (commits - number) * 3_000
        who = f"A{number * number % 60} <a{number * number % 60}@example.org> {when} +0000"
        stream.append(f"commit refs/heads/main\ncommitter {who}\ndata 2\nm\n".encode())
        for change in range(1 + number % 4):
            file = (number * (7 * change + 1)) % 2_000
            lines = "".join(f"{'    ' * (k % 4)}x{k} = {number}\n" for k in range(number % 60))
            stream.append(b"M 644 inline src/m%d/f%d.py\n" % (file % 40, file))
            stream.append(b"data %d\n%s\n" % (len(lines), lines.encode()))
    repo.git("fast-import", "--quiet", feed=b"".join(stream))
    return repo


_MEASURE = """
import json, pathlib, resource, sys, time
sys.path[:0] = json.loads(sys.argv[3])
from podium.checkup import history
from slices.checkup.repos import Recorder
started = time.monotonic()
output = history.run({"repo": sys.argv[1], "now": int(sys.argv[2])}, Recorder())
print(json.dumps({
    "seconds": time.monotonic() - started,
    "own": 1024 * int(
        pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    ),
    "git": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    "output": output,
}))
"""


def _measured(repo: Repo) -> dict[str, object]:
    arguments = [str(repo.path), str(NOW), json.dumps([str(Path(__file__).parents[2])])]
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


@pytest.mark.parametrize(
    ("commits", "limit"),
    [(2_000, 8), pytest.param(50_000, 30, marks=[pytest.mark.long, pytest.mark.timeout(600)])],
)
def test_a_long_history_is_read_as_a_stream(tmp_path: Path, commits: int, limit: float) -> None:
    measured = _measured(synthetic(tmp_path / "many", commits))
    output = measured["output"]
    assert isinstance(output, dict)
    assert output["summary"]["commits"] == commits
    assert output["summary"]["authors"] == len({n * n % 60 for n in range(60)})
    assert output["truncated"] == []
    assert isinstance(measured["seconds"], float)
    assert measured["seconds"] < limit
    for process in ("own", "git"):
        used = measured[process]
        assert isinstance(used, int)
        assert used < 300_000_000, process


def test_a_part_that_runs_out_of_time_hands_back_what_it_has(tmp_path: Path) -> None:
    repo = synthetic(tmp_path / "many", 30_000)
    started = time.monotonic()
    output = run(history, repo, Recorder(), seconds=0.2)
    assert time.monotonic() - started < 10
    assert any(cut["what"] == "changes of files" for cut in output["truncated"])
    assert output["summary"]["commits"] > 0
    assert DAY == 86_400


def test_a_damaged_index_has_no_part_in_a_commit(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n"})
    (repo.path / ".git/index").write_bytes(b"rubbish")
    assert run(history, repo)["summary"]["commits"] == 1
