"""Commands that start and stop a Podium, each on a data directory of its own."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from msgspec import structs

from installation import Installation, interrupt
from podium.cli import local
from podium.cli.commands import down
from podium.client import Podium
from podium.client.connection import local_server
from podium.client.models import Status
from slices.cli.commands import until


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
    assert fresh.podium("up", "-d").err == ""
    said = fresh.podium("token", "revoke", "local", "-y")
    assert (said.status, said.out.endswith(" is revoked\n")) == (0, True)
    refused = fresh.podium("status")
    assert refused.status == 4
    again = fresh.podium("up", "-d")
    assert (again.status, "already runs" in again.out) == (0, True)
    for told in (said.err, refused.err, again.err):
        assert (
            "makes it anew when it starts: 'podium down', then 'podium up --detach'"
            in told.replace("`", "'")
        )
    assert fresh.podium("down").status == 0
    assert fresh.podium("up", "--detach").status == 0
    assert fresh.podium("status").status == 0


def test_up_in_the_foreground_ends_with_ctrl_c(fresh: Installation) -> None:
    process = fresh.begin("up")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Podium is ready at ")
    assert fresh.podium("status").status == 0
    process.send_signal(signal.SIGINT)
    _, logged = process.communicate(timeout=60)
    assert process.returncode == 0
    assert fresh.podium("status").status == 3
    assert '"level":"info"' in (fresh.home / "logs" / "podium.log").read_text()
    assert "info" not in logged


def test_down_waits_for_no_tasks_where_none_run(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_HOME", str(installation.home))
    server = local_server()
    assert server is not None
    until(lambda: down._why_it_takes_long(server) == "Waiting for its processes to end.")


def test_down_tells_tasks_and_sessions_apart(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_HOME", str(installation.home))
    server = local_server()
    assert server is not None
    with Podium() as client:
        status = client.status()
    busy = structs.replace(status, counts={"running": 3}, sessions=1)

    def busy_status(_: Podium) -> Status:
        return busy

    monkeypatch.setattr(Podium, "status", busy_status)
    told = down._why_it_takes_long({**server, "drain_seconds": 30})
    assert told == "Waiting up to 30 s for 2 running tasks, 1 session; Ctrl-C stops now."


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
    assert "stops after 1 min without work" in said.err
    assert "after 1 min without work" in fresh.podium("status").out
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
    waiting = {"PODIUM_WORKERS": "0"}  # nothing of it is run
    process = fresh.begin("run", "checkup", "-r", str(repo), "-o", str(report), environment=waiting)
    assert process.stderr is not None
    assert process.stderr.readline() == "Starting Podium …\n"
    process.stderr.readline()
    until(lambda: "1 queued" in fresh.podium("status").out)
    interrupt(process)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on in the background and stops after 5 min without work" in err
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
    interrupt(process)
    process.communicate(timeout=20)
