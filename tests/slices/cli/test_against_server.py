"""Agents, events, projects, tokens and the server by command, in processes of their own."""

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

from installation import Installation, interrupt
from slices.cli.commands import Run, made


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
    assert "echo (prompt: argument)" in podium("agent", "versions", echo).out
    assert podium("agent", "probe", echo).out.startswith("echo is ready")


def test_removing_an_agent_tells_of_its_open_tasks(podium: Run, echo: str) -> None:
    first = made(podium("task", "create", "-a", echo, "--delay", "1h"))
    told = "that has not ended names it; 'podium task list --agent echo' lists them.\n"
    assert podium("agent", "remove", echo).err.startswith(f"1 task {told}")
    made(podium("task", "create", "-a", echo, "--delay", "1h"))
    said = podium("agent", "remove", echo, "-y")
    many = "2 tasks that have not ended name it; 'podium task list --agent echo' lists them.\n"
    assert (said.status, said.out, said.err) == (0, "echo is removed\n", many)
    assert first in podium("task", "list", "--agent", echo).out
    assert podium("task", "explain", first).out.startswith("Agent echo was deleted.")


def test_registering_agents(podium: Run, echo: str) -> None:
    added = podium("agent", "add", "gone", "--", "/no/such/program")
    assert (added.out, "podium ask" in added.err) == ("gone is registered\n", True)
    assert "Warning: the server's machine cannot start it: /no/such/program" in added.err
    unknown = next(row for row in podium("agent", "list").out.splitlines() if "gone" in row)
    assert "—" in unknown
    assert "not probed" in podium("agent", "show", "gone").out
    nonsense = podium("agent", "add", "fn", "--function", "nonsense")
    assert (nonsense.status, "nonsense" in nonsense.err.splitlines()[0]) == (0, True), nonsense
    assert "ok" in podium("agent", "show", echo).out
    assert "podium agent probe gone" in added.err
    for found in (
        ["--", "cat"],
        ["--", "./cat"],
        ["--config", '{"env": {"PATH": "/x"}}', "--", "x"],
    ):
        said = podium("agent", "add", f"found-{uuid4().hex}", *found)
        assert said.status == 0
        podium("agent", "remove", said.out.split()[0], "-y")
    assert podium("agent", "edit", "gone", "-c", "x").out == "gone is changed, at version 1\n"
    assert podium("agent", "probe", "gone").status == 1
    assert podium("agent", "probe", "gone", "--json").json["ok"] is False
    assert podium("agent", "add", echo, "--", "cat").status == 6
    assert podium("agent", "add", "none").status == 2
    assert podium("agent", "add", "both", "--function", "a:b", "--", "cat").status == 2
    by_config = ("--config", '{"command": "echo $0", "shell": true}')
    shown = podium("agent", "add", "shell", *by_config, "-c", "talk", "--json").json
    assert (shown["runtime"], shown["config"]["shell"]) == ("command", True)
    shown = podium("agent", "edit", "shell", "--clear", "capabilities", "--json").json
    assert shown["capabilities"] == []
    both = podium("agent", "edit", "shell", "--clear", "labels", "-l", "a=b")
    assert (both.status, "Leave out --clear labels" in both.err) == (2, True)
    assert podium("agent", "remove", "shell", "-y").status == 0
    assert podium("agent", "add", "f", "--function", "os:getcwd").status != 0
    said = podium("agent", "add", "dot", "--function", "my_agents.count_words")
    assert (said.status, "is written my_agents:count_words.\n" in said.err) == (0, True)
    assert "no colon" not in podium("agent", "add", "entry", "--function", "counter").err
    for name in ("dot", "entry", "fn"):
        assert podium("agent", "remove", name, "-y").err == ""
    assert podium("agent", "remove", echo).status == 2
    missing = podium("agent", "remove", "missing")
    assert (missing.status, "--yes" in missing.err) == (4, False)
    assert podium("agent", "remove", echo, "-y").out == "echo is removed\n"
    assert podium("agent", "remove", "gone", "-y", "--json").json["removed"] is True
    assert podium("agent", "list").err.startswith("There are no agents.")


