"""What the guides tell to type works as it stands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from installation import Installation

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
PODIUM = f'podium() {{ "{sys.executable}" -m podium.cli "$@"; }}\n'


def blocks(guide: str, language: str) -> list[str]:
    text = (GUIDES / guide).read_text()
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
    create, fails, mended, once, look, change = blocks("tasks.md", "bash")
    fails = re.sub(
        r"^(podium task wait .*?) *#.*$", r"\1 || [ $? -eq 1 ]", fails, flags=re.MULTILINE
    )
    parts = [create, fails, mended, once + 'echo "$task"\n', look, change]
    script = "echo ---\n".join(parts)
    created, failed, again, keyed, looked, changed = (
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


def test_many_tasks(installation: Installation, tmp_path: Path) -> None:
    shell = reached(installation)
    (python,), (curl,) = blocks("tasks.md", "python"), blocks("tasks.md", "sh")
    add = "podium agent add shout -- tr a-z A-Z\n"
    many = f"{shlex.quote(sys.executable)} - <<'END'\n{python}END\n"
    curl = curl.replace("curl -sS", "curl -sS --fail-with-body")
    _, text, made = typed(installation, add + many + curl, tmp_path, **shell).splitlines()
    assert text == "C"
    assert json.loads(made)["refs"] == {"a": json.loads(made)["ids"][0]}
