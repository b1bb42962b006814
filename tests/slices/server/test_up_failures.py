"""``python -m podium.server up`` that cannot start says why, detached or not."""

import asyncio
import os
import signal
import socket

import pytest

from podium.server.exits import ExitStatus
from podium.server.runfiles import RunFiles
from slices.server.stacks import Stack, eventually


async def test_a_supervisor_that_dies_while_it_starts_is_told(stack: Stack) -> None:
    stack.stand_in()
    launcher = await stack.start("--detached")
    files = RunFiles(stack.home)
    await eventually(files.holder)
    holder = files.holder()
    assert holder not in (None, launcher.pid)
    os.kill(holder or 0, signal.SIGKILL)
    async with asyncio.timeout(30):
        _, err = await launcher.communicate()
    assert launcher.returncode == ExitStatus.FAILED
    assert "ended with status -9 while it started" in err.decode()
    await eventually(lambda: stack.processes() == [])


@pytest.mark.parametrize("options", [(), ("--detached",)])
async def test_a_taken_port_is_said(stack: Stack, options: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = await stack.run(*options, "--port", str(port))
    assert status == ExitStatus.FAILED
    assert f"cannot listen on 127.0.0.1, port {port}" in err
    assert "PODIUM_PORT" in err


async def test_why_the_api_cannot_start_is_said(stack: Stack) -> None:
    stack.stand_in("prepare-fails")
    for options in ((), ("--detached",)):
        status, _, err = await stack.run(*options)
        assert status == ExitStatus.FAILED
        assert "Error: Podium cannot start. The stand-in cannot be prepared.\n" in err
        assert err.endswith("  Hint: Nobody can.\n  (code not_started)\n")
        assert stack.processes() == []


async def test_a_lifespan_that_fails_is_said(stack: Stack) -> None:
    status, _, err = await stack.stand_in("lifespan-fails").run()
    assert status == ExitStatus.FAILED
    assert "The API could not start" in err
    assert "no lifespan today" in stack.log()


async def test_wrong_settings_are_said(stack: Stack) -> None:
    stack.environment["PODIUM_LEASE_SECONDS"] = "soon"
    for options in ((), ("--detached",)):
        status, _, err = await stack.run(*options)
        assert status == ExitStatus.FAILED
        assert "lease_seconds" in err


async def test_a_cluster_of_another_major_is_refused_with_the_command(stack: Stack) -> None:
    (stack.home / "postgres" / "PG_VERSION").write_text("17\n")
    status, _, err = await stack.run("--detached")
    assert status == ExitStatus.FAILED
    assert "made by PostgreSQL 17" in err
    assert "python -m podium.server upgrade" in err
