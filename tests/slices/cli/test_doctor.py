"""What the doctor finds, with a server and without."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from installation import Installation
from podium.cli.commands import doctor
from podium.client.models import DatabaseStatus, Status, ValkeyStatus
from slices.cli.commands import until


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


def test_the_doctor_names_variables_that_nothing_reads(fresh: Installation) -> None:
    said = fresh.podium("doctor", "--json", PODIUM_PROT="1", PODIUM_PROJECT="p")
    found = {check["check"]: check for check in said.json["checks"]}["settings"]
    assert found["outcome"] == "warning"
    assert found["detail"] == "Nothing reads PODIUM_PROT."
    assert found["advice"] == "Did you mean PODIUM_PORT?"
    told = fresh.podium("doctor", PODIUM_FOO="1")
    assert (told.status, "Did you mean" in told.out) == (0, False)
    assert "All is well." not in told.out
