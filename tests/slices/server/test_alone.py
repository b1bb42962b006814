"""The commands besides ``up``: the API and a worker apart, settings, upgrade."""

import asyncio
import json
import signal
import socket
import time
from pathlib import Path

import asyncpg
import httpx
import pytest

from podium.kernel.errors import SettingsInvalid, Unavailable
from podium.kernel.settings import Settings
from podium.kernel.sockets import listen
from podium.server import network, processes
from podium.server.exits import ExitStatus
from podium.storage.database import Database
from slices.server.apart import run, running, said


async def test_a_server_and_a_worker_apart(environment: dict[str, str], database: Database) -> None:
    async with (
        running(environment, "server", "--port", "0") as server,
        running(environment, "worker", "--name", "mine") as worker,
    ):
        url = (await said(server, "API listens"))["url"]
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/health/ready")).status_code == 200
        assert (await said(worker, "worker.started"))["process"] == "mine"
        rows = await database.call("select name from worker")
        assert [row["name"] for row in rows] == ["mine"]
        for process in (worker, server):
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == ExitStatus.DONE
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(base_url=url) as client:
                await client.get("/health/ready")


async def test_a_worker_apart_leaves_the_database_as_it_is(
    environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    await database.call("drop function claim_tasks")
    await database.call(
        """update meta set value = value || '{"digest": "older"}' where key = 'functions'"""
    )
    status, _, err = await run(environment, "worker")
    assert status == ExitStatus.FAILED
    line = json.loads(err.splitlines()[-1])
    assert line["event"].startswith("The functions in the database are of Podium")
    assert "podium server" in line["hint"]
    assert not await database.call("select from pg_proc where proname = 'claim_tasks'")
    assert not (tmp_path / "admin-token").exists()
    await database.call(
        """update meta set value = value || '{"version": "99.1"}' where key = 'functions'"""
    )
    for command in ("worker", "server"):
        status, _, err = await run(environment, command, *(["--port=0"] * (command == "server")))
        assert status == ExitStatus.FAILED
        line = json.loads(err.splitlines()[-1])
        assert line["event"].startswith("The database was upgraded by Podium 99.1")
        assert "Upgrade this one to 99.1" in line["hint"]


@pytest.mark.parametrize("command", ["server", "worker"])
async def test_a_process_apart_needs_its_servers(environment: dict[str, str], command: str) -> None:
    del environment["PODIUM_VALKEY_URL"]
    status, _, err = await run(environment, command)
    assert status == ExitStatus.FAILED
    line = json.loads(err)
    assert line["event"] == "PODIUM_VALKEY_URL must be set for a process that runs apart."
    assert "podium up" in line["hint"]


async def test_faults_are_told_to_people_unless_logs_are_json(environment: dict[str, str]) -> None:
    del environment["PODIUM_LOG_FORMAT"]
    away = {**environment, "PODIUM_DATABASE_URL": "postgresql://u:hidden-word@127.0.0.1:1/none"}
    for command in ("server", "worker"):
        status, _, err = await run(away, command, *(["--port=0"] * (command == "server")))
        assert status == ExitStatus.FAILED
        first, hint, code = err.splitlines()[-3:]
        assert first.startswith("Error: PostgreSQL cannot be used now: ")
        assert hint.startswith(
            "  Hint: PODIUM_DATABASE_URL is postgresql://u:***@127.0.0.1:1/none: "
        )
        assert code == "  (code unavailable)"
        assert "hidden-word" not in err
    for url, wrong in (
        ("foo", "it begins with postgresql://"),
        ("postgresql://h:x/d", "is no URL"),
    ):
        status, _, err = await run({**environment, "PODIUM_DATABASE_URL": url}, "worker")
        assert status == ExitStatus.FAILED
        assert wrong in err
        assert "Traceback" not in err
        assert not err.startswith("{")


@pytest.mark.parametrize("log_format", [None, "json"])
async def test_with_json_faults_are_told_as_commands_tell_them(
    environment: dict[str, str], log_format: str | None
) -> None:
    del environment["PODIUM_LOG_FORMAT"]
    if log_format is not None:
        environment["PODIUM_LOG_FORMAT"] = log_format
    for url, code in (
        ("foo", "settings_invalid"),
        ("postgresql://u:hidden-word@127.0.0.1:1/none", "unavailable"),
    ):
        for command in ("server", "worker"):
            port = ["--port=0"] * (command == "server")
            changed = {**environment, "PODIUM_DATABASE_URL": url}
            status, out, err = await run(changed, command, "--json", *port)
            assert (status, out) == (ExitStatus.FAILED, "")
            told = json.loads(err.splitlines()[-1])["error"]
            assert told["code"] == code
            assert "DATABASE_URL" in told["message"] + told["hint"]
            assert err.count(told["message"]) == 1
            assert "hidden-word" not in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PODIUM_DATABASE_URL", "Settings cannot be used"),
        ("PODIUM_HOST", "The API cannot listen on foo"),
    ],
)
async def test_people_are_told_a_wrong_setting_once(
    environment: dict[str, str], name: str, message: str
) -> None:
    del environment["PODIUM_LOG_FORMAT"]
    status, out, err = await run({**environment, name: "foo"}, "server", "--port=0")
    assert (status, out) == (ExitStatus.FAILED, "")
    assert err.count(message) == 1
    assert f"Error: {message}" in err


