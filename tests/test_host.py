"""When a failure is the host's: only where it took processors, by the system's own count."""

from pathlib import Path

import pytest

import host


def counted(user: int, idle: int, stolen: int) -> str:
    return f"cpu  {user} 0 0 {idle} 0 0 0 {stolen} 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"


@pytest.mark.parametrize(
    ("later", "busy"),
    [
        (counted(user=200, idle=300, stolen=50), False),  # it stole, but not since
        (counted(user=1100, idle=300, stolen=50), False),  # the tests used everything themselves
        (counted(user=196, idle=300, stolen=54), False),
        (counted(user=190, idle=300, stolen=60), True),
    ],
)
def test_time_that_the_host_took_is_told_from_time_that_tests_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str, *, busy: bool
) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(host, "_STAT", stat)
    stat.write_text(counted(user=100, idle=300, stolen=50))
    host.watch()
    stat.write_text(later)
    assert host.was_busy() is busy
    host.watch()
    assert not host.was_busy()


def test_where_nothing_is_counted_nothing_is_excused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_STAT", tmp_path / "none")
    host.watch()
    assert not host.was_busy()
