"""What becomes of a command agent's output: logs, text, JSON, messages and artifacts."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from contract.context import until
from podium.agents.runtimes import output
from podium.agents.runtimes.command import CommandRuntime
from podium.kernel.errors import ErrorClass
from podium.kernel.redaction import SECRET_CHARS
from slices.agents.commands import Make, command_runtime, maker
from slices.agents.failing import failure


@pytest.fixture
def runtime(tmp_path: Path) -> CommandRuntime:
    return command_runtime(tmp_path)


@pytest.fixture
def make(runtime: CommandRuntime, tmp_path: Path) -> Make:
    return maker(runtime, tmp_path)


async def test_long_text_is_cut_at_its_beginning(runtime: CommandRuntime, make: Make) -> None:
    result = await runtime.run(make("seq 100000"))
    assert isinstance(result, dict)
    assert result["truncated"] is True
    text = result["text"]
    assert isinstance(text, str)
    assert text.endswith("99999\n100000")
    assert len(text) <= 128 * 1024


async def test_logs_are_whole_lines_of_both_streams(runtime: CommandRuntime, make: Make) -> None:
    context = make(r"printf 'a\n\nb\r\nwithout end'; printf 'e1\ne2' >&2")
    await runtime.run(context)
    assert context.lines("stdout") == ["a", "", "b", "without end"]
    assert context.lines("stderr") == ["e1", "e2"]


async def test_output_that_is_no_text_does_not_break_the_log(
    runtime: CommandRuntime, make: Make
) -> None:
    context = make(r"printf 'x\377y\0z\303'; sleep 0.1; printf '\244\n'")
    await runtime.run(context)
    assert context.lines("stdout") == ["x\ufffdy\ufffdzä"]


async def test_long_lines_are_split(runtime: CommandRuntime, make: Make) -> None:
    script = f"import sys; sys.stdout.write('x' * {3 * output.LINE_LIMIT + 5} + '\\nend')"
    context = make([sys.executable, "-c", script])
    await runtime.run(context)
    lines = context.lines("stdout")
    assert [len(line) for line in lines] == [*[output.LINE_LIMIT] * 3, 5, 3]


@pytest.mark.parametrize("secret", ["", "?token="])
def test_of_a_line_that_never_ends_little_is_held_back(secret: str) -> None:
    lines = output.Lines()
    given = len(secret)
    came = sum(map(len, lines.feed(secret.encode())))
    for size in (1, 1000, 65536) * 50:
        given += size
        came += sum(map(len, lines.feed(b"x" * size)))
        assert given - came <= output.LINE_LIMIT + SECRET_CHARS
    assert came + sum(map(len, lines.close())) == given


async def test_output_streams_while_it_runs(runtime: CommandRuntime, make: Make) -> None:
    context = make("echo started; sleep 30")
    running = asyncio.create_task(runtime.run(context))
    await until(context.lines)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_json_output(runtime: CommandRuntime, make: Make) -> None:
    context = make("""echo '{"a": [1, null]}'; echo note >&2""", output="json")
    assert await runtime.run(context) == {"a": [1, None]}
    assert context.lines() == ["note"]


@pytest.mark.parametrize("written", ["no JSON", "{} {}", "", '{"a": NaN}'])
async def test_output_that_is_no_json(runtime: CommandRuntime, make: Make, written: str) -> None:
    context = make(["printf", "%s", written], output="json")
    failed = await failure(runtime, context)
    assert (failed.error_class, failed.code) == (ErrorClass.AGENT, "output_not_json")
    assert context.lines("stdout") == ([written] if written else [])


async def test_json_of_a_failed_agent_is_logged(runtime: CommandRuntime, make: Make) -> None:
    context = make("echo '{\"why\": 1}'; exit 3", output="json")
    failed = await failure(runtime, context)
    assert failed.code == "exit_status"
    assert context.lines("stdout") == ['{"why": 1}']


async def test_messages_between_other_lines(runtime: CommandRuntime, make: Make) -> None:
    context = make(
        """
        echo before
        echo '  {"podium":"progress","fraction":1}'
        echo '{"other": "json with podium"}'
        echo '{"podium" broken'
        echo '{"deep": {"podium": "log"}}'
        echo '{"podium": "log", "text": "said", "stream": "stderr"}'
        printf '{"podium":"result","output":{"n":1}}'
        """,
        output="events",
    )
    assert await runtime.run(context) == {"n": 1}
    assert context.reports[:6] == [
        ("log", "stdout", "before"),
        ("progress", 1.0, None),
        ("log", "stdout", '{"other": "json with podium"}'),
        ("log", "stdout", '{"podium" broken'),
        ("log", "stdout", '{"deep": {"podium": "log"}}'),
        ("log", "stderr", "said"),
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('{"podium":"progress","fraction":1.5}', "fraction: Must be less than or equal"),
        ('{"podium":"progress","fraktion":1}', "fraktion: There is no such field"),
        ('{"podium":"usage","tokens":"many"}', "tokens: Must be a number"),
        ('{"podium":"usage","Tokens":-1}', "Tokens"),
        ('{"podium":"sing"}', "'podium' must be one of 'progress', 'log',"),
        ('{"podium":"results"}', "'result', 'error'; the closest is 'result'"),
        ('{"podium":"artifact","name":"a","path":"a\\u0000b"}', "NUL"),
        ('{"podium":7}', "'podium' must be one of 'progress', 'log',"),
        ('{"podium":"log","text":"cut off', "not valid JSON"),
    ],
)
async def test_malformed_messages_are_told_and_passed_over(
    runtime: CommandRuntime, make: Make, line: str, wrong: str
) -> None:
    context = make(["printf", "%s\n", line, '{"podium":"result","output":1}'], output="events")
    assert await runtime.run(context) == 1
    (told,) = context.lines("agent")
    assert told.startswith("Message ignored: ")
    assert wrong in told
    assert line in told


async def test_a_lost_result_is_no_success(runtime: CommandRuntime, make: Make) -> None:
    for line in ('{"podium":"result","output":NaN}', '{"podium":"result","result":1}'):
        failed = await failure(runtime, make(["echo", line], output="events"))
        assert (failed.error_class, failed.code) == (ErrorClass.AGENT, "malformed_result")


async def test_no_result_is_null_and_the_first_one_counts(
    runtime: CommandRuntime, make: Make
) -> None:
    assert await runtime.run(make(["true"], output="events")) is None
    lines = ['{"podium":"result","output":1}', '{"podium":"error","message":"late"}']
    context = make(["printf", "%s\n", *lines], output="events")
    assert await runtime.run(context) == 1
    assert context.lines() == ["Message ignored: a result had been given already."]


async def test_a_reported_error_fails_whatever_the_exit_status(
    runtime: CommandRuntime, make: Make
) -> None:
    line = '{"podium":"error","class":"budget","code":"no_money","message":"All spent."}'
    for status in ("0", "75"):
        context = make(f"echo '{line}'; exit {status}", output="events")
        failed = await failure(runtime, context)
        assert (failed.error_class, failed.code) == (ErrorClass.BUDGET, "no_money")


async def test_a_large_message_is_kept_whole(runtime: CommandRuntime, make: Make) -> None:
    script = "import json; print(json.dumps({'podium': 'result', 'output': 'ä' * 2_000_000}))"
    context = make([sys.executable, "-c", script], output="events")
    assert await runtime.run(context) == "ä" * 2_000_000
    assert context.lines() == []


async def test_artifacts_must_be_the_agents_own_files(
    runtime: CommandRuntime, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("outside")
    context = make(
        f"""
        say() {{ echo '{{"podium":"artifact","name":"'$1'","path":"'$2'"}}'; }}
        mkdir sub; echo good > sub/file; ln -s sub/file inner
        ln -s {tmp_path}/data/admin-token secret; ln -s {tmp_path} up; mkfifo pipe
        say good sub/file; say inner inner; say full "$PWD/sub/file"
        say outside {tmp_path}/outside; say secret secret; say through up/outside
        say dots ../../../admin-token; say folder sub; say pipe pipe; say missing nothing
        """,
        output="events",
    )
    await runtime.run(context)
    assert context.artifacts == dict.fromkeys(
        ("good", "inner", "full"), (b"good\n", "application/octet-stream")
    )
    told = {line.split("'")[1]: line for line in context.lines("agent")}
    assert set(told) == {"outside", "secret", "through", "dots", "folder", "pipe", "missing"}
    assert "outside the working directory" in told["secret"]
    assert "not a file" in told["pipe"]


async def test_artifacts_are_no_way_to_what_is_hidden(
    runtime: CommandRuntime, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker could read Podium's files and environment for an agent that works in /."""
    (tmp_path / "other").write_text("not hidden")
    monkeypatch.setenv("PODIUM_CANARY", "canary")
    paths = [f"{tmp_path}/data/admin-token", f"proc/{os.getpid()}/environ", f"{tmp_path}/other"]
    lines = [
        f'{{"podium":"artifact","name":"{number}","path":"{path.lstrip("/")}"}}'
        for number, path in enumerate(paths)
    ]
    context = make(["printf", "%s\\n", *lines], output="events", cwd="/")
    await runtime.run(context)
    assert context.artifacts == {"2": (b"not hidden", "application/octet-stream")}
    hidden, kernel = context.lines("agent")
    assert "outside the working directory" in hidden
    assert "the kernel's" in kernel