def test_what_an_agent_is_told_twice_is_refused(podium: Run, echo: str) -> None:
    for options, config, field in (
        (["--", "cat"], '{"command": ["echo"]}', "command"),
        (["--function", "a:b"], '{"function": "a:c"}', "function"),
        (["--prompt", "none", "--", "cat"], '{"prompt": "stdin"}', "prompt"),
        (["--output", "json", "--", "cat"], '{"output": "text"}', "output"),
    ):
        for said in (
            podium("agent", "add", "twice", "--config", config, *options),
            podium("agent", "edit", echo, "--config", config, *options),
        ):
            assert (said.status, said.out) == (2, "")
            assert f"The field {field} is in --config, and " in said.err
    assert [agent["name"] for agent in podium("agent", "list", "--json").json] == [echo]
    beside = ("--config", '{"prompt": "argument"}', "--json", "--", "cat")
    assert podium("agent", "add", "beside", *beside).json["config"]["prompt"] == "argument"


def test_a_misspelt_field_of_an_agent_is_named_with_the_closest(podium: Run, echo: str) -> None:
    said = podium("agent", "add", "a", "--config", '{"comand": ["x"]}')
    assert said.status == 2
    assert "config.comand: There is no such field; the closest is 'command'" in said.err
    said = podium("agent", "edit", echo, "--config", '{"comand": ["x"]}')
    assert said.status == 2
    assert "config.comand: There is no such field; the closest is 'command'" in said.err
    limits = '{"limits": {"wall_second": 3}, "promt": "none"}'
    said = podium("agent", "add", "a", "--config", limits, "--", "cat")
    assert said.status == 2
    assert "config.promt: There is no such field; the closest is 'prompt'" in said.err
    assert "config.limits.wall_second: There is no such field; the closest is" in said.err
    said = podium("agent", "add", "a", "--config", '{"unlike": 1}')
    assert (said.status, "Give either" in said.err) == (2, True)


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
    assert podium("event", "list", "-t", "tsk.*").status == 2
    subject = listed[0]["subject"]
    of_one = podium("event", "list", "--subject", subject[:18], "--json").json
    assert of_one == podium("event", "list", "--subject", subject, "--json").json != []
    no_id = podium("event", "list", "--subject", "echo")
    assert (no_id.status, no_id.err.splitlines()[0]) == (2, "Error: 'echo' is no id.")
    agent = podium("agent", "show", echo, "--json").json["id"]
    of_agent = podium("event", "list", "--subject", agent, "--json").json
    assert of_agent[0]["type"].startswith("agent.")
    nothing = podium("event", "list", "-t", "worker.*")
    assert (nothing.out, "-p '*'" in nothing.err) == ("", True)
    assert "worker.started" in podium("event", "list", "-t", "worker.*", "-p", "*").out
    none_at_all = podium("event", "list", "-t", "task.dead", "-p", "*")
    assert none_at_all.err in {"There are no such events.\n", ""}
    process = installation.begin(
        "event", "follow", "--after", listed[0]["cursor"], "-p", listed[0]["project"], "--json"
    )
    assert process.stdout is not None
    followed = [json.loads(process.stdout.readline())["cursor"] for _ in listed[1:]]
    assert followed == [e["cursor"] for e in listed[1:]]
    interrupt(process)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_watching_a_project(installation: Installation, podium: Run, echo: str) -> None:
    project = podium("agent", "list", "--json").json[0]["project"]
    for options, ended in ([], "succeeded"), (["--json"], "task.completed"):
        process = installation.begin("task", "watch", "-p", project, *options, bufsize=1)
        source = process.stdout if options else process.stderr
        assert source is not None
        seen: list[str] = []
        reader = Thread(target=seen.extend, args=(source,), daemon=True)
        reader.start()
        deadline = time.monotonic() + 60
        while not any(ended in line for line in seen):  # it tells what happens from now on
            assert time.monotonic() < deadline, seen
            podium("ask", "x", "-a", echo)
        interrupt(process)
        assert process.wait(timeout=20) == 130
        reader.join()
        process.communicate()


