"""``python -m podium.server up`` with all its processes: how they live, die and end."""

import asyncio
import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from podium.client.connection import local_server
from podium.kernel.settings import Settings
from podium.server.children import Ended
from podium.server.exits import ExitStatus
from podium.server.runfiles import RunFiles
from podium.server.supervisor import Order, Supervisor
from slices.server import apart
from slices.server.stacks import Stack, clean, eventually


async def get(url: str, path: str, *, seconds: float = 20) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=seconds) as client:
        return await client.get(path)


async def kill_one(stack: Stack, url: str, name: str) -> None:
    """Kill one process: it comes back, the others stay, and nobody is refused meanwhile."""
    before = stack.children()
    before[name].kill()
    assert (await get(url, "/health/live")).status_code == 200  # the socket is the supervisor's
    await eventually(
        lambda: name in stack.children() and stack.children()[name].pid != before[name].pid
    )
    kept = {other: process.pid for other, process in stack.children().items() if other != name}
    assert kept == {other: process.pid for other, process in before.items() if other != name}


async def status_when_well(url: str, token: str) -> dict[str, Any]:
    """What the status is once both servers can be used."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client, asyncio.timeout(20):
        while True:
            found = (await client.get("/api/v1/orchestration/status")).json()
            if found.get("database", {}).get("ok") and found["valkey"]["ok"]:
                return found
            await asyncio.sleep(0.1)


async def test_the_whole_stack_lives_through_the_death_of_each_part(stack: Stack) -> None:
    told = await stack.detach()
    url = told["url"]
    assert told["status"] == "started"
    assert told["detached"] is True
    assert told["home"] == str(stack.home)
    assert local_server(stack.home) == {k: v for k, v in told.items() if k != "status"}
    assert (await get(url, "/health/ready")).status_code == 200
    names = ["postgres", "server", "valkey-server", "worker-1"]
    assert sorted(stack.children()) == names

    again = await stack.detach()
    assert again == {**told, "status": "running", "not_in_force": []}
    status, _, err = await stack.run()
    assert status == ExitStatus.ALREADY_RUNS
    assert f"process {told['pid']}) at {url}" in err
    assert err.startswith("Error: Podium already runs on ")
    assert err.endswith(".\n  Hint: Stop it first with 'podium down'.\n  (code already_runs)\n")

    for name in names:
        await kill_one(stack, url, name)
    token = (stack.home / "admin-token").read_text().strip()
    found = await status_when_well(url, token)
    assert found["database"]["embedded"] is True
    assert found["valkey"]["embedded"] is True

    await stack.stop()
    log = stack.log()
    assert "process died and is started again" in log
    assert "embedded server restarted" in log
    servers = json.loads((stack.home / "run" / "servers.json").read_text())
    for secret in (*servers["passwords"].values(), token):
        assert secret not in log


async def test_a_worker_of_ones_own_joins_what_runs(stack: Stack) -> None:
    told = await stack.detach("--workers", "0")
    environment = {**stack.environment, "PODIUM_LOG_FORMAT": "json"}
    async with apart.running(environment, "worker", "--name", "mine") as worker:
        await apart.said(worker, "worker.started")
        found = await status_when_well(
            told["url"], (stack.home / "admin-token").read_text().strip()
        )
        worker.terminate()
        assert await worker.wait() == ExitStatus.DONE
    await stack.stop()
    assert [each["name"] for each in found["workers"]] == ["mine"]
    assert "PODIUM_PUBLIC_URL is not set" not in stack.log()
    async with apart.running(environment, "worker") as worker:  # nothing runs that it could join
        assert await worker.wait() == ExitStatus.FAILED


async def test_a_killed_supervisor_leaves_nothing_and_the_next_start_works(stack: Stack) -> None:
    stack.stand_in()
    told = await stack.detach()
    everything = stack.processes()
    assert len(everything) > 5
    os.kill(told["pid"], signal.SIGKILL)
    await eventually(lambda: local_server(stack.home) is None)
    after = await stack.detach()  # at once, while the rest is still ending
    assert after["status"] == "started"
    assert after["pid"] != told["pid"]
    assert (await get(after["url"], "/x")).status_code == 200
    await eventually(lambda: not any(process.is_running() for process in everything))
    await stack.stop()


async def test_ctrl_c_stops_in_order(stack: Stack) -> None:
    stack.stand_in()
    process = await stack.start()
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode()
    assert first.startswith("Podium is ready at http://127.0.0.1:")
    assert str(stack.home / "admin-token") in (await process.stdout.readline()).decode()
    await eventually(lambda: "worker-starts:worker-1" in stack.notes())
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        await process.communicate()
    assert process.returncode == ExitStatus.DONE
    order = [word for word in stack.notes() if word not in {"prepare", "worker-starts:worker-1"}]
    assert order == ["worker-drains", "worker-ends", "streams-end", "api-stops"]
    assert not (stack.home / "run" / "server.json").exists()


async def test_what_other_machines_lack_is_said_with_the_address(stack: Stack) -> None:
    stack.stand_in()
    stack.environment["PODIUM_HOST"] = "0.0.0.0"
    process = await stack.start()
    assert process.stdout is not None
    assert b"ready at http://127.0.0.1:" in await process.stdout.readline()
    assert b"Set PODIUM_PUBLIC_URL for the server and every worker" in (
        await process.stdout.readline()
    )
    process.send_signal(signal.SIGINT)
    await process.communicate()
    stack.environment["PODIUM_PUBLIC_URL"] = "https://podium.example.com"
    assert (await stack.detach())["warning"] is None
    await stack.stop()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("worker-slow", ["worker-hands-back", "worker-ends"]), ("worker-deaf", ["worker-ends"])],
)
async def test_a_second_signal_hurries(stack: Stack, behaviour: str, words: list[str]) -> None:
    stack.stand_in(behaviour)
    stack.environment["PODIUM_DRAIN_SECONDS"] = "600"
    told = await stack.detach()
    await eventually(lambda: "worker-starts:worker-1" in stack.notes())
    os.kill(told["pid"], signal.SIGTERM)
    await eventually(lambda: "worker-drains" in stack.notes())
    began = time.monotonic()
    await stack.stop()
    assert time.monotonic() - began < 20
    notes = stack.notes()
    assert notes[notes.index("worker-drains") + 1 :] == [*words, "streams-end", "api-stops"]


@pytest.mark.parametrize("seconds", [0.1, 0.8])
async def test_a_signal_while_it_starts_stops_it(stack: Stack, seconds: float) -> None:
    stack.stand_in()
    process = await stack.start()
    lock = RunFiles(stack.home)
    await eventually(lambda: lock.holder() == process.pid)
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        await process.communicate()
    assert process.returncode in (ExitStatus.DONE, -signal.SIGTERM)


async def test_of_thirty_starters_one_wins_and_all_are_served(stack: Stack) -> None:
    stack.stand_in()
    told = await asyncio.gather(*(stack.detach() for _ in range(30)))
    assert [one["status"] for one in told].count("started") == 1
    assert len({(one["pid"], one["url"]) for one in told}) == 1
    assert len([p for p in stack.processes() if "up" in p.cmdline()]) == 1
    await stack.stop()


async def test_an_idle_stack_ends_and_a_used_one_does_not(stack: Stack) -> None:
    stack.stand_in()
    told = await stack.detach("--idle", "1")
    for _ in range(5):
        assert (await get(told["url"], "/x")).status_code == 200
        await asyncio.sleep(0.3)
    await eventually(lambda: not psutil.pid_exists(told["pid"]))
    assert stack.processes() == []
    await eventually(lambda: local_server(stack.home) is None)


async def test_an_idle_stack_stays_when_it_is_asked_for_without_an_end(stack: Stack) -> None:
    stack.stand_in()
    told = await stack.detach("--idle", "1.5")
    assert told["idle_seconds"] == 1.5
    assert (await stack.detach("--idle", "1.5"))["idle_seconds"] == 1.5
    again = await stack.detach()
    assert again == {**told, "status": "running", "idle_seconds": None, "not_in_force": []}
    told_again = {k: v for k, v in again.items() if k not in {"status", "not_in_force"}}
    assert local_server(stack.home) == told_again
    api = stack.children()["server"].pid
    await asyncio.sleep(3)
    assert stack.children()["server"].pid == api
    await stack.stop()


async def test_what_runs_otherwise_than_asked_is_a_refusal(stack: Stack) -> None:
    stack.stand_in()
    told = await stack.detach("--idle", "60")
    port = int(told["url"].rpartition(":")[2])
    for option, value, said in (
        ("--port", port + 1, f"with --port {port}, not {port + 1}"),
        ("--workers", 3, "with --workers 1, not 3"),
    ):
        status, out, err = await stack.run("--detached", option, str(value))
        assert (status, out) == (ExitStatus.ALREADY_RUNS, "")
        assert said in err
        assert "podium down" in err
    assert (local_server(stack.home) or {})["idle_seconds"] == 60
    same = await stack.detach("--port", str(port), "--workers", "1")
    assert same["status"] == "running"
    await stack.stop()


async def test_in_the_foreground_too_all_is_json_when_asked_for(stack: Stack) -> None:
    stack.stand_in()
    process = await stack.start("--json")
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    assert told["status"] == "started"
    assert told["url"].startswith("http://127.0.0.1:")
    status, out, err = await stack.run("--json")
    assert (status, out) == (ExitStatus.ALREADY_RUNS, "")
    assert json.loads(err)["error"]["code"] == "already_runs"
    await stack.stop()
    await process.communicate()
    stack.environment["PODIUM_LEASE_SECONDS"] = "soon"
    status, out, err = await stack.run("--json")
    assert (status, out) == (ExitStatus.FAILED, "")
    assert "lease_seconds" in json.loads(err)["error"]["message"]


def test_an_idle_stack_goes_on_while_somebody_calls(tmp_path: Path) -> None:
    supervisor = Supervisor(
        Settings(home=tmp_path, port=0),
        RunFiles(tmp_path),
        Order(tell_ready=lambda _: None, idle_seconds=1),
    )
    with supervisor._listener as listener:
        with socket.create_connection(listener.getsockname()):
            assert supervisor._on_api_ended(Ended(ExitStatus.IDLE, None))
            assert not supervisor._stop.is_set()
        listener.accept()[0].close()
        assert not supervisor._on_api_ended(Ended(ExitStatus.IDLE, None))
        assert supervisor._stop.is_set()


async def test_a_worker_that_always_fails_takes_nothing_down(stack: Stack) -> None:
    stack.stand_in("worker-fails")
    told = await stack.detach()
    await eventually(lambda: stack.notes().count("worker-starts:worker-1") >= 3)
    assert (await get(told["url"], "/x")).status_code == 200
    assert "no work today" in stack.log()
    await stack.stop()


async def test_a_worker_that_its_fence_ended_is_started_again(stack: Stack) -> None:
    await stack.stand_in("worker-oversleeps").detach()
    await eventually(lambda: stack.notes().count("worker-starts:worker-1") == 2)
    assert "its lease ended in the middle of a step" in stack.log()
    await stack.stop()
    assert stack.notes().count("worker-ends") == 1


async def test_servers_of_ones_own_are_used(stack: Stack, home: Path, tmp_path: Path) -> None:
    """Another stack's servers stand for external ones: this one starts none."""
    host = Stack(home, tmp_path).stand_in()
    await host.detach("--workers", "0")
    known = json.loads((home / "run" / "servers.json").read_text())
    guest = Stack(tmp_path / "guest", tmp_path)
    guest.environment |= {
        "PODIUM_DATABASE_URL": known["database_url"],
        "PODIUM_VALKEY_URL": known["valkey_url"],
        "PYTHONPATH": host.environment["PYTHONPATH"],
        "STAND_IN": host.environment["STAND_IN"],
    }
    async with clean(guest):
        await guest.detach()
        assert sorted(guest.children()) == ["server", "worker-1"]
        assert not (guest.home / "postgres").exists()
        await guest.stop()
    await host.stop()


