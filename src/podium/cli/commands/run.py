"""``podium run``: ready-made jobs."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from podium.checkup import graph
from podium.cli import local, output
from podium.cli.board import Board, Row
from podium.cli.failures import Failure, Status
from podium.cli.not_started import explained
from podium.cli.options import Json, Project, application, connect, wrong
from podium.cli.text import duration, line
from podium.client.connection import data_dir

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import AgentNew, TaskInBulk
    from podium.client.models import Task

app = application("run", "Run a ready-made job.")

_STOPPING_SECONDS = 30.0

Skips = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PART",
        help=f"Leave this part out: {', '.join(part.ref for part in graph.PARTS)}; may be "
        "repeated.",
    ),
]


@app.command()
def checkup(
    repo: Annotated[
        Path, typer.Option("--repo", "-r", metavar="PATH", help="A git repository.")
    ] = Path(),
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where the report is written.")
    ] = Path("podium-report"),
    head: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="Commit to look at; unset, HEAD.")
    ] = None,
    skip: Skips = None,
    run_project_tools: Annotated[
        bool, typer.Option(help="Also run linters that run code of the repository.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Check up on a git repository and write report.md and report.json.

    Surveys it, then looks at its history, lint, secrets, dependencies, TODOs, large files and
    tests side by side. Uses the server that runs, or starts one that ends when it is idle. The
    exit status is 0 when the report was written and no part failed.
    """
    was_there = out.exists()
    options = _options(repo, out, head, skip or (), run_project_tools=run_project_tools)
    drafts = cast("list[TaskInBulk]", graph.tasks(repo, options))
    try:
        well = _show(_run(drafts, project, quiet=json), json=json)
    finally:
        if not was_there:
            with suppress(OSError):  # it holds something
                out.rmdir()
        if not json:
            _tell_what_stays()
    if not well:
        raise typer.Exit(Status.FAILED)


def _run(drafts: "list[TaskInBulk]", project: str | None, *, quiet: bool) -> "dict[str, Task]":
    """The tasks once all have ended; Ctrl-C cancels them."""
    local.ensure(lambda: output.note("Starting Podium …"))
    with connect(project) as client:
        _register(client)
        refs = client.tasks.create_many(drafts).refs
        try:
            _follow(client, refs, quiet=quiet)
        except KeyboardInterrupt:
            _cancel(client, refs)
            raise
        return {ref: client.tasks.get(task_id) for ref, task_id in refs.items()}


