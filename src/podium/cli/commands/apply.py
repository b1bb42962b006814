"""``podium apply``: make things as files say."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from podium.cli import output
from podium.cli.failures import Status, status_of
from podium.cli.options import Json, Project, application, confirm, connect, wrong

if TYPE_CHECKING:
    from podium.cli.apply.carrying_out import Outcome
    from podium.cli.apply.planning import Plan
    from podium.client import Podium

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        "-f",
        metavar="PATH",
        help="A YAML file, a folder of them, or - for standard input; may be repeated.",
    ),
]
SetName = Annotated[
    str | None,
    typer.Option("--set", metavar="NAME", help="Record under this name what came from the files."),
]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Remove what came from the files of the set before and is not in them now, in the "
        "projects that they or --project name.",
    ),
]

app = application()


@app.command()
def apply(
    file: Files = None,
    set_name: SetName = None,
    prune: Prune = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show whole differences.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the files, for editors.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Make agents, queues, limits, templates, schedules, projects and filters as files say.

    Things that are as described stay untouched; fields that a file leaves out have their defaults.
    Nothing is applied while anything is wrong with a file. 'podium export' writes such files.
    """
    if schema:
        _print_schema()
        return
    if not file:
        raise wrong("Give at least one --file.", "podium apply -f podium.yaml, or a folder, or -.")
    if prune and set_name is None:
        raise wrong("--prune needs --set.", "Only what was recorded as part of a set is removed.")
    with connect(project) as client:
        plan = _planned(client, file, set_name, prune=prune)
        if not json:
            _show(plan, whole=diff)
        outcome = None if dry_run else _carried_out(client, plan, set_name, yes=yes, json=json)
    _tell(plan, outcome, set_name, json=json)


def _print_schema() -> None:
    from podium.cli.apply.documents import schema

    sys.stdout.write(output.pretty(schema()) + "\n")


def _planned(client: "Podium", paths: list[str], set_name: str | None, *, prune: bool) -> "Plan":
    from podium.cli.apply import showing
    from podium.cli.apply.documents import load
    from podium.cli.apply.planning import plan

    here = client.project or client.whoami().project or "default"
    documents, findings = load(paths, here)
    if findings:
        raise showing.refuse(findings)
    if prune and not documents:
        raise wrong(
            f"The files hold no documents, and --prune would remove all of the set {set_name}.",
            "See that --file is what you mean. What is to go is removed by the command of its "
            "kind, such as 'podium limit delete'.",
        )
    made, findings = plan(client, documents, set_name, here, prune=prune)
    if findings:
        raise showing.refuse(findings)
    return made


def _show(plan: "Plan", *, whole: bool) -> None:
    from podium.cli.apply import showing

    with suppress(BrokenPipeError, SystemExit):  # as Rich ends where nobody reads
        showing.show_plan(plan, whole=whole)


def _carried_out(
    client: "Podium", plan: "Plan", set_name: str | None, *, yes: bool, json: bool
) -> "Outcome":
    from podium.cli.apply import carrying_out, showing

    if count := sum(step.action == "prune" for step in plan.steps):
        confirm(f"Remove {count} {'thing' if count == 1 else 'things'}", yes=yes)
    told = None if json else showing.show_result
    return carrying_out.carry_out(client, plan.steps, set_name, told)


def _tell(plan: "Plan", outcome: "Outcome | None", set_name: str | None, *, json: bool) -> None:
    from podium.cli.apply import showing

    if json:
        output.emit(showing.as_json(plan, outcome, set_name))
    elif outcome is not None:
        showing.show_outcome(outcome)
    if outcome is None:
        return
    if outcome.interrupted:
        raise typer.Exit(Status.INTERRUPTED)
    failed = [each.error for each in outcome.results if each.error is not None]
    if outcome.unrecorded is not None:
        failed.append(outcome.unrecorded)
    if failed:
        raise typer.Exit(status_of(failed[0]))
