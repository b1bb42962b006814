"""A group of commands that knows what was meant by a name which it has not."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException

_SAME = (
    {"add", "create", "new", "register"},
    {"delete", "remove", "revoke", "rm"},
    {"describe", "get", "info", "inspect", "show"},
    {"edit", "set", "update"},
    {"list", "ls"},
    {"down", "stop"},
    {"start", "up"},
)
"""Names that other programs have for the same; a group has one of each at most."""

_LIKE = 0.7
"""So like a name must a command be to be meant by it, from 0 to 1: 'bogus' does not mean 'logs'."""


class Group(TyperGroup):
    """Names the command that an unknown one stands for elsewhere, else those that it is like."""

    def __init__(self, **attributes: Any) -> None:
        attributes["suggest_commands"] = False  # it has a rule of its own
        super().__init__(**attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            if meant := _meant(args[0], list(self.commands)):
                which = ", ".join(repr(each) for each in meant)
                error.message = f"No such command {args[0]!r}. Did you mean {which}?"
            raise


def _meant(name: str, known: Sequence[str]) -> Sequence[str]:
    from difflib import get_close_matches

    same = [each for names in _SAME if name in names for each in known if each in names]
    return same or get_close_matches(name, known, cutoff=_LIKE)
