"""The help of an option names all that the option takes."""

from collections.abc import Iterator
from typing import Any

import pytest

from podium.checkup.graph import PARTS
from podium.cli.app import whole
from podium.principals.model import SCOPES
from podium.scheduler.model import TaskState


def told_of(option: str, *command: str) -> str:
    place: Any = whole()
    for name in command:
        place = place.commands[name]
    (help_,) = (each.help for each in place.params if option in each.opts)
    return help_


@pytest.mark.parametrize(
    ("option", "command", "names"),
    [
        ("--state", "task list", [state.value for state in TaskState]),
        ("--scope", "token create", list(SCOPES)),
        ("--skip", "run checkup", [part.ref for part in PARTS]),
    ],
)
def test_it_names_all_that_may_be_given(option: str, command: str, names: list[str]) -> None:
    told = told_of(option, *command.split())
    assert ", ".join(names) in told.replace(" or ", ", ")


def options(place: Any, name: str = "podium") -> Iterator[tuple[str, Any]]:
    """Every option of every command below, with the command's name."""
    for each in place.params:
        if each.param_type_name == "option":
            yield name, each
    for below in getattr(place, "commands", {}).values():
        yield from options(below, f"{name} {below.name}")


def test_it_tells_what_may_be_repeated() -> None:
    several = [(name, each) for name, each in options(whole()) if each.multiple]
    assert len(several) > 8
    silent = [
        f"{name} {each.opts[0]}"
        for name, each in several
        if "may be repeated" not in each.help.lower()
    ]
    assert not silent


def test_it_tells_that_nothing_is_retried_unless_asked_for() -> None:
    assert "unset, 0" in told_of("--retries", "task", "create")


def cut(group: Any, name: str = "podium") -> Iterator[str]:
    """The commands whose first sentence is too long for their group's help at 80 columns."""
    room = 80 - 2 - 6 - max(map(len, group.commands))
    for each in group.commands.values():
        if each.get_short_help_str(room).endswith("..."):
            yield f"{name} {each.name}"
        if hasattr(each, "commands"):
            yield from cut(each, f"{name} {each.name}")


def test_the_first_sentence_of_each_command_fits_its_line() -> None:
    assert not list(cut(whole()))