async def test_files_of_another_working_directory(
    runtime: CommandRuntime, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "file").write_text("of the repository")
    context = make(
        ["echo", '{"podium":"artifact","name":"a","path":"file","content_type":"text/plain"}'],
        output="events",
        cwd=str(tmp_path / "repo"),
    )
    await runtime.run(context)
    assert context.artifacts == {"a": (b"of the repository", "text/plain")}


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [(101, "counts more than 100 things"), (200_000, "longer than 1,048,576 characters")],
)
async def test_usage_of_too_many_things_is_passed_over(
    runtime: CommandRuntime, make: Make, counts: int, wrong: str
) -> None:
    said = f"{{'podium': 'usage'}} | {{f'n{{n}}': 1 for n in range({counts})}}"
    script = f"import json; print(json.dumps({said}))"
    context = make([sys.executable, "-c", script], output="events")
    await runtime.run(context)
    assert wrong in context.lines("agent")[0]
    assert [set(report[1]) for report in context.reports if report[0] == "usage"] == [
        {"cpu_seconds"}
    ]


async def test_a_long_log_is_no_message_that_is_too_long(
    runtime: CommandRuntime, make: Make
) -> None:
    script = "import json; print(json.dumps({'podium': 'log', 'text': 'x' * 2_000_000}))"
    context = make([sys.executable, "-c", script], output="events")
    await runtime.run(context)
    assert context.lines("agent") == ["x" * 2_000_000]


async def test_a_message_that_is_too_long(
    runtime: CommandRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MESSAGE_LIMIT", 100_000)
    script = "import json; print(json.dumps({'podium': 'result', 'output': 'x' * 200_000}))"
    failed = await failure(runtime, make([sys.executable, "-c", script], output="events"))
    assert failed.code == "malformed_result"
    assert "longer than" in failed.message
