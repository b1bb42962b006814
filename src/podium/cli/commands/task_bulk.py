"""``podium task bulk``: change all tasks that match."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from podium.cli import output
from podium.cli.options import Json, Labels, Project, application, confirm, connect, wrong
from podium.cli.task_filters import (
    After,
    Before,
    OfAgent,
    OfQueue,
    Saved,
    Search,
    arguments,
    narrowed,
    query,
)
from podium.cli.task_options import States

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import TaskQuery
    from podium.client.models import BulkChanged

app = application("bulk", "Change all tasks that match. Say which as for 'podium task list'.")

DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Count the tasks that match and change none.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_Steps = Callable[["Podium", "TaskQuery", bool], "Iterator[BulkChanged]"]


class _How(NamedTuple):
    """What all these commands are asked."""

    saved: str | None
    dry_run: bool
    yes: bool
    project: str | None
    json: bool


@app.command()
def cancel(
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; kept with the tasks.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Cancel all tasks that match, whether they wait or run."""
    wanted = query(state, agent, queue, label, search, created_after, created_before)

    def steps(client: "Podium", found: "TaskQuery", dry: bool) -> "Iterator[BulkChanged]":
        return client.tasks.cancel_matching(found, reason=reason, dry_run=dry)

    _change("cancel", "cancelled", wanted, steps, _How(saved, dry_run, yes, project, json))


@app.command()
def retry(
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Run all again that match and failed, are dead or cancelled."""
    wanted = query(state, agent, queue, label, search, created_after, created_before)
    _change("retry", "retried", wanted, _retried, _How(saved, dry_run, yes, project, json))


@app.command()
def redrive(
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Run all again that match and are dead. They used up their retries."""
    wanted = query(None, agent, queue, label, search, created_after, created_before)
    wanted["state"] = ["dead"]
    _change("redrive", "redriven", wanted, _retried, _How(saved, dry_run, yes, project, json))


def _retried(client: "Podium", found: "TaskQuery", dry: bool) -> "Iterator[BulkChanged]":
    return client.tasks.retry_matching(found, dry_run=dry)


@app.command(context_settings={"ignore_unknown_options": True})  # -5 is none
def reprioritise(
    priority: Annotated[
        int, typer.Argument(min=-100, max=100, metavar="PRIORITY", help="Higher runs first.")
    ],
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Give all that match and have not ended another priority."""
    wanted = query(state, agent, queue, label, search, created_after, created_before)

    def steps(client: "Podium", found: "TaskQuery", dry: bool) -> "Iterator[BulkChanged]":
        return client.tasks.reprioritise_matching(found, priority, dry_run=dry)

    done = f"given the priority {priority}"
    _change("reprioritise", done, wanted, steps, _How(saved, dry_run, yes, project, json))


@app.command()
def delete(
    state: States = None,
    agent: OfAgent = None,
    queue: OfQueue = None,
    label: Labels = None,
    search: Search = None,
    created_after: After = None,
    created_before: Before = None,
    saved: Saved = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Delete all that match and have ended. Their logs and artifacts go with them."""
    wanted = query(state, agent, queue, label, search, created_after, created_before)

    def steps(client: "Podium", found: "TaskQuery", dry: bool) -> "Iterator[BulkChanged]":
        return client.tasks.delete_matching(found, dry_run=dry)

    _change("delete", "deleted", wanted, steps, _How(saved, dry_run, yes, project, json))


def _change(verb: str, done: str, wanted: "TaskQuery", steps: _Steps, how: _How) -> None:
    """Go through all tasks that match, once it is agreed to."""
    if not wanted and how.saved is None:
        raise wrong(
            f"Nothing says which tasks to {verb}.",
            f"Give a state, a label or another filter: 'podium task bulk {verb} --help'.",
        )
    with connect(how.project) as client:
        found, _ = narrowed(client, how.saved, wanted)
        count = client.tasks.count(**arguments(found))
        if how.dry_run:
            matched = sum(len(step.matched) for step in steps(client, found, True))
            _tell(how, f"{_tasks(matched)} would be looked at", matched, 0)
            return
        at_least = "at least " if count.capped else ""
        confirm(f"{verb.capitalize()} {at_least}{_tasks(count.count)}", yes=how.yes)
        matched = changed = 0
        with output.progress(verb, None if count.capped else count.count) as advance:
            for step in steps(client, found, False):
                matched, changed = matched + len(step.matched), changed + len(step.changed)
                advance(len(step.matched))
    rest = f"; {_tasks(matched - changed)} did not need it or could not be" * (matched > changed)
    _tell(how, f"{_tasks(changed)} {done}{rest}", matched, changed)


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"


def _tell(how: _How, said: str, matched: int, changed: int) -> None:
    if how.json:
        output.emit({"matched": matched, "changed": changed, "dry_run": how.dry_run})
    else:
        output.say(said)
