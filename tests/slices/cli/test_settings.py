"""Settings as commands tell them, and those that a running server lacks."""

from typing import Any

import pytest

from installation import Installation

NOT_IN_FORCE = ["database_url", "function_modules", "log_retention_days"]


@pytest.fixture
def lacking(fresh: Installation) -> dict[str, Any]:
    """An environment with settings that the running server lacks, and with two that it has."""
    assert fresh.podium("up", "--detach", "--workers", "1", PODIUM_PORT="0").status == 0
    (fresh.home / "settings.toml").write_text("log_retention_days = 3\n")
    return {
        "PODIUM_FUNCTION_MODULES": '["mine"]',
        "PODIUM_DATABASE_URL": "postgresql://somebody:hunter2@127.0.0.1:1/x",
        "PODIUM_WORKERS": "1",
        "PODIUM_PORT": fresh.podium("up", "-d", "--json").json["url"].rpartition(":")[2],
    }


def test_settings_are_told_without_a_server(fresh: Installation) -> None:
    settings = {s["name"]: s for s in fresh.podium("config", "show", "--json").json}
    assert settings["home"]["value"] == str(fresh.home)
    docs = fresh.podium("config", "docs").out
    assert "PODIUM_LEASE_SECONDS" in docs
    assert "Default: unset" in docs
    assert "Default: []" in docs
    home = str(fresh.home)
    at_home = fresh.podium("config", "show", HOME=home, PODIUM_HOME=f"{home}/.podium").out
    assert [f"{home}/.podium", "default"] in [line.split()[1:] for line in at_home.splitlines()]
    said = fresh.podium("config", "show", PODIUM_LEASE_SECONDS="never")
    assert said.status == 1
    assert "lease_seconds" in said.err
    assert "Hint: Correct the value" in said.err
    for command in (["config", "show"], ["doctor"], ["up", "--detach"]):
        said = fresh.podium(*command, PODIUM_FUNCTION_MODULES="mine")
        assert said.status == 1
        assert "Write it as '[\"mine\"]'." in said.out + said.err


def test_up_tells_which_settings_the_running_server_lacks(
    fresh: Installation, lacking: dict[str, Any]
) -> None:
    said = fresh.podium("up", "--detach", **lacking)
    assert said.status == 0
    assert (
        "without these settings of this environment: database_url, function_modules, " in said.err
    )
    assert "log_retention_days. To apply them: podium down, then podium up --detach" in said.err
    assert "hunter2" not in said.out + said.err
    assert all(b"hunter2" not in path.read_bytes() for path in (fresh.home / "run").glob("*.json"))
    assert fresh.podium("up", "-d", "--json", **lacking).json["not_in_force"] == NOT_IN_FORCE
    port_too = fresh.podium("up", "-d", "--json", PODIUM_PORT="1").json["not_in_force"]
    assert port_too == ["log_retention_days", "port"]
    fresh.stop()
    fresh.start()
    assert fresh.podium("up", "--detach").err == ""
    assert fresh.podium("up", "--detach", "--json").json["not_in_force"] == []


def test_so_do_the_doctor_and_the_list_of_settings(
    fresh: Installation, lacking: dict[str, Any]
) -> None:
    checks = {c["check"]: c for c in fresh.podium("doctor", "--json", **lacking).json["checks"]}
    assert checks["settings"]["outcome"] == "warning"
    assert ", ".join(NOT_IN_FORCE) in checks["settings"]["detail"]
    shown = fresh.podium("config", "show", "--json", **lacking)
    assert (shown.status, ", ".join(NOT_IN_FORCE) in shown.err) == (0, True)
    assert {item["name"] for item in shown.json} > set(NOT_IN_FORCE)
    fresh.stop()
    fresh.start()
    assert fresh.podium("config", "show").err.startswith("Settings come from")
    assert "All is well" in fresh.podium("doctor").out


def test_settings_that_the_next_start_could_not_use(fresh: Installation) -> None:
    fresh.start()
    said = fresh.podium("up", "-d", PODIUM_LOG_RETENTION_DAYS="none")
    assert said.status == 0
    assert "the next start from this environment would fail. Settings cannot be used: " in said.out
    assert "log_retention_days (PODIUM_LOG_RETENTION_DAYS)" in said.out
    assert "Correct the value" in said.out
    said = fresh.podium("config", "show", PODIUM_LOG_RETENTION_DAYS="none")
    assert (said.status, "log_retention_days " in said.out) == (0, True)
    assert "a start from this environment would fail. Settings cannot be used: " in said.err
    assert "log_retention_days (PODIUM_LOG_RETENTION_DAYS)" in said.err
