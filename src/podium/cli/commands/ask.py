"""``podium ask``: one prompt, one agent, its output live, its result at the end."""

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from podium.cli import completion, output
from podium.cli.commands.task_follow import outcome
from podium.cli.commands.task_look import tell_where_output_is
from podium.cli.failures import Status
from podium.cli.not_started import explained
from podium.cli.options import Json, Project, agreed, application, connect, seconds, wrong
from podium.cli.text import clean, last_form

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.inputs import Timeouts
    from podium.client.models import Task

app = application()


@app.command()
def ask(
    prompt: Annotated[str, typer.Argument(help="What to do; - reads it from standard input.")],
    agent: Annotated[
        str,
        typer.Option(
            "--agent", "-a", metavar="NAME", help="Agent by name.", autocompletion=completion.agents
        ),
    ],
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Longest time to wait for a start, and to run."),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Give an agent one prompt, follow what it writes and print its result.

    The prompt is the task's input, a string. The result goes to standard output, all else to
    standard error; what the agent writes meanwhile only where that is a terminal: 'podium task
    logs' has it afterwards. Ctrl-C asks whether to cancel the task; where standard input is no
    terminal nobody can answer, and it cancels the task at once. The exit status tells how it
    ended: 0, 1 failed, 5 cancelled.
    """
    text = _read_prompt() if prompt == "-" else prompt
    limit = seconds(timeout, "--timeout")
    timeouts: Timeouts = {} if limit is None else {"run": limit, "queue": limit}
    with connect(project) as client:
        task = client.tasks.create(agent=agent, input=text, timeouts=timeouts)
        if not json:
            output.note(f"Task {task.id}")
        try:
            with explained(client, task.id, quiet=json, within=limit):
                written = _follow(client, task.id, quiet=json or not sys.stderr.isatty())
            task = client.tasks.get(task.id)
        except KeyboardInterrupt:
            task = _interrupted(client, task.id)
            written = ""
    _show(task, written, json=json)
    if status := outcome([task.state]):
        raise typer.Exit(status)


def _read_prompt() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise wrong(
            f"The prompt on standard input is no {error.encoding} text.",
            f"Convert it to {error.encoding} first, for example with iconv.",
        ) from None


def _follow(client: "Podium", task_id: str, *, quiet: bool) -> str:
    """Print the task's log until it ends; give what it wrote to its standard output, or what it
    said last where Podium read that from its output."""
    parts: list[str] = []
    for log in client.tasks.logs(task_id, follow=True):
        if log.stream == "agent":
            parts = [log.text.rstrip("\n")]
        elif log.stream == "stdout":
            parts.append(log.text.rstrip("\n"))
        if not quiet:
            output.note(last_form(log.text.rstrip("\n")))
    return "\n".join(parts)


def _interrupted(client: "Podium", task_id: str) -> "Task":
    """Cancel the task, or leave it alone when the user wants that."""
    sys.stderr.write("\n")
    if sys.stdin.isatty() and not agreed("Cancel the task?", default=True):
        output.note(f"It goes on. Follow it with: podium task logs -f {task_id}")
        raise typer.Exit(Status.INTERRUPTED)
    client.tasks.cancel(task_id, "Interrupted at the command line.")
    return client.tasks.wait(task_id, timeout=60)


def _show(task: "Task", written: str, *, json: bool) -> None:
    if json:
        output.emit(task)
    elif task.state == "succeeded":
        text = _result(task.output)
        seen = sys.stdout.isatty() and sys.stderr.isatty()
        if not (seen and written.strip() == text.strip()):
            output.say(last_form(text))
        if _cut_off(task.output):
            output.note(
                "The result is the end of what it wrote; all of it, as far as logs keep it: "
                f"podium task logs {task.id}"
            )
        tell_where_output_is(task)
    else:
        error = task.error or {}
        output.note(f"{_ended(task)}: {clean(str(error.get('message') or ''))}")
        if error.get("hint"):
            output.note(f"  Hint: {error['hint']}")


def _ended(task: "Task") -> str:
    said = {"failed": "failed", "cancelled": "was cancelled"}
    return f"The task {said.get(task.state) or f'is {task.state}'}"


def _cut_off(value: object) -> bool:
    """Whether the runtime kept only the end of a text that was too long for a result."""
    return isinstance(value, dict) and cast("dict[str, object]", value).get("truncated") is True


def _result(value: object) -> str:
    """What an agent answered: text as it is, all else as JSON."""
    if isinstance(value, dict):
        text = cast("dict[str, object]", value).get("text")
        return text if isinstance(text, str) else output.pretty(cast("object", value))
    return value if isinstance(value, str) else output.pretty(value)
