"""The options that say which tasks are meant, and what they come to."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from podium.cli import completion
from podium.cli.failures import Failure
from podium.cli.options import labels, moment, wrong
from podium.cli.task_options import State, given

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import TaskQuery


class Sort(StrEnum):
    """How a list of tasks is sorted."""

    NEWEST = "newest"
    OLDEST = "oldest"
    FINISHED = "finished"
    LONGEST = "longest"
    PRIORITY = "priority"


OfAgent = Annotated[
    str | None,
    typer.Option(
        "--agent",
        "-a",
        metavar="NAME",
        help="Only this agent's.",
        autocompletion=completion.agents,
    ),
]
OfQueue = Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Only this queue's.")]
Search = Annotated[
    str | None,
    typer.Option(
        "--search",
        "-q",
        metavar="WORDS",
        help="Only with these words in title, labels, input, output or error; "
        "'\"a phrase\"', word*, -without, this or that.",
    ),
]
After = Annotated[
    str | None,
    typer.Option("--created-after", metavar="MOMENT", help="Only younger ones, in ISO 8601."),
]
Before = Annotated[
    str | None,
    typer.Option("--created-before", metavar="MOMENT", help="Only older ones, in ISO 8601."),
]
Saved = Annotated[
    str | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="NAME",
        help="Only what this saved filter matches as well; the other options narrow it.",
        autocompletion=completion.filters,
    ),
]
SortOption = Annotated[
    Sort | None,
    typer.Option(
        "--sort",
        help="Order; the last three sort the 10,000 newest that match. Unset, newest, or what the "
        "saved filter says.",
    ),
]


def query(
    state: Sequence[State] | None,
    agent: str | None,
    queue: str | None,
    label: Sequence[str] | None,
    search: str | None,
    after: str | None,
    before: str | None,
) -> "TaskQuery":
    """Which tasks the options mean."""
    wanted = given(
        state=[each.value for each in state or ()] or None,
        agent=agent,
        queue=queue,
        labels=labels(label) or None,
        search=search,
        created_after=moment(after, "--created-after"),
        created_before=moment(before, "--created-before"),
    )
    return cast("TaskQuery", wanted)


def narrowed(
    client: "Podium", saved: str | None, wanted: "TaskQuery"
) -> "tuple[TaskQuery, str | None]":
    """What a saved filter and the options match both, and the filter's order. A usage error where
    they cannot match the same tasks, or say different things of what one alone can be said of."""
    if saved is None:
        return wanted, None
    found = client.filters.get(saved)
    both = {name: value for name in _FIELDS if (value := getattr(found.filter, name))}
    for name, value in wanted.items():
        both[name] = _both(saved, name, both[name], value) if name in both else value
    return cast("TaskQuery", both), found.sort


_FIELDS = ("state", "agent", "queue", "labels", "search", "created_after", "created_before")


def _both(saved: str, name: str, kept: Any, given: Any) -> Any:
    """The value of a field that is in both."""
    if name == "state":
        if states := [state for state in kept if state in given]:
            return states
        raise _apart(saved, "--state", " or ".join(kept))
    if name == "labels":
        for key, value in kept.items():
            if given.get(key, value) != value:
                raise _apart(saved, f"--label {key}=…", f"{key}={value}")
        return {**kept, **given}
    if kept != given:
        raise _apart(saved, f"--{name.replace('_', '-')}", str(kept))
    return kept


def _apart(saved: str, option: str, kept: str) -> Failure:
    return wrong(
        f"The filter {saved!r} and {option} say different things: the filter says {kept}.",
        "Options narrow a saved filter. Leave one of the two away.",
    )


def arguments(wanted: "TaskQuery") -> dict[str, Any]:
    """The same as arguments of the SDK's lists."""
    named = dict(cast("Mapping[str, Any]", wanted))
    return {"states": named.pop("state", ()), **named}
