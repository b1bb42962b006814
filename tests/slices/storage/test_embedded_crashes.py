"""Embedded servers that are killed, or whose owner is, and what a crash leaves behind."""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import psutil
import pytest

from podium.storage.embedded import EmbeddedServers, EmbeddedUrls, ServerState
from podium.storage.embedded.account import server_account
from podium.storage.embedded.paths import Layout
from podium.storage.embedded.postgres import Postgres
from slices.storage.embedded import all_processes, eventually, hold, kill, ping, query, running


@asynccontextmanager
async def watched(
    servers: EmbeddedServers,
) -> AsyncGenerator[tuple[EmbeddedUrls, "asyncio.Task[None]"]]:
    """Servers that run, and what starts them again when they end."""
    urls = await servers.start()
    watch = asyncio.create_task(servers.watch())
    try:
        yield urls, watch
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        await servers.stop()


@pytest.mark.parametrize("name", ["postgres", "valkey"])
async def test_a_killed_server_is_back_at_once(home: Path, name: str) -> None:
    seen: list[tuple[str, ServerState]] = []
    servers = EmbeddedServers(home, on_change=lambda who, state: seen.append((who, state)))
    async with watched(servers) as (urls, _):
        server = next(server for server in servers._servers if server.name == name)
        assert server.process is not None
        first = server.process.pid
        seen.clear()
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: seen == [(name, "starting"), (name, "running")])
        assert server.process.pid != first
        assert await query(urls, "select 1") == 1
        assert await ping(urls.valkey_url)
    assert all_processes(home) == []


async def test_a_server_that_cannot_come_back_is_tried_again(home: Path) -> None:
    seen: list[ServerState] = []
    servers = EmbeddedServers(home, valkey=False, on_change=lambda _, state: seen.append(state))
    async with watched(servers) as (urls, _):
        settings = servers.layout.postgres / "local.conf"
        settings.write_text("nonsense = on\n")
        process = servers._servers[0].process
        assert process is not None
        process.kill()
        await eventually(lambda: seen.count(ServerState.FAILED) >= 2)
        settings.write_text("")
        await eventually(lambda: seen[-1] is ServerState.RUNNING)
        assert await query(urls, "select 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's")
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), ValueError("odd")])
@pytest.mark.parametrize("name", ["postgres", "valkey"])
async def test_a_server_whose_files_cannot_be_written_is_tried_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    seen: list[tuple[str, ServerState]] = []
    servers = EmbeddedServers(home, on_change=lambda who, state: seen.append((who, state)))
    async with watched(servers) as (urls, watch):
        server = next(server for server in servers._servers if server.name == name)
        tries = 0

        def fail(*_: object) -> None:
            nonlocal tries
            tries += 1
            raise error

        with monkeypatch.context() as broken:
            broken.setattr(type(server), "_configure", fail)
            assert server.process is not None
            server.process.kill()
            await eventually(lambda: tries >= 3)
        await eventually(lambda: seen[-1] == (name, ServerState.RUNNING))
        assert not watch.done()
        assert await query(urls, "select 1") == 1
        assert await ping(urls.valkey_url)


async def test_servers_end_with_a_killed_owner(home: Path) -> None:
    holder = await asyncio.to_thread(hold, home)
    assert holder.stdout is not None
    await asyncio.to_thread(holder.stdout.readline)
    assert len(all_processes(home)) > 2
    kill(holder)
    await eventually(lambda: all_processes(home) == [])


async def test_servers_that_outlived_their_owner_are_replaced(home: Path) -> None:
    holder = await asyncio.to_thread(hold, home, untied=True)
    assert holder.stdout is not None
    await asyncio.to_thread(holder.stdout.readline)
    kill(holder)
    old = all_processes(home)
    assert len(old) > 2
    async with running(home) as (_, urls):
        assert await query(urls, "select 1") == 1
        assert await ping(urls.valkey_url)
        assert not any(process.is_running() for process in old)


@pytest.mark.parametrize("seconds", [0.15, 0.4])
async def test_a_first_start_killed_at_any_moment_does_not_block_the_next(
    tmp_path: Path, seconds: float
) -> None:
    holder = await asyncio.to_thread(hold, tmp_path)
    await asyncio.sleep(seconds)
    kill(holder)
    async with running(tmp_path) as (_, urls):
        assert await query(urls, "select 1") == 1
        assert not Layout(tmp_path).postgres_draft.exists()


async def test_backends_that_outlived_their_postmaster_are_ended(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Postgres,
        "stop_steps",
        ((signal.SIGINT, 5), (signal.SIGQUIT, 0.2), (signal.SIGKILL, 5)),
    )
    servers = EmbeddedServers(home, valkey=False)
    urls = await servers.start()
    assert urls.database_url is not None
    connection = await asyncpg.connect(urls.database_url)
    backend = await connection.fetchval("select pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)  # deaf to all but SIGKILL, and attached to shared memory
    process = servers._servers[0].process
    assert process is not None
    process.kill()
    await process.wait()
    await servers.stop()
    assert [process.pid for process in all_processes(home)] == [backend]
    async with running(home) as (_, again):
        assert await query(again, "select 1") == 1
        assert not psutil.pid_exists(backend)
    connection.terminate()


async def test_a_last_checkpoint_that_takes_too_long_is_told_and_given_up(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        Postgres,
        "stop_steps",
        ((signal.SIGINT, 0.5), (signal.SIGQUIT, 0.5), (signal.SIGKILL, 5)),
    )
    servers = EmbeddedServers(home, valkey=False)
    urls = await servers.start()
    await query(urls, "create table kept as select 1 as number")
    checkpointer = next(p for p in all_processes(home) if "checkpointer" in " ".join(p.cmdline()))
    checkpointer.suspend()  # as if the disk stood still
    await servers.stop()
    logged = capsys.readouterr().out
    async with running(home) as (_, again):
        assert await query(again, "select number from kept") == 1
    assert [logged.count(word) for word in ("SIGINT", "SIGQUIT", "SIGKILL")] == [1, 1, 0]


async def test_recycled_process_ids_and_stale_files_do_not_block(home: Path) -> None:
    async with running(home) as (servers, _):
        layout = servers.layout
    account = server_account(layout.postgres)
    stranger = await asyncio.create_subprocess_exec(
        "sleep", "60", user=account.uid if account else None
    )
    try:
        (layout.postgres / "postmaster.pid").write_text(
            f"{stranger.pid}\n{layout.postgres}\n1\n5432\n{layout.sockets}\n\n 1 1\nready   \n"
        )
        (layout.sockets / ".s.PGSQL.5432").touch()
        (layout.sockets / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        layout.valkey_socket.touch()
        async with running(home) as (_, urls):
            assert await query(urls, "select 1") == 1
            assert await ping(urls.valkey_url)
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()
