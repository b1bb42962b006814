"""Templates by command."""

import json
from pathlib import Path

from slices.cli.commands import Run

SCHEMA = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string"},
        "words": {"type": "integer", "default": 100},
        "points": {"type": "array", "items": {"type": "string"}, "default": []},
        "ratio": {"type": "number", "default": 0.5},
        "deep": {"type": "boolean", "default": False},
        "style": {"enum": ["short", "1"], "default": "short"},
        "extra": {},
    },
}


def test_a_template_from_its_making_to_its_end(podium: Run, echo: str) -> None:
    made = podium(
        *("template", "create", "sum", "--schema", json.dumps(SCHEMA), "--agent", echo),
        *("--prompt", "Sum up {{ path }}.", "--title", "About {{ path }}", "-d", "Sums up."),
        *("--default", "words=5", "--run-timeout", "1m", "--retries", "2", "--json"),
    ).json
    assert (made["version"], made["defaults"], made["parameters"]) == (1, {"words": 5}, SCHEMA)
    assert made["task"] == {
        "agent": echo,
        "title": "About {{ path }}",
        "timeouts": {"run": 60},
        "retry": {"max_retries": 2},
    }
    assert "code-review" in podium("template", "list").out
    shown = podium("template", "show", "sum").out
    assert "(must be given)" in shown
    assert "Sum up {{ path }}." in shown
    changed = podium(
        *("template", "edit", "sum", "--default", "ratio=0.25", "--no-default", "words"),
        *("--retries", "3", "--priority", "4", "-c", "text", "--sticky", "k", "--json"),
    ).json
    assert (changed["version"], changed["defaults"]) == (2, {"ratio": 0.25})
    assert changed["task"] == {
        "title": "About {{ path }}",
        "capabilities": ["text"],
        "sticky": "k",
        "priority": 4,
        "timeouts": {"run": 60},
        "retry": {"max_retries": 3},
    }
    back = podium("template", "edit", "sum", "--agent", echo, "--json").json
    assert back["task"].keys() == {"title", "agent", "priority", "timeouts", "retry"}
    versions = podium("template", "versions", "sum", "--json").json
    assert [each["version"] for each in versions] == [3, 2, 1]
    first = podium("template", "show", "sum", "--version", "1", "--json").json
    assert first["task"] == made["task"]
    assert podium("template", "delete", "sum", "--yes").out == "sum is deleted\n"
    assert podium("template", "show", "sum").status != 0


def test_values_have_the_types_of_their_parameters(podium: Run, echo: str, tmp_path: Path) -> None:
    podium("template", "create", "t", "--schema", json.dumps(SCHEMA), "-a", echo, "--prompt", "x")
    long = tmp_path / "long.txt"
    long.write_text("a\nb")
    given = podium(
        *("template", "preview", "t", "--json", "--set", f"path=@{long}", "--set", "words=7"),
        *("--set", "points=5", "--set", "points=b", "--set", "deep=true", "--set", "style=1"),
        *("--set", 'extra={"a": [1]}', "--parameters", '{"path": "p", "ratio": 2}'),
    ).json["task"]["input"]["parameters"]
    assert given == {
        "path": "a\nb",
        "words": 7,
        "points": ["5", "b"],
        "ratio": 2,
        "deep": True,
        "style": "1",
        "extra": {"a": [1]},
    }
    whole = podium("template", "preview", "t", "--set", "path=5", "--set", 'points=["a"]', "--json")
    assert whole.json["task"]["input"]["parameters"]["points"] == ["a"]
    assert whole.json["task"]["input"]["parameters"]["path"] == "5"


def test_a_task_is_started_and_tells_where_it_comes_from(podium: Run, echo: str) -> None:
    options = ("--set", "repository=/r", "--set", "branch=b", "--agent", echo, "--priority", "7")
    dry = podium("template", "start", "code-review", *options, "--dry-run")
    assert "Review of b" in dry.out
    prompt = podium("template", "start", "code-review", *options, "--dry-run", "--json").json
    assert prompt["task"]["input"]["prompt"].strip() in dry.out
    assert not any(line.endswith(" ") for line in dry.out.splitlines())
    assert ["Labels", "template=code-review"] in [each.split() for each in dry.out.splitlines()]
    assert ["branch", "b"] in [each.split() for each in dry.out.splitlines()]
    assert podium("task", "list", "--label", "template=code-review", "--json").json == []
    done = podium("template", "start", "code-review", *options, "--wait", "--json").json
    assert (done["state"], done["priority"], done["agent"]) == ("succeeded", 7, echo)
    assert done["template"] == {"name": "code-review", "version": 1, "built_in": True}
    assert "code-review v1 (built in)" in podium("task", "show", done["id"]).out
    again = podium("template", "start", "code-review", *options, "--idempotency-key", "k").out
    assert podium("template", "start", "code-review", *options, "--idempotency-key", "k").out == (
        again
    )


def test_what_is_built_in_is_changed_and_comes_back(podium: Run, echo: str) -> None:
    changed = podium("template", "edit", "bug-fix", "--default", "base=dev", "--agent", echo)
    assert "version 1; changed here: task, defaults" in changed.out
    shown = podium("template", "show", "bug-fix", "--built-in", "--json").json
    assert (shown["source"], shown["defaults"]) == ("built_in", {})
    assert podium("template", "delete", "bug-fix", "--yes", "--json").json["deleted"] is True
    assert podium("template", "show", "bug-fix", "--json").json["source"] == "built_in"


def test_all_that_is_wrong_with_parameters_is_told_at_once(podium: Run) -> None:
    start = ("template", "start", "code-review", "--set", "repository=/r", "--set", "branch=b")
    wrong = ("--set", "foo=1", "--set", "bar=2", "--set", "severity=urgent")
    said = podium(*start, *wrong, "--set", "most_findings=many")
    assert said.status == 2
    for told in (
        "There is no parameter 'foo'",
        "There is no parameter 'bar'",
        "parameters.severity: ",
        "parameters.most_findings: Must be a whole number",
    ):
        assert told in said.err, said.err
    assert "Hint: There are: repository, " in said.err


def test_what_cannot_be_is_told(podium: Run, echo: str) -> None:
    create = ("template", "create", "x")
    start = ("template", "start", "code-review", "--set", "repository=/r")
    for arguments, told in (
        ((*create, "-a", echo), "Give a --prompt."),
        ((*create, "--prompt", "x"), "either --agent or --capability"),
        ((*create, "-a", echo, "--prompt", "{{ nope }}"), "no parameter"),
        ((*create, "-a", echo, "--prompt", "@/nowhere"), "cannot be read"),
        ((*create, "-a", echo, "--prompt", "x", "--schema", "5"), "must be a JSON object"),
        (("template", "edit", "bug-fix"), "Nothing to change"),
        (start, "Must be given"),
        ((*start, "--set", "branch"), "no value"),
        ((*start, "--set", "branch=b", "--set", "branch=c"), "given twice"),
        ((*start, "--set", "branch=b", "--set", "most_findings=many"), "Must be a whole number"),
        ((*start, "--set", "brnch=b"), "the closest is 'branch'"),
        (("template", "show", "nowhere"), "no template 'nowhere'"),
        (("template", "delete", "bug-fix", "--yes"), "is built in"),
    ):
        said = podium(*arguments)
        assert said.status != 0, arguments
        assert told in said.err, said
