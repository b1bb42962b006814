"""The embedded servers: start, stop, passwords, and the places that they are given."""

import asyncio
import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
import redis.exceptions

from podium.kernel.errors import Conflict, SettingsInvalid, Unavailable
from podium.storage.embedded import EmbeddedServers
from podium.storage.embedded.credentials import Credentials
from podium.storage.embedded.paths import MAX_SOCKET_BYTES
from podium.storage.embedded.process import running_in
from podium.storage.embedded.valkey import Valkey
from slices.storage.embedded import all_processes, ping, query, running


async def test_both_start_with_passwords_on_private_sockets(home: Path) -> None:
    async with running(home) as (servers, urls):
        assert servers.states == {"postgres": "running", "valkey": "running"}
        assert await query(urls, "show server_version_num") >= "180000"
        assert await ping(urls.valkey_url)
        assert await query(urls, "show listen_addresses") == ""
        assert await query(urls, "show fsync") == "on"
        assert await query(urls, "show transaction_timeout") == "2min"
        assert await query(urls, "show is_superuser") == "off"
        assert await query(
            urls,
            "select pg_has_role('podium', datdba, 'member') from "
            "pg_database where datname = current_database()",
        )
        for process in all_processes(home):
            assert [c for c in process.net_connections("tcp") if c.status == "LISTEN"] == []
    assert servers.states == {"postgres": "stopped", "valkey": "stopped"}


async def test_wrong_passwords_are_refused(home: Path) -> None:
    async with running(home) as (servers, urls):
        sockets = servers.layout.sockets
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                user="podium", password="no", database="podium", host=str(sockets)
            )
        with pytest.raises(redis.exceptions.ConnectionError, match="invalid username"):
            await ping(f"unix://:no@{sockets}/valkey.sock")
        secrets = servers.layout.servers_file
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        known = json.loads(secrets.read_text())
        assert known["database_url"] == urls.database_url
        assert known["valkey_url"] == urls.valkey_url
        for password in known["passwords"].values():
            assert not any(password in part for p in all_processes(home) for part in p.cmdline())


async def test_data_survives_a_restart_and_the_urls_stay(home: Path) -> None:
    async with running(home) as (_, urls):
        await query(urls, "create table kept (n int)")
        await query(urls, "insert into kept values (7)")
    async with running(home) as (_, again):
        assert again == urls
        assert await query(again, "select n from kept") == 7


async def test_one_server_alone(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, postgres=False)
    urls = await servers.start()
    assert urls.database_url is None
    assert await ping(urls.valkey_url)
    await servers.stop()
    await servers.stop()
    assert not servers.layout.postgres.exists()
    await servers.watch()  # nothing to watch: returns


async def test_a_second_owner_is_refused_and_harms_nothing(home: Path) -> None:
    async with running(home) as (_, urls):
        with pytest.raises(Conflict, match="Another process"):
            await EmbeddedServers(home).start()
        assert await query(urls, "select 1") == 1


async def test_a_start_without_room_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Valkey, "_configure", fail)
    with pytest.raises(Unavailable, match=r"valkey cannot be started: .*No space left"):
        await EmbeddedServers(home).start()
    assert all_processes(home) == []


OTHER = dict.fromkeys(("postgres", "superuser", "valkey"), "0" * 48)


@pytest.mark.parametrize("content", [None, json.dumps({"passwords": OTHER})])
async def test_lost_passwords_are_set_anew(home: Path, content: str | None) -> None:
    async with running(home) as (servers, urls):
        await query(urls, "create table kept (n int)")
    servers.layout.servers_file.unlink()
    if content is not None:
        servers.layout.servers_file.write_text(content)
    async with running(home) as (_, again):
        assert again != urls
        assert await query(again, "select count(*) from kept") == 0


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"passwords": {"a": 1}}'])
def test_a_damaged_file_of_passwords_counts_as_lost(tmp_path: Path, content: str) -> None:
    file = tmp_path / "servers.json"
    file.write_text(content)
    assert Credentials.load(file) is None


@pytest.mark.parametrize(
    "name", ["with space", "x" * 80 + "/" + "y" * 80, "comma,and'quote\"", "näch/ste"]
)
async def test_any_path_will_do(home: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    home = await asyncio.to_thread(home.rename, tmp_path / name)
    async with running(home) as (servers, urls):
        socket = servers.layout.sockets / ".s.PGSQL.5432"
        assert len(os.fsencode(socket)) <= MAX_SOCKET_BYTES
        assert stat.S_IMODE(socket.parent.parent.stat().st_mode) & 0o007 == 0
        assert await query(urls, "select 1") == 1
        assert await ping(urls.valkey_url)
    assert socket.parent.exists() is (home in socket.parents)


async def test_a_foreign_socket_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shared"
    (root / f"podium-{os.geteuid()}").mkdir(parents=True)
    (root / f"podium-{os.geteuid()}").chmod(0o777)
    monkeypatch.setattr("podium.storage.embedded.paths._SHORT_ROOT", root)
    with pytest.raises(SettingsInvalid, match="others may write"):
        await EmbeddedServers(tmp_path / ("x" * 120)).start()


async def test_an_empty_directory_in_the_clusters_place_is_used(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    async with running(tmp_path) as (_, urls):
        assert await query(urls, "select 1") == 1


async def test_a_directory_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "mine.txt").write_text("keep")
    with pytest.raises(SettingsInvalid, match="holds no PostgreSQL cluster"):
        await EmbeddedServers(tmp_path).start()
    assert (tmp_path / "postgres" / "mine.txt").read_text() == "keep"
    assert all_processes(tmp_path) == []


async def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(SettingsInvalid, match="cannot be used"):
        await EmbeddedServers(tmp_path / "home").start()


@pytest.mark.parametrize("server", ["postgres", "valkey"])
async def test_a_start_that_fails_shows_the_end_of_the_log(home: Path, server: str) -> None:
    async with running(home) as (servers, _):
        layout = servers.layout
    if server == "postgres":
        (layout.postgres / "local.conf").write_text("port = 'nonsense'\n")
        expected = "invalid value for parameter"
    else:
        layout.valkey_socket.mkdir()
        expected = "socket"
    with pytest.raises((Unavailable, SettingsInvalid, OSError), match=expected):
        await EmbeddedServers(home).start()
    assert all_processes(home) == []


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path)
    for seconds in (0.05, 0.3, 0.5):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await servers.start()
        await servers.stop()
        assert all_processes(tmp_path) == []
        assert running_in(tmp_path / ".postgres.new", "postgres") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test runs unprivileged already")
def test_an_ordinary_user_needs_no_root(tmp_path: Path) -> None:
    home = Path("/tmp") / f"podium-test-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, 65534, 65534)
    script = """
        import asyncio, concurrent.futures.thread, encodings.idna, os, sys, asyncpg, psutil
        from pathlib import Path
        from podium.storage.embedded import EmbeddedServers
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        async def main():
            servers = EmbeddedServers(Path(sys.argv[1]))
            urls = await servers.start()
            connection = await asyncpg.connect(urls.database_url)
            assert await connection.fetchval("select 1") == 1
            await connection.close()
            assert os.stat(sys.argv[1] + "/postgres").st_uid == 65534
            await servers.stop()
            await servers.start()
            await servers.stop()
        asyncio.run(main())
    """
    try:
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(home)],
            check=True,
            timeout=60,
        )
        assert all_processes(home) == []
    finally:
        shutil.rmtree(home)
