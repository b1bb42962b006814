"""Finding tasks and changing many of them by command."""

import json
from pathlib import Path

from slices.cli.commands import Run, made


def test_lists_are_filtered_counted_and_exported(podium: Run, echo: str, tmp_path: Path) -> None:
    for n in range(3):
        made(podium("task", "create", "-a", echo, "-i", str(n), "-t", f"job {n}", "--delay", "1h"))
    podium("task", "create", "-a", echo, "--label", "kind=other", "--wait")
    assert podium("task", "count").out == "4\n"
    assert podium("task", "count", "--state", "pending", "--json").json == {
        "count": 3,
        "capped": False,
    }
    listed = podium("task", "list", "--sort", "oldest", "-n", "2", "--json").json
    assert [task["title"] for task in listed] == ["job 0", "job 1"]
    said = podium("task", "list", "-n", "2")
    assert said.err == "These are the first 2; --limit NUMBER shows more.\n"
    longest = podium("task", "list", "--sort", "longest", "--json").json
    assert longest[0]["labels"] == {"kind": "other"}
    lines = podium("task", "export", "--state", "pending").out.splitlines()
    assert [json.loads(line)["input"] for line in lines] == [2, 1, 0]
    target = tmp_path / "tasks.jsonl"
    said = podium("task", "export", "--label", "kind=other", "-o", str(target))
    assert said.err == f"1 task in {target}\n"
    assert json.loads(target.read_text())["labels"] == {"kind": "other"}
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.jsonl"]
    said = podium("task", "export", "-o", str(tmp_path / "tasks.jsonl"))
    assert (said.status, "is there already" in said.err) == (6, True)
    said = podium("task", "export", "-o", str(tmp_path / "nowhere" / "x"))
    assert (said.status, "cannot be written" in said.err) == (1, True)


def test_saved_filters(podium: Run, echo: str) -> None:
    assert podium("filter", "list").err.startswith("There are no filters.")
    made(podium("task", "create", "-a", echo, "-t", "red", "--label", "c=red", "--delay", "1h"))
    made(podium("task", "create", "-a", echo, "-t", "blue", "--label", "c=blue", "--delay", "1h"))
    saved = podium("filter", "save", "reds", "--label", "c=red", "--sort", "oldest", "--json").json
    assert (saved["filter"]["labels"], saved["sort"]) == ({"c": "red"}, "oldest")
    assert "labels: c: red" in podium("filter", "list").out
    assert "reds" in podium("filter", "show", "reds").out
    titles = [each["title"] for each in podium("task", "list", "-f", "reds", "--json").json]
    assert titles == ["red"]
    said = podium("task", "bulk", "cancel", "-f", "reds", "--label", "c=blue", "-y")
    assert (said.status, "the filter says c=red" in said.err) == (2, True)
    assert podium("task", "count", "-f", "reds").out == "1\n"
    assert podium("task", "bulk", "cancel", "-f", "reds", "-y").out == "1 task cancelled\n"
    assert "Delete the filter reds? There is no terminal" in podium("filter", "delete", "reds").err
    assert podium("filter", "delete", "reds", "-y", "--json").json == {
        "name": "reds",
        "deleted": True,
    }
    for missing in (("task", "list", "-f", "reds"), ("filter", "delete", "reds")):
        assert podium(*missing).status == 4
    assert podium("filter", "save", "none").status == 2


def test_options_narrow_a_saved_filter(podium: Run, echo: str) -> None:
    wanted = ("-s", "failed", "-s", "pending", "-l", "c=red", "-a", echo, "-q", "job")
    since = ("--created-after", "2026-01-01T00:00:00Z")
    assert podium("filter", "save", "mine", *wanted, *since).status == 0
    for labels in (("c=red",), ("c=red", "t=x"), ("t=x",)):
        given = [part for label in labels for part in ("--label", label)]
        made(podium("task", "create", "-a", echo, "-t", "job", *given, "--delay", "1h"))
    for options, count in (
        ((), 2),
        (("--label", "t=x"), 1),
        (("--label", "c=red", "-s", "pending"), 2),
        (("-s", "failed"), 0),
        (("-a", echo, *since), 2),
    ):
        for _ in range(100):  # until search has seen them
            if podium("task", "count", "-f", "mine").out == "2\n":
                break
        assert podium("task", "count", "-f", "mine", *options).out == f"{count}\n", options
    for options, told in (
        (("-s", "dead"), "failed or pending"),
        (("--label", "c=blue"), "c=red"),
        (("-q", "other"), "job"),
        (("--queue", "a", "-a", "other"), echo),
        (("--created-after", "2025-01-01T00:00:00Z"), "2026-01-01"),
    ):
        said = podium("task", "count", "-f", "mine", *options)
        assert (said.status, f"the filter says {told}" in said.err) == (2, True), said.err


def test_all_that_match_are_changed_when_it_is_agreed_to(podium: Run, echo: str) -> None:
    ids = [made(podium("task", "create", "-a", echo, "--delay", "1h")) for _ in range(3)]
    said = podium("task", "bulk", "cancel", "--state", "pending")
    assert (said.status, "Cancel 3 tasks? There is no terminal" in said.err) == (2, True)
    said = podium("task", "bulk", "cancel", "--state", "pending", "--dry-run", "--json")
    assert said.json == {"matched": 3, "changed": 0, "dry_run": True}
    said = podium("task", "bulk", "reprioritise", "5", "--state", "pending", "-y", "--json")
    assert said.json == {"matched": 3, "changed": 3, "dry_run": False}
    assert podium("task", "show", ids[0], "--json").json["priority"] == 5
    assert podium("task", "bulk", "cancel", "-a", echo, "-y").out == "3 tasks cancelled\n"
    told = podium("task", "bulk", "cancel", "-a", echo, "-y").out
    assert told == "0 tasks cancelled; 3 tasks did not need it or could not be\n"
    assert podium("task", "bulk", "redrive", "-a", echo, "-y").out == "0 tasks redriven\n"
    assert podium("task", "bulk", "delete", "-a", echo, "-y").out == "3 tasks deleted\n"
    assert podium("task", "count").out == "0\n"


def test_a_change_of_all_tasks_must_be_meant(podium: Run) -> None:
    for command in (("cancel",), ("retry",), ("delete",), ("reprioritise", "1")):
        said = podium("task", "bulk", *command, "-y")
        assert (said.status, "Nothing says which tasks" in said.err) == (2, True), command
    assert podium("task", "bulk", "reprioritise", "101", "-s", "queued").status == 2
    assert podium("task", "list", "--search", "...").status == 2