async def test_a_worker_waits_for_the_server_that_brings_the_schema(
    environment: dict[str, str], server_url: str, direct_url: str
) -> None:
    environment["PODIUM_DATABASE_URL"] = server_url.format("empty_for_worker")
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute("create database empty_for_worker")
    try:
        async with running(environment, "worker") as worker:
            await said(worker, "waiting for a server to upgrade the database")
            async with running(environment, "server", "--port", "0") as server:
                await said(server, "API listens")
                await said(worker, "worker.started")
    finally:
        await admin.execute("drop database empty_for_worker with (force)")
        await admin.close()


async def test_a_database_out_of_reach_is_said(environment: dict[str, str]) -> None:
    environment["PODIUM_DATABASE_URL"] = "postgresql://u:hidden-word@127.0.0.1:1/none"
    status, _, err = await run(environment, "worker")
    assert status == ExitStatus.FAILED
    assert json.loads(err.splitlines()[-1])["level"] == "error"
    assert "hidden-word" not in err


async def test_settings_are_printed_without_secrets(environment: dict[str, str]) -> None:
    environment["PODIUM_DATABASE_URL"] = "postgresql://u:hidden-word@h/d"
    status, out, _ = await run(environment, "settings", "--json")
    assert status == ExitStatus.DONE
    shown = {setting["name"]: setting for setting in json.loads(out)}
    assert shown["port"]["env"] == "PODIUM_PORT"
    assert shown["home"]["value"] == environment["PODIUM_HOME"]
    assert "hidden-word" not in out
    environment["PODIUM_PORT"] = "many"
    status, _, err = await run(environment, "settings", "--json")
    assert status == ExitStatus.FAILED
    told = json.loads(err)["error"]
    assert told["code"] == "settings_invalid"
    assert "port (PODIUM_PORT)" in told["message"]
    assert "Correct the value" in told["hint"]


async def test_there_is_nothing_to_upgrade(environment: dict[str, str]) -> None:
    status, _, err = await run(environment, "upgrade")
    assert status == ExitStatus.FAILED
    assert "holds no cluster of another major" in err


async def test_a_wrong_command_line_is_said(environment: dict[str, str]) -> None:
    status, _, err = await run(environment, "fly")
    assert status == ExitStatus.USAGE
    assert "fly" in err


async def test_idleness_is_not_assumed() -> None:
    answers = iter([Unavailable("no database"), 0.0, 0.04, 0.2])

    async def idle_seconds() -> float:
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    began = time.monotonic()
    await processes._until_idle(0.1, idle_seconds)
    assert time.monotonic() - began >= 0.15
    assert list(answers) == []


def settings_of(host: str, port: int = 0, public_url: str | None = None) -> Settings:
    return Settings(host=host, port=port, public_url=public_url)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1"),
        ("::1", "http://[::1]"),
        ("localhost", "http://localhost"),
        ("0.0.0.0", "http://127.0.0.1"),
    ],
)
def test_the_url_is_one_that_this_machine_reaches(
    host: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(host)
    with network.listen_as_set(settings) as listener:
        port = listener.getsockname()[1]
        assert network.url_of(settings, listener) == f"{url}:{port}"
        with socket.create_connection((listener.getsockname()[0], port)):
            assert network.has_callers(listener)
    logged = capsys.readouterr().out
    for warning in ("terminate TLS", "Set PODIUM_PUBLIC_URL"):
        assert (warning in logged) is (host == "0.0.0.0")


def test_nothing_is_missing_when_the_public_url_is_set() -> None:
    settings = settings_of("0.0.0.0", public_url="https://podium.example.com")
    with network.listen_as_set(settings) as listener:
        assert network.what_is_missing(settings, listener) is None


def test_a_host_that_is_none_is_said() -> None:
    with pytest.raises(SettingsInvalid, match="cannot listen on 203"):
        network.listen_as_set(settings_of("203.0.113.1"))


def test_another_port_is_taken_only_where_nobody_chose_one() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        by_default = Settings.model_construct(set(), port=port)
        with network.listen_as_set(by_default, or_any_port=True) as listener:
            assert listener.getsockname()[1] != port
        for settings, or_any in ((by_default, False), (Settings(port=port), True)):
            with pytest.raises(SettingsInvalid, match="Address already in use"):
                network.listen_as_set(settings, or_any_port=or_any)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", "ready"), (b"HTTP/1.1 503 No\r\n\r\n", "not"), (b"", "not")],
)
async def test_ready_means_200(answer: bytes, expected: str) -> None:
    asked: list[bytes] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        ready = await network.is_ready(f"http://[::1]:{port}")
    assert ready is (expected == "ready")
    host = f"[::1]:{port}".encode()
    assert asked[0].startswith(b"GET /health/ready HTTP/1.1\r\nHost: " + host + b"\r\n")


async def test_nobody_is_ready() -> None:
    assert not await network.is_ready("http://127.0.0.1:1")
