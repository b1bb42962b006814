"""Every command against a real Podium, in processes of their own."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from installation import Installation, Said

Run = Callable[..., Said]


@pytest.fixture
def podium(installation: Installation) -> Run:
    """Runs commands in a project of the test's own."""
    project = f"c-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0

    def run(*arguments: str, **options: Any) -> Said:
        return installation.podium(*arguments, PODIUM_PROJECT=project, **options)

    return run


@pytest.fixture
def echo(podium: Run) -> str:
    said = podium("agent", "add", "echo", "--", "cat")
    assert said.status == 0, said
    return "echo"


def made(said: Said) -> str:
    assert said.status == 0, said
    return said.out.strip()


def test_ask_streams_and_prints_the_result(podium: Run, echo: str) -> None:
    said = podium("ask", "hello there", "--agent", echo)
    assert (said.status, said.out) == (0, "hello there\n")
    assert said.err.startswith("Task ")
    assert "hello there" in said.err
    said = podium("ask", "-", "-a", echo, "--json", stdin="from standard input")
    assert said.json["output"]["text"] == "from standard input"
    assert said.err == ""


def test_ask_of_an_agent_that_fails(podium: Run) -> None:
    podium("agent", "add", "broken", "--", "sh", "-c", "echo what >&2; exit 3")
    said = podium("ask", "x", "-a", "broken")
    assert (said.status, said.out) == (1, "")
    assert "The task is failed" in said.err
    assert "what" in said.err
    assert podium("ask", "x", "-a", "broken", "--json").json["state"] == "failed"
    assert podium("ask", "x", "-a", "nobody").status == 4


def test_ask_ends_at_its_time_limit(podium: Run) -> None:
    podium("agent", "add", "slow", "--", "sleep", "60")
    began = time.monotonic()
    said = podium("ask", "x", "-a", "slow", "--timeout", "1s")
    assert said.status == 1
    assert time.monotonic() - began < 30


def test_ctrl_c_cancels_what_was_asked(installation: Installation, podium: Run) -> None:
    podium("agent", "add", "slow", "--", "sleep", "60")
    project = podium("agent", "list", "--json").json[0]["project"]
    process = installation.begin("ask", "x", "-a", "slow", "-p", project)
    _until(lambda: bool(podium("task", "list", "-s", "running", "--json").json))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (5, ""), err
    assert [t["state"] for t in podium("task", "list", "--json").json] == ["cancelled"]


def test_a_task_by_every_command(podium: Run, echo: str) -> None:
    task_id = made(
        podium(
            "task", "create", "-a", echo, "-i", '{"prompt": "hi"}', "-t", "Say hi",
            "-l", "kind=test", "--priority", "5", "--retries", "1", "--backoff", "fixed",
            "--run-timeout", "1m",
        )
    )  # fmt: skip
    said = podium("task", "wait", task_id)
    assert (said.status, said.out) == (0, f"{task_id} succeeded\n")
    shown = podium("task", "show", task_id)
    for text in ("Say hi", "succeeded", "kind=test", "echo"):
        assert text in shown.out
    assert podium("task", "show", task_id, "--json").json["retry"]["max_retries"] == 1
    assert task_id in podium("task", "list").out
    assert [t["id"] for t in podium("task", "list", "-l", "kind=test", "--json").json] == [task_id]
    assert podium("task", "list", "-l", "kind=other").err == "There are no such tasks.\n"
    assert "task.completed" in podium("task", "history", task_id).out
    assert podium("task", "history", task_id, "--json").json[0]["type"] == "task.created"
    assert "succeeded" in podium("task", "attempts", task_id).out
    assert podium("task", "attempts", task_id, "--json").json[0]["attempt"] == 1
    assert podium("task", "logs", task_id).out.strip() == "hi"
    assert podium("task", "logs", "-f", task_id, "--json").lines[0]["text"].strip() == "hi"
    assert "succeeded" in podium("task", "explain", task_id).out
    assert podium("task", "explain", task_id, "--json").json["agent"]["name"] == echo
    assert podium("task", "artifacts", task_id).err == "It has no artifacts.\n"
    assert podium("task", "cancel", task_id).out == f"{task_id} had already ended\n"
    assert podium("task", "retry", task_id).status == 6
    assert podium("task", "delete", task_id).status == 2
    assert podium("task", "delete", task_id, "--yes").out == f"{task_id} is deleted\n"
    assert podium("task", "show", task_id).status == 4


