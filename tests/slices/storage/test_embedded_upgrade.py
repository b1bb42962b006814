"""A cluster of another PostgreSQL major is refused with the command that upgrades it."""

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from podium.kernel.errors import Conflict, NotFound, SettingsInvalid, Unavailable
from podium.storage.embedded import EmbeddedServers
from podium.storage.embedded.account import server_account
from podium.storage.embedded.cluster import open_programs, programs
from podium.storage.embedded.paths import Layout
from podium.storage.embedded.process import Program
from podium.storage.embedded.upgrade import upgrade

OLD = 16


@pytest.fixture
async def old_cluster(tmp_path: Path) -> Layout:
    """A data directory whose cluster was made by PostgreSQL 16, with one row in it."""
    binaries = programs(OLD)
    assert binaries is not None
    layout = Layout(tmp_path / "old home")
    layout.create()
    cluster = layout.postgres
    cluster.mkdir(mode=0o700)
    account = server_account(cluster)
    open_programs(binaries, account)
    if account is not None:
        account.take(cluster)
        account.take(layout.sockets)
    argv = (binaries / "initdb", "-D", cluster, "-U", "postgres", "--auth=trust", "-N")
    status, printed = await Program((*argv, "--encoding=UTF8"), cluster, account).run()
    assert status == 0, printed
    server = await Program(
        (binaries / "postgres", "-D", cluster, "-k", layout.sockets, "-c", "listen_addresses="),
        cluster,
        account,
    ).start(layout.logs / "old.log")
    for database, sql in (
        ("postgres", "create role podium login password 'x'"),
        ("postgres", "create database podium owner podium"),
        ("podium", "create table kept as select 7 as n; alter table kept owner to podium"),
    ):
        connection = await _connect(layout, database)
        await connection.execute(sql)
        await connection.close()
    server.terminate()
    await server.wait()
    (cluster / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    return layout


async def _connect(layout: Layout, database: str) -> asyncpg.Connection:
    """A superuser's connection, as soon as the old server takes one."""
    for _ in range(200):
        with suppress(OSError, asyncpg.CannotConnectNowError):
            return await asyncpg.connect(
                user="postgres", database=database, host=str(layout.sockets)
            )
        await asyncio.sleep(0.02)
    raise AssertionError((layout.logs / "old.log").read_text())


async def test_another_major_is_refused_with_the_command(old_cluster: Layout) -> None:
    with pytest.raises(SettingsInvalid, match="made by PostgreSQL 16") as refused:
        await EmbeddedServers(old_cluster.data_dir).start()
    assert refused.value.hint is not None
    assert "python -m podium.server upgrade" in refused.value.hint


async def test_upgrade_keeps_the_data_and_the_old_cluster(old_cluster: Layout) -> None:
    kept = await upgrade(old_cluster.data_dir)
    assert kept == old_cluster.data_dir / "postgres-16"
    assert (kept / "PG_VERSION").read_text() == "16\n"
    servers = EmbeddedServers(old_cluster.data_dir, valkey=False)
    urls = await servers.start()
    try:
        connection = await asyncpg.connect(urls.database_url)
        assert await connection.fetchval("select n from kept") == 7
        assert await connection.fetchval("show server_version_num") >= "180000"
        await connection.close()
        with pytest.raises(Conflict):
            await upgrade(old_cluster.data_dir)
    finally:
        await servers.stop()
    assert not list(old_cluster.sockets.iterdir())
    with pytest.raises(NotFound, match="no cluster of another major"):
        await upgrade(old_cluster.data_dir)


async def test_a_failed_upgrade_leaves_the_cluster(old_cluster: Layout) -> None:
    with pytest.raises(Unavailable, match="not compatible") as refused:
        await upgrade(old_cluster.data_dir, programs())
    assert "--old-bin" in (refused.value.hint or "")
    (old_cluster.postgres / "pg_hba.conf").write_text("local all all reject\n")
    with pytest.raises(Unavailable, match="is as it was") as failed:
        await upgrade(old_cluster.data_dir)
    assert "room for both clusters" in (failed.value.hint or "")
    assert (old_cluster.postgres / "PG_VERSION").read_text() == "16\n"


async def test_a_major_that_the_wheel_does_not_ship_needs_its_programs(tmp_path: Path) -> None:
    cluster = Layout(tmp_path).postgres
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("15\n")
    with pytest.raises(SettingsInvalid, match="do not come with Podium") as refused:
        await upgrade(tmp_path)
    assert refused.value.hint is not None
    assert "--old-bin" in refused.value.hint
    with pytest.raises(SettingsInvalid, match="are not in"):
        await upgrade(tmp_path, tmp_path)
