"""Outputs are safe for any consumer and of bounded size; git is used within limits."""

import json
import os
import shutil
from pathlib import Path

import pytest

from podium.checkup import git, repository, survey, text
from podium.checkup.context import CheckupError, field, number, objects, strings
from podium.checkup.opening import open_repository
from podium.checkup.output import OUTPUT_LIMIT, Output
from podium.checkup.part import Deadline, Progress
from slices.checkup.repos import Recorder, Repo, run


def test_an_output_is_cut_to_its_limit_and_says_so() -> None:
    output = Output()
    output.summary["count"] = 3
    output.details["long"] = [{"path": "x" * 100, "n": n} for n in range(5_000)]
    output.details["nested"] = {"deep": [str(n) for n in range(40_000)]}
    output.details["short"] = ["kept"]
    for place in range(100):
        severity = "high" if place == 99 else "low"
        output.findings.append({"severity": severity, "kind": "k", "title": f"{place}"})
    made = output.as_json()
    assert len(json.dumps(made, ensure_ascii=False).encode()) <= OUTPUT_LIMIT
    cuts = {str(cut["what"]): str(cut["limit"]) for cut in objects(made["truncated"])}
    assert cuts["the list details.long"].startswith("5,000 entries")
    assert "the list details.nested.deep" in cuts
    assert field(made["details"], "short") == ["kept"]
    assert objects(made["findings"])[0]["title"] == "99", "the gravest come first"


def test_an_output_that_cannot_be_cut_is_left() -> None:
    output = Output(summary={f"key{n}": "x" * 1_000 for n in range(300)})
    assert "key299" in json.dumps(output.as_json())


def test_an_output_holds_nothing_that_a_database_refuses() -> None:
    output = Output(notes=["a\x00b\udcffc\ud800\u202e", "x" * 5_000])
    output.details["table"] = [{"\x00": ["\x1b[0m", 1, None, True, 1.5]}]
    made = output.as_json()
    shown = json.dumps(made, ensure_ascii=False)
    shown.encode("utf-8")
    assert not any(character in shown for character in "\x00\x1b\u202e")
    assert made["notes"] == ["a\\x00b\\xffc\\ud800\\u202e", "x" * 1_999 + "…"]
    assert made["details"] == {"table": [{"\\x00": ["\\x1b[0m", 1, None, True, 1.5]}]}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("über 名", "über 名"),
        ("caf\udce9", "caf\\xe9"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("line\u2028end", "line\\u2028end"),
    ],
)
def test_text_is_made_visible(given: str, shown: str) -> None:
    assert text.clean(given) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (150_000, "150 kB"), (2.5e9, "2.5 GB")],
)
def test_sizes(count: float, shown: str) -> None:
    assert text.size(count) == shown


def test_values_of_another_kind_are_defaults() -> None:
    assert strings("x") == []
    assert objects([1, {"a": 1}, []]) == [{"a": 1}]
    truth: object = True
    assert number(truth, 2) == 2
    assert number("1", 2) == 2


def test_progress_is_not_said_too_often() -> None:
    recorder = Recorder()
    progress = Progress(recorder, 0.0, 1.0)
    for done in range(1_000):
        progress.at(done, 1_000, "x" * 900)
    assert len(recorder.reported) < 5
    assert len(str(recorder.reported[0][1])) == 200
    Progress(recorder, 0.0, 1.0).at(0, 0, "nothing to do")
    assert recorder.reported[-1][0] == 1.0


def test_a_deadline() -> None:
    assert not Deadline(60).passed
    assert Deadline(0).passed
    assert Deadline(0).left() > 0


def test_a_snapshot_is_cut_at_a_number_of_files(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MAX_FILES", 3)
    repo.commit({f"{n}.py": "a = 1\n" for n in range(5)})
    output = run(survey, repo)
    assert output["summary"]["files"] == 3
    assert any("first 3 tracked files" in cut["limit"] for cut in output["truncated"])


def test_a_git_that_takes_too_long(repo: Repo, tmp_path: Path) -> None:
    opened = open_repository(repo.path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(git.GitFailed) as caught:
        opened.git.run("hash-object", "--no-filters", str(pipe), seconds=0.3)
    assert "longer than" in caught.value.message


def test_records_are_cut(repo: Repo) -> None:
    repo.commit({"a.txt": b"x" * 5_000_000 + b"\nshort\n" + b"y" * 3_000_000})
    opened = open_repository(repo.path)
    [entry] = opened.tree().files
    records = list(opened.git.stream("cat-file", "blob", entry.oid, separator=b"\n"))
    assert records[1] == b"short"
    assert len(records) == 3
    assert all(len(record) < 2_000_000 for record in records)


def test_what_is_borrowed_is_given_back(repo: Repo) -> None:
    """The directory in which git runs goes with the repository object."""
    repo.commit({"a.py": "a = 1\n"})
    opened = open_repository(repo.path)
    directory = Path(opened.git.text("rev-parse", "--absolute-git-dir"))
    assert directory.is_dir()
    del opened
    assert not directory.exists()


def test_a_directory_that_goes_while_it_is_used(repo: Repo) -> None:
    opened = open_repository(repo.path)
    shutil.rmtree(opened.git.text("rev-parse", "--absolute-git-dir"))
    with pytest.raises(CheckupError) as caught:
        opened.git.text("version")
    assert caught.value.code == "directory_gone"


def test_a_reader_survives_missing_objects(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    opened = open_repository(repo.path)
    good, gone = opened.tree().files
    (repo.path / ".git/objects" / gone.oid[:2] / gone.oid[2:]).unlink()
    with opened.reader() as reader:
        assert reader.read(gone) == b""
        assert reader.text(good) == "a = 1\n"