def test_the_beginning_of_an_id_is_enough(podium: Run, echo: str) -> None:
    ids = [made(podium("task", "create", "-a", echo, "--delay", "1h")) for _ in range(2)]
    differ = next(place for place in range(36) if ids[0][place] != ids[1][place])
    common = ids[0][:differ]
    for task_id in ids:
        beginning = task_id[: len(common) + 1]
        assert podium("task", "show", beginning, "--json").json["id"] == task_id
        assert podium("task", "show", beginning.upper(), "--json").json["id"] == task_id
    said = podium("task", "cancel", ids[0], common)
    assert (said.status, "several tasks begin with" in said.err) == (2, True)
    assert podium("task", "show", ids[0], "--json").json["state"] == "pending"
    last = made(podium("task", "create", "-a", echo, "--depends-on", ids[1][: len(common) + 1]))
    assert podium("task", "show", last, "--json").json["depends_on"][0]["id"] == ids[1]
    last = made(podium("task", "create", "-a", echo, "--delay", "1h"))
    while last[-1] != "f":  # the last of those that begin so
        last = made(podium("task", "create", "-a", echo, "--delay", "1h"))
    cancelled = podium("task", "cancel", last[:-1])
    assert (cancelled.out, cancelled.err) == (f"{last} is cancelled\n", "")
    for unknown, status in (("00000000", 4), ("0000", 2), ("nonsense-", 2), ("0" * 34, 2)):
        assert podium("task", "explain", unknown).status == status


def test_a_task_that_waits(podium: Run, echo: str) -> None:
    task_id = made(podium("task", "create", "-c", "rare", "--queue", "other"))
    assert "queued" in podium("task", "show", task_id).out
    explained = podium("task", "explain", task_id)
    assert "rare" in explained.out or "agent" in explained.out
    said = podium("task", "edit", task_id, "-t", "Another", "-i", "[1]", "--queue-timeout", "1h")
    assert "Another" in said.out
    assert podium("task", "edit", task_id, "-l", "a=b", "--json").json["labels"] == {"a": "b"}
    assert podium("task", "edit", task_id).status == 2
    said = podium("task", "wait", task_id, "--timeout", "1s")
    assert said.status == 1
    assert "wait_timeout" in said.err
    cancelled = podium("task", "cancel", task_id, "--reason", "not wanted", "--json")
    assert cancelled.json == {"id": task_id, "result": "cancelled"}
    said = podium("task", "wait", task_id)
    assert said.status == 5
    assert "not wanted" in said.out
    assert podium("task", "retry", task_id, "--json").json["state"] == "queued"
    assert podium("task", "cancel", task_id).status == 0


def test_tasks_in_a_row(podium: Run, echo: str) -> None:
    first = made(podium("task", "create", "-a", echo, "--delay", "5s", "-t", "First"))
    second = made(
        podium("task", "create", "-a", echo, "--depends-on", first, "-t", "Second",
               "--on-dependency-failure", "run")
    )  # fmt: skip
    said = podium("task", "watch", first, second)
    assert said.status == 0, said
    assert "Second: succeeded" in said.err
    assert said.out.splitlines() == [f"{first} succeeded", f"{second} succeeded"]


def test_submitting_and_waiting_in_one(podium: Run, echo: str) -> None:
    said = podium("task", "create", "-a", echo, "-i", "1", "--wait", "--json")
    assert (said.status, said.json["state"]) == (0, "succeeded")
    podium("agent", "add", "broken", "--", "false")
    assert podium("task", "create", "-a", "broken", "--wait").status == 1
    key = ("--idempotency-key", "k1")
    first = made(podium("task", "create", "-a", echo, *key))
    assert made(podium("task", "create", "-a", echo, *key)) == first
    assert podium("task", "create", "-a", echo, "-c", "x").status == 2
    assert podium("task", "create").status == 2
    assert podium("task", "create", "-a", echo, "-i", "no json").status == 2


def test_artifacts(podium: Run, tmp_path: Path) -> None:
    script = (
        'printf 0123456789 > out.txt; echo \'{"podium":"artifact","name":"a/b.txt",'
        '"path":"out.txt"}\''
    )
    podium("agent", "add", "maker", "--output", "events", "--", "sh", "-c", script)
    task_id = podium("task", "create", "-a", "maker", "-w", "--json").json["id"]
    assert "a/b.txt" in podium("task", "artifacts", task_id).out
    assert podium("task", "artifacts", task_id, "--json").json[0]["size"] == 10
    said = podium("task", "download", task_id, "a/b.txt", cwd=tmp_path)
    assert said.out == "b.txt (10 B)\n"
    assert (tmp_path / "b.txt").read_text() == "0123456789"
    to = str(tmp_path / "there")
    said = podium("task", "download", task_id, "a/b.txt", "--to", to, "--json")
    assert said.json == {"path": to, "size": 10}
    assert podium("task", "download", task_id, "nothing", "--to", to).status == 4