def _options(
    repo: Path, out: Path, head: str | None, skip: Sequence[str], *, run_project_tools: bool
) -> graph.Options:
    known = [part.ref for part in graph.PARTS]
    for name in skip:
        if name not in known:
            raise Failure(
                Status.USAGE, "usage", f"There is no part {name!r}.", f"Parts: {', '.join(known)}."
            )
    _require_reach({"--repo": repo, "--out": out})
    _require_repository(repo, head, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(
            Status.USAGE,
            "out_not_writable",
            f"{out} cannot be made: {error.strerror}.",
            "Give another directory with --out.",
        ) from None
    options: graph.Options = {"out": str(out), "skip": skip, "run_project_tools": run_project_tools}
    if head:
        options["head"] = head
    return options


def _require_repository(repo: Path, head: str | None, out: Path) -> None:
    """Tell now what the survey would fail with, and what the report would replace."""
    from podium.checkup.context import CheckupError
    from podium.checkup.earlier import replaced
    from podium.checkup.opening import open_to_survey

    try:
        other = replaced(out, open_to_survey(repo, head))
    except CheckupError as error:
        raise Failure(Status.USAGE, error.code, f"{error.message}.", error.hint) from None
    if other:
        output.note(f"{out} holds the report of {other}, which this one replaces.")


def _require_reach(paths: Mapping[str, Path]) -> None:
    """Agents cannot see the data directory, so nothing in it can be looked at or written to."""
    home = data_dir().resolve()
    for option, path in paths.items():
        if path.resolve().is_relative_to(home):
            raise wrong(
                f"{option}: {path} is inside Podium's data directory, which is kept from agents.",
                f"Give a place outside of {home}.",
            )


def _register(client: "Podium") -> None:
    """Have the checkup's agents as this version wants them, whoever else does the same now."""
    from podium.client.errors import Conflict

    known = {agent.name: agent for agent in client.agents.list()}
    for draft in graph.agents():
        if draft["name"] not in known:
            with suppress(Conflict):
                client.agents.create(**cast("AgentNew", draft))
                continue
        agent = known.get(draft["name"]) or client.agents.get(draft["name"])
        same = draft["config"].items() <= agent.config.items() and agent.runtime == draft["runtime"]
        if not (same and agent.enabled):
            client.agents.update(
                agent.name, runtime=draft["runtime"], config=draft["config"], enabled=True
            )


def _follow(client: "Podium", refs: Mapping[str, str], *, quiet: bool) -> None:
    """Show the parts as they go on, from the first event of the first on, until all have ended."""
    titles = {part.ref: part.title for part in (graph.SURVEY, *graph.PARTS, graph.REPORT)}
    board = Board(Row(task_id, titles.get(ref, ref)) for ref, task_id in refs.items())
    first = client.tasks.history(refs[graph.SURVEY.ref])
    for event in first:
        board.apply(event)
    # The tasks were accepted by one call: what follows the first one's creation is all there is.
    stream = client.events(
        types=["task.*"], subjects=list(board.rows), after=first[0].cursor if first else None
    )
    survey = refs[graph.SURVEY.ref]
    with board.shown(quiet=quiet), stream, explained(client, survey, quiet=quiet):
        for event in stream:
            board.apply(event)
            if board.ended:
                return


def _cancel(client: "Podium", refs: Mapping[str, str]) -> None:
    """Cancel what has not ended: the report first, which would run when its parts end."""
    output.note("Cancelling the checkup …")
    for task_id in reversed(list(refs.values())):
        client.tasks.cancel(task_id, "The checkup was interrupted.")
    for task_id in refs.values():
        client.tasks.wait(task_id, timeout=_STOPPING_SECONDS)


def _show(tasks: "Mapping[str, Task]", *, json: bool) -> bool:
    """Tell how it went; whether all went well."""
    report = tasks[graph.REPORT.ref]
    told: dict[str, Any] = report.output or {}
    well = all(task.state == "succeeded" for task in tasks.values())
    if json:
        output.emit({**told, "ok": well, "tasks": {ref: task.id for ref, task in tasks.items()}})
        return well
    headlines = {part["part"]: part.get("headline") for part in told.get("parts", [])}
    rows = [
        (
            task.title,
            output.state(task.state),
            duration(task.queued_seconds),
            duration(task.run_seconds),
            line(_found(task, headlines.get(ref)), 200),
        )
        for ref, task in tasks.items()
    ]
    output.show_table(
        ("Part", "State", "Waited", "Ran", "Found"), rows, "Nothing ran.", fold=("Part", "Found")
    )
    if report.state == "succeeded":
        output.say(f"\nReport: {told.get('report_md')}\n        {told.get('report_json')}")
    else:
        sys.stdout.flush()
        output.note(f"\nNo report was written: {_found(report, None)}")
    return well


def _tell_what_stays() -> None:
    """A server that was started for a command goes on behind it, which nobody would guess."""
    idle = local.ends_when_idle()
    if idle is not None:
        output.note(
            "\nPodium (PostgreSQL, Valkey, the API and its workers) goes on in the background and "
            f"stops after {duration(idle)} without work. 'podium down' stops it now, "
            "'podium up --detach' keeps it."
        )


def _found(task: "Task", headline: str | None) -> str:
    if task.error:
        hint = task.error.get("hint")
        return f"{task.error.get('message')}{f' ({hint})' if hint else ''}"
    if headline is None and task.progress and task.progress.note:
        return task.progress.note
    return headline or ""
