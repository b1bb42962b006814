"""A group of commands that knows what was meant by a name which it has not."""

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


class Group(TyperGroup):
    """Names the command that an unknown one stands for elsewhere, else those that it is like."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            if meant := _meant(args[0], self.commands):
                error.message = f"No such command {args[0]!r}. Did you mean {meant!r}?"
            raise


def _meant(name: str, known: Any) -> str | None:
    for names in _SAME:
        if name in names:
            return next((each for each in known if each in names), None)
    return None
