"""What the guides tell to type works as it stands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from buckets import KEYS, S3
from installation import Installation

DOCS = Path(__file__).parents[3] / "docs"
PODIUM = f'podium() {{ "{sys.executable}" -m podium.cli "$@"; }}\n'


def blocks(guide: str, language: str) -> list[str]:
    page = DOCS / guide
    text = (page if page.exists() else DOCS / "guides" / guide).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed(installation: Installation, lines: str, folder: Path, **environment: str) -> str:
    """What the lines print in a shell that has ``podium``."""
    done = subprocess.run(
        ["bash", "-euc", PODIUM + lines],
        env={**installation.environment, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


def test_tutorial(fresh: Installation, tmp_path: Path) -> None:
    told = typed(fresh, "echo ---\n".join(blocks("tutorial.md", "bash")), tmp_path)
    _, first, one, waiting, failing, again, watched, _ = told.split("---\n")
    assert "HELLO" in first
    assert "task.completed" in one
    assert [line.split()[-1] for line in waiting.splitlines()[:2]] == ["succeeded"] * 2
    assert "say please" in failing
    assert failing.splitlines()[-1].endswith("succeeded")
    assert "At 08:00 on Monday through Friday" in again
    assert "schedule" in watched or "task" in watched


def test_function_agents(fresh: Installation, tmp_path: Path) -> None:
    (code,) = blocks("function-agents.md", "python")
    (tmp_path / "my_agents.py").write_text(code)
    (shell,) = blocks("function-agents.md", "sh")
    path = ":".join(filter(None, sys.path))
    told = typed(fresh, shell, tmp_path, PYTHONPATH=path)
    assert "counter is ready" in told
    assert '"words": 3' in told
    failing = ("task", "create", "-a", "counter", "-i", "{}", "--wait", "--json")
    shown = fresh.podium("task", "show", fresh.podium(*failing).json["id"]).out
    error, traceback = shown.split("Traceback (most recent call last):")
    assert "Error" in error
    assert "my_agents.py" in traceback.split("\n")[1], traceback


def test_command_agents(installation: Installation, tmp_path: Path) -> None:
    words, tally, _ = blocks("command-agents.md", "json")
    (tmp_path / "words.json").write_text(words)
    (tmp_path / "tally.json").write_text(tally)
    project = f"g-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    first, second, third = blocks("command-agents.md", "bash")
    told = typed(installation, first, tmp_path, PODIUM_PROJECT=project)
    assert told.count("is registered") == 2
    assert "3\n" in told
    told = typed(installation, second, tmp_path, PODIUM_PROJECT=project)
    assert told.split()[-4:] == ["1", "a", "2", "b"]
    told = typed(installation, third, tmp_path, PODIUM_PROJECT=project)
    assert told.count("words is changed") == 2
    shown = installation.podium("agent", "show", "words", "-p", project, "--json").json
    assert (shown["labels"], shown["max_concurrency"]) == ({}, None)


def test_coding_agents(installation: Installation, tmp_path: Path) -> None:
    stream = Path(__file__).parents[1] / "agents" / "streams" / "claude-code.jsonl"
    program = tmp_path / "claude"
    version = 'if [ "$1" = --version ]; then echo "1.0.0 (Claude Code)"; else'
    program.write_text(f'#!/bin/sh\n{version} cat "{stream}"; fi\n')
    program.chmod(0o755)
    project = f"g-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    around = {"PODIUM_PROJECT": project, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    find, change, versions, health = blocks("coding-agents.md", "bash")
    told = typed(installation, find, tmp_path, **around)
    assert "claude-code is registered; it is ready" in told
    assert "Hello from the stand-in." in told
    told = typed(installation, change, tmp_path, **around)
    assert "bypassPermissions" in told
    assert told.endswith("claude-code is at version 3, which is version 1 again\n")
    told = typed(installation, versions, tmp_path, **around)
    assert told.count("claude") >= 3
    told = typed(installation, health, tmp_path, **around)
    assert told.count("claude-code") == 2


def reached(installation: Installation) -> dict[str, str]:
    """Variables of a shell that works in a project of its own by URL and token."""
    project = f"g-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    preset = ["--preset", "operator", "-p", project, "--json"]
    made = installation.podium("token", "create", "guide", *preset).json
    return {
        "PODIUM_URL": installation.podium("status", "--json").json["url"],
        "PODIUM_TOKEN": made["token"],
    }


def test_http(installation: Installation, tmp_path: Path) -> None:
    connect, follow = blocks("http.md", "sh")
    assert re.findall(r"^export (\w+)=", connect, re.MULTILINE) == ["PODIUM_URL", "PODIUM_TOKEN"]
    (lines,) = blocks("http.md", "bash")
    lines = lines.replace("curl -sS", "curl -sS --fail-with-body -w '\\n'")
    shell = reached(installation)
    told = typed(installation, lines, tmp_path, **shell)
    agent, task, tasks, events = (json.loads(line) for line in told.splitlines())
    assert (agent["name"], task["agent"]) == ("louder", "louder")
    assert {each["id"] for each in tasks["items"]} <= {task["id"]}
    assert events["items"][0]["subject"] == task["id"]
    follow = follow.replace("curl -sSN", "curl -sSN --fail -m 2") + "[ $? -eq 28 ]"
    assert typed(installation, f"set +e\n{follow}", tmp_path, **shell).startswith("retry: ")


def test_tasks(installation: Installation, tmp_path: Path) -> None:
    shell = reached(installation)
    create, fails, mended, once, look, change, queues, sharing, limits = blocks("tasks.md", "bash")
    fails = re.sub(
        r"^(podium task wait .*?) *#.*$", r"\1 || [ $? -eq 1 ]", fails, flags=re.MULTILINE
    )
    parts = [create, fails, mended, once + 'echo "$task"\n', look, change, queues, sharing, limits]
    script = "echo ---\n".join(parts)
    created, failed, again, keyed, looked, changed, drained, shared, limited = (
        part.splitlines() for part in typed(installation, script, tmp_path, **shell).split("---\n")
    )
    assert created[1].endswith(" succeeded")
    assert [line[37:].split(":")[0] for line in failed[1:4]] == ["failed", "cancelled", "succeeded"]
    assert failed[4].startswith("It is held until task")
    states = [line.split()[-1] for line in again[1:]]
    assert states == ["queued", "pending", *["succeeded"] * 3]
    assert keyed[0] == keyed[1]
    assert "COUNT" in looked
    ends = ["is cancelled", "is queued", "succeeded", "is deleted"]
    assert [line[37:] for line in changed[-4:]] == ends
    assert any(line.split() == ["Shared", "out", "weighted"] for line in shared)
    assert drained[-1] == "mail is open and has no limits"
    assert limited[-1] == "customer:big is deleted"


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_artifacts(fresh: Installation, tmp_path: Path, s3: S3, kind: str) -> None:
    bucket = s3.make_bucket()
    around: dict[str, Any] = {
        "PODIUM_ARTIFACT_URL": f"s3://{bucket}/podium",
        "PODIUM_ARTIFACT_ENDPOINT": s3.url,
        "PODIUM_ARTIFACT_ACCESS_KEY": KEYS["access_key"],
        "PODIUM_ARTIFACT_SECRET_KEY": KEYS["secret_key"],
    }
    if kind == "directory":
        around = {"PODIUM_ARTIFACT_URL": f"file://{tmp_path}/kept"}
    (lines,) = blocks("artifacts.md", "bash")
    told = typed(fresh, f"podium up --detach\n{lines}", tmp_path, **around)
    assert "numbers.txt" in told
    assert (tmp_path / "here.txt").read_text().splitlines()[-1] == "100000"
    kept = s3.keys(bucket) if kind == "bucket" else list((tmp_path / "kept").glob("*/*/*"))
    assert len([each for each in kept if ".podium-owner" not in str(each)]) == 1
    shown = fresh.podium("config", "show", "--json", **around)
    assert shown.status == 0
    assert KEYS["secret_key"] not in shown.out
    doctor = fresh.podium("doctor", "--json", **around).json["checks"]
    assert {"check": "artifacts", "outcome": "ok"}.items() <= next(
        each for each in doctor if each["check"] == "artifacts"
    ).items()


def test_schedules(installation: Installation, tmp_path: Path) -> None:
    parts = blocks("schedules.md", "bash")
    told = typed(installation, "echo ---\n".join(parts), tmp_path, **reached(installation))
    created, seen, changed, filled = told.split("---\n")
    assert "At 09:00 on Monday through Friday (Europe/Berlin)" in created
    assert "Every 15 minutes" in created
    assert seen.splitlines()[0] == "At 02:30 every day (Europe/Berlin)"
    assert "Until the agent is mended." in changed
    assert "trigger" in changed
    dry, done = filled.count("backfill"), filled.count("started")
    assert (dry, done) == (4, 4)
    assert filled.endswith("digest is deleted\npulse is deleted\n")


def test_finding(installation: Installation, tmp_path: Path) -> None:
    shell = reached(installation)
    administrator = 5
    parts = blocks("finding.md", "bash")
    assert len(parts) == administrator
    told = typed(installation, "echo ---\n".join(parts[:-1]), tmp_path, **shell)
    found, saved, changed, exported = told.split("---\n")
    assert found.count("Review the parser") == 2
    assert "Review the docs" not in found
    assert found.endswith("\n1\n")
    assert "broken is deleted" in saved
    assert changed.splitlines() == [
        "1 task given the priority 10",
        "1 task would be looked at",
        "1 task cancelled",
        "1 task retried",
        "0 tasks deleted",
    ]
    assert json.loads(exported)["title"] == "Review the parser"
    assert "Review the parser" in (tmp_path / "tasks.jsonl").read_text()
    kept = typed(installation, parts[-1], tmp_path)
    assert "for 30 days, the newest 100,000" in kept
    assert kept.endswith("short is deleted\n")
    (code,) = blocks("finding.md", "python")
    script = f"{shlex.quote(sys.executable)} - <<'END'\n{code}END\n"
    assert typed(installation, script, tmp_path, **shell).endswith("Review the parser succeeded\n")


def test_templates(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("It stops at 5 %.")
    parts = blocks("templates.md", "bash")
    shell = reached(installation)
    told = typed(installation, "echo ---\n".join(parts), tmp_path, **shell)
    started, seen, listed, made, versions, changed = told.split("---\n")
    assert "(must be given)" in started
    assert started.splitlines()[-1].endswith(" succeeded")
    assert "bug-fix v1 (built in)" in seen
    assert "Stops at 5 %" in seen
    assert "Review of feature" in listed
    assert made.splitlines()[-1].endswith(" succeeded")
    assert versions.splitlines()[-1] == "summary is deleted"
    assert "changed here: task, defaults" in changed
    assert changed.splitlines()[-1] == "code-review is deleted"
    tasks = typed(installation, "podium task list -l template=summary --json", tmp_path, **shell)
    ids = [task["id"] for task in json.loads(tasks)]
    texts = typed(installation, f"podium task wait {' '.join(ids)} --json", tmp_path, **shell)
    prompts = [json.loads(line)["output"]["text"] for line in texts.splitlines()]
    short = "Sum up README.md in at most 100 words."
    assert prompts == [short, f"{short}\nSay something about:\n- costs\n- risks"]


def test_apply(installation: Installation, tmp_path: Path) -> None:
    (file,) = blocks("apply.md", "yaml")
    (tmp_path / "podium.yaml").write_text(file)
    project = f"g-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    made, changed, pruned, exported = blocks("apply.md", "bash")
    pruned = pruned.replace("house", project)
    around = {"PODIUM_PROJECT": project}
    told = typed(installation, made, tmp_path, **around)
    assert told.count("4 to create.") == 2
    assert told.splitlines()[-1] == "4 unchanged."
    told = typed(installation, changed, tmp_path, **around)
    assert "    -concurrency: 2\n    +concurrency: 4\n" in told
    assert f"~ Queue {project}/slow changed" in told
    told = typed(installation, pruned, tmp_path, **around)
    assert "concurrency: 9 → 4  (changed since it was applied)" in told
    assert f"- Schedule {project}/pulse removed" in told
    told = typed(installation, exported, tmp_path, **around)
    assert "4 unchanged." in told, "with the project"
    assert "kind: Queue" in told


def test_a_checkup_by_template(installation: Installation, tmp_path: Path) -> None:
    (lines,) = blocks("templates.md", "sh")
    lines = lines.replace('"python3"', f'"{sys.executable}"')
    commit = "git -c user.name=n -c user.email=e@x commit -q --allow-empty -m m\n"
    lines = f"git init -q -b main .\n{commit}{lines}"
    told = typed(installation, lines, tmp_path, **reached(installation))
    assert told.splitlines()[-1].endswith(" succeeded")


def test_many_tasks(installation: Installation, tmp_path: Path) -> None:
    shell = reached(installation)
    (python,), (curl,) = blocks("tasks.md", "python"), blocks("tasks.md", "sh")
    add = "podium agent add shout -- tr a-z A-Z\n"
    many = f"{shlex.quote(sys.executable)} - <<'END'\n{python}END\n"
    curl = curl.replace("curl -sS", "curl -sS --fail-with-body")
    _, text, made = typed(installation, add + many + curl, tmp_path, **shell).splitlines()
    assert text == "C"
    assert json.loads(made)["refs"] == {"a": json.loads(made)["ids"][0]}


def test_observing(installation: Installation, tmp_path: Path) -> None:
    doctor, logs = blocks("observing.md", "bash")
    told = typed(
        installation,
        doctor.replace("podium doctor\n", "podium doctor || true\n", 1).replace(
            "--json", "--json || true"
        ),
        tmp_path,
    )
    assert "waiting tasks" in told
    assert '"checks"' in told
    typed(installation, logs, tmp_path)
    _, metrics = blocks("observing.md", "sh")
    url = installation.podium("status", "--json").json["url"]
    token = (installation.home / "admin-token").read_text().strip()
    told = typed(installation, metrics, tmp_path, PODIUM_URL=url, PODIUM_TOKEN=token)
    assert 'podium_tasks{state="dead"}' in told