def test_agents(podium: Run, echo: str) -> None:
    assert "echo" in podium("agent", "list").out
    shown = podium("agent", "show", echo, "--json").json
    assert (shown["runtime"], shown["config"]["prompt"]) == ("command", "stdin")
    said = podium(
        "agent", "edit", echo, "--description", "Says it again", "-c", "talk",
        "--max-concurrency", "2", "-l", "a=b", "--config", '{"grace_seconds": 1}',
        "--prompt", "argument", "--json", "--", "echo",
    )  # fmt: skip
    assert (said.json["version"], said.json["max_concurrency"]) == (2, 2)
    assert said.json["config"]["grace_seconds"] == 1
    assert podium("ask", "words", "-a", echo).out == "words\n"
    for text in ("Says it again", "talk", "a=b", "echo"):
        assert text in podium("agent", "show", echo).out
    assert podium("agent", "edit", echo).status == 2
    assert podium("agent", "edit", echo, "--disable", "--json").json["enabled"] is False
    assert "disabled" in podium("agent", "list").out
    assert podium("agent", "edit", echo, "--enable").status == 0
    assert [v["version"] for v in podium("agent", "versions", echo, "--json").json] == [2, 1]
    assert "argument" in podium("agent", "versions", echo).out
    assert podium("agent", "probe", echo).out.startswith("echo is ready")
    podium("agent", "add", "gone", "--", "/no/such/program")
    assert podium("agent", "probe", "gone").status == 1
    assert podium("agent", "probe", "gone", "--json").json["ok"] is False
    assert podium("agent", "add", echo, "--", "cat").status == 6
    assert podium("agent", "add", "none").status == 2
    assert podium("agent", "add", "f", "--function", "os:getcwd").status != 0
    assert podium("agent", "remove", echo).status == 2
    assert podium("agent", "remove", echo, "-y").out == "echo is removed\n"
    assert podium("agent", "remove", "gone", "-y", "--json").json["removed"] is True
    assert podium("agent", "list").err.startswith("There are no agents.")


def test_events(installation: Installation, podium: Run, echo: str) -> None:
    podium("ask", "x", "-a", echo)
    listed = podium("event", "list", "-t", "task.*", "--json").json
    assert next(e["type"] for e in listed) == "task.created"
    assert "task.completed" in podium("event", "list").out
    assert podium("event", "list", "-t", "task.*", "-n", "2", "--json").json == listed[-2:]
    rest = podium("event", "list", "--after", listed[0]["cursor"], "--subject",
                  listed[0]["subject"], "-n", "1", "--json").json  # fmt: skip
    assert [e["cursor"] for e in rest] == [listed[1]["cursor"]]
    assert podium("event", "list", "--after", "nonsense").status == 2
    process = installation.begin(
        "event", "follow", "--after", listed[0]["cursor"], "-p", listed[0]["project"], "--json"
    )
    assert process.stdout is not None
    followed = [json.loads(process.stdout.readline())["cursor"] for _ in listed[1:]]
    assert followed == [e["cursor"] for e in listed[1:]]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_watching_a_project(installation: Installation, podium: Run, echo: str) -> None:
    project = podium("agent", "list", "--json").json[0]["project"]
    for options in ([], ["--json"]):
        process = installation.begin("task", "watch", "-p", project, *options, bufsize=1)
        source = process.stdout if options else process.stderr
        assert source is not None
        deadline = time.monotonic() + 30
        seen = ""
        while "succeeded" not in seen and "task.completed" not in seen:
            assert time.monotonic() < deadline, seen
            podium("ask", "x", "-a", echo)
            seen += source.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130


def test_projects(installation: Installation) -> None:
    name = f"d-{uuid4().hex[:12]}"
    assert name in installation.podium("project", "create", name, "--weight", "2").out
    assert name in installation.podium("project", "list").out
    assert (
        installation.podium("project", "edit", name, "--weight", "3", "--json").json["weight"] == 3
    )
    assert "3" in installation.podium("project", "show", name).out
    assert installation.podium("project", "list", "--json").status == 0
    assert installation.podium("project", "delete", name).status == 2
    assert installation.podium("project", "delete", name, "-y").out == f"{name} is deleted\n"
    assert installation.podium("project", "show", name).status == 4


