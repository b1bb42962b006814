"""The local administrator's token: one, private, and replaced when it is lost."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from podium.kernel.errors import Unauthenticated
from podium.principals.model import Principal
from podium.principals.service import NewToken, PrincipalService, ensure_admin_token
from podium.storage.database import Database


async def test_the_local_admin_token_is_kept_private_and_replaced_when_lost(
    database: Database, tmp_path: Path
) -> None:
    async def ensure(folder: Path = tmp_path) -> str:
        async with database.transaction() as conn:
            path = await ensure_admin_token(folder, conn)
        assert path.stat().st_mode & 0o777 == 0o600
        return path.read_text().strip()

    first = await ensure()
    assert await ensure() == first
    other_machine = await ensure(tmp_path / "other")
    (tmp_path / "admin-token").unlink()
    second = await ensure()
    assert second != first
    (tmp_path / "admin-token").write_text("podium_garbage")
    third = await ensure()
    (tmp_path / "admin-token").chmod(0o644)  # others may have read it
    fourth = await ensure()

    principals = PrincipalService(database)
    for lost in (first, second, third):
        with pytest.raises(Unauthenticated):
            await principals.authenticate(lost)
    for valid in (fourth, other_machine):
        assert (await principals.authenticate(valid)).kind == "admin"


async def test_a_revoked_admin_token_is_replaced(database: Database, tmp_path: Path) -> None:
    async def ensure() -> str:
        async with database.transaction() as conn:
            return (await ensure_admin_token(tmp_path, conn)).read_text()

    token = await ensure()
    await database.call("update token set revoked_at = now()")
    assert await ensure() != token


async def test_what_was_made_with_a_lost_admin_token_stays_valid(
    database: Database, tmp_path: Path
) -> None:
    async def ensure() -> Principal:
        async with database.transaction() as conn:
            path = await ensure_admin_token(tmp_path, conn)
        return await PrincipalService(database).authenticate(path.read_text().strip())

    lost = await ensure()
    tokens = PrincipalService(database)
    async with database.transaction() as conn:
        made, text = await tokens.create(conn, lost, NewToken("ci", ("tasks:read",)))
    (tmp_path / "admin-token").unlink()
    second = await ensure()
    assert (await PrincipalService(database).authenticate(text)).id == made.id
    async with database.transaction() as conn:
        await tokens.revoke(conn, second, second.id)
    with pytest.raises(Unauthenticated):
        await PrincipalService(database).authenticate(text)


async def test_several_processes_make_one_admin_token(database: Database, tmp_path: Path) -> None:
    async def ensure() -> None:
        async with database.transaction() as conn:
            await ensure_admin_token(tmp_path, conn)

    await asyncio.gather(*(ensure() for _ in range(8)))
    async with database.connect() as conn:
        count = await conn.execute(text("select count(*) from token where revoked_at is null"))
        assert count.scalar_one() == 1