async def test_a_long_path_with_spaces(made_home: Path, tmp_path: Path) -> None:
    home = tmp_path / ("with space " * 8) / ("x" * 80)
    home.parent.mkdir()
    shutil.copytree(made_home / "logs", home / "logs")
    async with clean(Stack(home, tmp_path).stand_in()) as stack:
        told = await stack.detach()
        assert (await get(told["url"], "/x")).status_code == 200
        await stack.stop()


async def test_an_idle_stack_heeds_the_settings_file(stack: Stack) -> None:
    """What starts a server for itself knows the environment only."""
    (stack.home / "settings.toml").write_text("idle_shutdown_seconds = 0.5\n")
    stack.stand_in()
    told = await stack.detach("--idle", "300")
    await eventually(lambda: not psutil.pid_exists(told["pid"]))
    await eventually(lambda: local_server(stack.home) is None)


async def test_the_servers_are_stopped_though_a_helper_failed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = RunFiles(home)
    assert files.acquire() is not None
    monkeypatch.setenv("PODIUM_HOME", str(home))
    supervisor = Supervisor(
        Settings(home=home, port=0, workers=0), files, Order(tell_ready=lambda _: None)
    )

    async def fail() -> None:
        raise OSError("no space left")

    await supervisor._servers.start()
    supervisor._helpers.append(asyncio.create_task(fail()))
    await asyncio.sleep(0)
    await supervisor._stop_all()
    assert set(supervisor._servers.states.values()) == {"stopped"}
    files.release()
    assert Stack(home, home.parent).processes() == []