def test_tokens(installation: Installation) -> None:
    said = installation.podium(
        "token", "create", "viewer", "--preset", "viewer", "--expires-in", "1h"
    )
    token = said.out.strip()
    assert "not shown again" in said.err
    url = installation.podium("up", "--detach", "--json").json["url"]
    as_viewer: dict[str, Any] = {"PODIUM_URL": url, "PODIUM_TOKEN": token}
    assert installation.podium("task", "list", **as_viewer).status == 0
    said = installation.podium("project", "create", "x", **as_viewer)
    assert said.status == 4
    assert "projects:write" in said.err
    listed = installation.podium("token", "list", "--json").json
    (token_id,) = [t["id"] for t in listed if t["name"] == "viewer"]
    assert token not in installation.podium("token", "list").out
    assert installation.podium("token", "revoke", token_id, "-y").status == 0
    assert installation.podium("task", "list", **as_viewer).status == 4
    assert installation.podium("token", "create", "nothing").status == 2
    for_all = ("--preset", "admin", "-p", "default")
    assert installation.podium("token", "create", "x", *for_all).status == 2
    bound = installation.podium(
        "token", "create", "ci", "--preset", "operator", "-s", "tokens:write",
        "-p", "default", "--json",
    ).json  # fmt: skip
    assert bound["project"] == "default"
    assert "tasks:execute" in bound["scopes"]
    assert "settings:read" not in bound["scopes"]
    lifetime = datetime.fromisoformat(bound["expires_at"]) - datetime.now(UTC)
    assert 89 < lifetime / timedelta(days=1) < 91
    assert installation.podium("token", "revoke", bound["id"], "-y", "--json").json["revoked"]
    said = installation.podium("token", "create", "x", "-s", "tasks:read", "--expires-in", "never")
    assert "It never expires." in said.err
    (kept,) = [t for t in installation.podium("token", "list", "--json").json if t["name"] == "x"]
    assert kept["expires_at"] is None
    assert installation.podium("token", "revoke", kept["id"], "-y").status == 0


def test_the_servers_own_commands(installation: Installation) -> None:
    said = installation.podium("status")
    assert said.status == 0
    for text in ("PostgreSQL", "embedded", "worker-1", "active"):
        assert text in said.out
    assert installation.podium("status", "--json").json["database"]["ok"] is True
    again = installation.podium("up", "--detach")
    assert "already runs" in again.out
    assert installation.podium("up").status == 3
    assert "ready" in installation.podium("logs", "-n", "2000").out
    assert json.loads(installation.podium("logs", "-n", "1", "--json").out)["level"]
    settings = installation.podium("config", "show", "--json").json
    assert {s["name"] for s in settings} >= {"home", "database_url"}
    assert "podium" not in str([s["value"] for s in settings if s["name"] == "database_url"])
    assert "changed" in installation.podium("config", "show").out
    assert "PODIUM_PORT" in installation.podium("config", "docs").out
    assert installation.podium("config", "path").out == f"{installation.home}/settings.toml\n"
    assert installation.podium("config", "path", "--json").json["exists"] is False


def test_the_doctor_finds_nothing_wrong_here(installation: Installation) -> None:
    said = installation.podium("doctor")
    assert said.status == 0, said.out
    for check in ("versions", "disk", "admin token", "server", "PostgreSQL", "workers", "clock"):
        assert check in said.out
    assert installation.podium("doctor", "--json").json["ok"] is True


