"""``podium apply`` and ``podium export`` against a real Podium."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from in_process import Said
from installation import Installation
from slices.cli.commands import Run
from terminal import Terminal

ALL = """\
kind: Project
name: PROJECT
spec: {weight: 2, keep_days: 30}
---
kind: Agent
name: shout
spec:
  runtime: command
  config: {command: [tr, a-z, A-Z], env: {KEY: secret-value}}
  capabilities: [text, loud, text]
  labels: {team: core}
---
kind: Queue
name: slow
spec: {concurrency: 2, rate: {count: 10, seconds: 60}}
---
kind: Limit
name: "customer:*"
spec: {concurrency: 1}
---
kind: Template
name: greet
spec:
  prompt: |
    Greet {{ who }}.

    Kindly.
  parameters: {type: object, properties: {who: {type: string}}, required: [who]}
  task: {agent: shout, timeouts: {run: 30}}
---
kind: Schedule
name: pulse
spec:
  every: 900
  starts_at: 2027-01-01T00:00:00+01:00
  task: {capabilities: [text], input: beat}
---
kind: Filter
name: broken
spec: {filter: {state: [failed, dead], created_after: 2026-01-01T00:00:00Z}, sort: finished}
"""


@pytest.fixture
def project(podium: Run) -> str:
    """The name of the test's own project."""
    (made,) = podium("export", "-k", "project", "--json").json
    return made["name"]