def test_output_that_cannot_be_written_is_told(installation: Installation) -> None:
    for arguments in (["project", "list"], ["project", "list", "--json"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                installation.argv(*arguments),
                env=installation.environment,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert "Output cannot be written: No space left on device." in done.stderr
        assert "Traceback" not in done.stderr


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
    missing = installation.podium("project", "delete", "missing")
    assert (missing.status, "--yes" in missing.err) == (4, False)
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
    assert installation.podium("status", **as_viewer).status == 0
    said = installation.podium("project", "create", "x", **as_viewer)
    assert said.status == 4
    assert "projects:write" in said.err
    assert "Ask whoever administers this installation" in said.err
    listed = installation.podium("token", "list", "--json").json
    (token_id,) = [t["id"] for t in listed if t["name"] == "viewer"]
    assert token not in installation.podium("token", "list").out
    assert installation.podium("token", "revoke", token_id, "-y").status == 0
    assert installation.podium("task", "list", **as_viewer).status == 4


def test_revoking_a_token_says_whether_it_was_the_own_one(installation: Installation) -> None:
    url = installation.podium("up", "--detach", "--json").json["url"]
    admin = ("--preset", "admin", "--json")
    root = installation.podium("token", "create", "root", *admin).json
    as_root: dict[str, Any] = {"PODIUM_URL": url, "PODIUM_TOKEN": root["token"]}
    heir = installation.podium("token", "create", "heir", *admin, **as_root).json
    as_heir: dict[str, Any] = {"PODIUM_URL": url, "PODIUM_TOKEN": heir["token"]}
    other = installation.podium("token", "create", "other", *admin).json
    said = installation.podium("token", "revoke", other["id"], "-y", **as_heir)
    assert (said.status, said.err) == (0, "")
    asked = installation.podium("token", "revoke", heir["id"], **as_heir)
    assert (asked.status, "which this very command works with" in asked.err) == (2, True)
    asked = installation.podium("token", "revoke", root["id"], **as_heir)
    assert (asked.status, "very command" in asked.err) == (2, False)
    assert "and all that were made with it?" in asked.err
    said = installation.podium("token", "revoke", root["id"], "-y", **as_heir)
    assert (said.status, said.out) == (0, f"{root['id']} is revoked\n")
    assert "or one it came from. Set PODIUM_TOKEN to another one." in said.err
    assert installation.podium("status", **as_heir).status == 4


def test_what_new_tokens_may_do_and_for_how_long(installation: Installation) -> None:
    nothing = installation.podium("token", "create", "nothing")
    assert (nothing.status, "podium token create --help" in nothing.err) == (2, True)
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
    assert installation.podium("token", "revoke", "x", "-y").out == f"{kept['id']} is revoked\n"
    unknown = installation.podium("token", "revoke", "x")
    assert (unknown.status, "no token named x" in unknown.err) == (4, True)
    for _ in range(2):
        assert installation.podium("token", "create", "twin", "-s", "tasks:read").status == 0
    several = installation.podium("token", "revoke", "twin", "-y")
    assert (several.status, "Several tokens are named twin" in several.err) == (2, True)


def test_a_token_of_one_project_needs_no_project(installation: Installation) -> None:
    project = f"e-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    made = installation.podium("token", "create", "bound", "--preset", "member", "-p", project)
    url = installation.podium("up", "--detach", "--json").json["url"]
    bound: dict[str, Any] = {"PODIUM_URL": url, "PODIUM_TOKEN": made.out.strip()}
    assert installation.podium("task", "list", **bound).err == "There are no such tasks.\n"
    unknown = installation.podium("task", "show", "00000000", **bound)
    assert "no task whose id begins with 00000000.\n" in unknown.err
    elsewhere = installation.podium("task", "list", "-p", "default", **bound)
    assert (elsewhere.status, "default" in elsewhere.err) == (4, True)


def test_a_member_uses_what_others_registered(installation: Installation) -> None:
    installation.podium("agent", "add", "shared", "--prompt", "stdin", "--", "cat")
    assert "not probed" not in installation.podium("agent", "show", "shared").out
    url = installation.podium("up", "--detach", "--json").json["url"]
    said = installation.podium("token", "create", "member", "--preset", "member")
    as_member: dict[str, Any] = {"PODIUM_URL": url, "PODIUM_TOKEN": said.out.strip()}
    asked = installation.podium("ask", "hello", "--agent", "shared", **as_member)
    assert (asked.status, asked.out) == (0, "hello\n"), asked.err
    assert installation.podium("status", **as_member).status == 0
    assert installation.podium("doctor", "--json", **as_member).json["ok"] is True
    refused = installation.podium("agent", "add", "own", "--", "true", **as_member)
    assert refused.status == 4
    # One of a single project is told nothing of the servers, which is no fault of theirs.
    said = installation.podium("token", "create", "m", "--preset", "member", "-p", "default")
    as_member["PODIUM_TOKEN"] = said.out.strip()
    assert installation.podium("ask", "hello", "--agent", "shared", **as_member).status == 0
    checks = installation.podium("doctor", "--json", **as_member).json["checks"]
    (server,) = [each for each in checks if each["check"] == "server"]
    assert server["outcome"] == "warning"
    assert "workers:read" in server["detail"]
    # The same is true, and said, of a token for all projects that holds little.
    narrow = installation.podium("token", "create", "n", "--scope", "tasks:read").out.strip()
    told = installation.podium("doctor", PODIUM_URL=url, PODIUM_TOKEN=narrow)
    assert "Use one that holds the preset viewer for all projects." in " ".join(told.out.split())


def test_the_servers_own_commands(installation: Installation) -> None:
    said = installation.podium("status")
    assert said.status == 0
    for text in ("PostgreSQL", "embedded", "worker-1", "active"):
        assert text in said.out
    told = installation.podium("status", "--json").json
    assert told["database"]["ok"] is True
    (worker,) = told["workers"]
    assert f" {worker['running_processes']}/{worker['processes']} " in said.out
    again = installation.podium("up", "--detach")
    assert "already runs" in again.out
    assert installation.podium("up").status == 6
    assert "ready" in installation.podium("logs", "-n", "2000").out
    assert json.loads(installation.podium("logs", "-n", "1", "--json").out)["level"]
    settings = installation.podium("config", "show", "--json").json
    assert {s["name"] for s in settings} >= {"home", "database_url"}
    assert "podium" not in str([s["value"] for s in settings if s["name"] == "database_url"])
    shown = installation.podium("config", "show").out
    assert "changed" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["database_url", "unset", "default"] in rows
    assert ["valkey_url", "unset", "default"] in rows
    assert shown.splitlines()[0].split() == ["Setting", "Value"]
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
    interrupt(process)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_shell_is_offered_agents_and_tasks(podium: Run, echo: str) -> None:
    def offered(line: str, **environment: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        said = podium(_PODIUM_COMPLETE="complete_bash", **words, **environment)
        assert said.err == ""
        return said.out.split()

    podium("agent", "add", "other", "--", "cat")
    task_id = podium("task", "create", "-a", echo).out.strip()
    assert offered("podium ask x --agent ") == ["echo", "other"]
    assert offered("podium agent show ot") == ["other"]
    assert offered("podium agent show -p default ec") == []
    assert offered("podium task show ") == [task_id]
    assert offered(f"podium task wait {task_id[:20]}") == [task_id]
    assert offered("podium task watch 9") == []
    assert offered("podium task list --state que") == ["queued"]
    nowhere = {"PODIUM_URL": "http://127.0.0.1:1", "PODIUM_TOKEN": "t"}
    assert offered("podium ask x --agent ", **nowhere) == []
    assert offered("podium ask x --agent ", PODIUM_HOME="/nonexistent") == []
