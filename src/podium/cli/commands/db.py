"""``podium db``: looking after the database, without a server."""

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from podium.cli import local, output
from podium.cli.options import Json, application, confirm
from podium.cli.text import size

app = application("db", "Look after the database.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


@app.command()
def status(json: Json = False) -> None:
    """Show the database, its schema, largest tables and connections."""
    found = local.database("status", on_progress=_ignored)
    if json:
        output.emit(found)
        return
    output.show_fields(
        {
            "Database": f"embedded, of {found['place']}" if found["embedded"] else found["place"],
            "PostgreSQL": f"{found['postgres']}{_kind(found)}",
            "Schema": _schema(found["schema"]),
            "Event epoch": found["schema"]["epoch"],
            "Size": size(found["bytes"]),
            "Connections": _connections(found["connections"]),
        }
    )
    rows = [(table["name"], size(table["bytes"]), table["rows"]) for table in found["tables"]]
    if rows:
        output.say("")
        output.show_table(("Largest tables", "Size", "Rows, about"), rows, "")


@app.command()
def migrate(dry_run: DryRun = False, json: Json = False) -> None:
    """Bring the schema up to date. 'podium up' and 'podium server' do so when they start.

    Servers and workers of the previous version go on meanwhile and after it. Several of these may
    run at once.
    """
    options = ["--dry-run"] if dry_run else []
    with _shown(quiet=json) as on_progress:
        found = local.database("migrate", *options, on_progress=on_progress)
    if json:
        output.emit(found)
    else:
        _tell_migrations(found)


@app.command()
def backup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="File to write, or a directory for one that is named for the time."
        ),
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the file again and compare.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy the database and the artifacts to one file, while in use.

    The file holds inputs, outputs and logs of tasks as they are, and only hashes of tokens; its
    owner alone may read it. Settings and the administrator's token are not in it.
    """
    options = ["--verify"] if verify else []
    with _shown(quiet=json) as on_progress:
        made = local.database("backup", str(file), *options, on_progress=on_progress)
    if json:
        output.emit(made)
        return
    output.say(f"{made['file']} has {size(made['bytes'])}: {_what(made)}.")
    if made["artifacts_missing"]:
        output.note(f"Of {made['artifacts_missing']} artifacts on record there was no file.")
    if made["artifacts_differing"]:
        output.note(f"Of {made['artifacts_differing']} the file is not the one on record.")
    if made["artifacts_in"]:
        output.note(f"Artifacts are not in the file: they stay in {made['artifacts_in']}.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'podium db backup' wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where there is work, which is lost then.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Put a backup in the place of the database and the artifacts.

    The database comes whole, or not at all.

    All servers and workers must be stopped. What ran when the backup was made runs again with the
    next start; what follows events is told to read the state anew.
    """
    if replace and not dry_run:
        confirm("Replace all that the database holds by the backup", yes=yes)
    options = [*(["--replace"] if replace else []), *(["--dry-run"] if dry_run else [])]
    with _shown(quiet=json) as on_progress:
        found = local.database("restore", str(file), *options, on_progress=on_progress)
    if json:
        output.emit(found)
    elif dry_run:
        output.say(f"The backup is whole and can be restored: {_what(found)}.")
    else:
        output.say(f"Restored: {_what(found)}.")


@app.command()
def promote(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="The server's empty database, as postgresql://user:password@host/database; - "
            "reads it from standard input, which other users of the machine do not see.",
        ),
    ],
    keep_setting: Annotated[
        bool, typer.Option("--keep-setting", help="Set the URL in settings.toml, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Move an installation from its embedded database to a server.

    Podium must be stopped. The embedded database stays as it is.
    """
    given = sys.stdin.readline().strip() if url == "-" else url
    options = ["--keep-setting"] if keep_setting else []
    with _shown(quiet=json) as on_progress:
        found = local.database("promote", *options, said=given, on_progress=on_progress)
    if json:
        output.emit(found)
        return
    rows = sum(found["rows"].values())
    output.say(f"{found['place']} has all {rows} rows; the embedded database is as it was.")
    if found["settings_file"]:
        output.say(f"{found['settings_file']} names it: start Podium as before.")
    else:
        output.say("Set PODIUM_DATABASE_URL to its URL wherever Podium is started.")


@contextmanager
def _shown(*, quiet: bool) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """A bar for somebody at a terminal."""
    if quiet or not sys.stderr.isatty():
        yield _ignored
        return
    from rich.progress import Progress

    with Progress(console=output.console(stderr=True), transient=True) as bar:
        steps: dict[str, Any] = {}

        def show(told: Mapping[str, Any]) -> None:
            name = told["step"]
            if name not in steps:
                steps[name] = bar.add_task(name, total=told["of"])
            bar.update(steps[name], completed=told["done"])

        yield show


def _ignored(_: Mapping[str, Any]) -> None:
    """Nobody looks."""


def _kind(found: Mapping[str, Any]) -> str:
    marks = [
        *(["a replica"] if found["replica"] else []),
        *([f"{found['replicas']} replicas"] if found["replicas"] else []),
        *(["behind a pooler"] if found["pooler"] else []),
    ]
    return f" ({', '.join(marks)})" if marks else ""


def _schema(schema: Mapping[str, Any]) -> str:
    if schema["trouble"]:
        return f"{schema['revision']}. {schema['trouble']}"
    if schema["pending"]:
        pending = ", ".join(step["revision"] for step in schema["pending"])
        return f"{schema['revision'] or 'none'}; 'podium db migrate' brings {pending}"
    if not schema["functions"]:
        return f"{schema['revision']}; 'podium db migrate' brings its functions"
    return f"{schema['revision']}, up to date"


def _connections(counts: Mapping[str, Any]) -> str:
    return f"{counts['used']} of {counts['most']} in use, {counts['podium']} by Podium"


def _tell_migrations(found: Mapping[str, Any]) -> None:
    steps = found["migrations"]
    if not steps and not found["functions"]:
        output.say(f"The schema is {found['to']} and up to date.")
        return
    for step in steps:
        output.say(f"{step['revision']}  {step['about']}")
    if found["functions"]:
        output.say(f"{'-':<4}  functions of this version")
    if found["done"]:
        output.say(f"The schema is {found['to']} now.")
    else:
        output.say("Nothing was changed.")


def _what(found: Mapping[str, Any]) -> str:
    return (
        f"{found['tasks']} tasks, {found['events']} events and {found['artifacts']} artifacts of "
        f"{found['made_at'][:19]} UTC"
    )
