"""``podium db`` as it is typed, on whole installations."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from installation import Installation
from slices.cli.commands import made, until
from slices.cli.test_guides import blocks, typed


@pytest.fixture
async def server(direct_url: str) -> AsyncIterator[str]:
    """URL of a server's database with nothing in it."""
    name = f"promoted_{uuid4().hex}"
    admin = await asyncpg.connect(direct_url.format("postgres"))
    await admin.execute(f"create database {name}")
    yield direct_url.format(name)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


def states(podium: Installation) -> list[str]:
    return [task["state"] for task in podium.podium("task", "list", "--json").json]


def test_the_guide(fresh: Installation, tmp_path: Path) -> None:
    assert fresh.podium("up", "--detach").status == 0
    told = typed(fresh, "".join(blocks("backup.md", "bash")), tmp_path)
    assert "up to date" in told
    assert "monday.tar has" in told
    assert "The backup is whole and can be restored: 1 tasks" in told
    assert "Restored: 1 tasks" in told
    assert states(fresh) == ["succeeded"]
    assert fresh.podium("down").status == 0


@pytest.mark.timeout(240)
def test_what_ran_at_the_backup_runs_again_elsewhere(fresh: Installation, tmp_path: Path) -> None:
    assert fresh.podium("up", "--detach").status == 0
    assert fresh.podium("agent", "add", "slow", "--", "sh", "-c", "sleep 4; echo done").status == 0
    create = ("task", "create", "-a", "slow", "-i", '"x"')
    running = made(fresh.podium(*create))
    after = made(fresh.podium(*create, "--depends-on", running))
    until(lambda: fresh.podium("task", "show", running, "--json").json["state"] == "running")
    told = fresh.podium("db", "backup", str(tmp_path / "b.tar"), "--json").json
    assert told["tasks"] == 2
    refused = fresh.podium("db", "restore", str(tmp_path / "b.tar"), "--replace", "--yes", "--json")
    assert refused.status == 6
    assert "Podium runs on" in refused.err
    assert fresh.podium("down").status == 0
    (later := fresh.home / "artifacts" / str(uuid4())).mkdir(parents=True)
    put_back = fresh.podium("db", "restore", str(tmp_path / "b.tar"), "--replace", "--yes")
    assert (put_back.status, later.exists()) == (0, True), put_back
    with tempfile.TemporaryDirectory(prefix="podium-home-") as folder:
        other = Installation(Path(folder) / "home")
        assert other.podium("db", "restore", str(tmp_path / "b.tar"), "--json").json["epoch"] == 2
        assert other.podium("up", "--detach").status == 0
        try:
            until(lambda: states(other) == ["succeeded", "succeeded"], 60)
            history = other.podium("event", "list", "--json").json
            ended = [each["subject"] for each in history if each["type"] == "task.completed"]
            assert sorted(ended) == sorted([running, after])
        finally:
            other.stop()


def test_an_installation_is_promoted(fresh: Installation, server: str) -> None:
    assert fresh.podium("up", "--detach").status == 0
    assert fresh.podium("agent", "add", "echo", "--", "cat").status == 0
    task = fresh.podium("task", "create", "-a", "echo", "-i", '"x"', "--wait", "--json").json["id"]
    refused = fresh.podium("db", "promote", server)
    assert (refused.status, "podium down" in refused.err) == (6, True)
    assert fresh.podium("down").status == 0
    said = fresh.podium("db", "promote", "-", "--keep-setting", stdin=f"{server}\n")
    assert said.status == 0, said
    assert f"{fresh.home / 'settings.toml'} names it" in said.out
    assert fresh.podium("up", "--detach").status == 0
    assert fresh.podium("task", "show", task, "--json").json["state"] == "succeeded"
    shown = fresh.podium("db", "status")
    assert "Event epoch  2" in shown.out
    assert "embedded" not in shown.out
    assert fresh.podium("down").status == 0


def test_what_is_wrong_is_told(fresh: Installation, tmp_path: Path) -> None:
    said = fresh.podium("db", "status", "--json")
    assert (said.status, '"code": "not_found"' in said.err) == (4, True)
    (tmp_path / "b.tar").write_text("no tar")
    said = fresh.podium("db", "restore", str(tmp_path / "b.tar"))
    assert (said.status, "(code backup_damaged)" in said.err) == (1, True)
    said = fresh.podium("db", "restore", str(tmp_path / "none.tar"))
    assert (said.status, "There is no file" in said.err) == (2, True)
    said = fresh.podium("db", "restore", str(tmp_path / "b.tar"), "--replace")
    assert (said.status, "Give --yes to do it." in said.err) == (2, True)
    said = fresh.podium("db", "promote", "hello")
    assert (said.status, "is no URL" in said.err) == (1, True)
    away = "postgresql://u:hidden-word@127.0.0.1:1/none"
    said = fresh.podium("db", "migrate", PODIUM_DATABASE_URL=away)
    assert (said.status, "hidden-word" in said.err) == (3, False)
