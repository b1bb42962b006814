"""Sets of files in more than one project, and what is left of them when something goes wrong."""

import subprocess
import time
from pathlib import Path
from uuid import uuid4

import pytest

from installation import Installation
from slices.cli.commands import Run, until
from slices.cli.test_apply import actions, applied, project, written

__all__ = ["project"]

LIMIT = "kind: Limit\nname: lim\nspec: {concurrency: 1}\n"
QUEUE = "kind: Queue\nname: slow\nspec: {concurrency: 2, rate: {count: 10, seconds: 60}}\n"


def own() -> str:
    return f"s-{uuid4().hex[:8]}"


def limits(podium: Run, *arguments: str) -> list[str]:
    return [each["name"] for each in podium("limit", "list", "--json", *arguments).json]


def test_one_set_in_two_projects_is_pruned_in_each_alone(
    podium: Run, project: str, tmp_path: Path
) -> None:
    other, house = f"o-{uuid4().hex[:12]}", own()
    assert podium("project", "create", other).status == 0
    both = written(tmp_path, f"{LIMIT}---\n{QUEUE}")
    prune = ("--set", house, "--prune", "--yes")
    applied(podium, "-f", both, *prune)
    told = applied(podium, "-f", both, *prune, "--project", other)
    assert told["counts"] == {"create": 2}
    assert [each["project"] for each in told["left"]] == [project] * 2
    said = podium("apply", "-f", both, *prune, "--project", other)
    assert f"2 things of the set in the project {project} left" in said.err
    assert f"--project {project}." in said.err
    assert limits(podium) == limits(podium, "--project", other) == ["lim"]
    less = written(tmp_path, QUEUE, "less.yaml")
    assert applied(podium, "-f", less, *prune)["counts"] == {"unchanged": 1, "prune": 1}
    assert (limits(podium), limits(podium, "--project", other)) == ([], ["lim"])
    named = written(tmp_path, f"{QUEUE}---\n{QUEUE}project: {other}\n", "named.yaml")
    told = applied(podium, "-f", named, *prune)
    assert (told["counts"], told["left"]) == ({"unchanged": 2, "prune": 1}, [])
    assert limits(podium, "--project", other) == []


def test_a_project_is_pruned_unless_something_of_it_is_left(
    podium: Run, project: str, tmp_path: Path
) -> None:
    other, house = f"o-{uuid4().hex[:12]}", own()
    prune = ("--set", house, "--prune", "--yes")
    made = f"kind: Project\nname: {other}\n"
    whole = written(tmp_path, f"{QUEUE}---\n{made}---\n{LIMIT}project: {other}\n")
    applied(podium, "-f", whole, *prune)
    less = written(tmp_path, QUEUE, "less.yaml")
    told = applied(podium, "-f", less, *prune)
    assert (told["counts"], len(told["left"])) == ({"unchanged": 1}, 2)
    placed = written(tmp_path, f"{QUEUE}project: {project}\n", "placed.yaml")
    told = applied(podium, "-f", placed, *prune, "--project", other)
    assert (told["counts"], told["left"]) == ({"unchanged": 1, "prune": 2}, [])
    assert podium("project", "show", other).status == 4
    applied(podium, "-f", written(tmp_path, f"{QUEUE}---\n{made}"), *prune)
    assert actions(applied(podium, "-f", less, *prune))[f"Project/{other}"] == "prune"


@pytest.mark.parametrize("text", ["", "# all is gone\n"])
def test_nothing_is_pruned_by_files_that_hold_nothing(
    podium: Run, tmp_path: Path, text: str
) -> None:
    house = own()
    applied(podium, "-f", written(tmp_path, LIMIT), "--set", house)
    empty = written(tmp_path, text, "empty.yaml")
    said = podium("apply", "-f", empty, "--set", house, "--prune", "--yes")
    assert said.status == 2, said
    assert limits(podium) == ["lim"]
    assert podium("apply", "-f", empty, "--set", house).status == 0


def test_to_prune_a_queue_leaves_it_paused(podium: Run, echo: str, tmp_path: Path) -> None:
    house = own()
    applied(podium, "-f", written(tmp_path, f"{QUEUE}---\n{LIMIT}"), "--set", house)
    assert podium("queue", "pause", "slow").status == 0
    task = podium("task", "create", "-a", echo, "--queue", "slow", "--json").json["id"]
    less = written(tmp_path, LIMIT, "less.yaml")
    told = applied(podium, "-f", less, "--set", house, "--prune", "--yes")
    assert actions(told)["Queue/slow"] == "prune"
    queue = podium("queue", "show", "slow", "--json").json
    assert (queue["state"], queue["concurrency"], queue["rate"]) == ("paused", None, None)
    time.sleep(0.5)
    assert podium("task", "show", task, "--json").json["state"] == "queued"
    assert applied(podium, "-f", less, "--set", house, "--prune")["counts"] == {"unchanged": 1}
    assert podium("queue", "open", "slow").status == 0
    until(lambda: podium("task", "show", task, "--json").json["state"] == "succeeded")


@pytest.mark.parametrize("lines", [3, 43])
def test_all_is_done_and_recorded_when_nobody_reads_on(
    podium: Run, installation: Installation, project: str, tmp_path: Path, lines: int
) -> None:
    """The plan has 41 lines, and each thing that is made one more."""
    house = own()
    many = [LIMIT.replace("lim", f"l{n:02}") for n in range(40)]
    command = installation.argv(
        "apply", "-f", written(tmp_path, "---\n".join(many)), "--set", house
    )
    done = subprocess.run(
        ["sh", "-c", f'"$@" | head -n {lines}', "sh", *command],
        env={**installation.environment, "PODIUM_PROJECT": project},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (lines, "")
    until(lambda: len(limits(podium)) == 40)
    other = written(tmp_path, QUEUE, "other.yaml")
    told = applied(podium, "-f", other, "--set", house, "--prune", "--dry-run")
    assert told["counts"] == {"create": 1, "prune": 40}


def test_what_a_token_is_not_shown_is_not_exported(
    podium: Run, project: str, tmp_path: Path
) -> None:
    config = '{"env": {"KEY": "real", "MODE": "plain"}}'
    assert podium("agent", "add", "keeper", "--config", config, "--", "cat").status == 0
    assert "KEY: real" in podium("export").out
    made = podium("token", "create", "reader", "--preset", "viewer", "--json").json
    said = podium("export", PODIUM_TOKEN=made["token"])
    assert said.status == 0, said
    assert "KEY" not in said.out
    assert f"Left out of Agent {project}/keeper" in said.err
    assert "KEY, MODE" in said.err
    masked = podium("export").out.replace("KEY: real", 'KEY: "***"')
    said = podium("apply", "-f", written(tmp_path, masked))
    assert said.status == 2
    assert "The value of KEY is ***" in said.err
    assert "KEY: real" in podium("export").out
