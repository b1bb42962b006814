"""Settings that cannot be used: what is said names the variable or the file, and no secret."""

from pathlib import Path

import pytest

from podium.kernel.errors import SettingsInvalid
from podium.kernel.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PODIUM_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("value", "meant"), [("my_agents", '["my_agents"]'), ("a, b", '["a", "b"]'), ("['a']", '["a"]')]
)
def test_a_list_that_is_no_json(value: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_FUNCTION_MODULES", value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert caught.value.message == f"PODIUM_FUNCTION_MODULES is no JSON list: {value}."
    assert caught.value.hint == f"Write it as '{meant}'."


@pytest.mark.parametrize("value", ['"mine"', "5", '{"a": 1}'])
def test_json_that_is_no_list(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_FUNCTION_MODULES", value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert "(PODIUM_FUNCTION_MODULES): Must be a list" in caught.value.message
    assert 'Write a list as ["first", "second"]' in (caught.value.hint or "")


def test_a_wrong_value_is_told_with_its_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.toml").write_text("workers = 'many'\nprot = 1\n")
    monkeypatch.setenv("podium_lease_seconds", "soon")
    monkeypatch.setenv("PODIUM_LOG_LEVEL", "WARN")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert "lease_seconds (PODIUM_LEASE_SECONDS): Must be a number" in caught.value.message
    assert "'warning' or 'error'; the closest is 'warning'" in caught.value.message
    file = home / "settings.toml"
    assert f"workers ({file}): Must be a whole number" in caught.value.message
    assert f"prot ({file}): There is no such field; the closest is 'port'" in caught.value.message


def test_a_file_that_is_no_toml(home: Path) -> None:
    (home / "settings.toml").write_text("workers: 3\n")
    with pytest.raises(SettingsInvalid, match=r"settings\.toml cannot be read: "):
        load_settings()


@pytest.mark.parametrize("name", ["PODIUM_DATABASE_URL", "PODIUM_VALKEY_URL"])
def test_a_url_of_another_kind(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "mysql://u:hidden-word@h/d")
    with pytest.raises(SettingsInvalid, match=rf"\({name}\): it begins with ") as caught:
        load_settings()
    assert "hidden-word" not in caught.value.message
