"""On a terminal, commands ask for what they lack; elsewhere they fail as ever."""

from typing import Any

import pytest

from installation import Installation
from slices.cli.commands import Run
from terminal import Terminal

DOWN, ENTER, CTRL_C = "\x1b[B", "\r", "\x03"
ASKS = "\x1b[6n"
"""Where a question begins, the terminal is asked where its cursor is."""


@pytest.fixture
def project(podium: Run) -> str:
    """The name of the test's own project, which has two agents."""
    for name in ("cat", "tac"):
        assert podium("agent", "add", name, "--", name).status == 0
    (found,) = podium("export", "-k", "project", "--json").json
    return found["name"]


class Asked:
    """A command on a terminal on which somebody answers."""

    def __init__(self, installation: Installation, project: str) -> None:
        self._installation = installation
        self._project = project

    def __call__(self, *arguments: str, **environment: Any) -> Terminal:
        around = {"PODIUM_PROJECT": self._project, "CI": "", "PODIUM_NO_INPUT": "", **environment}
        return Terminal(
            self._installation.argv(*arguments), {**self._installation.environment, **around}
        )


@pytest.fixture
def asked(installation: Installation, project: str) -> Asked:
    return Asked(installation, project)


def answer(screen: Terminal, question: str, *typed: str) -> None:
    """Answer a question once it was asked."""
    screen.expect(question)
    screen.forget()
    for each in typed:
        screen.type(each)


def same(screen: Terminal) -> str:
    """The command line that is told at the end."""
    assert "The same without questions: " in screen.seen, screen.seen
    told = screen.seen.split("The same without questions: ")[1]
    return " ".join(told.replace("\r", "").split())


def test_a_task_is_made_from_answers(asked: Asked, podium: Run) -> None:
    screen = asked("task", "create")
    answer(screen, "Give one of these", ENTER)
    screen.expect("cat")
    answer(screen, "agent: Agent by name.", DOWN, ENTER)
    answer(screen, "input:", "hello there", ENTER)
    answer(screen, "title:", ENTER)
    assert screen.end() == 0, screen.seen
    assert same(screen) == "podium task create --agent tac --input '\"hello there\"'"
    (task,) = podium("task", "list", "--json").json
    assert task["agent"] == "tac"
    assert podium("task", "show", task["id"], "--json").json["input"] == "hello there"
    assert screen.left == screen.found


def test_what_was_given_is_not_asked_for(asked: Asked, podium: Run) -> None:
    screen = asked("task", "create", "-a", "cat", "-t", "Given")
    assert screen.end() == 0
    assert ASKS not in screen.seen
    assert "The same without questions" not in screen.seen
    screen = asked("schedule", "create", "pulse", "--every", "1h", "--capability", "text")
    assert screen.end() == 0
    assert ASKS not in screen.seen
    screen = asked("schedule", "show")
    answer(screen, "name: Name of the schedule.", ENTER)
    assert screen.end() == 0
    assert "podium schedule show pulse" in same(screen)


def test_a_program_may_have_options_of_its_own(asked: Asked, podium: Run) -> None:
    screen = asked("agent", "add")
    answer(screen, "name: Name of the agent.", ENTER)
    screen.expect("It is needed.")
    screen.type(f"upper{ENTER}")
    answer(screen, "Give one of these", ENTER)
    answer(screen, "command: The program", "tr a-z 'A-Z'", ENTER)
    answer(screen, "description:", ENTER)
    assert screen.end() == 0, screen.seen
    assert same(screen) == "podium agent add upper -- tr a-z A-Z"
    assert podium("agent", "show", "upper", "--json").json["config"]["command"] == [
        "tr",
        "a-z",
        "A-Z",
    ]


def test_numbers_and_choices_are_checked_as_they_are_typed(asked: Asked, podium: Run) -> None:
    screen = asked("limit", "set", "repo:*")
    answer(screen, "Give one of these", ENTER)
    answer(screen, "concurrency:", "many", ENTER)
    screen.expect("It must be a whole number.")
    screen.type("\x7f\x7f\x7f\x7f3\r")
    assert screen.end() == 0, screen.seen
    assert podium("limit", "show", "repo:*", "--json").json["concurrency"] == 3
    screen = asked("token", "create", "ci")
    answer(screen, "Give one of these", ENTER)
    answer(screen, "preset:", DOWN, ENTER)
    answer(screen, "project:", ENTER)
    assert screen.end() == 0, screen.seen
    assert same(screen) == "podium token create ci --preset member"


