"""What the doctor finds, with a server and without."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from installation import Installation
from podium.cli import certificate, doctor_here, doctor_server
from podium.cli.finding import Finding
from podium.client.models import (
    ArtifactStatus,
    DatabaseStatus,
    Diagnosis,
    DiagnosisFinding,
    Status,
    ValkeyStatus,
)
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
        artifacts=ArtifactStatus(ok=False, place="s3://b", problem="Gone.", hint="Make it."),
        workers=[],
        counts={},
        sessions=0,
        schedules=0,
        feed_lag_seconds=60,
        confinement="none",
    )
    found = {finding.check: finding for finding in doctor_server.of_status(status, skew=-60)}
    assert {name: finding.outcome for name, finding in found.items()} == {
        "PostgreSQL": "failed",
        "Valkey": "warning",
        "artifacts": "failed",
        "workers": "failed",
        "events": "warning",
        "clock": "warning",
    }
    assert all(finding.advice and finding.code for finding in found.values())


def test_what_the_server_found_stands_for_what_its_status_tells() -> None:
    known = [Finding("workers", "ok", "1 alive"), Finding("events", "ok", "0 s late")]
    wrong = DiagnosisFinding(
        check="workers",
        code="worker_version",
        outcome="warning",
        where="w",
        detail="It is old.",
        advice="Restart it.",
    )
    diagnosis = Diagnosis(version="1", checks=["workers", "events", "search"], findings=[wrong])
    told = list(doctor_server.merged(known, diagnosis))
    assert [(each.check, each.outcome, each.code) for each in told] == [
        ("events", "ok", ""),
        ("workers", "warning", "worker_version"),
        ("search", "ok", ""),
    ]
    (*_, older) = doctor_server.merged(known, None)
    assert older.code == "server_older"


def test_the_doctor_tells_of_tasks_that_nobody_takes(installation: Installation) -> None:
    """As the server found it, and the exit status says so."""
    project = f"d-{uuid4().hex[:12]}"
    assert installation.podium("project", "create", project).status == 0
    made = installation.podium("task", "create", "-p", project, "--capability", "flying", "--json")
    task = made.json["id"]
    said = installation.podium("doctor", "--json")
    assert said.status == 1
    (found,) = [each for each in said.json["checks"] if each["where"].startswith(f"{project}/")]
    assert (found["code"], found["outcome"]) == ("no_agent", "failed")
    told = installation.podium("doctor").out
    assert "1 task of the project" in told
    assert f"podium agent add NAME -p {project} --capability flying" in told
    assert installation.podium("task", "cancel", task).status == 0
    assert project not in installation.podium("doctor").out


def test_a_url_that_others_can_read_along_is_told_of() -> None:
    (finding,) = certificate.trouble("http://podium.example.com:8250")
    assert (finding.code, finding.outcome) == ("url_not_encrypted", "warning")
    for url in (
        "http://127.0.0.1:1",
        "http://localhost:1",
        "http://[::1]:1",
        "https://127.0.0.1:1",
    ):
        assert list(certificate.trouble(url)) == []


@pytest.mark.parametrize(("days", "code"), [(3, "certificate_expires"), (300, "")])
def test_certificates_are_looked_at(
    days: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shown_certificate(tmp_path, days) as (url, authority):
        (refused,) = certificate.trouble(url)
        assert (refused.code, refused.outcome) == ("certificate_refused", "failed")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        (found,) = certificate.trouble(url)
    assert found.code == code
    assert f"{days - 1} days" in found.detail or f"{days} days" in found.detail


@contextmanager
def shown_certificate(folder: Path, days: int) -> Generator[tuple[str, Path]]:
    """The URL of a server of TLS whose certificate, for localhost, is signed by itself."""
    key, shown = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days)),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(shown)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:  # it was closed
                return
            with accepted, suppress(OSError), context.wrap_socket(accepted, server_side=True):
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{listener.getsockname()[1]}", shown
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


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
    assert doctor_here.disk().outcome == outcome


def test_the_doctor_misses_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor_here.git().outcome == "warning"


def test_the_doctor_tells_of_unconfined_agents_where_some_can_run(
    installation: Installation,
) -> None:
    found = installation.podium("doctor", "--json").json["checks"]
    assert "confinement" in {check["check"] for check in found}


def test_the_doctor_names_variables_that_nothing_reads(fresh: Installation) -> None:
    said = fresh.podium(
        "doctor", "--json", PODIUM_PROT="1", PODIUM_PROJECT="p", PODIUM_NO_INPUT="1"
    )
    found = {check["check"]: check for check in said.json["checks"]}["settings"]
    assert found["outcome"] == "warning"
    assert found["detail"] == "Nothing reads PODIUM_PROT."
    assert found["advice"] == "Did you mean PODIUM_PORT?"
    told = fresh.podium("doctor", PODIUM_FOO="1")
    assert (told.status, "Did you mean" in told.out) == (0, False)
    assert "All is well." not in told.out
