"""Commands that start, stop and examine a Podium, each on a data directory of its own."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installation import Installation
from podium.cli import local
from podium.cli.commands import doctor, down
from podium.cli.commands.logs import _lines
from podium.client.connection import local_server
from podium.client.models import DatabaseStatus, Status, ValkeyStatus
from slices.cli.commands import until


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    """A data directory on which nothing runs, and on which nothing is left to run."""
    found = Installation(tmp_path / "home")
    yield found
    found.end_all()
    found.podium("down")


def test_up_and_down(fresh: Installation) -> None:
    said = fresh.podium("up", "--detach", "--workers", "1", "--port", "0")
    assert said.status == 0, said
    assert "Podium is ready at http://127.0.0.1:" in said.out
    assert str(fresh.home / "admin-token") in said.out
    assert fresh.podium("status").status == 0
    said = fresh.podium("down")
    assert (said.status, said.out) == (0, "Podium is stopped.\n")
    assert fresh.podium("status").status == 3
    said = fresh.podium("down")
    assert (said.status, said.out) == (0, f"No Podium runs on {fresh.home}.\n")
    said = fresh.podium("up", "-d", "--json")
    assert said.json["status"] == "started"
    assert fresh.podium("down", "--json").json == {"stopped": True, "handed_back": 0}
    assert fresh.podium("down", "--json").json == {"stopped": False, "handed_back": 0}


def test_the_way_back_in_after_the_own_token_was_revoked(fresh: Installation) -> None:
    assert fresh.podium("up", "-d").status == 0
    said = fresh.podium("token", "revoke", "local", "-y")
    assert (said.status, said.out.endswith(" is revoked\n")) == (0, True)
    refused = fresh.podium("status")
    assert refused.status == 4
    for told in (said.err, refused.err.replace("`", "'")):
        assert "makes it anew when it starts: 'podium down', then 'podium up --detach'" in told
    assert fresh.podium("down").status == 0
    assert fresh.podium("up", "--detach").status == 0
    assert fresh.podium("status").status == 0


def test_up_in_the_foreground_ends_with_ctrl_c(fresh: Installation) -> None:
    process = fresh.begin("up")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Podium is ready at ")
    assert fresh.podium("status").status == 0
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert fresh.podium("status").status == 3


def test_down_waits_for_no_tasks_where_none_run(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_HOME", str(installation.home))
    server = local_server()
    assert server is not None
    until(lambda: down._why_it_takes_long(server) == "Waiting for its processes to end.")


def test_down_says_what_it_waits_for_and_hurries_on_ctrl_c(fresh: Installation) -> None:
    assert fresh.podium("up", "-d", PODIUM_DRAIN_SECONDS="600").status == 0
    fresh.podium("agent", "add", "sleeper", "--", "sleep", "500")
    fresh.podium("task", "create", "-a", "sleeper")
    until(lambda: "1 running" in fresh.podium("status").out)
    process = fresh.begin("down")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Stopping process ")
    expected = "Waiting up to 600 s for 1 running task; Ctrl-C stops now.\n"
    assert process.stderr.readline() == expected
    process.send_signal(signal.SIGINT)
    # Workers, the API, Valkey and PostgreSQL's last checkpoint have 7, 7, 3 and 20 s. A worker that
    # outlasts its own is killed, and then nothing tells of tasks handed back.
    out, _ = process.communicate(timeout=local.STOP_SECONDS)
    left = "1 running task was handed back; it runs again with the next start."
    assert (process.returncode, out) == (0, f"Podium is stopped. {left}\n")
    log = (fresh.home / "logs" / "podium.log").read_text()
    assert "waiting for running tasks" in log
    assert "does not answer" not in log
    assert '"level":"error"' not in log


def test_a_checkup_starts_what_it_needs(fresh: Installation, tmp_path: Path) -> None:
    repo = tmp_path / "empty"
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    said = fresh.podium(
        "run", "checkup", "-r", str(repo), "-o", str(tmp_path / "report"),
        PODIUM_IDLE_SHUTDOWN_SECONDS="60",
    )  # fmt: skip
    assert said.err.startswith("Starting Podium …\n")
    assert said.status == 0, said
    assert (tmp_path / "report" / "report.md").exists()
    assert "stops after 1 min 0 s without work" in said.err
    assert "after 1 min 0 s without work" in fresh.podium("status").out
    said = fresh.podium("up", "--detach", "--workers", "3")
    assert (said.status, said.out) == (6, "")
    assert "with --workers 1, not 3" in said.err
    assert fresh.podium("up", "--detach").status == 0
    assert "without work" not in fresh.podium("status").out


def test_a_server_that_an_interrupted_checkup_started_is_told_of(
    fresh: Installation, tmp_path: Path
) -> None:
    repo, report = tmp_path / "empty", tmp_path / "report"
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    process = fresh.begin("run", "checkup", "-r", str(repo), "-o", str(report))
    assert process.stderr is not None
    assert process.stderr.readline() == "Starting Podium …\n"
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on in the background and stops after 5 min 0 s without work" in err
    assert not report.exists()
    assert "kept up" not in fresh.podium("status").out
    fresh.podium("agent", "add", "echo", "--", "cat")
    fresh.podium("task", "create", "-a", "echo", "--delay", "1h")
    assert "kept up by tasks that have not ended: 1 pending" in fresh.podium("status").out


def test_a_server_that_cannot_start_says_why(fresh: Installation) -> None:
    for arguments in (["up", "--detach"], ["up", "--detach", "--json"]):
        said = fresh.podium(*arguments, PODIUM_LEASE_SECONDS="never")
        assert (said.status, said.out) == (1, "")
        assert "lease_seconds" in said.err
    assert '"code": "not_started"' in said.err


def test_a_server_apart_wants_its_servers(fresh: Installation) -> None:
    for command in (["server"], ["worker", "--name", "w"], ["server", "--json", "--host", "::1"]):
        said = fresh.podium(*command)
        assert said.status == 1
        assert "PODIUM_DATABASE_URL" in said.err


def test_a_server_apart_that_cannot_start_says_so_as_json(fresh: Installation) -> None:
    for command in (["server", "--json"], ["worker", "--json"], ["--json", "server"]):
        said = fresh.podium(*command, PODIUM_DATABASE_URL="foo")
        assert (said.status, said.out) == (1, "")
        told = json.loads(said.err)["error"]
        assert told["code"] == "settings_invalid"
        assert "PODIUM_DATABASE_URL" in told["message"]


def test_settings_are_told_without_a_server(fresh: Installation) -> None:
    settings = {s["name"]: s for s in fresh.podium("config", "show", "--json").json}
    assert settings["home"]["value"] == str(fresh.home)
    docs = fresh.podium("config", "docs").out
    assert "PODIUM_LEASE_SECONDS" in docs
    assert "Default: unset" in docs
    assert "Default: []" in docs
    home = str(fresh.home)
    at_home = fresh.podium("config", "show", HOME=home, PODIUM_HOME=f"{home}/.podium").out
    assert [f"{home}/.podium", "default"] in [line.split()[1:] for line in at_home.splitlines()]
    said = fresh.podium("config", "show", PODIUM_LEASE_SECONDS="never")
    assert said.status == 1
    assert "lease_seconds" in said.err
    assert "Hint: Correct the value" in said.err
    for command in (["config", "show"], ["doctor"], ["up", "--detach"]):
        said = fresh.podium(*command, PODIUM_FUNCTION_MODULES="mine")
        assert said.status == 1
        assert "Write it as '[\"mine\"]'." in said.out + said.err


def test_the_doctor_without_a_server(fresh: Installation) -> None:
    said = fresh.podium("doctor")
    assert said.status == 0
    assert "podium up --detach" in said.out
    said = fresh.podium("doctor", "--json", PODIUM_LEASE_SECONDS="never")
    assert said.status == 1
    assert [c["check"] for c in said.json["checks"] if c["outcome"] == "failed"] == ["settings"]


def test_the_doctor_sees_what_others_may_read(fresh: Installation) -> None:
    fresh.home.mkdir(mode=0o777)
    fresh.home.chmod(0o777)
    (fresh.home / "admin-token").write_text("secret")
    (fresh.home / "admin-token").chmod(0o644)
    outcomes = {c["check"]: c for c in fresh.podium("doctor", "--json").json["checks"]}
    assert outcomes["data directory"]["outcome"] == "warning"
    assert outcomes["admin token"]["outcome"] == "failed"
    assert "chmod 600" in outcomes["admin token"]["advice"]


def test_the_doctor_cannot_reach_a_server_that_is_named(fresh: Installation) -> None:
    said = fresh.podium("doctor", "--json", PODIUM_URL="http://127.0.0.1:1", PODIUM_TOKEN="t")
    assert said.status == 1
    assert said.json["checks"][-1]["check"] == "server"
    assert "127.0.0.1:1" in said.json["checks"][-1]["detail"]


def test_the_doctor_finds_what_is_wrong_with_a_server() -> None:
    status = Status(
        version="9",
        uptime_seconds=1,
        database=DatabaseStatus(ok=False, version=None, embedded=False),
        valkey=ValkeyStatus(ok=False, embedded=True),
        workers=[],
        counts={},
        feed_lag_seconds=60,
        confinement="none",
    )
    found = {finding.check: finding for finding in doctor._of_server(status, skew=-60)}
    assert {name: finding.outcome for name, finding in found.items()} == {
        "PostgreSQL": "failed",
        "Valkey": "warning",
        "workers": "failed",
        "events": "warning",
        "clock": "warning",
    }
    assert all(finding.advice for finding in found.values())


def test_the_doctor_tells_of_workers_that_died(fresh: Installation) -> None:
    assert fresh.podium("up", "-d", PODIUM_LEASE_SECONDS="5").status == 0
    assert "All is well." in fresh.podium("doctor").out
    dead = fresh.podium("status", "--json").json["workers"][0]
    os.kill(dead["pid"], signal.SIGKILL)

    until(lambda: "worker.lost" in fresh.podium("event", "list", "-p", "*").out)
    until(lambda: bool(fresh.podium("status", "--json").json["workers"]))
    said = fresh.podium("doctor")
    assert said.status == 0, said
    assert f"1 worker died within the hour: worker-1 at {dead['host']} (process" in said.out
    assert "'podium logs' on the worker's machine tells why" in said.out
    assert "All is well." not in said.out
    checks = {c["check"]: c for c in fresh.podium("doctor", "--json").json["checks"]}
    assert checks["workers"]["detail"].startswith("1 alive")
    assert checks["dead workers"]["outcome"] == "warning"
    assert f"process {dead['pid']}), lost at 20" in checks["dead workers"]["detail"]


@pytest.mark.parametrize(("free", "outcome"), [(0, "failed"), (2**29, "warning"), (2**40, "ok")])
def test_the_doctor_knows_when_space_is_short(
    free: int, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)

    def disk_usage(_place: Path) -> object:
        return usage

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    assert doctor._disk().outcome == outcome


def test_the_doctor_misses_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._git().outcome == "warning"


def test_the_doctor_tells_of_unconfined_agents_where_some_can_run(
    installation: Installation,
) -> None:
    found = installation.podium("doctor", "--json").json["checks"]
    assert "confinement" in {check["check"] for check in found}


@pytest.mark.parametrize("place", ["file", "/proc/x"])
def test_a_data_directory_that_cannot_be(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    nowhere = Installation(tmp_path / place)
    for arguments in (["up"], ["up", "-d"]):
        said = nowhere.podium(*arguments)
        assert (said.status, said.out) == (1, "")
        assert f"The data directory {nowhere.home} cannot be used: " in said.err
        assert "PODIUM_HOME" in said.err
        assert "Traceback" not in said.err
    said = nowhere.podium(
        "server", PODIUM_DATABASE_URL="postgresql://h/d", PODIUM_VALKEY_URL="redis://h"
    )
    assert said.status == 1
    assert "cannot be used: " in said.err
    assert "Traceback" not in said.err


def test_where_there_is_no_log(fresh: Installation) -> None:
    said = fresh.podium("logs")
    assert said.status == 4
    assert str(fresh.home) in said.err


def test_a_log_is_readable_and_harmless(fresh: Installation) -> None:
    (fresh.home / "logs").mkdir(parents=True)
    lines = [
        {"time": "2026-01-01T00:00:00Z", "level": "error", "process": "api", "event": "it.broke",
         "exception": "Traceback\nBoom", "detail": {"a": 1}, "who": "\x1b[31mme"},
        {"time": "long ago", "event": "odd"},
    ]  # fmt: skip
    text = "".join(f"{json.dumps(each)}\n" for each in lines)
    (fresh.home / "logs" / "podium.log").write_text(f"old\n{text}no json\n[1]\n")
    said = fresh.podium("logs", "-n", "4")
    assert said.status == 0
    assert "\x1b" not in said.out
    for part in ("error", "api", "it.broke", "Traceback\nBoom", 'detail={"a": 1}', "who=me"):
        assert part in said.out, part
    assert said.out.endswith("no json\n[1]\n")
    assert "old" not in said.out


def test_a_log_is_shown_from_a_level_on(fresh: Installation) -> None:
    (fresh.home / "logs").mkdir(parents=True)
    levels = ("error", "warning", "info", "debug", "critical", "info")
    text = "".join(f"{json.dumps({'level': level, 'event': 'x'})}\n" for level in levels)
    (fresh.home / "logs" / "podium.log").write_text(f"Traceback\n{text}")

    def shown(*options: str) -> list[str]:
        lines = fresh.podium("logs", "--json", *options).out.splitlines()
        return [json.loads(line)["level"] if "{" in line else line for line in lines]

    assert shown() == ["Traceback", *levels]
    assert shown("--level", "warning") == ["Traceback", "error", "warning", "critical"]
    assert shown("--level", "warning", "-n", "2") == ["warning", "critical"]
    assert shown("--level", "critical", "-n", "1") == ["critical"]
    assert fresh.podium("logs", "--level", "loud").status == 2


def test_a_log_is_followed_when_it_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "podium.log"
    seen: list[str] = []
    enough = threading.Event()

    def follow() -> None:
        for line in _lines(path, 10, follow=True):
            seen.append(line)
            if line == "last":
                enough.set()
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    time.sleep(0.3)
    path.write_text("first\n")
    _wait_for(seen, "first")
    with path.open("a") as file:
        file.write("sec")
        file.flush()
        time.sleep(0.3)
        file.write("ond\n")
    _wait_for(seen, "second")
    path.rename(tmp_path / "podium.log.1")
    path.write_text("third\nlast\n")
    assert enough.wait(10)
    thread.join(10)
    assert seen == ["first", "second", "third", "last"]


def _wait_for(seen: list[str], line: str) -> None:
    deadline = time.monotonic() + 10
    while line not in seen:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


def test_events_are_followed_across_a_restart_on_another_port(fresh: Installation) -> None:
    fresh.start()
    before = fresh.podium("up", "-d", "--json").json["url"]
    fresh.podium("agent", "add", "echo", "--", "cat")
    process = fresh.begin("event", "follow", "--type", "task.created", "--json", bufsize=1)
    assert process.stdout is not None
    time.sleep(1.5)
    made = [fresh.podium("task", "create", "-a", "echo").out.strip()]
    assert json.loads(process.stdout.readline())["subject"] == made[0]
    fresh.stop()
    fresh.start()
    assert fresh.podium("up", "-d", "--json").json["url"] != before
    made += [fresh.podium("task", "create", "-a", "echo").out.strip() for _ in range(2)]
    assert [json.loads(process.stdout.readline())["subject"] for _ in made[1:]] == made[1:]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_the_doctor_names_variables_that_nothing_reads(fresh: Installation) -> None:
    said = fresh.podium("doctor", "--json", PODIUM_PROT="1", PODIUM_PROJECT="p")
    found = {check["check"]: check for check in said.json["checks"]}["settings"]
    assert found["outcome"] == "warning"
    assert found["detail"] == "Nothing reads PODIUM_PROT."
    assert found["advice"] == "Did you mean PODIUM_PORT?"
    told = fresh.podium("doctor", PODIUM_FOO="1")
    assert (told.status, "Did you mean" in told.out) == (0, False)
    assert "All is well." not in told.out


def test_settings_that_a_running_server_lacks_are_told(fresh: Installation) -> None:
    secret = "postgresql://somebody:hunter2@127.0.0.1:1/x"
    assert fresh.podium("up", "--detach", "--workers", "1", PODIUM_PORT="0").status == 0
    port = fresh.podium("up", "--detach", "--json").json["url"].rpartition(":")[2]
    (fresh.home / "settings.toml").write_text("log_retention_days = 3\n")
    other: dict[str, Any] = {
        "PODIUM_FUNCTION_MODULES": '["mine"]',
        "PODIUM_DATABASE_URL": secret,
        "PODIUM_WORKERS": "1",
        "PODIUM_PORT": port,
    }
    said = fresh.podium("up", "--detach", **other)
    assert said.status == 0
    assert (
        "without these settings of this environment: database_url, function_modules, " in said.err
    )
    assert "log_retention_days. To apply them: podium down, then podium up --detach" in said.err
    assert "hunter2" not in said.out + said.err
    names = ["database_url", "function_modules", "log_retention_days"]
    assert fresh.podium("up", "-d", "--json", **other).json["not_in_force"] == names
    port_too = fresh.podium("up", "-d", "--json", PODIUM_PORT="1").json["not_in_force"]
    assert port_too == ["log_retention_days", "port"]
    assert all(b"hunter2" not in path.read_bytes() for path in (fresh.home / "run").glob("*.json"))
    checks = {c["check"]: c for c in fresh.podium("doctor", "--json", **other).json["checks"]}
    assert checks["settings"]["outcome"] == "warning"
    assert ", ".join(names) in checks["settings"]["detail"]
    said = fresh.podium("up", "-d", PODIUM_LOG_RETENTION_DAYS="none")
    assert said.status == 0
    assert "the next start from this environment would fail. Settings cannot be used: " in said.out
    assert "log_retention_days (PODIUM_LOG_RETENTION_DAYS)" in said.out
    assert "Correct the value" in said.out
    shown = fresh.podium("config", "show", "--json", **other)
    assert (shown.status, ", ".join(names) in shown.err) == (0, True)
    assert {item["name"] for item in shown.json} > set(names)
    said = fresh.podium("config", "show", PODIUM_LOG_RETENTION_DAYS="none")
    assert (said.status, "log_retention_days " in said.out) == (0, True)
    assert "a start from this environment would fail. Settings cannot be used: " in said.err
    assert "log_retention_days (PODIUM_LOG_RETENTION_DAYS)" in said.err
    fresh.stop()
    fresh.start()
    assert fresh.podium("config", "show").err.startswith("Settings come from")
    assert fresh.podium("up", "--detach").err == ""
    assert fresh.podium("up", "--detach", "--json").json["not_in_force"] == []
    assert "All is well" in fresh.podium("doctor").out