def written(tmp_path: Path, text: str, name: str = "all.yaml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def applied(podium: Run, *arguments: str) -> Any:
    said = podium("apply", *arguments, "--json")
    assert said.status == 0, said
    return said.json


def actions(told: Any) -> dict[str, str]:
    return {f"{each['kind']}/{each['name']}": each["action"] for each in told["plan"]}


def test_all_kinds_are_made_and_a_second_time_nothing_changes(
    podium: Run, project: str, tmp_path: Path
) -> None:
    file = written(tmp_path, ALL.replace("PROJECT", project))
    dry = applied(podium, "-f", file, "--dry-run")
    assert (dry["applied"], dry["counts"]) == (False, {"change": 1, "create": 6})
    assert podium("agent", "list", "--json").json == []
    said = podium("apply", "-f", file)
    assert said.status == 0, said
    assert f"~ Project {project} (to change)" in said.out
    assert "    weight: 1 → 2" in said.out
    assert f"+ Agent {project}/shout created" in said.out
    assert said.out.index("Agent") < said.out.index("Template") < said.out.index("Schedule")
    again = applied(podium, "-f", file)
    assert again["counts"] == {"unchanged": 7}, again
    assert len(podium("agent", "versions", "shout", "--json").json) == 1
    assert len(podium("template", "versions", "greet", "--json").json) == 1
    said = podium("apply", "-f", file)
    assert said.out == "7 unchanged.\n"


def test_what_changed_is_told_field_by_field(podium: Run, project: str, tmp_path: Path) -> None:
    text = ALL.replace("PROJECT", project)
    applied(podium, "-f", written(tmp_path, text))
    changed = (
        text.replace("{command: [tr, a-z, A-Z], env: {KEY: secret-value}}", "{command: [cat]}")
        .replace("concurrency: 2, rate: {count: 10, seconds: 60}", "distribution: weighted")
        .replace("every: 900\n", "cron: 0 9 * * *\n")
        .replace("Kindly.", "Loudly.")
        .replace("failed, dead", "failed")
    )
    file = written(tmp_path, changed)
    told = applied(podium, "-f", file, "--dry-run")
    fields = {each["name"]: [c["field"] for c in each["changes"]] for each in told["plan"]}
    assert sorted(fields["shout"]) == ["config.command", "config.env.KEY"]
    assert fields["slow"] == ["concurrency", "rate", "distribution"]
    assert sorted(fields["pulse"]) == ["cron", "every"]
    assert (fields["greet"], fields["broken"]) == (["prompt"], ["filter.state"])
    assert "secret-value" not in json.dumps(told)
    shown = podium("apply", "-f", file, "--dry-run", "--diff").out
    assert "-  Kindly." in shown
    assert "+  Loudly." in shown
    assert "secret-value" not in shown
    said = podium("apply", "-f", file)
    assert said.status == 0, said
    assert applied(podium, "-f", file)["counts"] == {"unchanged": 7}
    assert podium("agent", "show", "shout", "--json").json["version"] == 2
    queue = podium("queue", "show", "slow", "--json").json
    assert (queue["concurrency"], queue["rate"]) == (None, None)


def test_what_people_do_in_operation_stays(podium: Run, project: str, tmp_path: Path) -> None:
    text = ALL.replace("PROJECT", project)
    applied(podium, "-f", written(tmp_path, text))
    for arguments in (
        ("queue", "pause", "slow"),
        ("schedule", "pause", "pulse"),
        ("agent", "edit", "shout", "--disable"),
    ):
        assert podium(*arguments).status == 0
    assert applied(podium, "-f", written(tmp_path, text))["counts"] == {"unchanged": 7}
    named = text.replace("{concurrency: 2,", "{state: open, concurrency: 2,")
    told = applied(podium, "-f", written(tmp_path, named))
    assert actions(told)["Queue/slow"] == "change"
    assert podium("queue", "show", "slow", "--json").json["state"] == "open"


def test_what_is_wrong_is_told_at_once_and_nothing_applied(
    podium: Run, project: str, tmp_path: Path
) -> None:
    text = ALL.replace("PROJECT", project).replace("concurrency: 1}", "concurency: 1}")
    said = podium("apply", "-f", written(tmp_path, text.replace("every: 900", "every: often")))
    assert (said.status, said.out) == (2, "")
    assert "2 things are wrong, and nothing was applied:" in said.err
    assert "all.yaml:19:8: There is no field 'concurency'" in said.err
    assert "(code invalid_files)" in said.err
    assert podium("agent", "list", "--json").json == []
    only_the_server = ALL.replace("PROJECT", project).replace("command: [tr", "comand: [tr")
    said = podium(
        "apply",
        "-f",
        written(tmp_path, f"{only_the_server}---\nkind: Queue\nname: q\nproject: nowhere\n"),
    )
    assert (said.status, said.out) == (2, "")
    assert "all.yaml:9:11: Agent" in said.err
    assert "There is no project 'nowhere'; add a document of kind Project for it." in said.err
    assert podium("agent", "list", "--json").json == []


_REFUSED = """\
kind: Schedule
name: wrong
spec:
  cron: 99 * * * *
  task: {agent: nobody, input: x}
---
kind: Schedule
name: far
spec: {cron: 0 9 * * *, timezone: Mars/X, task: {agent: soon}}
---
kind: Template
name: hi
spec:
  prompt: Hi {{ who
  task:
    agent: noone
---
kind: Agent
name: soon
spec: {runtime: command, config: {command: [cat]}}
"""


def test_what_only_the_server_can_tell_is_told_before_anything_is_applied(
    podium: Run, tmp_path: Path
) -> None:
    file = written(tmp_path, _REFUSED)
    for more in ((), ("--dry-run",)):
        said = podium("apply", "-f", file, *more, "--json")
        assert (said.status, said.out) == (2, "")
        errors = json.loads(said.err)["error"]["errors"]
        places = {each["field"].removeprefix(f"{file}:"): each["message"] for each in errors}
        assert places.keys() == {"4:9", "5:17", "9:35", "14:11", "16:12"}, places
        assert "no agent 'nobody'" in places["5:17"]
        assert "Mars/X" in places["9:35"]
    assert podium("agent", "list", "--json").json == []
    right = _REFUSED.replace("99 ", "9 ").replace("Mars/X", "UTC").replace("{{ who", "you")
    right = right.replace("nobody", "soon").replace("noone", "soon")
    applied(podium, "-f", written(tmp_path, right))
    exported = podium("export", "-k", "schedule", "--json").json
    assert {each["name"] for each in exported} == {"wrong", "far"}
    assert podium("agent", "remove", "soon", "--yes").status == 0
    assert applied(podium, "-f", written(tmp_path, right), "--dry-run")["counts"]["create"] == 1


def test_only_the_first_of_many_errors_are_shown(podium: Run, tmp_path: Path) -> None:
    file = written(tmp_path, "---\n".join(f"kind: Quue\nname: q{n}\n" for n in range(30)))
    said = podium("apply", "-f", file)
    assert said.err.count("all.yaml:") == 20
    assert "and 10 more; --json tells all." in said.err
    assert len(json.loads(podium("apply", "-f", file, "--json").err)["error"]["errors"]) == 30


def test_a_set_is_pruned_of_what_its_files_hold_no_more(
    podium: Run, installation: Installation, project: str, tmp_path: Path
) -> None:
    own = f"s-{uuid4().hex[:8]}"
    text = ALL.replace("PROJECT", project)
    file = written(tmp_path, text)
    assert podium("agent", "add", "by-hand", "--", "cat").status == 0
    applied(podium, "-f", file, "--set", own)
    documents = text.split("---\n")
    less = written(tmp_path, "---\n".join(documents[:2]), "less.yaml")
    assert applied(podium, "-f", less, "--set", own)["counts"] == {"unchanged": 2}
    assert podium("limit", "delete", "customer:*", "-y").status == 0
    told = applied(podium, "-f", less, "--set", own, "--prune", "--dry-run")
    order = [(each["action"], each["kind"]) for each in told["plan"]]
    assert order == [
        ("unchanged", "Project"),
        ("unchanged", "Agent"),
        ("prune", "Filter"),
        ("prune", "Schedule"),
        ("prune", "Template"),
        ("forget", "Limit"),
        ("prune", "Queue"),
    ]
    said = podium("apply", "-f", less, "--set", own, "--prune")
    assert said.status == 2
    assert "Remove 4 things? There is no terminal to ask on." in said.err
    assert podium("template", "show", "greet").status == 0
    said = podium("apply", "-f", less, "--set", own, "--prune", "--yes")
    assert said.status == 0, said
    assert f"- Template {project}/greet removed" in said.out
    assert podium("template", "show", "greet").status == 4
    assert [each["name"] for each in podium("agent", "list", "--json").json] == [
        "by-hand",
        "shout",
    ]
    again = applied(podium, "-f", less, "--set", own, "--prune", "--yes")
    assert again["counts"] == {"unchanged": 2}
    other = f"o-{uuid4().hex[:8]}"
    taken = applied(podium, "-f", less, "--set", other)
    assert {each["taken_from"] for each in taken["plan"]} == {own}
    left = written(tmp_path, "kind: Queue\nname: q\n", "left.yaml")
    told = applied(podium, "-f", left, "--set", own, "--prune", "--yes")
    assert told["counts"] == {"unchanged": 1}, "what another set has taken is not removed"


def test_before_pruning_it_is_asked(
    podium: Run, installation: Installation, project: str, tmp_path: Path
) -> None:
    own = f"s-{uuid4().hex[:8]}"
    first = written(tmp_path, "kind: Queue\nname: a\nspec: {concurrency: 1}\n", "a.yaml")
    second = written(tmp_path, "kind: Queue\nname: b\nspec: {concurrency: 1}\n", "b.yaml")
    applied(podium, "-f", first, "-f", second, "--set", own)
    for answer, status in (("n\n", 5), ("y\n", 0)):
        screen = Terminal(
            installation.argv("apply", "-f", first, "--set", own, "--prune"),
            {**installation.environment, "PODIUM_PROJECT": project},
        )
        screen.expect("Remove 1 thing?")
        screen.type(answer)
        assert screen.end() == status
    assert podium("queue", "show", "b").status == 4


def test_drift_is_told_apart_from_what_the_files_changed(
    podium: Run, project: str, tmp_path: Path
) -> None:
    own = f"s-{uuid4().hex[:8]}"
    text = ALL.replace("PROJECT", project)
    applied(podium, "-f", written(tmp_path, text), "--set", own)
    assert podium("queue", "set", "slow", "--concurrency", "9").status == 0
    file = written(tmp_path, text.replace("seconds: 60", "seconds: 30"))
    told = applied(podium, "-f", file, "--set", own, "--dry-run")
    (queue,) = (each for each in told["plan"] if each["name"] == "slow")
    assert [(each["field"], each["by_hand"]) for each in queue["changes"]] == [
        ("concurrency", True),
        ("rate.seconds", False),
    ]
    said = podium("apply", "-f", file, "--set", own, "--dry-run")
    assert "concurrency: 9 → 2  (changed since it was applied)" in said.out


def test_a_part_that_fails_is_told_and_the_rest_left(
    podium: Run, project: str, tmp_path: Path
) -> None:
    text = ALL.replace("PROJECT", project)
    own = f"s-{uuid4().hex[:8]}"
    bad = text.replace("task: {agent: shout", "task: {limits: [nowhere], agent: shout")
    bad = bad.replace("name: greet", "name: other").replace("name: pulse", "name: later")
    said = podium("apply", "-f", written(tmp_path, bad), "--set", own, "--json")
    assert said.status == 4, said
    results = {each["name"]: each for each in said.json["results"]}
    assert results["other"]["result"] == "failed"
    assert results["other"]["error"]["code"]
    assert results["later"]["result"] == "not_done"
    assert results["shout"]["result"] == "done"
    assert said.json["recorded"] is True
    told = podium("apply", "-f", written(tmp_path, bad), "--set", own)
    assert told.status == 4
    assert f"✗ Template {project}/other: not created:" in told.err
    assert f"Not done: Schedule {project}/later, Filter {project}/broken." in told.err


def test_what_is_exported_is_applied_without_a_change(
    podium: Run, installation: Installation, project: str, tmp_path: Path
) -> None:
    applied(podium, "-f", written(tmp_path, ALL.replace("PROJECT", project)))
    said = podium("export")
    assert said.status == 0, said
    exported = written(tmp_path, said.out, "exported.yaml")
    assert applied(podium, "-f", exported)["counts"] == {"unchanged": 7}
    assert "weight: 2\n" in said.out
    assert "max_concurrency" not in said.out
    assert "prompt: |" in said.out
    twin = f"c-{uuid4().hex[:12]}"
    copy = written(tmp_path, said.out.replace(project, twin), "twin.yaml")
    assert applied(podium, "-f", copy)["counts"] == {"create": 7}
    made = installation.podium("export", "-p", twin)
    assert made.out.replace(twin, project) == said.out
    only = podium("export", "--kind", "queue", "-k", "Limit", "--json").json
    assert [each["kind"] for each in only] == ["Queue", "Limit"]
    assert {each["name"] for each in podium("export", "--all", "-k", "project", "--json").json} >= {
        project,
        twin,
        "default",
    }


def test_it_is_read_from_standard_input_and_its_schema_is_printed(
    podium: Run, installation: Installation, project: str
) -> None:
    done = subprocess.run(
        installation.argv("apply", "-f", "-", "--json"),
        env={**installation.environment, "PODIUM_PROJECT": project},
        input=b"kind: Queue\nname: piped\nspec: {concurrency: 1}\n",
        capture_output=True,
        check=True,
    )
    assert actions(json.loads(done.stdout)) == {"Queue/piped": "create"}
    import jsonschema_rs

    schema = podium("apply", "--schema").json
    valid = jsonschema_rs.Draft202012Validator(schema)
    assert valid.is_valid({"kind": "Queue", "name": "q", "spec": {"concurrency": 1}})
    assert not valid.is_valid({"kind": "Queue", "name": "q", "spec": {"concurency": 1}})
    assert not valid.is_valid({"kind": "Agent", "name": "a"})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "Give at least one --file."), (["-f", "x.yaml", "--prune"], "--prune needs --set.")],
)
def test_wrong_usage_is_told(podium: Run, arguments: list[str], told: str) -> None:
    said: Said = podium("apply", *arguments)
    assert (said.status, told in said.err) == (2, True), said


def test_the_schema_is_current() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "scripts/generate_apply_schema.py", "--check"], cwd=root, check=False
    )
    assert done.returncode == 0