def test_parameters_of_a_template_are_asked_field_by_field(
    asked: Asked, podium: Run, tmp_path: Any
) -> None:
    schema = """{"type": "object", "required": ["branch", "depth"], "properties": {
        "branch": {"type": "string", "pattern": "^[a-z]+$", "description": "What to look at"},
        "depth": {"type": "integer", "minimum": 1},
        "tone": {"enum": ["kind", "plain"], "default": "plain"},
        "paths": {"type": "array", "items": {"type": "string"}}}}"""
    made = podium(
        *("template", "create", "look", "-a", "cat", "--prompt", "Look at {{ branch }}."),
        *("--schema", schema),
    )
    assert made.status == 0, made
    screen = asked("template", "start", "look")
    answer(screen, "branch (What to look at)", "Main", ENTER)
    screen.expect("does not match")
    screen.type("\x7f\x7f\x7f\x7fmain\r")
    answer(screen, "depth", "0", ENTER)
    screen.expect("less than the minimum")
    screen.type("\x7f2\r")
    assert screen.end() == 0, screen.seen
    assert same(screen) == "podium template start look --set branch=main --set depth=2"
    screen = asked("template", "preview", "look", "--set", "branch=main", "--set", "depth=2")
    assert screen.end() == 0
    assert ASKS not in screen.seen
    screen = asked("template", "start", "look", "--dry-run", "--set", "depth=1")
    answer(screen, "branch", "dev", ENTER)
    assert screen.end() == 0, screen.seen


def test_parameters_are_those_of_the_version_that_is_given(asked: Asked, podium: Run) -> None:
    make = ("template", "create", "t", "-a", "cat", "--prompt", "{{ old }}", "--schema")
    schema = '{"type": "object", "required": ["X"], "properties": {"X": {"type": "string"}}}'
    assert podium(*make, schema.replace("X", "old")).status == 0
    edit = ("template", "edit", "t", "--prompt", "{{ fresh }}", "--schema")
    assert podium(*edit, schema.replace("X", "fresh")).status == 0
    for arguments, name in (((), "fresh"), (("--version", "1"), "old")):
        screen = asked("template", "start", "t", *arguments)
        answer(screen, name, "hello", ENTER)
        assert screen.end() == 0, screen.seen
        command = " ".join(["podium template start t", *arguments])
        assert same(screen) == f"{command} --set {name}=hello"
    screen = asked("template", "start", "t", "--version", "first")
    assert screen.end() == 2
    screen = asked("--version")
    assert screen.end() == 0


@pytest.mark.parametrize("key", [CTRL_C, "\x04"])
def test_ctrl_c_leaves_nothing_behind(asked: Asked, podium: Run, key: str) -> None:
    screen = asked("project", "create")
    answer(screen, "name", key)
    assert screen.end() == 130
    assert "Nothing was done." in screen.seen
    assert "Traceback" not in screen.seen
    assert screen.left == screen.found
    screen = asked("task", "create")
    answer(screen, "Give one of these", ENTER)
    answer(screen, "agent:", CTRL_C)
    assert screen.end() == 130
    assert podium("task", "list", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--no-input", "task", "create"], {}),
        (["task", "create", "--no-input"], {}),
        (["task", "create", "--json"], {}),
        (["--json", "task", "create"], {}),
        (["task", "create"], {"PODIUM_NO_INPUT": "1"}),
        (["task", "create"], {"CI": "true"}),
    ],
)
def test_nobody_is_asked_who_does_not_want_to_be(
    asked: Asked, arguments: list[str], environment: dict[str, str]
) -> None:
    screen = asked(*arguments, **environment)
    assert screen.end() == 2
    assert "Give either --agent or --capability." in screen.seen
    assert ASKS not in screen.seen


def test_without_a_terminal_the_error_is_as_ever(podium: Run) -> None:
    said = podium("task", "create", CI="", PODIUM_NO_INPUT="")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("Error: Give either --agent or --capability.")
    said = podium("agent", "show", CI="")
    assert (said.status, said.out) == (2, "")
    assert "Missing argument" in said.err


def test_what_is_wrong_is_told_before_anything_is_asked(asked: Asked) -> None:
    screen = asked("task", "create", "--nonsense")
    assert screen.end() == 2
    assert "No such option" in screen.seen
    assert ASKS not in screen.seen
    screen = asked("task", "create", "--help")
    assert screen.end() == 0