def test_the_log_is_followed(installation: Installation) -> None:
    process = installation.begin("logs", "-f", "-n", "0", "--json")
    assert process.stdout is not None
    time.sleep(1)
    installation.podium("status")
    assert json.loads(process.stdout.readline())["event"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def _until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_checkup_of_a_repository(installation: Installation, podium: Run, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    out = tmp_path / "report"
    said = podium("run", "checkup", "--repo", str(repo), "--out", str(out))
    assert said.status == 0, said
    assert "Report" in said.out
    assert str(out / "report.md") in said.out
    assert "Survey of the repository: succeeded" in said.err
    assert json.loads((out / "report.json").read_text())["summary"]["outcome"] == "complete"
    said = podium("run", "checkup", "--repo", str(repo), "--skip", "lint", "--json", cwd=tmp_path)
    assert (said.status, said.err, said.json["ok"]) == (0, "", True)
    assert "lint" not in said.json["tasks"]
    assert (tmp_path / "podium-report" / "report.md").exists()


def test_checkup_of_a_repository_whose_path_is_no_utf_8(podium: Run, tmp_path: Path) -> None:
    repo = repository(tmp_path / os.fsdecode(b"caf\xe9"))
    said = podium("run", "checkup", "--json", cwd=repo)
    assert (said.status, said.err, said.json["ok"]) == (0, "", True)
    report = repo / "podium-report" / "report.json"
    assert said.json["report_json"] == report.as_uri()
    assert json.loads(report.read_text())["repository"]["name"] == "caf\\xe9"


def test_checkups_side_by_side(installation: Installation, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    processes = [
        installation.begin("run", "checkup", "-r", str(repo), "-o", str(tmp_path / str(number)))
        for number in range(3)
    ]
    for process in processes:
        out, err = process.communicate(timeout=110)
        assert process.returncode == 0, (out, err)


def test_ctrl_c_cancels_a_checkup(installation: Installation, podium: Run, tmp_path: Path) -> None:
    """Its survey waits behind a task that holds the only place of the agent."""
    agent = ("agent", "add", "checkup-survey", "--max-concurrency", "1", "--", "sleep", "60")
    assert podium(*agent).status == 0
    holder = made(podium("task", "create", "-a", "checkup-survey"))
    _until(lambda: podium("task", "show", holder, "--json").json["state"] == "running")
    project = podium("task", "show", holder, "--json").json["project"]
    repo, out = str(repository(tmp_path / "repo")), str(tmp_path / "out")
    process = installation.begin("run", "checkup", "-r", repo, "-o", out, "-p", project)
    ours = ("task", "list", "--json", "-l", "checkup=report")
    _until(lambda: bool(podium(*ours).json))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Cancelling the checkup" in err
    states = {task["id"]: task["state"] for task in podium("task", "list", "--json").json}
    assert states.pop(holder) == "running"
    assert set(states.values()) == {"cancelled"}
    assert len(states) == 9
    assert podium("task", "cancel", holder).status == 0


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_is_no_repository_is_told_at_once(
    installation: Installation, tmp_path: Path, options: list[str]
) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        said = installation.podium("run", "checkup", "--repo", str(path), *options)
        assert (said.status, said.out) == (2, "")
        assert str(path) in said.err
    said = installation.podium("run", "checkup", "--repo", "/", "--skip", "nothing", *options)
    assert said.status == 2


def test_what_cannot_be_looked_at_is_told_at_once(podium: Run, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    said = podium("run", "checkup", "-r", str(repo), "--head", "nosuchref")
    assert (said.status, "no commit nosuchref" in said.err) == (2, True)
    (repo / ".git" / "HEAD").write_text("rubbish")
    said = podium("run", "checkup", "-r", str(repo))
    assert (said.status, "its HEAD is missing or holds" in said.err) == (2, True)
    assert not podium("task", "list", "--json").json


def test_the_data_directory_is_out_of_reach_of_a_checkup(
    installation: Installation, podium: Run, tmp_path: Path
) -> None:
    repo, inside = repository(tmp_path / "repo"), installation.home / "inside"
    (tmp_path / "link").symlink_to(installation.home)
    for options in (
        ("--repo", str(repo), "--out", str(inside)),
        ("--repo", str(repo), "--out", str(tmp_path / "link" / "inside")),
        ("--repo", str(inside)),
    ):
        said = podium("run", "checkup", *options, cwd=tmp_path)
        assert said.status == 2
        assert f"{options[-2]}: {options[-1]} is inside Podium's data directory" in said.err
    assert not inside.exists()
    assert not podium("task", "list", "--json").json


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(
    installation: Installation, tmp_path: Path
) -> None:
    repo = repository(tmp_path / "repo")
    (tmp_path / "file").write_text("")
    said = installation.podium(
        "run", "checkup", "-r", str(repo), "-o", str(tmp_path / "file" / "x")
    )
    assert said.status == 2
    assert "out_not_writable" in said.err
    said = installation.podium("run", "checkup", "-r", str(repo), "--skip", "nothing")
    assert "There is no part 'nothing'" in said.err


def repository(path: Path) -> Path:
    """A small git repository."""
    path.mkdir()
    (path / "main.py").write_text("import os\n# TODO: finish\nprint('hi')\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(path)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    return path
