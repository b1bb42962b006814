"""How the command line starts: quickly, lazily, and with help that is complete."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from installation import Installation

ROOT = Path(__file__).resolve().parents[3]
NEVER = (
    *("pydantic", "httpx", "asyncio", "fastapi", "sqlalchemy", "podium.kernel", "podium.server"),
    *("yaml", "jsonschema_rs", "questionary", "prompt_toolkit", "rich.live"),
)


@pytest.fixture
def nowhere(tmp_path: Path) -> Installation:
    """A data directory on which nothing runs."""
    return Installation(tmp_path / "home")


def test_the_version_is_told_in_both_ways(nowhere: Installation) -> None:
    for arguments in (["--version"], ["version"], ["version", "--json"]):
        said = nowhere.podium(*arguments)
        assert (said.status, said.err) == (0, "")
        assert "0.1.0" in said.out
    assert nowhere.podium("--version", "--json").out == nowhere.podium("version", "--json").out


@pytest.mark.parametrize(
    "arguments",
    [["--json", "task", "list"], ["task", "--json", "list"], ["--json", "status"]],
)
def test_json_may_stand_before_the_name_of_a_command(
    nowhere: Installation, arguments: list[str]
) -> None:
    said = nowhere.podium(*arguments)
    assert (said.status, said.out) == (3, "")
    assert json.loads(said.err)["error"]["code"] == "no_server"
    assert "path" in nowhere.podium("--json", "config", "path").json
    assert "path" in nowhere.podium("config", "--json", "path").json


def test_a_missing_token_is_no_missing_server(nowhere: Installation) -> None:
    said = nowhere.podium("task", "list", PODIUM_URL="http://127.0.0.1:9")
    assert (said.status, said.out) == (4, "")
    assert said.err.startswith("Error: There is no token for http://127.0.0.1:9.\n")
    assert said.err.endswith("(code unauthenticated)\n")


@pytest.mark.parametrize("arguments", [["--json"], ["task", "--json"], ["--json", "task"]])
def test_a_missing_command_is_told_as_json_too(nowhere: Installation, arguments: list[str]) -> None:
    said = nowhere.podium(*arguments)
    assert (said.status, said.out) == (2, "")
    assert json.loads(said.err)["error"]["message"] == "Missing command."


def test_without_arguments_it_helps_and_fails(nowhere: Installation) -> None:
    for arguments in ([], ["task"], ["run"]):
        said = nowhere.podium(*arguments)
        assert said.status == 2
        assert said.out == ""
        assert "Usage: podium" in said.err


def test_help_names_every_command(nowhere: Installation) -> None:
    said = nowhere.podium("--help")
    assert said.status == 0
    for name in ("up", "down", "ask", "task", "doctor", "Exit statuses"):
        assert name in said.out
    presets = " ".join(nowhere.podium("token", "create", "-h").out.split())
    assert "With --project the first three do not see" in presets
    assert "admin alone is refused" in presets
    assert "--depends-on" in nowhere.podium("task", "create", "-h").out


@pytest.mark.parametrize("prompt", ["-", "\udcff"])
def test_what_is_no_text_is_wrong_usage(nowhere: Installation, prompt: str) -> None:
    done = subprocess.run(
        nowhere.argv("ask", prompt, "-a", "x"),
        env={**nowhere.environment, "PODIUM_URL": "http://127.0.0.1:1", "PODIUM_TOKEN": "t"},
        input=b"\xff",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"Error: ")
    assert b"utf-8" in done.stderr.lower()


def test_wrong_usage_is_told_with_the_way_to_the_help(nowhere: Installation) -> None:
    said = nowhere.podium("tsk")
    assert (said.status, said.out) == (2, "")
    assert "Did you mean 'task'" in said.err
    said = nowhere.podium("task", "list", "--nonsense", "--json")
    assert said.status == 2
    assert '"code": "usage"' in said.err
    assert nowhere.podium("task", "list", "--state", "flying").status == 2


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--state", "Runing", "-s': 'Runing' is not one of 'pending', "),
        ("--state", "Runing", "'dead'; the closest is 'running'.\n"),
        ("--state", "flying", "'cancelled', 'dead'.\n"),
        ("-n", "many", "-n': it must be a whole number.\n"),
        ("-n", "0", "-n': it must be greater than or equal to 1.\n"),
    ],
)
def test_wrong_values_of_options_are_told_in_plain_words(
    nowhere: Installation, option: str, value: str, told: str
) -> None:
    said = nowhere.podium("task", "list", option, value)
    assert (said.status, told in said.err) == (2, True), said.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("agent delete", "'remove'"),
        ("agent rm", "'remove'"),
        ("token rm", "'revoke'"),
        ("task get", "'show'"),
        ("agent info", "'show'"),
        ("task ls", "'list'"),
        ("task canel", "'cancel'"),
        ("stop", "'down'"),
        ("agnt list", "'agent'"),
    ],
)
def test_a_command_of_another_name_is_recognised(
    nowhere: Installation, typed: str, meant: str
) -> None:
    said = nowhere.podium(*typed.split())
    assert (said.status, said.out) == (2, "")
    assert f"Did you mean {meant}?" in said.err


def test_a_command_that_is_like_none_is_only_refused(nowhere: Installation) -> None:
    for typed in (["event", "delete"], ["frobnicate"], ["bogus"]):
        said = nowhere.podium(*typed)
        assert (said.status, "Did you mean" in said.err) == (2, False)


@pytest.mark.parametrize("command", ["add", "edit"])
def test_forgotten_dashes_before_a_program_are_told_of(nowhere: Installation, command: str) -> None:
    for option in ("-l", "-x"):
        said = nowhere.podium("agent", command, "lister", "ls", option)
        assert said.status == 2
        assert "comes after --: lister -- ls ...\n" in said.err
    for wrong in (["lister", "--function"], ["lister", "-x", "--", "ls"]):
        assert "comes after" not in nowhere.podium("agent", command, *wrong).err


def test_ctrl_c_while_it_loads_ends_it_quietly() -> None:
    interrupts = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'podium.cli.app': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "sys.argv = ['podium', 'task', 'list']\n"
        "from podium.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupts], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_without_a_server_the_error_teaches(nowhere: Installation) -> None:
    said = nowhere.podium("task", "list")
    assert (said.status, said.out) == (3, "")
    assert "podium up --detach" in said.err
    assert str(nowhere.home / "admin-token") in said.err
    assert nowhere.podium("status", "--json").status == 3


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            '["--help"]',
            '["task", "--help"]',
            '["task", "list"]',
            '["agent", "show", "x", "--json"]',
        ),
        *('["apply", "--help"]', '["top", "--help"]', '["task", "create"]'),
    ],
)
def test_nothing_heavy_is_loaded_on_the_quick_path(nowhere: Installation, arguments: str) -> None:
    """Fails when Typer, or we, start to import something that takes long."""
    code = (
        f"import sys; sys.argv = ['podium', *{arguments}]\n"
        "from podium.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    sys.stderr.write(repr([m for m in {NEVER!r} if m in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=nowhere.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.endswith("[]"), done.stderr


def test_the_command_line_loads_nothing_of_the_server() -> None:
    code = (
        "import sys; from podium.cli.app import whole; whole()\n"
        "from podium.cli import board, local, output\n"
        "seen = {m.split('.')[1] for m in sys.modules if m.startswith('podium.')}\n"
        "assert seen <= {'cli', 'client', 'checkup'}, seen\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("podium ta", "task"), ("podium task sh", "show"), ("podium task show --pr", "--project")],
)
def test_the_shell_completes(nowhere: Installation, typed: str, offered: str) -> None:
    said = nowhere.podium(
        _PODIUM_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(typed.count(" "))
    )
    assert offered in said.out.split()


def test_the_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/generate_cli_docs.py", "--check"], cwd=ROOT, check=False
    )
    assert done.returncode == 0


def test_a_reader_that_goes_away_is_no_error(nowhere: Installation) -> None:
    command = f"{sys.executable} -m podium.cli config docs | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=nowhere.environment, capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] in {"0", "1"}
